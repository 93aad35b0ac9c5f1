"""Collecting in steps: ask for examples, measure, ask again, until the target is reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from statlas.core.learning_curves import LearningCurve
from statlas.scaling.piecewise_power_law.baselines import power_law_examples
from statlas.scaling.piecewise_power_law.forest import Forecast, Forest, forecast, pad
from statlas.scaling.piecewise_power_law.law import FloatArray

_NEARLY = 1 - 1e-9  # of the need counts as all of it

# Asks for the next total number of examples, given what was measured so far.
Planner = Callable[[LearningCurve], float]


@dataclass(frozen=True)
class Need:
    """Examples that a target asks for.

    Attributes
    ----------
    examples, low, high
        By the law, and by the lower and upper end of its interval; infinite where never reached.
    horizon
        Largest number of examples up to which the interval is narrower than the tolerance.
    """

    examples: float
    low: float
    high: float
    horizon: float

    @property
    def next_total(self) -> float:
        """What to collect up to before measuring again: the need, but not past the horizon."""
        return min(self.examples, self.horizon)


def find_need(found: Forecast, target: float, tolerance: float) -> Need:
    """Examples until the forecast, and the ends of its interval, fall to the target.

    Parameters
    ----------
    found
        Forecast of a curve.
    target
        Error to reach.
    tolerance
        Half-width of the interval of the log error at which the forecast ends.
    """
    goal = float(np.log(target))
    needed = float(found.tail.examples_for(goal)[0])
    low, high = (_crossing(found.x, ends, goal) for ends in (found.low, found.high))
    narrow = 0.5 * (found.high - found.low) <= tolerance
    wide = np.flatnonzero(~narrow)
    # The interval at the pilot's own end may be wide; the horizon is then the next step at least.
    last = found.x[-1] if len(wide) == 0 else found.x[max(int(wide[0]) - 1, 0)]
    least = found.x[0] + np.log(2.0)
    return Need(needed, low, high, float(np.exp(max(last, least))))


def _crossing(x: FloatArray, y: FloatArray, goal: float) -> float:
    """Examples at which a falling curve reaches a goal; infinite beyond its end."""
    below = np.flatnonzero(y <= goal)
    if len(below) == 0:
        return float("inf")
    at = int(below[0])
    if at == 0:
        return float(np.exp(x[0]))
    share = (y[at - 1] - goal) / max(y[at - 1] - y[at], 1e-12)
    return float(np.exp(x[at - 1] + share * (x[at] - x[at - 1])))


def law_planner(
    forest: Forest, target: float, dataset: str, *, tolerance: float | None, level: float
) -> Planner:
    """Ask as the piecewise power law says, within its horizon where a tolerance is given."""

    def ask(seen: LearningCurve) -> float:
        (found,) = forecast(forest, pad([seen]), level, without=[dataset])
        need = find_need(found, target, tolerance if tolerance is not None else np.inf)
        return need.examples if tolerance is None else need.next_total

    return ask


def power_law_planner(target: float) -> Planner:
    """Ask as the plain power law through all that was measured says."""
    return lambda seen: power_law_examples(seen, target)


@dataclass(frozen=True)
class Collection:
    """How a collection in steps went.

    Attributes
    ----------
    totals
        Examples after each step, the pilot's first.
    needed
        Examples at which the curve itself reaches the target.
    reached
        Whether the last total did.
    """

    totals: list[float]
    needed: float
    reached: bool

    @property
    def over(self) -> float:
        """Examples collected beyond the need, as a multiple of it; 0 where it was not reached."""
        return max(self.totals[-1] / self.needed - 1, 0.0) if self.reached else 0.0


def examples_at(curve: LearningCurve, target: float) -> float:
    """Examples at which a measured curve first reaches a target, between its sizes; or infinite."""
    lowest = np.minimum.accumulate(curve.y)
    return _crossing(curve.x, lowest, float(np.log(target)))


def collect(
    curve: LearningCurve,
    pilot_end: float,
    target: float,
    planner: Planner,
    *,
    steps: int = 5,
    most: float = 100.0,
) -> Collection:
    """Play a collection on a measured curve.

    A request beyond the curve's end counts in full, up to `most` times the need, and reaches the
    target. Within it, what was collected is measured at all sizes of the curve up to there.

    Parameters
    ----------
    curve
        The whole curve; its target must lie within it.
    pilot_end
        Examples that are there at the start.
    target
        Error to reach.
    planner
        Asks for the next total.
    steps
        Requests at most.
    most
        Largest multiple of the need that a request counts as.
    """
    needed = examples_at(curve, target)
    have, totals = pilot_end, [pilot_end]
    for _ in range(steps):
        if have >= _NEARLY * needed:
            break
        wanted = planner(curve.between(0, have))
        # At least a tenth more: a step that adds nothing never ends.
        have = float(np.clip(wanted, 1.1 * have, most * needed))
        totals.append(have)
    return Collection(totals, needed, have >= _NEARLY * needed)
