"""The paper's claims on the recorded curves; no curve is forecast by what saw its data set."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np

from statlas.core import Above, Twin, claim
from statlas.core.learning_curves import LearningCurve
from statlas.scaling.piecewise_power_law.baselines import fit_power_law, predict_with
from statlas.scaling.piecewise_power_law.collection import collect, law_planner, power_law_planner
from statlas.scaling.piecewise_power_law.forest import Forecast, forecast, pad, recorded_forest
from statlas.scaling.piecewise_power_law.law import FloatArray

Way = Literal["law", "quadratic"]

_OTHERS = ("arctan", "logarithmic", "algebraic root")
_REACH = 4.0  # a curve counts if it goes on to so many times the pilot's last size
_LEVEL = 0.9


@dataclass(frozen=True)
class Case:
    """A recorded curve cut into pilot and rest, with the forecast that never saw its data set."""

    curve: LearningCurve
    pilot: LearningCurve
    rest: LearningCurve
    found: Forecast


@functools.cache
def cases(first: int, last: int) -> tuple[tuple[str, ...], dict[str, list[Case]]]:
    """Cases by data set, for pilots from `first` to `last` examples a class."""
    forest = recorded_forest(0)
    curves, pilots = [], []
    for curve in forest.record.curves:
        low, high = (first - 0.5) * curve.classes, (last + 0.5) * curve.classes
        pilot = curve.between(low, high)
        if len(pilot) >= 3 and curve.n[-1] >= _REACH * last * curve.classes:
            curves.append(curve)
            pilots.append(pilot)
    names = [curve.labels["dataset"] for curve in curves]
    found = forecast(forest, pad(pilots), _LEVEL, without=names, farthest=np.log(2000.0))
    by_name: dict[str, list[Case]] = {}
    for curve, pilot, one in zip(curves, pilots, found, strict=True):
        rest = curve.between(pilot.n[-1] + 0.5, np.inf)
        by_name.setdefault(curve.labels["dataset"], []).append(Case(curve, pilot, rest, one))
    return tuple(sorted(by_name)), by_name


def _draw(rng: np.random.Generator, first: int, last: int, n_curves: int) -> list[Case]:
    """Curves of one data set drawn at random, with replacement."""
    names, by_name = cases(first, last)
    own = by_name[names[int(rng.integers(len(names)))]]
    return [own[place] for place in rng.integers(0, len(own), n_curves)]


def _quadratic(pilot: LearningCurve, n: FloatArray) -> FloatArray:
    """The bend of the pilot continued for ever: no knot, no straight line."""
    middle = pilot.x.mean()
    bend = np.polyfit(pilot.x - middle, pilot.y, 2)
    return np.asarray(np.exp(np.minimum(np.polyval(bend, np.log(n) - middle), 0.0)))


def _error_of(case: Case, way: Way) -> float:
    """Mean distance of predicted from later errors, in the error's own unit."""
    if way == "law":
        predicted = np.exp(case.found.tail.log_error(case.rest.x)[0])
    else:
        predicted = _quadratic(case.pilot, case.rest.n)
    return float(np.mean(np.abs(predicted - case.rest.error)))


def _power_law_error(case: Case) -> float:
    intercept, slope = fit_power_law(case.pilot)
    predicted = np.exp(intercept + slope * case.rest.x)
    return float(np.mean(np.abs(predicted - case.rest.error)))


def _reduction(cases_: list[Case], way: Way) -> float:
    own = sum(_error_of(case, way) for case in cases_)
    return 1 - own / sum(_power_law_error(case) for case in cases_)


_QUADRATIC = Twin("the pilot's bend continued without a straight line", "quadratic")
_SHARE = "share of the plain power law's error saved, on a recorded data set left out"


@claim(
    "piecewise-power-law",
    says="from pilots of 5 to 20 examples a class the law errs less than a plain power law",
    where="abstract: 37 % lower on average over classification data sets",
    expect=Above(0.0),
    unit=_SHARE,
    subject="law",
    twin=_QUADRATIC,
    quick=400,
    full=4_000,
)
def less_error_than_power_law(rng: np.random.Generator, way: Way) -> float:
    """Sizes from 5 to 20 a class are seen, all larger ones predicted."""
    return _reduction(_draw(rng, 5, 20, 20), way)


@claim(
    "piecewise-power-law",
    says="from pilots of no more than 5 examples a class the law errs less than a plain power law",
    where="abstract: a power law errs much where there are 5 examples a class",
    expect=Above(0.0),
    unit=_SHARE,
    subject="law",
    twin=_QUADRATIC,
    quick=400,
    full=4_000,
)
def less_error_from_a_handful(rng: np.random.Generator, way: Way) -> float:
    """Sizes from 2 to 5 a class are seen, all larger ones predicted."""
    return _reduction(_draw(rng, 2, 5, 20), way)


