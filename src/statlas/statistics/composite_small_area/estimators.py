"""Direct and synthetic estimates of domain proportions, and their design-based composition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from statlas.statistics.composite_small_area.fay_herriot import weighted_regression

FloatArray = NDArray[np.float64]

_ROUNDS = 2  # of smoothing the variances with the synthetic estimate and estimating that again
_DELTAS = np.logspace(-2, 4, 241)


def direct_estimates(
    outcome: ArrayLike,
    weight: ArrayLike,
    domain: ArrayLike,
    n_domains: int,
    sizes: ArrayLike | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Proportion in each domain from its own sample alone, with its variance.

    Without `sizes` the weights are scaled by their sum (Hajek), else the total is divided by the
    known size (Horvitz-Thompson). Joint inclusion probabilities are taken as products.

    Parameters
    ----------
    outcome, weight
        0 or 1, and inverse inclusion probability, shape (n_units,).
    domain
        Domain of each unit from 0, shape (n_units,).
    n_domains
        Number of domains.
    sizes
        Population sizes of the domains, shape (n_domains,), for Horvitz-Thompson.

    Returns
    -------
    estimate, variance
        Shape (n_domains,); NaN in a domain without a sample, and a Hajek variance is NaN from a
        single unit.

    Examples
    --------
    >>> estimate, variance = direct_estimates([1, 0, 0, 1], [2, 2, 4, 4], [0, 0, 1, 1], 2)
    >>> estimate, variance
    (array([0.5, 0.5]), array([0.125 , 0.1875]))
    """
    y, w = np.asarray(outcome, dtype=float), np.asarray(weight, dtype=float)
    codes = np.asarray(domain)

    def total(values: FloatArray) -> FloatArray:
        return np.bincount(codes, values, minlength=n_domains).astype(float)

    count = total(np.ones_like(y))
    with np.errstate(invalid="ignore", divide="ignore"):
        if sizes is not None:
            size = np.asarray(sizes, dtype=float)
            estimate = total(w * y) / size
            variance = total(w * (w - 1) * y**2) / size**2
        else:
            size = total(w)
            estimate = total(w * y) / size
            squares = total(w * (w - 1) * (y - estimate[codes]) ** 2) / size**2
            variance = np.where(count > 1, squares * count / (count - 1), np.nan)
    empty = count == 0
    return np.where(empty, np.nan, estimate), np.where(empty, np.nan, variance)


@dataclass(frozen=True)
class Components:
    """What a composition is made of; leading dimensions are those of many samples at once.

    Attributes
    ----------
    direct, synthetic
        Estimates, shape (..., n_domains); direct is 0 where there is no sample.
    variance
        Smoothed variance of the direct estimate, infinite where there is no sample.
    shared
        Variance of the synthetic estimate, also its covariance with the direct one.
    bias
        Expected squared bias of the synthetic estimate, b P (1 - P).
    bias_variance
        Estimated variance of `bias`.
    design_effect
        Of the direct estimates, pooled, shape (...,).
    sample
        Sample sizes.
    """

    direct: FloatArray
    synthetic: FloatArray
    variance: FloatArray
    shared: FloatArray
    bias: FloatArray
    bias_variance: FloatArray
    design_effect: FloatArray
    sample: FloatArray

    @property
    def synthetic_mse(self) -> FloatArray:
        """Mean squared error of the synthetic estimate."""
        return self.bias + self.shared


def components(
    direct: ArrayLike,
    variance: ArrayLike | None,
    sample: ArrayLike,
    covariates: ArrayLike,
) -> Components:
    """Smooth the variances, fit the regression-synthetic estimate and estimate its bias.

    The variance of a direct proportion is taken as D P (1 - P) / n with the synthetic P and one
    pooled design effect D, so that a domain without a single case does not get variance 0.

    Parameters
    ----------
    direct
        Direct estimates, shape (..., n_domains); ignored where `sample` is 0.
    variance
        Their estimated variances (NaN where unknown), or None for a design effect of 1.
    sample
        Units sampled in each domain, shape (..., n_domains).
    covariates
        Shape (n_domains, n_covariates) with a column of ones.

    Raises
    ------
    ValueError
        If no domain has a case, or none has a non-case.
    """
    n = np.asarray(sample, dtype=float)
    seen = n > 0
    y = np.where(seen, np.asarray(direct, dtype=float), 0.0)
    units = n.sum(axis=-1, keepdims=True)
    overall = (n * y).sum(axis=-1, keepdims=True) / units
    if np.any(overall <= 0) or np.any(overall >= 1):
        raise ValueError("the sample has no case, or nothing but cases")
    floor = 0.5 / units
    synthetic = np.broadcast_to(overall, y.shape)
    for _ in range(_ROUNDS + 1):
        binomial = synthetic * (1 - synthetic)
        effect = _design_effect(variance, n, binomial, y.shape)
        with np.errstate(divide="ignore"):
            psi = effect[..., None] * binomial / n
        fitted, shared, _ = weighted_regression(y, 1 / psi, covariates)
        synthetic = np.clip(fitted, floor, 1 - floor)
    bias, bias_variance = _squared_bias(y - synthetic, psi, shared, n, binomial)
    return Components(y, synthetic, psi, shared, bias, bias_variance, effect, n)


