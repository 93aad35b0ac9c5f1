"""The answer in words, numbers and rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from statlas.core import Notice, Status, Value
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.scaling.step_law.cells import AXES, Cell, Valley
from statlas.scaling.step_law.fitting import PUBLISHED, Law
from statlas.scaling.step_law.published import RULES, step_law_intervals
from statlas.scaling.step_law.surrogate import FloatArray

UNITS = ("", "tokens")
_SIDES = {0: "inside", 1: "above those tried", -1: "below those tried", 2: "too flat to tell"}
_FLAT = 30.0  # log width from which a plateau has no end
_FAR = 30.0  # ratio to the published law at which a unit is suspected
_BEYOND = 3.0  # ratio to the largest cell at which a target counts as extrapolated


@dataclass(frozen=True)
class Target:
    """The training to advise."""

    parameters: float
    tokens: float

    @property
    def log_sizes(self) -> FloatArray:
        """log(N) and log(D), (1, 2)."""
        return np.log([[self.parameters, self.tokens]])

    def as_dict(self) -> dict[str, float]:
        """For the figure."""
        return {"parameters": self.parameters, "tokens": self.tokens}

    def __str__(self) -> str:
        return f"{self.parameters:.3g} parameters and {self.tokens:.3g} tokens"


@dataclass(frozen=True)
class Findings:
    """All that was found in a table of runs.

    Attributes
    ----------
    cells, valleys
        All cells, and those that show a valley.
    window
        Excess of log(loss) up to which runs shaped the valleys.
    laws
        Of learning rate and batch size; None where no cell shows the optimum.
    with_parameters
        The batch size's law with both sizes.
    held_out, constant, rules
        Excess loss in each valley, as a share: of the laws of the other cells, of the other cells'
        mean optimum, of published rules; NaN where the settings lie beyond those tried.
    near_best
        Exponents by the authors' procedure.
    other_windows
        Exponents with other windows.
    target, tolerance, level
        The training to advise, the plateau's excess loss, and the level of intervals.
    """

    cells: Sequence[Cell]
    valleys: Sequence[Valley]
    window: float
    laws: Sequence[Law | None]
    with_parameters: Law | None
    held_out: FloatArray
    constant: FloatArray
    rules: dict[str, FloatArray]
    near_best: dict[str, dict[str, float]]
    other_windows: list[dict[str, Any]]
    target: Target
    tolerance: float
    level: float

    def interval(self, drawn: FloatArray) -> tuple[float, float]:
        """Percentile interval of draws; NaN where there are none."""
        low, high = percentile_interval(drawn, self.level)
        return float(low), float(high)

    def at_target(self, axis: int) -> tuple[float, float, float] | None:
        """Advised setting with its interval."""
        law = self.laws[axis]
        if law is None:
            return None
        centre, drawn = law.power.predict(self.target.log_sizes)
        low, high = self.interval(np.exp(drawn[:, 0]))
        return float(np.exp(centre[0])), low, high

    def plateau(self, axis: int) -> tuple[float, float, float] | None:
        """Geometric mean over the cells of the plateau's width as a factor, with its interval.

        Cells whose optimum lies inside count; None where there is none.
        """
        rise = float(np.log1p(self.tolerance))
        shown = [v for v in self.valleys if v.cell.n_axes > axis and v.sides[axis] == 0]
        widths = [v.widths(rise) for v in shown]
        centre = np.array([width[axis] for width, _ in widths])
        if not len(centre) or not np.all(np.isfinite(centre)):
            return None
        drawn = np.stack([draws[:, axis] for _, draws in widths]).mean(axis=0)
        ends = [(1 - self.level) / 2, (1 + self.level) / 2]
        low, high = np.quantile(drawn, ends, method="nearest")  # some may be infinite
        return _factor(centre.mean()), _factor(low), _factor(high)


def _factor(log_width: float) -> float:
    """Width as a factor; NaN where the loss is flat as far as can be told."""
    return float(np.exp(log_width)) if log_width < _FLAT else np.nan


# --- the table ------------------------------------------------------------------------------------


def table_of(found: Findings) -> pd.DataFrame:
    """A row a cell."""
    by_cell = {id(valley.cell): place for place, valley in enumerate(found.valleys)}
    rows = []
    for cell in found.cells:
        row: dict[str, Any] = {
            "parameters": cell.parameters,
            "tokens": cell.tokens,
            "runs": len(cell.log_loss),
        }
        place = by_cell.get(id(cell))
        valley = None if place is None else found.valleys[place]
        for axis, name in enumerate(AXES):
            row |= _setting_columns(found, cell, valley, axis, name.replace(" ", "_"))
        row["best_loss"] = np.nan if valley is None else np.exp(valley.surrogate.best_log_loss)
        row["held_out_cost_%"] = np.nan if place is None else 100 * found.held_out[place]
        row["one_setting_cost_%"] = np.nan if place is None else 100 * found.constant[place]
        row["note"] = cell.why_not
        rows.append(row)
    return pd.DataFrame(rows)


def _setting_columns(
    found: Findings, cell: Cell, valley: Valley | None, axis: int, name: str
) -> dict[str, Any]:
    columns: dict[str, Any] = dict.fromkeys(
        (name, f"{name}_low", f"{name}_high", f"{name}_law", f"{name}_plateau"), np.nan
    )
    columns[f"{name}_optimum"] = "not shown"
    law = found.laws[axis]
    if law is not None:
        columns[f"{name}_law"] = float(np.exp(law.power.predict(cell.log_sizes[None])[0][0]))
    if valley is None or cell.n_axes <= axis:
        if axis == 1 and np.isfinite(cell.batch):
            columns |= {name: cell.batch, f"{name}_optimum": "not varied"}
        return columns
    best, spread = float(valley.surrogate.best[axis]), float(valley.error[axis])
    reach = float(ndtri((1 + found.level) / 2)) * spread
    side = int(valley.sides[axis])
    columns |= {
        name: np.exp(best),
        f"{name}_low": np.exp(best - reach) if side != -1 else np.nan,
        f"{name}_high": np.exp(best + reach) if side != 1 else np.nan,
        f"{name}_plateau": _factor(valley.widths(float(np.log1p(found.tolerance)))[0][axis]),
        f"{name}_optimum": _SIDES[side]
        if side == valley.side[axis]
        else f"{'at least' if side > 0 else 'at most'} this, with the {AXES[1 - axis]}",
    }
    return columns


# --- the values -----------------------------------------------------------------------------------


def values_of(found: Findings) -> Iterator[Value]:
    """Named numbers: advice, exponents, plateaus, costs, and published advice beside them."""
    none = "one cell more than exponents, with its optimum inside, is needed"
    for axis, name in enumerate(AXES):
        law, advised = found.laws[axis], found.at_target(axis)
        if law is None or advised is None:
            continue
        how = f"{law.inside} cells" + (f", {law.bounded} more as bounds" if law.bounded else "")
        yield Value(
            f"{name} at target", *advised, found.level, unit=UNITS[axis], method=how,
            why_no_interval=none,
        )  # fmt: skip
        for term in law.power.terms:
            centre, drawn = law.power.exponent(term)
            yield Value(
                f"{name}, exponent of {term}", centre, *found.interval(drawn), found.level,
                method=how, why_no_interval=none,
            )  # fmt: skip
        for term, exponent in law.power.borrowed.items():
            yield Value(
                f"{name}, exponent of {term}", exponent,
                why_no_interval=f"borrowed from the published law: {law.why_borrowed}",
            )  # fmt: skip
        yield Value(
            f"{name}, scatter of cells about the law", law.power.scatter,
            unit="standard deviation of the logarithm",
            why_no_interval="from the requirement that weighted squares match their number",
        )  # fmt: skip
        wide = found.plateau(axis)
        if wide is not None:
            yield Value(
                f"plateau of the {name}", *wide, found.level, unit="factor from end to end",
                method=f"within {100 * found.tolerance:g} % of the best loss, mean of cells",
                why_no_interval="some draws have no valley",
            )  # fmt: skip
    yield from _extra_exponents(found)
    yield from _costs(found)
    yield from published_values(found.target, found.level)


def _extra_exponents(found: Findings) -> Iterator[Value]:
    law = found.with_parameters
    if law is not None and law.power.terms == ("parameters", "tokens"):
        centre, drawn = law.power.exponent("parameters")
        yield Value(
            "batch size, exponent of parameters if allowed", centre, *found.interval(drawn),
            found.level, method="law of the batch size in both sizes",
            why_no_interval="too few cells",
        )  # fmt: skip
    for name, exponents in found.near_best.items():
        for term, exponent in exponents.items():
            if term != "constant":
                yield Value(
                    f"{name}, exponent of {term}, near-best runs", exponent,
                    why_no_interval="the authors' procedure, for comparison: least squares over "
                    f"runs within {100 * found.tolerance:g} % of their cell's lowest loss",
                )  # fmt: skip


def _costs(found: Findings) -> Iterator[Value]:
    named = {
        "held-out cost of the laws": found.held_out,
        "cost of one setting for all cells": found.constant,
        **{f"cost of the published rule, {name}": cost for name, cost in found.rules.items()},
    }
    for name, cost in named.items():
        known = 100 * cost[np.isfinite(cost)]
        if len(known):
            yield Value(
                name, float(known.mean()), unit="% of the best loss",
                why_no_interval=f"a plain mean over the {len(known)} of {len(cost)} cells where "
                "the settings lie among those tried",
            )  # fmt: skip


def published_rows(target: Target, level: float) -> pd.DataFrame:
    """A row a published rule."""
    rate, batch = step_law_intervals(target.parameters, target.tokens, level)
    blank = (np.nan, np.nan)
    rows = []
    for rule in RULES:
        advice = rule.advise(target.parameters, target.tokens, np.nan)
        ends = (rate, batch) if rule.name == "Step Law" else (blank, blank)
        rows.append(
            {
                "rule": rule.name,
                "learning_rate": advice.learning_rate,
                "learning_rate_low": ends[0][0],
                "learning_rate_high": ends[0][1],
                "batch_size": advice.batch_size,
                "batch_size_low": ends[1][0],
                "batch_size_high": ends[1][1],
                "formula": rule.formula,
                "source": rule.source,
            }
        )
    return pd.DataFrame(rows)


def published_values(target: Target, level: float) -> Iterator[Value]:
    """What the published rules advise."""
    intervals = step_law_intervals(target.parameters, target.tokens, level)
    for rule in RULES:
        advice = rule.advise(target.parameters, target.tokens, np.nan)
        for name, unit, value, ends in zip(AXES, UNITS, advice, intervals, strict=True):
            if not np.isfinite(value):
                continue
            mine = rule.name == "Step Law"
            low, high = ends if mine else (None, None)
            yield Value(
                f"{name}, {rule.name}", value, low, high, level if mine else None, unit=unit,
                method="spread of the authors' refits" if mine else "",
                why_no_interval="published without one",
            )  # fmt: skip


# --- words ----------------------------------------------------------------------------------------


def published_headline(target: Target, level: float) -> str:
    """The calculator's sentence."""
    rate, batch = step_law_intervals(target.parameters, target.tokens, level)
    advice = RULES[0].advise(target.parameters, target.tokens, np.nan)
    others = [rule.advise(target.parameters, target.tokens, np.nan) for rule in RULES[1:]]
    rates = [other.learning_rate for other in others if np.isfinite(other.learning_rate)]
    spread = (
        f"; other published rules say {min(rates):.2g} to {max(rates):.2g} for the learning rate"
        if rates
        else ""
    )
    return (
        f"For {target} (without embeddings) the published Step Law advises a peak learning rate of "
        f"{advice.learning_rate:.3g} ({100 * level:g} % interval of its refits {rate[0]:.3g} to "
        f"{rate[1]:.3g}) and batches of {advice.batch_size:.3g} tokens ({batch[0]:.3g} to "
        f"{batch[1]:.3g}){spread}."
    )


