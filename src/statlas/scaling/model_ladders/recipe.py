"""The recipe: the accuracy that a larger run will reach, from a ladder of small runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from statlas.core import (
    Category,
    Example,
    InputError,
    Option,
    OptionError,
    Result,
    Roles,
    Table,
    recipe,
)
from statlas.core.progress import track
from statlas.core.rng import Rng
from statlas.core.runs import (
    COMPUTE,
    PARAMETERS,
    RUN,
    TOKENS,
    ComputeUnit,
    ParametersUnit,
    TokensUnit,
)
from statlas.scaling.model_ladders.answers import answer_task, target_of
from statlas.scaling.model_ladders.backtest import Rules
from statlas.scaling.model_ladders.chain import Resample
from statlas.scaling.model_ladders.figure import draw_accuracy_step, draw_loss_step, draw_tasks
from statlas.scaling.model_ladders.reading import (
    ACCURACY,
    TASK_LOSS,
    Checkpoints,
    Plan,
    Unevaluated,
    read_ladders,
)
from statlas.scaling.model_ladders.report import (
    details_of,
    headline_of,
    notices_of,
    status_of,
    table_of,
    values_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class LadderForecast(Result):
    """Forecast accuracies; `table` has a row a task."""

    def draw(self, figure: Figure) -> None:
        """Draw both steps of one task, then forecasts and held-out errors of all."""
        details = self.details
        axes = figure.subplots(1, 3)
        draw_loss_step(axes[0], details)
        draw_accuracy_step(axes[1], details)
        draw_tasks(axes[2], self.table, details)
        figure.set_size_inches(14.5, max(4.4, 1.6 + 0.55 * len(self.table)))


@recipe(
    "model-ladders",
    example=Example(
        file="corpus_runs.csv",
        about="Small transformers of 18 shapes trained on a mix of four corpora, three times each, "
        "with the loss and accuracy on three multiple-choice tasks at 7 lengths.",
        origin="Recorded with torch (BSD-3); see examples for the corpora.",
        options={"focus": "mix", "draws": 100},
    ),
)
def ladder_forecast(
    runs: Annotated[
        Table,
        Roles(
            parameters=PARAMETERS,
            tokens=TOKENS,
            compute=COMPUTE,
            task_loss=TASK_LOSS,
            accuracy=ACCURACY,
            task=Category(
                optional=True,
                help="name of the task, for a table with a row a run and task",
                aliases=("benchmark", "task_name", "evaluation"),
            ),
            run=RUN,
            recipe=Category(
                optional=True,
                help="training data or settings; a ladder holds runs of one",
                aliases=("mix", "corpus", "family", "ladder"),
            ),
            min_rows=6,
        ),
    ],
    *,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of the intervals")] = 0.95,
    target_parameters: Annotated[
        float | None,
        Option(gt=0, help="size of the run to forecast; by default sqrt(10) times the dearest's"),
    ] = None,
    target_tokens: Annotated[
        float | None,
        Option(gt=0, help="tokens of the run to forecast; by default sqrt(10) times the dearest's"),
    ] = None,
    checkpoints: Annotated[
        Checkpoints,
        Option(
            help="checkpoints that feed step 1: the last of each training (as in the paper), all "
            "within the span (right where the learning rate does not decay), or last unless all "
            "ends have one token count"
        ),
    ] = "auto",
    average: Annotated[
        int,
        Option(ge=1, help="checkpoints averaged up to each one; the paper's code takes 5"),
    ] = 1,
    skip: Annotated[
        float,
        Option(
            ge=0, lt=1, help="share of each training's first checkpoints left out; the paper's 0.1"
        ),
    ] = 0.0,
    span: Annotated[
        float,
        Option(
            ge=1,
            help="where all checkpoints feed step 1, those from 1/span of their training's end on; "
            "the paper's lengths span a factor of 10",
        ),
    ] = 10.0,
    perfect: Annotated[
        float, Option(gt=0, help="a perfect score in the unit of the accuracies, such as 100")
    ] = 1.0,
    anchor: Annotated[
        bool, Option(help="whether step 2 gets a point of no loss and a perfect score")
    ] = True,
    chance: Annotated[
        float | None,
        Option(
            ge=0,
            help="score of guessing; where given, the sigmoid falls from perfect to it "
            "(only with one task, or the same for all)",
        ),
    ] = None,
    resample: Annotated[
        Resample,
        Option(help="trainings are drawn whole (runs), or their residuals are (residuals)"),
    ] = "runs",
    held_out: Annotated[
        float,
        Option(gt=1, help="runs within this factor of the dearest one's compute test the method"),
    ] = 4.0,
    tasks: Annotated[
        tuple[str, ...] | None, Option(help="tasks to forecast; all by default")
    ] = None,
    focus: Annotated[
        str | None, Option(help="recipe to forecast; by default the one with most rows")
    ] = None,
    show: Annotated[
        str | None, Option(help="task whose steps are drawn; by default the first")
    ] = None,
    unevaluated: Annotated[
        Unevaluated, Option(help="what to do with empty cells of a wide table's tasks")
    ] = "refuse",
    parameters_unit: ParametersUnit = 1.0,
    tokens_unit: TokensUnit = 1.0,
    compute_unit: ComputeUnit = 1.0,
    draws: Annotated[int, Option(ge=50, le=20_000, help="redrawn ladders")] = 200,
    rng: Rng = None,
) -> LadderForecast:
    """Forecast task accuracies of a larger run: size and tokens to task loss, loss to accuracy.

    Parameters
    ----------
    runs
        One row a checkpoint (or run): long, with a column of tasks, or wide, with columns
        NAME_task_loss and NAME_accuracy.

    Returns
    -------
    LadderForecast
        `table` has a row a task.
    """
    generator = np.random.default_rng(rng)
    if chance is not None and chance >= perfect:
        raise OptionError(f"option 'chance' must be below perfect ({perfect:g}); got {chance:g}")
    plan = Plan(checkpoints, average, skip, span, perfect)
    units = (parameters_unit, tokens_unit, compute_unit)
    read = read_ladders(runs, units, plan, tasks, focus, unevaluated)
    names = [task.name for task in read.tasks]
    if show is not None and show not in names:
        raise OptionError(f"there is no task {show!r} to show; there are {', '.join(names)}")
    rules = Rules(1.0, anchor, None if chance is None else chance / perfect)
    target = target_of(read, target_parameters, target_tokens)
    answers, left_out = [], []
    for task in track(read.tasks, "fitting tasks"):
        try:
            answers.append(answer_task(task, rules, target, held_out, draws, resample, generator))
        except InputError as error:
            left_out.append((task.name, error))
    if not answers:
        raise left_out[0][1]
    shown = next((a for a in answers if a.task.name == show), answers[0])
    status, advice = status_of(answers)
    return LadderForecast(
        headline=headline_of(answers, target, level, perfect, read.recipe),
        table=table_of(answers, level, perfect),
        values=tuple(values_of(answers, level, perfect)),
        details=details_of(shown, answers, target, level, perfect, generator),
        status=status,
        advice=advice,
        warnings=tuple(notices_of(read, answers, left_out, target, runs)),
        set_aside=read.set_aside,
        options={"target_parameters": target[0], "target_tokens": target[1]},
    )