def _design_effect(
    variance: ArrayLike | None, n: FloatArray, binomial: FloatArray, shape: tuple[int, ...]
) -> FloatArray:
    """Pooled ratio of the estimated variances to those of simple random sampling."""
    if variance is None:
        return np.ones(shape[:-1])
    given = np.broadcast_to(np.asarray(variance, dtype=float), shape)
    usable = np.isfinite(given) & (n > 0)
    ours = np.where(usable, n * given, 0.0).sum(axis=-1)
    theirs = np.where(usable, binomial, 0.0).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = ours / theirs
    return np.asarray(np.where(ratio > 0, ratio, 1.0))


def _squared_bias(
    deviation: FloatArray, psi: FloatArray, shared: FloatArray, n: FloatArray, binomial: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Expected squared bias b P (1 - P) of the synthetic estimate, and the variance of that.

    E (direct - synthetic)^2 = psi - shared + squared bias, as the covariance of the two estimates
    is the synthetic one's variance. Domains are pooled with weights n.
    """
    seen = n > 0
    excess = np.where(seen, deviation**2 - np.where(seen, psi, 0.0) + shared, 0.0)
    units = n.sum(axis=-1)
    b = np.maximum((n / binomial * excess).sum(axis=-1) / units, 0.0)
    bias = b[..., None] * binomial
    spread = np.where(seen, n / binomial * (np.where(seen, psi, 0.0) + bias), 0.0)
    b_variance = 2 * (spread**2).sum(axis=-1) / units**2
    return bias, b_variance[..., None] * binomial**2


def composite(parts: Components, weight: ArrayLike) -> FloatArray:
    """The composition w direct + (1 - w) synthetic, with weight 0 where there is no sample."""
    w = np.where(parts.sample > 0, np.asarray(weight, dtype=float), 0.0)
    return np.asarray(w * parts.direct + (1 - w) * parts.synthetic)


def composite_mse(parts: Components, weight: ArrayLike, estimated: bool = False) -> FloatArray:
    """Estimated mean squared error of a composition.

    Parameters
    ----------
    parts
        From `components`.
    weight
        Weight of the direct estimate, shape (..., n_domains).
    estimated
        Whether the weight is `optimal_weight`, whose own error then adds 2 g3 as for EBLUP.
    """
    seen = parts.sample > 0
    w = np.where(seen, np.asarray(weight, dtype=float), 0.0)
    psi = np.where(seen, parts.variance, 0.0)
    mse = w**2 * psi + (1 - w) ** 2 * parts.synthetic_mse + 2 * w * (1 - w) * parts.shared
    if estimated:
        total = np.where(seen, psi + parts.bias, np.inf)
        mse = mse + 2 * psi**2 / total**3 * parts.bias_variance
    return np.asarray(mse)


def optimal_weight(parts: Components) -> FloatArray:
    """Weight of the direct estimate that minimises the estimated mean squared error.

    (MSE synthetic - covariance) / (MSE synthetic + variance direct - 2 covariance), which is
    n / (n + D / b) up to the covariance: it does not hang on the domain's own count.
    """
    spare = np.maximum(parts.variance - parts.shared, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = parts.bias / (parts.bias + spare)
    return np.asarray(np.where((parts.sample > 0) & (parts.bias > 0), weight, 0.0))


def size_weight(ratio: ArrayLike, delta: ArrayLike = 1.0) -> FloatArray:
    """Sample-size-dependent weight: 1 from delta times the expected size on, else in proportion.

    Parameters
    ----------
    ratio
        Achieved over expected sample size of the domain, n_d / E n_d.
    delta
        How large a sample must be to stand alone; larger borrows more.

    Examples
    --------
    >>> size_weight([0.5, 1.0, 3.0], delta=2.0)
    array([0.25, 0.5 , 1.  ])
    """
    return np.asarray(np.minimum(np.asarray(ratio, dtype=float) / np.asarray(delta), 1.0))


def adaptive_delta(parts: Components, ratio: ArrayLike) -> FloatArray:
    """The one delta for all domains that minimises the summed estimated mean squared error.

    Parameters
    ----------
    parts
        From `components`.
    ratio
        Achieved over expected sample sizes, shape (..., n_domains).

    Returns
    -------
    ndarray
        Shape (...,), on a grid from 0.01 to 10,000 with 40 points a decade.
    """
    achieved = np.asarray(ratio, dtype=float)
    best = np.full(parts.direct.shape[:-1], np.inf)
    chosen = np.ones_like(best)
    for delta in _DELTAS:
        total = composite_mse(parts, size_weight(achieved, delta)).sum(axis=-1)
        chosen = np.where(total < best, delta, chosen)
        best = np.minimum(total, best)
    return np.asarray(chosen)