def _with_interval(value: float, low: float, high: float) -> str:
    if not np.isfinite(high):
        return f"{value:.3g} ({low:.3g} or more)" if np.isfinite(low) else f"{value:.3g}"
    return f"{value:.3g} ({low:.3g} to {high:.3g})"


def headline_of(found: Findings) -> str:
    """Advice for the target, the laws, the plateau and the held-out cost in one sentence."""
    advised = [found.at_target(axis) for axis in range(2)]
    parts = []
    if advised[0] is not None:
        parts.append(f"a learning rate of {_with_interval(*advised[0])}")
    if advised[1] is not None:
        parts.append(f"batches of {_with_interval(*advised[1])} tokens")
    if not parts:
        return (
            f"None of {len(found.cells)} pairs of parameters and tokens shows a best learning rate "
            "or batch size inside what was tried."
        )
    text = (
        f"For {found.target} the runs advise {' and '.join(parts)} ({100 * found.level:g} % "
        f"intervals, {len(found.valleys)} cells)"
    )
    formulas = [
        f"{name} ~ {_powers(law)}" for name, law in zip(AXES, found.laws, strict=True) if law
    ]
    text += f": {', '.join(formulas)}"
    wide = found.plateau(0)
    if wide is not None:
        text += (
            f"; learning rates within {100 * found.tolerance:g} % of the best loss span a factor "
            f"of {_with_interval(*wide)}"
        )
    known = found.held_out[np.isfinite(found.held_out)]
    if len(known):
        text += f"; laws fitted without a cell cost it {100 * known.mean():.2g} % on average"
    return text + "."


