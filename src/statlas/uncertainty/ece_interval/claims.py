"""The paper's claims, on its own simulated models and on resampling of the same estimate."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import expit, logit

from statlas.core import Above, Below, Twin, Within, claim
from statlas.uncertainty.ece_interval.bins import assign_bins, suggested_bins
from statlas.uncertainty.ece_interval.estimation import (
    error_interval,
    estimate_calibration_error,
    squared_interval,
    top_probabilities,
)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Interval = Callable[[FloatArray, FloatArray, IntArray, np.random.Generator], tuple[float, float]]

_LEVEL, _ROWS, _RESAMPLES = 0.9, 1000, 200


# --- the paper's first and third settings --------------------------------------------------------


def _two_classes(rng: np.random.Generator, slope: float) -> tuple[FloatArray, FloatArray]:
    """Uniform forecasts z of events whose log-odds are `slope` times those of z."""
    z = rng.uniform(size=(_ROWS, 1))
    return z, (rng.uniform(size=(_ROWS, 1)) < expit(slope * logit(z))).astype(float)


@functools.cache
def _true_square(slope: float) -> float:
    return float(quad(lambda z: (z - expit(slope * logit(z))) ** 2, 0, 1)[0])


def _ten_classes(rng: np.random.Generator, shift: float) -> tuple[FloatArray, FloatArray]:
    """Top two of ten classes, of which the first is stated `shift` too high, the second too low."""
    stated = np.sort(rng.dirichlet(np.ones(10), _ROWS), axis=1)[:, ::-1]
    chances = stated.copy()
    chances[:, 0] -= shift
    chances[:, 1] += shift
    label = (np.cumsum(chances, axis=1) < rng.uniform(size=(_ROWS, 1))).sum(axis=1)
    return top_probabilities(stated, np.minimum(label, 9), 2)


# --- intervals on the squared error ---------------------------------------------------------------


def _adapted(
    z: FloatArray, y: FloatArray, codes: IntArray, rng: np.random.Generator
) -> tuple[float, float]:
    return squared_interval(estimate_calibration_error(z, y, codes), _LEVEL)


def _around_plain_bins(
    z: FloatArray, y: FloatArray, codes: IntArray, rng: np.random.Generator
) -> tuple[float, float]:
    found = estimate_calibration_error(z, y, codes)
    return found.plug_in - 1.645 * found.spread, found.plug_in + 1.645 * found.spread


def _at_99(
    z: FloatArray, y: FloatArray, codes: IntArray, rng: np.random.Generator
) -> tuple[float, float]:
    return squared_interval(estimate_calibration_error(z, y, codes), 0.99)


def _bootstrap(
    z: FloatArray, y: FloatArray, codes: IntArray, rng: np.random.Generator
) -> tuple[float, float]:
    """Percentile interval of the debiased estimate over resampled rows."""
    n, drawn = len(z), np.empty(_RESAMPLES)
    for place in range(_RESAMPLES):
        rows = rng.integers(n, size=n)
        drawn[place] = estimate_calibration_error(z[rows], y[rows], codes[rows]).squared
    low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def _codes(z: FloatArray) -> IntArray:
    return assign_bins(z, suggested_bins(len(z), z.shape[1]))


def _covers(rng: np.random.Generator, slope: float, interval: Interval) -> float:
    z, y = _two_classes(rng, slope)
    low, high = interval(z, y, _codes(z), rng)
    return float(low <= _true_square(slope) <= high)


_TWIN = Twin("around the plain estimate of the bins, without removal of its bias",
             _around_plain_bins)  # fmt: skip


@claim(
    "ece-interval",
    says="intervals cover the error of a miscalibrated model as often as they promise",
    where="interval for miscalibrated models; first simulation",
    expect=Above(0.88),
    unit="share of 90 % intervals that cover, 1,000 rows, log-odds 0.3 of those stated",
    subject=_adapted,
    twin=_TWIN,
    quick=1_000,
    full=20_000,
    kind="proportion",
)
def covers_far_from_zero(rng: np.random.Generator, interval: Interval) -> float:
    """Whether one interval covers an error of 0.17."""
    return _covers(rng, 0.3, interval)


@claim(
    "ece-interval",
    says="intervals also cover where the error is nearly zero",
    where="adjustment for non-negativity; first simulation",
    expect=Above(0.88),
    unit="share of 90 % intervals that cover, 1,000 rows, log-odds 0.9 of those stated",
    subject=_adapted,
    twin=_TWIN,
    quick=1_000,
    full=20_000,
    kind="proportion",
)
def covers_near_zero(rng: np.random.Generator, interval: Interval) -> float:
    """Whether one interval covers an error of 0.017."""
    return _covers(rng, 0.9, interval)


@claim(
    "ece-interval",
    says="intervals cover for the two largest of ten probabilities",
    where="top-1-to-k calibration; third simulation",
    expect=Above(0.88),
    unit="share of 90 % intervals that cover, 1,000 rows, 0.04 moved between the top two",
    subject=_adapted,
    twin=_TWIN,
    quick=600,
    full=8_000,
    kind="proportion",
)
def covers_the_top_two(rng: np.random.Generator, interval: Interval) -> float:
    """Whether one interval covers an error of 0.057."""
    z, y = _ten_classes(rng, 0.04)
    low, high = interval(z, y, _codes(z), rng)
    return float(low <= 2 * 0.04**2 <= high)


def _debiased_test(z: FloatArray, y: FloatArray) -> bool:
    return not error_interval(z, y, _LEVEL).calibrated


def _plain_test(z: FloatArray, y: FloatArray) -> bool:
    found = estimate_calibration_error(z, y, _codes(z))
    return found.plug_in > 1.2816 * found.null_spread


@claim(
    "ece-interval",
    says="a calibrated model is called miscalibrated about as often as the level allows",
    where="degenerate case: asymptotic normality at another rate",
    expect=Within(0.07, 0.13),
    unit="share of calibrated models for which calibration is ruled out, level 90 %",
    subject=_debiased_test,
    twin=Twin("the plain estimate of the bins against the same spread", _plain_test),
    quick=3_500,
    full=20_000,
    kind="proportion",
)
def false_alarms(rng: np.random.Generator, test: Callable[..., bool]) -> float:
    """Whether one calibrated model is called miscalibrated."""
    return float(test(*_two_classes(rng, 1.0)))


@claim(
    "ece-interval",
    says="the percentile bootstrap misses a calibrated model's error of zero",
    where="comparison with resampling; first simulation",
    expect=Below(0.5),
    unit="share of 90 % intervals that hold zero, 1,000 rows",
    subject=_bootstrap,
    twin=Twin("the adapted interval", _adapted),
    quick=60,
    full=1_500,
    kind="proportion",
)
def bootstrap_of_a_calibrated_model(rng: np.random.Generator, interval: Interval) -> float:
    """Whether one interval holds zero."""
    return _covers(rng, 1.0, interval)


@claim(
    "ece-interval",
    says="intervals are shorter than those of the bootstrap",
    where="comparison with resampling; first simulation",
    expect=Below(0.0),
    unit="log of the length over that of the percentile bootstrap, log-odds 0.6 of those stated",
    subject=_adapted,
    twin=Twin("at level 99 % in place of 90 %", _at_99),
    quick=60,
    full=1_500,
)
def shorter_than_the_bootstrap(rng: np.random.Generator, interval: Interval) -> float:
    """Lengths on one sample, both on the squared error."""
    z, y = _two_classes(rng, 0.6)
    codes = _codes(z)
    (low, high), (other_low, other_high) = (f(z, y, codes, rng) for f in (interval, _bootstrap))
    return float(np.log((high - low) / (other_high - max(other_low, 0.0))))
