"""The recipe: best learning rate and batch size from a table of runs, or from published rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from statlas.core import Example, Option, OptionError, Result, Roles, Table, recipe
from statlas.core.progress import tell
from statlas.core.rng import Rng
from statlas.core.runs import (
    BATCH_SIZE,
    COMPUTE,
    LEARNING_RATE,
    LOSS,
    PARAMETERS,
    TOKENS,
    ComputeUnit,
    ParametersUnit,
    TokensUnit,
    read_run_sizes,
)
from statlas.scaling.step_law.answer import (
    Findings,
    Target,
    headline_of,
    notices_of,
    published_headline,
    published_rows,
    published_values,
    status_of,
    table_of,
    values_of,
)
from statlas.scaling.step_law.cells import Valley, find_valleys, make_cells
from statlas.scaling.step_law.figure import details_of, draw_fitted, draw_published
from statlas.scaling.step_law.fitting import (
    BatchLaw,
    Edges,
    Plan,
    authors_exponents,
    costs,
    fit_law_of,
    held_out_advice,
    rule_advice,
)
from statlas.scaling.step_law.laws import Resample
from statlas.scaling.step_law.published import RULES
from statlas.scaling.step_law.surrogate import fit_surrogate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FARTHER = 10.0  # the target by default, in multiples of the largest size and length


@dataclass(frozen=True, kw_only=True)
class StepLaw(Result):
    """Best settings: `table` has a row a cell of runs, or a row a published rule without runs."""

    def draw(self, figure: Figure) -> None:
        """Draw best settings over tokens with their laws, and one valley with its plateau."""
        if self.details["cells"]:
            draw_fitted(figure, self.details)
        else:
            draw_published(figure, self.details)


@recipe(
    "step-law",
    example=Example(
        file="step_grid.csv",
        about="714 small transformers trained on the source code of Python's standard library: 3 "
        "widths, 3 lengths of training, 7 learning rates, 5 or 6 batch sizes, 2 seeds.",
        origin="Recorded with torch (BSD-3) on the standard library of Python 3.11 (PSF); see "
        "examples.",
    ),
)
def best_hyperparameters(
    runs: Annotated[
        Table | None,
        Roles(
            parameters=replace(PARAMETERS, help="weights without embeddings and last layer"),
            tokens=TOKENS,
            compute=COMPUTE,
            learning_rate=replace(LEARNING_RATE, optional=False, help="peak learning rate"),
            batch_size=BATCH_SIZE,
            loss=LOSS,
            min_rows=4,
        ),
    ] = None,
    *,
    target_parameters: Annotated[
        float | None,
        Option(gt=0, help="weights of the training to advise; ten times the largest by default"),
    ] = None,
    target_tokens: Annotated[
        float | None,
        Option(gt=0, help="tokens of the training to advise; ten times the most by default"),
    ] = None,
    tolerance: Annotated[
        float, Option(gt=0, le=20, unit="%", help="excess loss that counts as nearly as good")
    ] = 0.25,
    window: Annotated[
        float | None,
        Option(
            gt=0,
            le=50,
            unit="%",
            help="excess loss up to which runs shape the valley; found by default",
        ),
    ] = None,
    batch_law: Annotated[
        BatchLaw, Option(help="whether the batch size depends on tokens alone, or on both sizes")
    ] = "tokens",
    edges: Annotated[
        Edges,
        Option(help="optima beyond what was tried: as bounds on the law, or left out of it"),
    ] = "bound",
    resample: Annotated[
        Resample,
        Option(help="intervals from fresh noise about the law, or from cells drawn anew"),
    ] = "noise",
    batch_unit: Annotated[
        float,
        Option(gt=0, unit="tokens", help="unit of the batch column, such as a sequence's length"),
    ] = 1.0,
    parameters_unit: ParametersUnit = 1.0,
    tokens_unit: TokensUnit = 1.0,
    compute_unit: ComputeUnit = 1.0,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of the intervals")] = 0.95,
    draws: Annotated[int, Option(ge=50, le=20_000, help="draws behind the intervals")] = 400,
    rng: Rng = None,
) -> StepLaw:
    """Find the best learning rate and batch size of every size and length, and their laws.

    Parameters
    ----------
    runs
        One row a finished run; without a table, published rules advise the target.

    Returns
    -------
    StepLaw
        `table` has a row a pair of parameters and tokens: best settings with intervals, plateau,
        and what the law of the other pairs would have cost.

    Examples
    --------
    >>> advice = best_hyperparameters(target_parameters=1e9, target_tokens=1e11, rng=0)
    >>> print(f"{advice.value('learning rate, Step Law').estimate:.3g}")
    0.00163
    """
    if runs is None:
        return _from_published(target_parameters, target_tokens, level)
    generator = np.random.default_rng(rng)
    plan = Plan(batch_law, edges, resample, draws)
    sizes = read_run_sizes(runs, parameters_unit, tokens_unit, compute_unit)
    batch = runs.number("batch_size") * batch_unit if runs.has("batch_size") else None
    cells = make_cells(
        sizes.parameters, sizes.tokens, runs.number("learning_rate"), batch, runs.number("loss")
    )
    usable = [cell for cell in cells if not cell.why_not]
    tell("finding the valleys")
    share = None if window is None else float(np.log1p(window / 100))
    valleys, used = find_valleys(usable, share, draws, generator)
    tell("fitting the laws")
    target = Target(
        target_parameters or _FARTHER * float(sizes.parameters.max()),
        target_tokens or _FARTHER * float(sizes.tokens.max()),
    )
    found = Findings(
        cells=cells,
        valleys=valleys,
        window=used,
        laws=[fit_law_of(valleys, axis, plan, generator) for axis in range(2)],
        with_parameters=fit_law_of(valleys, 1, replace(plan, batch_law="both"), generator),
        held_out=costs(valleys, held_out_advice(valleys, plan)),
        constant=costs(valleys, held_out_advice(valleys, plan, constant=True)),
        rules={rule.name: costs(valleys, rule_advice(valleys, rule.advise)) for rule in RULES},
        near_best=authors_exponents(usable, tolerance / 100, batch_law),
        other_windows=_other_windows(valleys, used, plan),
        target=target,
        tolerance=tolerance / 100,
        level=level,
    )
    status, advice = status_of(found)
    return StepLaw(
        headline=headline_of(found),
        table=table_of(found),
        values=tuple(values_of(found)),
        details=details_of(found),
        status=status,
        advice=advice,
        warnings=tuple(notices_of(found)),
        options={
            "target_parameters": target.parameters,
            "target_tokens": target.tokens,
            "window": 100 * float(np.expm1(used)),
        },
    )


def _from_published(parameters: float | None, tokens: float | None, level: float) -> StepLaw:
    """The calculator: what published rules advise."""
    if parameters is None or tokens is None:
        raise OptionError(
            "without a table of runs, the options 'target_parameters' and 'target_tokens' say "
            "which training to advise; give both"
        )
    target = Target(parameters, tokens)
    rows = published_rows(target, level)
    return StepLaw(
        headline=published_headline(target, level),
        table=rows,
        values=tuple(published_values(target, level)),
        details={"cells": [], "rules": rows.to_dict("records"), "target": target.as_dict()},
    )


def _other_windows(valleys: Sequence[Valley], window: float, plan: Plan) -> list[dict[str, Any]]:
    """Exponents with a window half and twice as wide: what the choice of it decides."""
    rows = []
    for size in (window / 2, 2 * window):
        moved = []
        for valley in valleys:
            cell = valley.cell
            fit = fit_surrogate(cell.log_settings, cell.log_loss, size)
            moved.append(replace(valley, surrogate=fit))
        for axis in range(2):
            law = fit_law_of(moved, axis, replace(plan, draws=1), np.random.default_rng(0))
            if law is not None:
                exponents = dict(zip(law.power.terms, law.power.coefficients[1:], strict=True))
                rows.append({"window": size, "axis": axis, **exponents})
    return rows