def _powers(law: Law) -> str:
    symbols = {"parameters": "N", "tokens": "D"}
    fitted = dict(zip(law.power.terms, law.power.coefficients[1:], strict=True))
    return " ".join(
        f"{symbols[name]}^{(fitted | dict(law.power.borrowed))[name]:.2f}"
        + ("" if name in fitted else " (borrowed)")
        for name in symbols
        if name in fitted or name in law.power.borrowed
    )


def status_of(found: Findings) -> tuple[Status, str]:
    """Whether the laws can be relied on."""
    shown = [law for law in found.laws if law is not None]
    if not shown:
        return Status.NOT_COMPUTABLE, (
            "every optimum lies beyond the settings tried, or the loss is too flat; widen the grid"
        )
    for law in shown:
        name = AXES[law.axis]
        if law.power.borrowed:
            return Status.ASSUMPTION_DOUBTFUL, (
                f"the exponents of the {name} that are borrowed from the published law are not "
                f"tested here ({law.why_borrowed}); add cells that differ in parameters and tokens"
            )
        if law.bounded > law.inside:
            return Status.ASSUMPTION_DOUBTFUL, (
                f"{law.bounded} of {law.bounded + law.inside} cells only bound their best {name}; "
                "widen the grid on the side the table names"
            )
    return Status.OK, ""


