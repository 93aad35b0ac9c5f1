"""The recipe: what loss the same training reaches on other data, from pairs of losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from statlas.core import Example, Option, Result, Roles, Table, recipe
from statlas.core.rng import Rng
from statlas.core.runs import COMPUTE, RUN, TOKENS, ComputeUnit, ParametersUnit, TokensUnit
from statlas.scaling.loss_to_loss.answers import (
    OffsetsChoice,
    Plan,
    answer_all,
    offsets_of,
    target_of,
)
from statlas.scaling.loss_to_loss.figure import draw_errors, draw_pairs
from statlas.scaling.loss_to_loss.pairs import PairBy
from statlas.scaling.loss_to_loss.reading import (
    DATASET,
    FIRST_LOSS,
    OPTIONAL_PARAMETERS,
    SECOND_LOSS,
    SEED,
    Kind,
    read_relations,
)
from statlas.scaling.loss_to_loss.relation import Form
from statlas.scaling.loss_to_loss.report import (
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
class LossRelations(Result):
    """Relations between losses; `table` has a row a second loss."""

    def draw(self, figure: Figure) -> None:
        """Draw pairs with relations, then the errors on dearer runs and of carried laws."""
        panels = [
            (prefix, title)
            for prefix, title in (
                ("dearer runs", "Dearer runs held out"),
                ("few points", f"Law of the second set from {self.details['few']} points"),
            )
            if any(str(name).startswith(prefix) for name in self.table)
        ]
        axes = np.atleast_1d(figure.subplots(1, 1 + len(panels)))
        draw_pairs(axes[0], self.details)
        for axis, (prefix, title) in zip(axes[1:], panels, strict=True):
            draw_errors(axis, self.table, prefix, title)
        figure.set_size_inches(5.2 + 4.6 * len(panels), max(4.6, 2.2 + 0.35 * len(self.table)))


@recipe(
    "loss-to-loss",
    example=Example(
        file="corpus_runs.csv",
        about="Small transformers of six to eighteen shapes trained on recipes of text, three "
        "times each, with the loss at 7 lengths: a mix of four corpora, and each alone.",
        origin="Recorded with torch (BSD-3); see examples for the corpora.",
        options={"source": "mix", "targets": ("prose", "code", "words", "foreign")},
    ),
)
def loss_relations(
    runs: Annotated[
        Table,
        Roles(
            loss=FIRST_LOSS,
            second=SECOND_LOSS,
            dataset=DATASET,
            parameters=OPTIONAL_PARAMETERS,
            tokens=TOKENS,
            compute=COMPUTE,
            repeat=SEED,
            run=RUN,
            min_rows=6,
        ),
    ],
    *,
    relation: Annotated[
        Kind,
        Option(
            help="losses that are related: of trainings on two data sets (train-to-train), two "
            "losses of one run (train-to-test), one test loss after training on two data sets "
            "(test-to-test), or the first loss on one and the second on another (across)"
        ),
    ] = "auto",
    source: Annotated[
        str | None, Option(help="first data set; by default the one with most runs")
    ] = None,
    targets: Annotated[
        tuple[str, ...] | None, Option(help="second data sets; by default all others")
    ] = None,
    pair_by: Annotated[
        PairBy,
        Option(help="equal size, tokens (and seed), or the best run of each at equal compute"),
    ] = "size-and-tokens",
    offsets: Annotated[
        OffsetsChoice,
        Option(
            help="E0 and E1 from the laws of both data sets (laws), E0 from the first's and E1 "
            "fitted (first-law), or both fitted; auto: first-law where sizes are known"
        ),
    ] = "auto",
    form: Annotated[
        Form,
        Option(
            help="law of a data set: E + ((A / N)^(alpha / beta) + B / D)^beta (kaplan) or "
            "E + A N^-alpha + B D^-beta (chinchilla)"
        ),
    ] = "kaplan",
    first_loss: Annotated[
        float | None, Option(gt=0, help="first loss at which the second is wanted")
    ] = None,
    target_parameters: Annotated[
        float | None,
        Option(gt=0, help="size of the run to forecast; by default sqrt(10) times the dearest's"),
    ] = None,
    target_tokens: Annotated[
        float | None,
        Option(gt=0, help="tokens of the run to forecast; by default sqrt(10) times the dearest's"),
    ] = None,
    held_out: Annotated[
        float,
        Option(
            gt=1, help="pairs within this factor of the dearest one's compute test the relation"
        ),
    ] = 20.0,
    few: Annotated[
        int,
        Option(ge=4, le=1000, help="pairs by which the first set's law is carried in the test"),
    ] = 8,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of the intervals")] = 0.95,
    parameters_unit: ParametersUnit = 1.0,
    tokens_unit: TokensUnit = 1.0,
    compute_unit: ComputeUnit = 1.0,
    draws: Annotated[int, Option(ge=50, le=20_000, help="draws of trainings")] = 200,
    rng: Rng = None,
) -> LossRelations:
    """Relate two losses by a shifted power law, and carry a scaling law across by it.

    Parameters
    ----------
    runs
        One row a run or checkpoint.

    Returns
    -------
    LossRelations
        `table` has a row a second loss.
    """
    generator = np.random.default_rng(rng)
    read = read_relations(
        runs, relation, source, targets, pair_by, (parameters_unit, tokens_unit, compute_unit)
    )
    chosen = offsets_of(read, offsets)
    target = target_of(read, first_loss, target_parameters, target_tokens)
    plan = Plan(chosen, form, held_out, few, draws, target)
    answers, failures = answer_all(read, plan, generator)
    status, advice = status_of(answers, chosen)
    return LossRelations(
        headline=headline_of(answers, read, target, level),
        table=table_of(answers, level),
        values=tuple(values_of(answers, level)),
        details=details_of(answers, few, level),
        status=status,
        advice=advice,
        warnings=tuple(notices_of(answers, [*read.failures, *failures], read, target, runs)),
        set_aside=read.set_aside,
        options={"offsets": chosen},
    )
