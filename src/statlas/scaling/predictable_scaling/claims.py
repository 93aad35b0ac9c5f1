"""The paper's claims, on planted curves and on the recorded ones."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from statlas.core import Above, Below, Twin, Within, claim
from statlas.core.learning_curves import LearningCurve, recorded_curves
from statlas.core.numerics.laws import POWER_LAW
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.scaling.predictable_scaling.growth import best_sizes, fit_growth
from statlas.scaling.predictable_scaling.law import THREE_REGIONS, FloatArray
from statlas.scaling.predictable_scaling.regions import Candidate, compare_forms, find_regions
from statlas.scaling.predictable_scaling.steepness import test_shared

_NOISE = 0.03
_FEWEST_SIZES = 7  # of a recorded curve

# --- planted curves -------------------------------------------------------------------------------


def _planted(
    rng: np.random.Generator, exponent: float, begin: float, floor: float, n_sizes: int = 16
) -> LearningCurve:
    """A curve with all three regions, each error with 3 % noise."""
    n = np.geomspace(4, 40_000, n_sizes)
    law = {"B": 0.9, "E": floor, "m0": begin, "alpha": exponent}
    error = THREE_REGIONS(law, {"x": n}) * np.exp(_NOISE * rng.standard_normal(n_sizes))
    return LearningCurve("planted", {}, n, error, _NOISE * error, np.full(n_sizes, 4.0))


@claim(
    "predictable-scaling",
    says="with its outer regions in the law, the exponent of the power-law region is found",
    where="Section 5, the three regions of a learning curve",
    expect=Within(-0.03, 0.03),
    unit="estimated less planted exponent, errors with 3 % noise",
    subject="auto",
    twin=Twin("one power law through all regions", POWER_LAW.name),
    quick=16,
    full=200,
)
def planted_exponent(rng: np.random.Generator, law: str) -> float:
    """Exponent of a curve with small-data region and floor, less the truth."""
    exponent = float(rng.uniform(0.3, 0.6))
    curve = _planted(rng, exponent, float(rng.uniform(15, 60)), 0.01)
    found = find_regions(curve, rng, law=None if law == "auto" else law, n_draws=8)
    return found.exponent - exponent


@claim(
    "predictable-scaling",
    says="intervals of the exponent cover about as often as they promise",
    where="steepness with intervals",
    expect=Above(0.85),
    unit="share of planted curves whose 95 % interval covers the exponent",
    subject=1.0,
    twin=Twin("intervals a tenth as wide", 0.1),
    quick=20,
    full=600,
    kind="proportion",
)
def exponent_coverage(rng: np.random.Generator, width: float) -> float:
    """Whether the interval of one curve covers; which regions it has is not told."""
    exponent = float(rng.uniform(0.3, 0.6))
    curve = _planted(rng, exponent, float(rng.uniform(15, 60)), float(rng.choice([1e-9, 0.02])))
    found = find_regions(curve, rng, n_draws=100)
    low, high = map(float, percentile_interval(found.exponents, 0.95))
    middle = 0.5 * (low + high)
    return float(middle - width * (middle - low) <= exponent <= middle + width * (high - middle))


@claim(
    "predictable-scaling",
    says="curves that are only shifted are seldom said to have slopes of their own",
    where="steepness compared across improvements",
    expect=Below(0.12),
    unit="share of pairs of planted curves for which one slope is rejected at 0.05",
    subject=0.0,
    twin=Twin("curves whose exponents differ by 0.1", 0.1),
    quick=12,
    full=300,
    kind="proportion",
)
def shift_is_not_rejected(rng: np.random.Generator, steeper: float) -> float:
    """Whether the test rejects that a curve and one that begins a third as late share a slope."""
    begin = float(rng.uniform(30, 60))
    curves = [_planted(rng, 0.4, begin, 1e-9), _planted(rng, 0.4 + steeper, begin / 3, 1e-9)]
    candidates = [compare_forms(curve, None, rng) for curve in curves]
    return float(test_shared(curves, candidates).p_value < 0.05)


# --- recorded curves ------------------------------------------------------------------------------


Task = tuple[LearningCurve, ...]


@functools.cache
def _recorded() -> tuple[tuple[Task, ...], tuple[Task, ...]]:
    """Recorded curves of models by task, and of trees of several sizes by task."""
    models: dict[tuple[str, str], list[LearningCurve]] = {}
    trees: dict[tuple[str, str], list[LearningCurve]] = {}
    for whole in recorded_curves():
        # With two examples a class some classifiers do nothing but guess.
        curve = whole.between(2.5 * whole.classes, np.inf)
        if len(curve) < _FEWEST_SIZES:
            continue
        kind = trees if curve.labels["parameters"] else models
        kind.setdefault((curve.labels["dataset"], curve.labels["task"]), []).append(curve)
    return (
        tuple(tuple(curves) for curves in models.values() if len(curves) > 1),
        tuple(tuple(curves) for curves in trees.values()),
    )


def _pair(rng: np.random.Generator) -> list[LearningCurve]:
    """Two models of one recorded task, at random."""
    tasks = _recorded()[0]
    own = tasks[int(rng.integers(len(tasks)))]
    return [own[place] for place in rng.choice(len(own), 2, replace=False)]


@claim(
    "predictable-scaling",
    says="model improvements shift the error but do not change the exponent",
    where="abstract; Section 5: improved models against their baselines",
    expect=Above(0.5),
    unit="share of pairs of recorded classifiers for which sharing has the lower BIC",
    subject=0.0,
    twin=Twin("the second made steeper by 0.2", 0.2),
    quick=16,
    full=500,
    kind="proportion",
)
def improvements_only_shift(rng: np.random.Generator, steeper: float) -> float:
    """Whether two classifiers of one task are better described with one slope."""
    first, second = _pair(rng)
    if steeper:
        second = replace(second, error=second.error * second.n**-steeper)
    candidates = [_forms_of(first.name)]
    candidates.append(compare_forms(second, None, rng) if steeper else _forms_of(second.name))
    return float(test_shared([first, second], candidates).bic_gain > 0)


@functools.cache
def _forms_of(name: str) -> list[Candidate]:
    """Fits of a recorded curve."""
    (curve,) = [one for own in _recorded()[0] for one in own if one.name == name]
    return compare_forms(curve, None, np.random.default_rng(0))


@claim(
    "predictable-scaling",
    says="the better of two models is no steeper and no flatter than the other",
    where="abstract; Section 5: improved models against their baselines",
    expect=Within(-0.05, 0.05),
    unit="mean slope of the better less that of the worse, plain power laws",
    subject=0.0,
    twin=Twin("the better made steeper by 0.1", 0.1),
    quick=400,
    full=8_000,
)
def better_is_not_steeper(rng: np.random.Generator, steeper: float) -> float:
    """Exponent of the model with less error at the largest size, less that of the other."""
    curves = _pair(rng)
    shared = np.intersect1d(curves[0].n, curves[1].n)
    curves = [curve.between(shared[0], shared[-1]) for curve in curves]
    slopes = [-float(np.polyfit(curve.x, curve.y, 1)[0]) for curve in curves]
    better = int(np.argmin([curve.error[-1] for curve in curves]))
    return slopes[better] - slopes[1 - better] + steeper


def _resampled(curves: tuple[LearningCurve, ...], rng: np.random.Generator) -> list[LearningCurve]:
    """The curves with the noise of their means added once more."""
    drawn = []
    for curve in curves:
        error = curve.error * np.exp(curve.spread * rng.standard_normal(len(curve)))
        drawn.append(
            LearningCurve(
                curve.name, curve.labels, curve.n, error, curve.standard_error, curve.repeats
            )
        )
    return drawn


def _one_best_size(sizes: FloatArray, power: float) -> list[LearningCurve]:
    """Curves of models whose best size grows as the examples to a power."""
    n = np.geomspace(50, 3200, 9)
    best = 30 * (n / 50) ** power
    curves = []
    for size in sizes:
        error = n**-0.3 * np.exp(0.1 * np.log(size / best) ** 2)
        labels = {"parameters": f"{size:g}"}
        curves.append(LearningCurve("", labels, n, error, 0.01 * error, np.full(9, 8.0)))
    return curves


@claim(
    "predictable-scaling",
    says="the best model size grows slower than the number of examples",
    where="abstract; Section 5: sublinear growth of models",
    expect=Below(1.0),
    unit="exponent of the best size of recorded decision trees, their noise drawn anew",
    subject="recorded",
    twin=Twin("planted models whose best size grows a little faster than the examples", "planted"),
    quick=16,
    full=200,
)
def models_grow_sublinearly(rng: np.random.Generator, which: str) -> float:
    """Exponent of growth in one of the two tasks with trees of eight sizes."""
    if which == "planted":
        sizes = np.geomspace(10, 10_000, 13)
        curves = _resampled(tuple(_one_best_size(sizes, 1.1)), rng)
    else:
        tasks = _recorded()[1]
        curves = _resampled(tasks[int(rng.integers(len(tasks)))], rng)
        sizes = np.array([float(curve.labels["parameters"]) for curve in curves])
    growth = fit_growth(best_sizes(curves, sizes, rng, 40), rng, 20)
    assert growth is not None
    return growth.exponent