def notices_of(found: Findings) -> Iterator[Notice]:
    """What the reader should know."""
    yield from _cell_notices(found)
    yield from _law_notices(found)
    advised = [found.at_target(axis) for axis in range(2)]
    for axis, name in enumerate(AXES):
        usual = RULES[0].advise(found.target.parameters, found.target.tokens, np.nan)[axis]
        mine = advised[axis]
        if mine is not None and not 1 / _FAR < mine[0] / usual < _FAR:
            yield Notice(
                "far-from-published",
                f"the advised {name} is {mine[0] / usual:.2g} times the published law's",
                "see that units are right (batch_unit, parameters_unit, tokens_unit); small "
                "models and other set-ups do differ",
            )
    far = max(
        found.target.parameters / max(v.cell.parameters for v in found.valleys),
        found.target.tokens / max(v.cell.tokens for v in found.valleys),
    )
    if far > _BEYOND:
        yield Notice(
            "extrapolated",
            f"the target lies a factor of {far:.3g} beyond the largest cell",
            "the interval holds only as far as the power law does; "
            "compare a few settings near the advice before the long run",
        )


def _cell_notices(found: Findings) -> Iterator[Notice]:
    unusable = [cell for cell in found.cells if cell.why_not]
    if unusable:
        runs = sum(len(cell.log_loss) for cell in unusable)
        yield Notice(
            "cells-left-out",
            f"{len(unusable)} of {len(found.cells)} pairs of parameters and tokens ({runs} runs) "
            f"cannot show a valley, such as {unusable[0].parameters:.3g} parameters with "
            f"{unusable[0].tokens:.3g} tokens: {unusable[0].why_not}",
            "the table lists them; runs count together where parameters are equal and tokens "
            "within 2 %",
        )
    for axis, name in enumerate(AXES):
        sides = [int(v.side[axis]) for v in found.valleys if v.cell.n_axes > axis]
        ends = sum(abs(side) == 1 for side in sides)
        if ends:
            yield Notice(
                "optimum-beyond-grid",
                f"in {ends} of {len(sides)} cells the best {name} lies beyond those tried; they "
                "enter the law as bounds only, or not at all with edges='exclude'",
                "widen the grid there",
            )
        if flat := sides.count(2):
            yield Notice(
                "too-flat",
                f"in {flat} of {len(sides)} cells the loss hardly depends on the {name}, so "
                "that its optimum cannot be told; they are left out of its law",
                "more seeds, or a wider grid, would show it",
            )
    wide = sum(not np.isfinite(v.surrogate.window) for v in found.valleys)
    if wide:
        yield Notice(
            "window-too-narrow",
            f"in {wide} of {len(found.valleys)} cells too few runs lie within the window of "
            f"{100 * np.expm1(found.window):.2g} %, so that all runs shape the quadratic there",
            "a wider window, or a finer grid near the optimum, keeps it local",
        )
    bent = sum(not v.surrogate.convex for v in found.valleys)
    if bent:
        yield Notice(
            "not-convex",
            f"in {bent} of {len(found.valleys)} cells the loss near its lowest point does not rise "
            "in every direction",
            "the best settings there lie at an end of the grid, or noise hides the valley",
        )


