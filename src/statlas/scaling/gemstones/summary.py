"""What a multiverse says: its spread, the shares of the choices, and each level's shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.scaling.gemstones.accounting import FloatArray
from statlas.scaling.gemstones.cells import (
    ANY,
    FACTORS,
    OUTCOMES,
    Cell,
    Multiverse,
    Plan,
)
from statlas.scaling.gemstones.shares import Shares, level_shifts, variance_shares

_ORDER = ("shape-law", "size-law", "hull")  # which approach the baseline takes, if it can


@dataclass(frozen=True)
class Design:
    """The analyses as a crossed design for one outcome.

    Attributes
    ----------
    values
        The outcome, or its logarithm where it is not an exponent: at the data (first) and at each
        draw, shape (1 + n_draws, n_cells). The hull has no fitting loss: it stands once for each.
    levels
        Level of each cell in each varying factor, shape (n_cells, n_factors).
    factors
        The factors that vary.
    names
        Names of the levels of each factor, the baseline's first.
    """

    values: FloatArray
    levels: NDArray[np.int64]
    factors: list[str]
    names: dict[str, list[str]]


@dataclass(frozen=True)
class Shift:
    """How one level of a factor moves the outcome against the baseline's level."""

    factor: str
    level: str
    reference: str
    draws: FloatArray


def choose_baseline(cells: list[Cell], plan: Plan) -> Cell | None:
    """The first analysis that has an answer, the paper's own law before the others."""
    for approach in _ORDER:
        for cell in cells:
            first = cell.choices["loss_fit"] in (ANY, plan.losses[0])
            if cell.choices["approach"] == approach and first and cell.has("size"):
                return cell
    return None


def make_design(cells: list[Cell], plan: Plan, outcome: str, baseline: Cell) -> Design:
    """The crossed design of one outcome over the analyses that have it."""
    choices, columns = [], []
    for cell in cells:
        if not cell.has(outcome):
            continue
        values = cell.outcomes[outcome]
        column = values if outcome == "exponent" else np.log(values)
        losses = plan.losses if cell.choices["loss_fit"] == ANY else (cell.choices["loss_fit"],)
        for loss in losses:
            choices.append({**cell.choices, "loss_fit": loss})
            columns.append(column)
    base = {**baseline.choices}
    if base["loss_fit"] == ANY:
        base["loss_fit"] = plan.losses[0]
    names, codes, factors = {}, [], []
    for factor in FACTORS:
        present = list(dict.fromkeys([base[factor], *(choice[factor] for choice in choices)]))
        if len(present) > 1:
            factors.append(factor)
            names[factor] = present
            codes.append([present.index(choice[factor]) for choice in choices])
    levels = np.array(codes, dtype=np.int64).T.reshape(len(choices), len(factors))
    return Design(np.array(columns).T, levels, factors, names)


def shares_of(design: Design) -> Shares:
    """Variance shares at the data (first) and at each draw."""
    return variance_shares(design.values, design.levels)


def shifts_of(design: Design) -> list[Shift]:
    """The mean shift of each level against the baseline's, all other choices equal."""
    found = []
    for place, factor in enumerate(design.factors):
        for level, name in enumerate(design.names[factor][1:], start=1):
            draws = level_shifts(design.values, design.levels, place, level, 0)
            found.append(Shift(factor, name, design.names[factor][0], draws))
    return found


def sampling_spread(design: Design) -> float:
    """Root mean square over analyses of the outcome's standard deviation over draws."""
    with np.errstate(invalid="ignore"):
        variances = np.nanvar(design.values[1:], axis=0)
    return float(np.sqrt(np.nanmean(variances)))


def interval_of(values: FloatArray, level: float) -> tuple[float, float, float]:
    """Value at the data, and the percentile interval of the draws."""
    drawn = values[1:][np.isfinite(values[1:])]
    if len(drawn) < 10:
        return float(values[0]), np.nan, np.nan
    low, high = percentile_interval(drawn, level)
    return float(values[0]), float(low), float(high)


def share_interval(values: FloatArray, level: float) -> tuple[float, float, float]:
    """As `interval_of`, stretched to hold the estimate: noise in the draws adds to variances."""
    value, low, high = interval_of(values, level)
    return value, float(np.fmin(low, value)), float(np.fmax(high, value))


def cell_table(multiverse: Multiverse, level: float) -> pd.DataFrame:
    """A row an analysis: its choices, each outcome with its interval, and why it has none."""
    rows = []
    for cell in multiverse.cells:
        row: dict[str, object] = {**cell.choices, "rows": cell.rows}
        for outcome in OUTCOMES:
            if cell.has(outcome):
                value, low, high = interval_of(cell.outcomes[outcome], level)
            else:
                value = low = high = np.nan
            row |= {outcome: value, f"{outcome}_low": low, f"{outcome}_high": high}
        row["note"] = cell.why_not or ("at an end of the shapes searched" if cell.at_edge else "")
        rows.append(row)
    table = pd.DataFrame(rows)
    for outcome in ("width", "depth"):
        if table[outcome].isna().all():
            table = table.drop(columns=[outcome, f"{outcome}_low", f"{outcome}_high"])
    return table
