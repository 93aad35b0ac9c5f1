"""The laws of a table of cells, and what their advice would have cost in each cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from statlas.scaling.step_law.cells import AXES, Cell, Valley, near_best_runs, optima_of
from statlas.scaling.step_law.laws import (
    SIZES,
    FloatArray,
    Optima,
    PowerLaw,
    Resample,
    fit_coefficients,
    fit_power_law,
    law_rows,
    separable_terms,
)

BatchLaw = Literal["tokens", "both"]
Edges = Literal["bound", "exclude"]

# Exponents of the published law, for what the cells leave open.
PUBLISHED = {
    AXES[0]: {"parameters": -0.713, "tokens": 0.307},
    AXES[1]: {"parameters": 0.0, "tokens": 0.571},
}


@dataclass(frozen=True)
class Plan:
    """How laws are fitted.

    Attributes
    ----------
    batch_law
        Whether the batch size depends on tokens alone or on parameters too.
    edges
        Whether optima beyond what was tried enter as bounds or not at all.
    resample, draws
        How optima are drawn anew, and how often.
    """

    batch_law: BatchLaw = "tokens"
    edges: Edges = "bound"
    resample: Resample = "noise"
    draws: int = 400

    def wanted(self, axis: int) -> tuple[str, ...]:
        """Sizes that the law of a setting depends on."""
        return SIZES if axis == 0 or self.batch_law == "both" else ("tokens",)

    def optima(self, valleys: Sequence[Valley], axis: int) -> tuple[Optima, FloatArray]:
        """What the cells say of a setting, as `edges` has it."""
        optima, sizes = optima_of(valleys, axis)
        if self.edges == "bound":
            return optima, sizes
        return optima.only(optima.inside), sizes[optima.inside]


@dataclass(frozen=True)
class Law:
    """The law of one setting.

    Attributes
    ----------
    axis
        0 learning rate, 1 batch size.
    power
        The power law.
    inside, bounded
        Cells that show their optimum, and those that only bound it.
    why_borrowed
        Why exponents are those published; empty where all are fitted.
    """

    axis: int
    power: PowerLaw
    inside: int
    bounded: int
    why_borrowed: str


def fit_law_of(
    valleys: Sequence[Valley], axis: int, plan: Plan, rng: np.random.Generator
) -> Law | None:
    """The law of a setting, or None where no cell shows its optimum.

    Cells of one grid share the error that it leaves (a lopsided valley shifts all optima alike), so
    that error goes into the law's constant and not into the exponents; what differs between cells
    is in their scatter.
    """
    optima, sizes = plan.optima(valleys, axis)
    inside = int(optima.inside.sum())
    if not inside:
        return None
    wanted = plan.wanted(axis)
    terms, why = separable_terms(wanted, sizes[optima.inside])
    power = fit_power_law(
        terms,
        sizes,
        optima,
        borrowed={name: PUBLISHED[AXES[axis]][name] for name in wanted if name not in terms},
        n_draws=plan.draws,
        resample=plan.resample,
        rng=rng,
    )
    floor = np.mean([valley.floor[axis] for valley in valleys if valley.cell.n_axes > axis])
    power.draws[:, 0] += floor * rng.standard_normal(len(power.draws))
    return Law(axis, power, inside, len(optima.value) - inside, why)


def advise_from(
    valleys: Sequence[Valley], log_sizes: FloatArray, plan: Plan, *, constant: bool = False
) -> FloatArray:
    """Log settings that the laws of some cells advise at log(N), log(D); NaN where they cannot.

    `constant` advises the cells' mean optimum instead, whatever the size.
    """
    advice = np.full(2, np.nan)
    for axis in range(2):
        optima, sizes = plan.optima(valleys, axis)
        if not optima.inside.any():
            continue
        wanted = () if constant else plan.wanted(axis)
        terms, _ = separable_terms(wanted, sizes[optima.inside])
        if terms == wanted:
            coefficients, centre, _ = fit_coefficients(terms, sizes, optima)
            advice[axis] = float((law_rows(terms, log_sizes[None], centre) @ coefficients)[0])
    return advice


def held_out_advice(
    valleys: Sequence[Valley], plan: Plan, *, constant: bool = False
) -> list[FloatArray]:
    """For each cell the log settings advised by the laws of the other cells, (2,) each."""
    advice = []
    for left_out, valley in enumerate(valleys):
        others = [other for place, other in enumerate(valleys) if place != left_out]
        advice.append(advise_from(others, valley.cell.log_sizes, plan, constant=constant))
    return advice


def costs(valleys: Sequence[Valley], advice: Sequence[FloatArray]) -> FloatArray:
    """Excess loss of advised settings as a share, (n_cells,); NaN where they were not tried."""
    pairs = zip(valleys, advice, strict=True)
    return np.array([float(np.expm1(valley.cost(settings))) for valley, settings in pairs])


def authors_exponents(
    cells: Sequence[Cell], tolerance: float, batch_law: BatchLaw
) -> dict[str, dict[str, float]]:
    """The authors' procedure: least squares over all runs close to the best of their cell.

    Parameters
    ----------
    cells
        Cells of runs.
    tolerance
        Excess loss, as a share, up to which a run counts as close.
    batch_law
        As in `Plan`.

    Returns
    -------
    dict
        By setting: exponents by size, and ``"constant"``; no entry where the runs leave it open.
    """
    sizes, settings, _ = near_best_runs(cells, tolerance)
    found = {}
    for axis, name in enumerate(AXES):
        terms = Plan(batch_law).wanted(axis)
        rows = np.column_stack([np.ones(len(sizes)), sizes[:, [SIZES.index(t) for t in terms]]])
        known = np.isfinite(settings[:, axis])
        of_cells = np.unique(sizes[known], axis=0)
        if separable_terms(terms, of_cells)[0] != terms:
            continue
        solved = np.linalg.lstsq(rows[known], settings[known, axis], rcond=None)[0].tolist()
        with np.errstate(over="ignore"):
            constant = float(np.exp(solved[0]))
        found[name] = dict(zip(("constant", *terms), [constant, *solved[1:]], strict=True))
    return found


def rule_advice(
    valleys: Sequence[Valley], rule: Callable[[float, float, float], tuple[float, float]]
) -> list[FloatArray]:
    """Log settings that a published rule advises in each cell, (2,) each."""
    advice = []
    for valley in valleys:
        loss = float(np.exp(valley.surrogate.best_log_loss))
        settings = rule(valley.cell.parameters, valley.cell.tokens, loss)
        with np.errstate(invalid="ignore"):
            advice.append(np.log(np.array(settings, dtype=float)))
    return advice
