"""From the user's table to a leaderboard, with every refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from statlas.core import AssumptionError, InputError, OptionError, Table
from statlas.core.numerics.laws.allocation import FLOPS_PER_PARAMETER_AND_TOKEN
from statlas.core.runs import unit_in_name
from statlas.scaling.observational.components import FloatArray
from statlas.scaling.observational.forecast import Leaderboard


@dataclass(frozen=True)
class Named:
    """A leaderboard with the names of its rows and columns."""

    board: Leaderboard
    models: list[str]
    families: list[str]
    benchmarks: list[str]
    target: str
    default_target: bool
    has_family: bool


def read_leaderboard(
    table: Table,
    target: str | None,
    benchmarks: tuple[str, ...] | None,
    perfect: float,
    units: Units,
) -> Named:
    """Arrange the scores by model and benchmark, as shares of a perfect score."""
    model, benchmark = table.factor("model"), table.factor("benchmark")
    scores = _score_matrix(table)
    name = benchmark.levels[-1] if target is None else target
    chosen = _chosen(benchmark.levels, name, benchmarks)
    place = {level: column for column, level in enumerate(benchmark.levels)}
    columns = [place[level] for level in (*chosen, name)]
    _refuse_outside(scores[:, columns], [*chosen, name], perfect, str(table.columns["score"]))
    scores = scores / perfect
    has_family = table.has("family")
    families, levels = np.arange(len(scores)), model.levels
    if has_family:
        families = _of_models(table, "family", table.factor("family").codes).astype(np.int64)
        levels = table.factor("family").levels
    board = Leaderboard(
        scores[:, columns[:-1]], scores[:, columns[-1]], families, _compute(table, units),
        len(levels),
    )  # fmt: skip
    return Named(board, model.levels, levels, chosen, name, target is None, has_family)


@dataclass(frozen=True)
class Units:
    """What one unit of each column is in plain numbers; None for what the column's name states."""

    compute: float | None = None
    parameters: float | None = None
    tokens: float | None = None


def _compute(table: Table, units: Units) -> FloatArray:
    """FLOP of each model, or 6 x parameters x tokens where only these are known, else NaN."""

    def plain(role: str, unit: float | None) -> FloatArray:
        if not table.has(role):
            return np.full(table.factor("model").n_levels, np.nan)
        unit = unit_in_name(str(table.columns[role])) if unit is None else unit
        values = _of_models(table, role, table.number(role)) * unit
        values[values == 0] = np.nan
        return values

    stated = plain("compute", units.compute)
    product = plain("parameters", units.parameters) * plain("tokens", units.tokens)
    compute: FloatArray = np.where(
        np.isfinite(stated), stated, FLOPS_PER_PARAMETER_AND_TOKEN * product
    )
    return compute


def _score_matrix(table: Table) -> FloatArray:
    """Scores by model and benchmark, NaN where there is none."""
    model, benchmark = table.factor("model"), table.factor("benchmark")
    cell = model.codes * benchmark.n_levels + benchmark.codes
    repeated = np.bincount(cell)
    if repeated.max() > 1:
        row, column = divmod(int(repeated.argmax()), benchmark.n_levels)
        raise InputError(
            f"model {model.levels[row]!r} has {int(repeated.max())} scores on "
            f"{benchmark.levels[column]!r}",
            column=str(table.columns["model"]),
            remedy="keep one, or average them first",
        )
    scores = np.full((model.n_levels, benchmark.n_levels), np.nan)
    scores[model.codes, benchmark.codes] = table.number("score")
    return scores


def _of_models(table: Table, role: str, values: Any) -> FloatArray:
    """The one value that each model's rows share."""
    model = table.factor("model")
    of_model = np.empty(model.n_levels)
    of_model[model.codes] = values
    shared = of_model[model.codes]
    differs = (shared != values) & ~(np.isnan(shared) & np.isnan(values))
    if differs.any():
        raise InputError(
            f"model {model.levels[model.codes[int(differs.argmax())]]!r} has different values in "
            "different rows",
            column=str(table.columns[role]),
            remedy="give each model one value, or each variant its own model name",
        )
    return of_model


def _chosen(levels: list[str], target: str, benchmarks: tuple[str, ...] | None) -> list[str]:
    for name in (target, *(benchmarks or ())):
        if name not in levels:
            shown = ", ".join(levels[:12]) + (", ..." if len(levels) > 12 else "")
            raise OptionError(f"there is no benchmark {name!r}; there are {shown}")
    chosen = [level for level in (benchmarks or levels) if level != target]
    if len(set(chosen)) < len(chosen):
        raise OptionError("option 'benchmarks' names a benchmark twice")
    if len(chosen) < 2:
        raise InputError(
            f"capability components need two benchmarks besides the target; found {len(chosen)}",
            remedy="add benchmarks, or choose another target",
        )
    return chosen


def _refuse_outside(scores: FloatArray, names: list[str], perfect: float, column: str) -> None:
    outside = (scores < 0) | (scores > perfect)
    for place, name in enumerate(names):
        if outside[:, place].any():
            value = scores[outside[:, place], place][0]
            raise InputError(
                f"scores of {name!r} must lie between 0 and {perfect:g}; found {value:g}",
                column=column,
                remedy="say what a perfect score is (perfect=100), list the columns that are "
                "scores with benchmarks=..., or rescale",
            )


def check_enough(named: Named, n_components: int) -> None:
    """Refuse tables on which the components or the sigmoid cannot be fitted."""
    known = np.isfinite(named.board.target) & named.board.scored
    needed = max(8, n_components + 5)
    if known.sum() < needed:
        raise AssumptionError(
            f"{int(known.sum())} models have a score on {named.target!r} and on another benchmark; "
            f"a sigmoid of {n_components} components needs at least {needed}"
        )
    if np.ptp(named.board.target[known]) == 0:
        raise AssumptionError(f"all scores on {named.target!r} are the same; nothing to forecast")
    for name, column in zip(named.benchmarks, named.board.scores.T, strict=True):
        there = column[np.isfinite(column)]
        if len(there) < 3 or np.ptp(there) == 0:
            raise AssumptionError(
                f"benchmark {name!r} has fewer than 3 scores or only equal ones; leave it out "
                "with benchmarks=..."
            )