def _law_notices(found: Findings) -> Iterator[Notice]:
    for law in filter(None, found.laws):
        for term in law.power.terms:
            low, high = found.interval(law.power.exponent(term)[1])
            others = [
                float(row[term]) for row in found.other_windows
                if row["axis"] == law.axis and term in row
            ]  # fmt: skip
            if others and np.isfinite(low) and not all(low <= other <= high for other in others):
                yield Notice(
                    "window-matters",
                    f"the {AXES[law.axis]}'s exponent of {term} moves out of its interval, to "
                    f"{others[0]:.3f} or {others[-1]:.3f}, when the window of "
                    f"{100 * np.expm1(found.window):.2g} % is halved or doubled",
                    "the valley is lopsided or noisy; finer grids near the optimum help",
                )
    both = found.with_parameters
    if both is not None and both.power.terms == ("parameters", "tokens"):
        centre, drawn = both.power.exponent("parameters")
        low, high = found.interval(drawn)
        if low > PUBLISHED[AXES[1]]["parameters"] or high < PUBLISHED[AXES[1]]["parameters"]:
            yield Notice(
                "batch-depends-on-parameters",
                f"allowed to, the batch size follows parameters too, with exponent {centre:.3f} "
                f"({low:.3f} to {high:.3f}); the published law has none",
                "batch_law='both' advises with it",
            )