@functools.cache
def _others(dataset: str, place: int) -> FloatArray:
    """Errors of the other forms on one case."""
    case = cases(5, 20)[1][dataset][place]
    errors = []
    for name in _OTHERS:
        predicted = predict_with(name, case.pilot, case.rest.n, np.random.default_rng(0))
        predicted = np.where(np.isfinite(predicted), predicted, case.pilot.error[-1])
        errors.append(float(np.mean(np.abs(predicted - case.rest.error))))
    return np.array(errors)


@claim(
    "piecewise-power-law",
    says="the law errs less than the best of the arctan, logarithmic and algebraic-root forms",
    where="comparison with the forms of earlier work on data requirements",
    expect=Above(0.0),
    unit="share of the error of the best of the three forms saved, on a recorded data set left out",
    subject="law",
    twin=_QUADRATIC,
    quick=8,
    full=400,
)
def less_error_than_other_forms(rng: np.random.Generator, way: Way) -> float:
    """The best of the three is chosen after the fact, for six curves together."""
    names, by_name = cases(5, 20)
    name = names[int(rng.integers(len(names)))]
    places = rng.integers(0, len(by_name[name]), 6)
    own = sum(_error_of(by_name[name][place], way) for place in places)
    others = np.sum([_others(name, int(place)) for place in places], axis=0)
    return 1 - own / float(others.min())


@claim(
    "piecewise-power-law",
    says="the bound covers what comes at four times the pilot about as often as it promises",
    where="confidence bound",
    expect=Above(0.85),
    unit="share of recorded curves of left-out data sets within their 90 % interval",
    subject=1.0,
    twin=Twin("intervals a third as wide", 1 / 3),
    quick=1_500,
    full=20_000,
    kind="proportion",
)
def bound_covers(rng: np.random.Generator, width: float) -> float:
    """Whether the error measured at about four times the pilot lies in the interval."""
    (case,) = _draw(rng, 5, 20, 1)
    at = int(np.argmin(np.abs(case.rest.x - case.pilot.x[-1] - np.log(4.0))))
    x, y, found = case.rest.x[at], case.rest.y[at], case.found
    middle, low, high = (np.interp(x, found.x, e) for e in (found.log_error, found.low, found.high))
    return float(middle - width * (middle - low) <= y <= middle + width * (high - middle))


def _target_of(curve: LearningCurve, end: float, rng: np.random.Generator) -> float:
    """An error that the curve reaches first somewhere between the pilot's end and its own."""
    share = rng.uniform(0.2, 0.9)
    lowest = np.minimum.accumulate(curve.y)
    x = np.log(end) + share * (curve.x[-1] - np.log(end))
    return float(np.exp(np.interp(x, curve.x, lowest)))


def _collected(
    rng: np.random.Generator, tolerance: float | None, against: Literal["law", "power law"]
) -> float:
    """Over-estimation without the bound less that with it, in doublings of the need."""
    forest = recorded_forest(0)
    for _ in range(20):
        (case,) = _draw(rng, 5, 20, 1)
        # The pilot starts at five a class, in every step.
        curve = case.curve.between(case.pilot.n[0], np.inf)
        end = float(case.pilot.n[-1])
        target = _target_of(curve, end, rng)
        if target < case.pilot.error.min():
            break
    else:
        return 0.0
    dataset = curve.labels["dataset"]
    limited = law_planner(forest, target, dataset, tolerance=tolerance, level=_LEVEL)
    free = power_law_planner(target)
    if against == "law":
        free = law_planner(forest, target, dataset, tolerance=None, level=_LEVEL)
    with_bound, without = (collect(curve, end, target, p).over for p in (limited, free))
    return float(np.log2(1 + without) - np.log2(1 + with_bound))


@claim(
    "piecewise-power-law",
    says="ending the prediction where the bound gets wide limits over-estimation of the need",
    where="abstract: prediction horizon, 76 % less over-estimation on classification",
    expect=Above(0.01),
    unit="doublings of the need saved in a collection of five steps, on a data set left out",
    subject=0.3,
    twin=Twin("a horizon that never ends", None),
    quick=48,
    full=1_000,
)
def bound_limits_over_estimation(rng: np.random.Generator, tolerance: float | None) -> float:
    """The same law with its horizon and without."""
    return _collected(rng, tolerance, "law")


@claim(
    "piecewise-power-law",
    says="collecting by the law within its horizon over-shoots less than by a plain power law",
    where="abstract: over-estimation of data",
    expect=Above(0.01),
    unit="doublings of the need saved in a collection of five steps, on a data set left out",
    subject="law",
    twin=Twin("the plain power law in its place", "power law"),
    quick=48,
    full=1_000,
)
def less_over_estimation_than_power_law(rng: np.random.Generator, way: str) -> float:
    """The law with its horizon against the plain power law through all that was measured."""
    if way == "power law":
        return 0.0
    return _collected(rng, 0.3, "power law")
