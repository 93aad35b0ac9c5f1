"""Closed forms of the normal-inverse-gamma distribution over mean and variance of a number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma, gammaln, stdtrit

FloatArray = NDArray[np.float64]

_LOG_2_PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class NormalInverseGamma:
    """Variance ~ InverseGamma(shape, scale) and mean | variance ~ Normal(location, variance / nu).

    Attributes
    ----------
    location
        Expected mean, in units of the target.
    evidence
        Pseudo-observations of the mean (nu), above 0.
    shape, scale
        Of the inverse gamma (alpha and beta), above 0; `scale` in squared units of the target.

    Examples
    --------
    >>> fit = NormalInverseGamma.of(0.0, 4.0, 3.0, 8.0)
    >>> float(fit.aleatoric_variance), float(fit.epistemic_variance)
    (4.0, 1.0)
    """

    location: FloatArray
    evidence: FloatArray
    shape: FloatArray
    scale: FloatArray

    @classmethod
    def of(
        cls, location: ArrayLike, evidence: ArrayLike, shape: ArrayLike, scale: ArrayLike
    ) -> NormalInverseGamma:
        """From anything that broadcasts."""
        parts = np.broadcast_arrays(location, evidence, shape, scale)
        return cls(*(np.asarray(part, dtype=float) for part in parts))

    @property
    def aleatoric_variance(self) -> FloatArray:
        """Expected variance of the noise; infinite where the shape is at most 1."""
        proper = self.shape > 1
        finite = self.scale / np.where(proper, self.shape - 1, 1.0)
        return np.where(proper, finite, np.inf)

    @property
    def epistemic_variance(self) -> FloatArray:
        """Variance of the mean; infinite where the shape is at most 1."""
        return self.aleatoric_variance / self.evidence

    @property
    def predictive_scale(self) -> FloatArray:
        """Scale of the predictive Student distribution, which has 2 shape degrees of freedom."""
        inflated = self.scale * (1 + self.evidence) / (self.evidence * self.shape)
        return np.asarray(np.sqrt(inflated))

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Central predictive interval of the next observation."""
        half = stdtrit(2 * self.shape, (1 + level) / 2) * self.predictive_scale
        return self.location - half, self.location + half

    def log_density(self, observed: ArrayLike) -> FloatArray:
        """Log density of the predictive Student distribution."""
        z = (np.asarray(observed, dtype=float) - self.location) / self.predictive_scale
        freedom = 2 * self.shape
        constant = gammaln((freedom + 1) / 2) - gammaln(freedom / 2)
        constant = constant - 0.5 * np.log(freedom * np.pi) - np.log(self.predictive_scale)
        return np.asarray(constant - (freedom + 1) / 2 * np.log1p(z**2 / freedom))

    def total_uncertainty(self) -> FloatArray:
        """Differential entropy of the predictive Student distribution, in nats."""
        freedom = 2 * self.shape
        half = (freedom + 1) / 2
        log_beta = gammaln(freedom / 2) + gammaln(0.5) - gammaln(half)
        spread = half * (digamma(half) - digamma(freedom / 2))
        return np.asarray(spread + 0.5 * np.log(freedom) + log_beta + np.log(self.predictive_scale))

    def aleatoric_uncertainty(self) -> FloatArray:
        """Expected differential entropy of the noise, in nats."""
        return np.asarray(0.5 * (_LOG_2_PI + 1 + np.log(self.scale) - digamma(self.shape)))

    def epistemic_uncertainty(self) -> FloatArray:
        """Mutual information between the next observation and (mean, variance), in nats."""
        gap = self.total_uncertainty() - self.aleatoric_uncertainty()
        return np.asarray(np.maximum(gap, 0.0))

    def differential_entropy(self) -> FloatArray:
        """Differential entropy of (mean, variance), in nats."""
        shape, log_scale = self.shape, np.log(self.scale)
        entropy = 0.5 * (1 + _LOG_2_PI) + shape + gammaln(shape) - (shape + 1.5) * digamma(shape)
        return np.asarray(entropy + 1.5 * log_scale - 0.5 * np.log(self.evidence))

    def expected_log_likelihood(self, observed: ArrayLike) -> FloatArray:
        """Mean of the normal log likelihood of an observation over (mean, variance)."""
        precision = self.shape / self.scale
        squares = precision * (np.asarray(observed, dtype=float) - self.location) ** 2
        log_precision = digamma(self.shape) - np.log(self.scale)
        return np.asarray(0.5 * (log_precision - _LOG_2_PI - squares - 1 / self.evidence))

    def divergence(self, other: NormalInverseGamma) -> FloatArray:
        """Kullback-Leibler divergence KL(self || other)."""
        a, b = self.shape, self.scale
        apart = (self.location - other.location) ** 2
        means = 0.5 * (a / b * other.evidence * apart + other.evidence / self.evidence - 1)
        means = means - 0.5 * np.log(other.evidence / self.evidence)
        variances = other.shape * np.log(b / other.scale) - gammaln(a) + gammaln(other.shape)
        variances = variances + (a - other.shape) * digamma(a) + (other.scale - b) * a / b
        return np.asarray(means + variances)

    def rescaled(self, centre: float, spread: float) -> NormalInverseGamma:
        """The distribution in units in which a target is `centre + spread * target`."""
        return NormalInverseGamma(
            centre + spread * self.location, self.evidence, self.shape, spread**2 * self.scale
        )
