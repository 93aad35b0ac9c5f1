"""The debiased squared calibration error, its two standard deviations, the interval, the test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from statlas.core import InputError
from statlas.uncertainty.ece_interval.bins import BinKind, assign_bins, suggested_bins

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


# --- from probabilities to points ----------------------------------------------------------------


def top_probabilities(
    probabilities: ArrayLike, label: ArrayLike, top: int | None = 1
) -> tuple[FloatArray, FloatArray]:
    """The largest probabilities of each row and whether their classes came true.

    Parameters
    ----------
    probabilities
        Shape (n, n_classes).
    label
        Place of the true class, shape (n,).
    top
        How many of the largest; None for all classes in their own order (full calibration).

    Returns
    -------
    predicted, outcome
        Shape (n, top) each, the largest first; outcomes are 0 or 1.

    Examples
    --------
    >>> z, y = top_probabilities([[0.2, 0.7, 0.1], [0.5, 0.3, 0.2]], [0, 0], top=2)
    >>> print(z, y)
    [[0.7 0.2]
     [0.5 0.3]] [[0. 1.]
     [1. 0.]]
    """
    p, truth = np.asarray(probabilities, dtype=float), np.asarray(label)
    if top is None:
        return p, (truth[:, None] == np.arange(p.shape[1])).astype(float)
    if not 1 <= top <= p.shape[1]:
        raise InputError(f"'top' must be between 1 and the {p.shape[1]} classes; got {top}")
    order = p.argmax(axis=1)[:, None] if top == 1 else _largest(p, top)
    return np.take_along_axis(p, order, axis=1), (truth[:, None] == order).astype(float)


def _largest(p: FloatArray, top: int) -> IntArray:
    """Places of the `top` largest of each row, the largest first."""
    some = np.argpartition(-p, top - 1, axis=1)[:, :top]
    order = np.argsort(-np.take_along_axis(p, some, axis=1), axis=1)
    return np.asarray(np.take_along_axis(some, order, axis=1))


# --- the estimate --------------------------------------------------------------------------------


@dataclass(frozen=True)
class CalibrationError:
    """A squared calibration error as estimated.

    Attributes
    ----------
    squared
        T, the debiased estimate of ECE^2; below 0 where chance has it so.
    plug_in
        The estimate without removal of the bias.
    spread
        sigma_1 / sqrt(n), the standard deviation of T for a miscalibrated model.
    null_spread
        Standard deviation of T for a calibrated model, given the predictions.
    n_rows, n_bins
        Numbers of rows, and of bins with rows.
    """

    squared: float
    plug_in: float
    spread: float
    null_spread: float
    n_rows: int
    n_bins: int

    @property
    def error(self) -> float:
        """The calibration error, sqrt(max(T, 0))."""
        return float(np.sqrt(max(self.squared, 0.0)))

    @property
    def p_value(self) -> float:
        """One-sided normal test of perfect calibration."""
        if self.null_spread == 0:
            return 1.0 if self.squared <= 0 else 0.0
        return float(stats.norm.sf(self.squared / self.null_spread))


def estimate_calibration_error(
    predicted: ArrayLike, outcome: ArrayLike, codes: ArrayLike
) -> CalibrationError:
    """Debiased squared calibration error over given bins.

    Parameters
    ----------
    predicted, outcome
        Probabilities z and outcomes y of 0 or 1, shape (n, k) each.
    codes
        Bin of each row, from 0, chosen without looking at the outcomes, shape (n,).

    Examples
    --------
    >>> z = np.full((4, 1), 0.5)
    >>> found = estimate_calibration_error(z, [[1], [1], [1], [0]], [0, 0, 0, 0])
    >>> found.squared, found.plug_in
    (0.0, 0.0625)
    """
    z, y, bins = _checked(predicted, outcome, codes)
    u = y - z
    n, counts = len(u), np.bincount(bins)
    sums = np.stack([np.bincount(bins, column) for column in u.T], axis=1)
    several = counts > 1
    others = np.maximum(counts - 1, 1)
    own = np.bincount(bins, (u**2).sum(axis=1))
    # Sum over pairs i != j of a bin of u_i . u_j / (n_b - 1): a bin with one row says nothing.
    pairs = np.where(several, ((sums**2).sum(axis=1) - own) / others, 0.0)
    means = sums / np.maximum(counts, 1)[:, None]
    sizes = (means**2).sum(axis=1)
    return CalibrationError(
        squared=float(pairs.sum() / n),
        plug_in=float(sizes @ counts / n),
        spread=float(np.sqrt(_miscalibrated_variance(u, means, sizes, counts, bins) / n)),
        null_spread=float(np.sqrt(_null_variance(z, bins, counts))),
        n_rows=n,
        n_bins=int((counts > 0).sum()),
    )


def _checked(
    predicted: ArrayLike, outcome: ArrayLike, codes: ArrayLike
) -> tuple[FloatArray, FloatArray, IntArray]:
    z, y = np.asarray(predicted, dtype=float), np.asarray(outcome, dtype=float)
    bins = np.asarray(codes)
    if z.ndim != 2 or y.shape != z.shape or bins.shape != (len(z),) or len(z) < 2:
        raise InputError(
            "predictions, outcomes and bins need shapes (n, k), (n, k) and (n,), n at least 2; "
            f"got {z.shape}, {y.shape} and {bins.shape}"
        )
    return z, y, bins


def _miscalibrated_variance(
    u: FloatArray, means: FloatArray, sizes: FloatArray, counts: IntArray, bins: IntArray
) -> float:
    """sigma_1^2: sum p_b (4 m' E[u u'] m - 3 |m|^4) - (sum p_b |m|^2)^2, with m the bins' means."""
    shares = counts / len(u)
    along = np.einsum("ij,ij->i", u, means[bins])
    variance = 4 * np.mean(along**2) - 3 * (shares @ sizes**2) - (shares @ sizes) ** 2
    return max(float(variance), 0.0)


