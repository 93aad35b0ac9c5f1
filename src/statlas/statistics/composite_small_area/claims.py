"""Claims of the paper, measured on simulated labour-force surveys.

Each replicate makes one finite population (40 domains of log-normal size, about 48,000 people, a
rate near 5 % that a domain-level covariate explains in part) and draws 60 simple random samples of
1,000 people from it, so that errors are over the design with the population fixed, as in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from statlas.core import Above, Below, Oracle, Twin, Within, claim
from statlas.statistics.composite_small_area.estimators import (
    Components,
    adaptive_delta,
    components,
    composite,
    composite_mse,
    optimal_weight,
    size_weight,
)
from statlas.statistics.composite_small_area.fay_herriot import fit_fay_herriot

FloatArray = NDArray[np.float64]

_DOMAINS, _UNITS, _SAMPLES = 40, 1_000, 60


@dataclass(frozen=True)
class Surveys:
    """Many samples from one population: truth (n_domains,), the rest (n_samples, n_domains)."""

    truth: FloatArray
    sizes: FloatArray
    covariates: FloatArray
    sample: FloatArray
    direct: FloatArray
    variance: FloatArray

    def parts(self) -> Components:
        """What the compositions are made of."""
        return components(self.direct, self.variance, self.sample, self.covariates)

    def ratio(self) -> FloatArray:
        """Achieved over expected sample size."""
        return np.asarray(self.sample * self.sizes.sum() / (_UNITS * self.sizes))

    def root_error(self, estimate: FloatArray) -> float:
        """Root mean squared error over the samples, averaged over the domains."""
        return float(np.sqrt(((estimate - self.truth) ** 2).mean(axis=0)).mean())


def simulate(rng: np.random.Generator) -> Surveys:
    """One population of people with and without a job, and simple random samples of it."""
    sizes = np.ceil(np.exp(rng.normal(6.8, 0.7, _DOMAINS))).astype(np.int64)
    x = rng.normal(size=_DOMAINS)
    rate = 1 / (1 + np.exp(3.1 - 0.4 * x - 0.3 * rng.normal(size=_DOMAINS)))
    cases = rng.binomial(sizes, rate)
    counts = rng.multivariate_hypergeometric(
        np.concatenate([cases, sizes - cases]), _UNITS, size=_SAMPLES
    )
    found, sample = counts[:, :_DOMAINS], counts[:, :_DOMAINS] + counts[:, _DOMAINS:]
    with np.errstate(invalid="ignore", divide="ignore"):
        direct = np.where(sample > 0, found / sample, np.nan)
        variance = direct * (1 - direct) / (sample - 1) * (1 - _UNITS / sizes.sum())
    variance = np.where(sample > 1, variance, np.nan)
    covariates = np.column_stack([np.ones(_DOMAINS), x])
    return Surveys(
        cases / sizes, sizes.astype(float), covariates, sample.astype(float), direct, variance
    )


def _optimal(surveys: Surveys) -> FloatArray:
    parts = surveys.parts()
    return composite(parts, optimal_weight(parts))


def _adaptive(surveys: Surveys) -> FloatArray:
    parts, ratio = surveys.parts(), surveys.ratio()
    return composite(parts, size_weight(ratio, adaptive_delta(parts, ratio)[:, None]))


def _direct(surveys: Surveys) -> FloatArray:
    """The direct estimate, and the synthetic one where there is no sample."""
    return composite(surveys.parts(), 1.0)


def _eblup(surveys: Surveys) -> FloatArray:
    parts = surveys.parts()
    return fit_fay_herriot(parts.direct, parts.variance, surveys.covariates).estimate


def _eblup_of_raw_variances(surveys: Surveys) -> FloatArray:
    """Unsmoothed; where the estimated variance is 0, the smallest positive one of the sample."""
    raw = surveys.variance
    least = np.where(raw > 0, raw, np.inf).min(axis=1, keepdims=True)
    usable = np.where(raw > 0, raw, np.where(surveys.sample > 0, least, np.inf))
    return fit_fay_herriot(surveys.direct, usable, surveys.covariates).estimate


@claim(
    "composite-small-area",
    says="for small proportions the design-based composition is competitive with EBLUP: its root "
    "mean squared error is at most 5 % larger, even where EBLUP gets the smoothed variances",
    where="Abstract",
    expect=Below(1.05),
    unit="root mean squared error over EBLUP's, smoothed variances, averaged over domains",
    subject=_optimal,
    twin=Twin("direct estimates", _direct),
    quick=12,
    full=200,
)
def competitive_with_eblup(rng: np.random.Generator, estimator: Any) -> float:
    """Error of the composition over the error of EBLUP on the same samples."""
    surveys = simulate(rng)
    return surveys.root_error(estimator(surveys)) / surveys.root_error(_eblup(surveys))


@claim(
    "composite-small-area",
    says="for small proportions the design-based composition is more robust than EBLUP that is "
    "given the estimated variances unsmoothed (zeros replaced by the smallest positive one)",
    where="Abstract",
    expect=Below(1.0),
    unit="root mean squared error over EBLUP's, unsmoothed variances, averaged over domains",
    subject=_optimal,
    twin=Twin("direct estimates", _direct),
    quick=12,
    full=200,
)
def robust_to_raw_variances(rng: np.random.Generator, estimator: Any) -> float:
    """Error of the composition over the error of EBLUP of unsmoothed variances."""
    surveys = simulate(rng)
    other = surveys.root_error(_eblup_of_raw_variances(surveys))
    return surveys.root_error(estimator(surveys)) / other


@claim(
    "composite-small-area",
    says="choosing the one parameter of the sample-size-dependent composition from the data beats "
    "the customary value of 1",
    where="Abstract",
    expect=Below(0.95),
    unit="root mean squared error over that with delta = 1, averaged over domains",
    subject=_adaptive,
    twin=Twin("delta near 0, the direct estimate", _direct),
    quick=12,
    full=200,
)
def adapting_delta(rng: np.random.Generator, estimator: Any) -> float:
    """Error with the adapted delta over the error with delta = 1."""
    surveys = simulate(rng)
    parts = surveys.parts()
    fixed = composite(parts, size_weight(surveys.ratio(), 1.0))
    return surveys.root_error(estimator(surveys)) / surveys.root_error(fixed)


def _full_mse(parts: Components, weight: FloatArray) -> FloatArray:
    return composite_mse(parts, weight, estimated=True)


def _variance_alone(parts: Components, weight: FloatArray) -> FloatArray:
    return weight**2 * np.where(parts.sample > 0, parts.variance, 0.0)


@claim(
    "composite-small-area",
    says="the mean squared error of the composition is estimated about right on average over "
    "domains",
    where="Abstract",
    expect=Within(0.8, 1.25),
    unit="mean estimated over true mean squared error, summed over domains",
    subject=_full_mse,
    twin=Twin("without the synthetic part's bias and variance", _variance_alone),
    quick=16,
    full=1_500,
)
def mse_estimate(rng: np.random.Generator, mse: Any) -> float:
    """Estimated mean squared error, summed over domains, over the error made."""
    surveys = simulate(rng)
    parts = surveys.parts()
    weight = optimal_weight(parts)
    errors = (composite(parts, weight) - surveys.truth) ** 2
    return float(mse(parts, weight).sum() / errors.sum())


@claim(
    "composite-small-area",
    says="a domain whose sample has no case is not estimated as zero",
    where="Abstract (small proportions)",
    expect=Above(0.99),
    unit="share of estimates above 0 where the sample has no case",
    subject=_optimal,
    twin=Twin("direct estimates", _direct),
    quick=12,
    full=100,
)
def zero_counts(rng: np.random.Generator, estimator: Any) -> float:
    """Share of domains and samples without a case whose estimate is above 0."""
    surveys = simulate(rng)
    return float(np.mean(estimator(surveys)[surveys.direct == 0] > 0))


@claim(
    "composite-small-area",
    says="with equal sampling variances the restricted likelihood's variance of area effects is "
    "max(0, s^2 - psi), s^2 the residual mean square",
    where="the Fay-Herriot model that the paper compares with; closed form",
    expect=Oracle(1e-8),
    unit="relative deviation from the closed form",
    subject="reml",
    twin=Twin("maximum likelihood, which ignores the fitted coefficients", "ml"),
    quick=5,
    full=50,
)
def restricted_likelihood(rng: np.random.Generator, method: Any) -> float:
    """Deviation of the fitted variance from the closed form in a balanced case."""
    m, psi = 25, 0.5
    x = np.column_stack([np.ones(m), rng.normal(size=m)])
    y = x @ [1.0, 2.0] + rng.normal(0, 1.5, m)
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    exact = max(float(residual @ residual) / (m - 2) - psi, 0.0)
    fitted = float(fit_fay_herriot(y, np.full(m, psi), x, method).between)
    return fitted / exact - 1 if exact > 0 else fitted