def _null_variance(z: FloatArray, bins: IntArray, counts: IntArray) -> float:
    """Variance of T given the predictions if outcomes follow them: exact.

    Outcomes are independent with covariance S_i = diag(z_i) - z_i z_i', so that
    n^2 Var T = sum over bins of 2 (|sum S_i|^2 - sum |S_i|^2) / (n_b - 1)^2, in Frobenius norms.
    """
    k = z.shape[1]
    together = np.zeros(len(counts))
    for a in range(k):
        for b in range(a, k):
            entry = z[:, a] * ((a == b) - z[:, b])
            together += (1 if a == b else 2) * np.bincount(bins, entry) ** 2
    squares = (z**2).sum(axis=1)
    alone = np.bincount(bins, squares - 2 * (z**3).sum(axis=1) + squares**2)
    pairs = np.where(counts > 1, together - alone, 0.0)
    return max(float(2 * np.sum(pairs / np.maximum(counts - 1, 1) ** 2) / len(z) ** 2), 0.0)


def simulated_p_value(
    predicted: ArrayLike, outcome: ArrayLike, codes: ArrayLike, draws: int, rng: np.random.Generator
) -> float:
    """Exact test of calibration: share of outcomes drawn from the predictions with as large a T.

    Parameters
    ----------
    predicted, outcome, codes
        As for `estimate_calibration_error`.
    draws
        Number of drawn sets of outcomes; time is proportional to it.
    rng
        Source of the outcomes.
    """
    z, y, bins = _checked(predicted, outcome, codes)
    observed = estimate_calibration_error(z, y, bins).squared
    below, above = np.cumsum(z, axis=1) - z, np.cumsum(z, axis=1)
    at_least = 0
    for _ in range(draws):
        point = rng.uniform(size=(len(z), 1))
        drawn = ((below <= point) & (point < above)).astype(float)
        at_least += estimate_calibration_error(z, drawn, bins).squared >= observed
    return (1 + at_least) / (1 + draws)


# --- the interval --------------------------------------------------------------------------------


@dataclass(frozen=True)
class ErrorInterval:
    """Interval on the calibration error, with the verdict on perfect calibration.

    Attributes
    ----------
    estimate
        What was estimated.
    low, high
        Ends for the error itself (roots of those of its square).
    p_value
        Of perfect calibration.
    calibrated
        Whether perfect calibration is left in: then `low` is 0.
    """

    estimate: CalibrationError
    low: float
    high: float
    p_value: float
    calibrated: bool


def squared_interval(estimate: CalibrationError, level: float = 0.95) -> tuple[float, float]:
    """Interval on ECE^2 that is valid for a miscalibrated model and keeps to [0, inf).

    The upper end is T+ + z(alpha / 2) s; the lower one T+ - z(alpha / 2) s far from 0, T+ / 2 in
    between, and max(T+ - z(alpha) s, 0) near 0, where the error can only be missed from one side.
    """
    alpha = 1 - level
    two_sided, one_sided = stats.norm.isf(alpha / 2), stats.norm.isf(alpha)
    positive, s = max(estimate.squared, 0.0), estimate.spread
    if positive >= 2 * two_sided * s:
        low = positive - two_sided * s
    elif positive >= 2 * one_sided * s:
        low = positive / 2
    else:
        low = max(positive - one_sided * s, 0.0)
    return low, positive + two_sided * s


def error_interval(
    predicted: ArrayLike,
    outcome: ArrayLike,
    level: float = 0.95,
    *,
    n_bins: int | None = None,
    kind: BinKind = "mass",
    smoothness: float = 1.0,
    dimensions: int | None = None,
    draws: int = 0,
    rng: int | np.random.Generator = 0,
) -> ErrorInterval:
    """Confidence interval for the l2 calibration error, calibrated models included.

    Parameters
    ----------
    predicted, outcome
        Probabilities and outcomes of 0 or 1, shape (n, k) each; see `top_probabilities`.
    level
        Confidence level in (0, 1).
    n_bins, kind
        As for `assign_bins`; `suggested_bins` by default.
    smoothness
        Of the calibration curve, for the number of bins.
    dimensions
        Of the predictions; k by default, and k - 1 where all classes are given.
    draws
        Outcomes drawn for an exact test of calibration; 0 for the normal test.
    rng
        Source of these.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z = rng.uniform(size=(2000, 1))
    >>> found = error_interval(z, rng.uniform(size=(2000, 1)) < z**2)
    >>> print(found.low < np.sqrt(1 / 30) < found.high, found.calibrated)
    True False
    """
    z = np.asarray(predicted, dtype=float)
    space = z.shape[1] if dimensions is None else dimensions
    wanted = suggested_bins(len(z), space, smoothness) if n_bins is None else n_bins
    codes = assign_bins(z[:, :space], wanted, kind)
    estimate = estimate_calibration_error(z, outcome, codes)
    low, high = squared_interval(estimate, level)
    p_value = estimate.p_value
    if draws:
        p_value = simulated_p_value(z, outcome, codes, draws, np.random.default_rng(rng))
    calibrated = p_value >= 1 - level
    return ErrorInterval(
        estimate, 0.0 if calibrated else float(np.sqrt(low)), float(np.sqrt(high)), p_value,
        calibrated,
    )  # fmt: skip
