"""The paper's claims, measured as coverage of simulated or enumerated data."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from statlas.core import Above, Below, Twin, Within, claim
from statlas.core.numerics.proportions import wilson_interval
from statlas.evaluation.no_clt.clustered import clustered_clt_interval, clustered_interval
from statlas.evaluation.no_clt.comparison import independent_comparison, paired_clt_interval
from statlas.evaluation.no_clt.f_scores import f1_clt_interval, f_score_interval
from statlas.evaluation.no_clt.intervals import Bounds, FloatArray, beta_interval, clt_interval
from statlas.evaluation.no_clt.paired import paired_comparison

Interval = Callable[..., Bounds]
_UNIT = "share of 95 % intervals that cover"


def _covered(bounds: Bounds, truth: FloatArray) -> NDArray[np.bool_]:
    """Whether intervals cover; an interval that is not a number covers nothing."""
    with np.errstate(invalid="ignore"):
        return (bounds[0] <= truth) & (truth <= bounds[1])


# --- one model -------------------------------------------------------------------------------


def _exact_coverage(interval: Interval, theta: FloatArray, n: int = 30) -> float:
    """Mean coverage over proportions `theta`, each by enumeration of the n + 1 counts."""
    k = np.arange(n + 1)
    low, high = interval(k, n)
    covered = _covered((low[:, None], high[:, None]), theta)
    log_ways = -special.betaln(n - k + 1, k + 1) - np.log(n + 1)
    log_mass = special.xlogy(k[:, None], theta) + special.xlog1py((n - k)[:, None], -theta)
    return float(np.sum(np.exp(log_mass + log_ways[:, None]) * covered) / len(theta))


@claim(
    "no-clt",
    says="with 30 questions Bayesian intervals under a uniform prior cover at their level on "
    "average over uniform true scores, and normal ones fall short",
    where="Section 3.1",
    expect=Within(0.94, 0.96),
    unit=_UNIT,
    subject=beta_interval,
    twin=Twin("CLT interval", clt_interval),
    quick=200,
    full=5_000,
)
def bayes_covers(rng: np.random.Generator, interval: Interval) -> float:
    """Exact coverage at 64 uniform proportions."""
    return _exact_coverage(interval, rng.random(64))


@claim(
    "no-clt",
    says="with 30 questions Wilson's interval covers at its level, on true scores around 0.83 as "
    "elsewhere, and the normal interval falls short",
    where="Section 3.1, and the appendix on mismatched priors",
    expect=Within(0.94, 0.96),
    unit=_UNIT,
    subject=wilson_interval,
    twin=Twin("CLT interval", clt_interval),
    quick=200,
    full=5_000,
)
def wilson_covers(rng: np.random.Generator, interval: Interval) -> float:
    """Exact coverage at 64 proportions from Beta(100, 20)."""
    return _exact_coverage(interval, rng.beta(100, 20, 64))


@claim(
    "no-clt",
    says="for strong models, with true scores above 0.95, normal intervals from 30 questions "
    "miss far more often than they say",
    where="Section 3.1",
    expect=Below(0.7),
    unit=_UNIT,
    subject=clt_interval,
    twin=Twin("Wilson's interval", wilson_interval),
    quick=200,
    full=5_000,
)
def clt_fails_near_one(rng: np.random.Generator, interval: Interval) -> float:
    """Exact coverage at 64 proportions between 0.95 and 1."""
    return _exact_coverage(interval, rng.uniform(0.95, 1, 64))


# --- clusters --------------------------------------------------------------------------------


def _clustered_sample(
    rng: np.random.Generator, n_clusters: int, size: int, n: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    """True means and right answers by cluster, from the paper's hierarchical model."""
    theta = rng.random(n)
    concentration = rng.gamma(1.0, 1.0, n)
    # numpy's Beta sampler needs positive parameters; smaller ones give 0 or 1 all the same.
    a = np.maximum(concentration * theta, 1e-12)[:, None]
    b = np.maximum(concentration * (1 - theta), 1e-12)[:, None]
    chance = np.nan_to_num(rng.beta(a, b, (n, n_clusters)))
    return theta, rng.binomial(size, chance)


def _ignoring_clusters(successes: NDArray[np.int64], size: int) -> Bounds:
    return beta_interval(successes.sum(axis=1), size * successes.shape[1])


@claim(
    "no-clt",
    says="with six clusters of five questions hierarchical intervals cover at their level where "
    "clustered normal ones fall far short",
    where="Section 3.2",
    expect=Within(0.93, 0.97),
    unit=_UNIT,
    subject=clustered_interval,
    twin=Twin("CLT interval with a clustered standard error", clustered_clt_interval),
    quick=40,
    full=600,
)
def hierarchy_covers(rng: np.random.Generator, interval: Interval) -> float:
    """Coverage of 400 simulated evaluations."""
    theta, successes = _clustered_sample(rng, 6, 5, 400)
    return float(_covered(interval(successes, 5), theta).mean())


@claim(
    "no-clt",
    says="intervals that take clustered questions as independent are overconfident",
    where="Section 3.2",
    expect=Below(0.9),
    unit=_UNIT,
    subject=_ignoring_clusters,
    twin=Twin("hierarchical interval", clustered_interval),
    quick=40,
    full=600,
)
def clusters_matter(rng: np.random.Generator, interval: Interval) -> float:
    """Coverage of 200 simulated evaluations with three clusters of ten questions."""
    theta, successes = _clustered_sample(rng, 3, 10, 200)
    return float(_covered(interval(successes, 10), theta).mean())


# --- two models ------------------------------------------------------------------------------


def _bayes_odds_ratio(k_a: Any, k_b: Any, n: int) -> Bounds:
    low, high = _all_odds_ratios(n)
    return low[k_a, k_b], high[k_a, k_b]


@lru_cache(maxsize=8)
def _all_odds_ratios(n: int) -> Bounds:
    """Interval of the log odds ratio for every pair of counts, (n + 1, n + 1)."""
    k = np.arange(n + 1)
    result = independent_comparison(k[:, None], n, k, n)
    return np.log(result.odds_ratio_low), np.log(result.odds_ratio_high)


def _clt_odds_ratio(k_a: Any, k_b: Any, n: int) -> Bounds:
    """Log odds ratio plus or minus its normal error; undefined when a count is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.log(k_a / (n - k_a)) - np.log(k_b / (n - k_b))
        half = 1.959964 * np.sqrt(1 / k_a + 1 / (n - k_a) + 1 / k_b + 1 / (n - k_b))
        return centre - half, centre + half


@claim(
    "no-clt",
    says="with ten questions a model Bayesian intervals of the odds ratio cover at their level, "
    "where normal ones are too short or do not exist",
    where="Section 3.3",
    expect=Within(0.93, 0.97),
    unit=_UNIT,
    subject=_bayes_odds_ratio,
    twin=Twin("normal interval of the log odds ratio", _clt_odds_ratio),
    quick=40,
    full=600,
)
def odds_ratio_covers(rng: np.random.Generator, interval: Interval) -> float:
    """Coverage of 400 comparisons of two models with uniform true scores."""
    theta = rng.random((2, 400))
    k_a, k_b = rng.binomial(10, theta)
    log_odds_a, log_odds_b = special.logit(theta)
    return float(_covered(interval(k_a, k_b, 10), log_odds_a - log_odds_b).mean())


def _paired_tables(
    rng: np.random.Generator, theta: FloatArray, n: int
) -> tuple[NDArray[np.int64], FloatArray]:
    """Tables (both, only a, only b, neither) from correlated latent normals, and differences."""
    rho = 2 * rng.beta(4, 2, size=(theta.shape[1],)) - 1
    latent = rng.standard_normal((2, theta.shape[1], n))
    latent[1] = rho[:, None] * latent[0] + np.sqrt(1 - rho**2)[:, None] * latent[1]
    a, b = latent < np.asarray(special.ndtri(theta))[:, :, None]
    tables = [(a & b).sum(axis=1), (a & ~b).sum(axis=1), (~a & b).sum(axis=1)]
    return np.stack([*tables, n - np.sum(tables, axis=0)], axis=1), theta[0] - theta[1]


@lru_cache(maxsize=10_000)
def _bayes_difference(both: int, only_a: int, only_b: int, neither: int) -> tuple[float, float]:
    result = paired_comparison(both, only_a, only_b, neither)
    return float(result.difference_low), float(result.difference_high)


def _bayes_paired(tables: NDArray[np.int64]) -> Bounds:
    # The same small tables come up in every replicate.
    low, high = np.array([_bayes_difference(*map(int, table)) for table in tables]).T
    return low, high


def _clt_paired(tables: NDArray[np.int64]) -> Bounds:
    return paired_clt_interval(tables[:, 1], tables[:, 2], tables.sum(axis=1))


@claim(
    "no-clt",
    says="with ten shared questions paired Bayesian intervals of a difference cover at their "
    "level, and paired normal ones fall short",
    where="Section 3.4",
    expect=Within(0.93, 0.97),
    unit=_UNIT,
    subject=_bayes_paired,
    twin=Twin("CLT interval of the mean paired difference", _clt_paired),
    quick=40,
    full=600,
)
def paired_covers(rng: np.random.Generator, interval: Interval) -> float:
    """Coverage of 250 comparisons of models with uniform true scores."""
    tables, difference = _paired_tables(rng, rng.random((2, 250)), 10)
    return float(_covered(interval(tables), difference).mean())


@claim(
    "no-clt",
    says="for two strong models and thirty shared questions paired Bayesian intervals cover at "
    "least at their level, and paired normal ones fall short",
    where="Section 3.4, and the appendix on mismatched priors",
    expect=Above(0.94),
    unit=_UNIT,
    subject=_bayes_paired,
    twin=Twin("CLT interval of the mean paired difference", _clt_paired),
    quick=30,
    full=400,
)
def paired_covers_strong_models(rng: np.random.Generator, interval: Interval) -> float:
    """Coverage of 100 comparisons of models with true scores uniform on (0.9, 1)."""
    tables, difference = _paired_tables(rng, rng.uniform(0.9, 1, (2, 100)), 30)
    return float(_covered(interval(tables), difference).mean())


# --- F-scores --------------------------------------------------------------------------------


@claim(
    "no-clt",
    says="Bayesian intervals of F1 from thirty examples cover at their level",
    where="Section 3.5",
    expect=Within(0.94, 0.96),
    unit=_UNIT,
    subject=f_score_interval,
    twin=Twin("F1 plus or minus its delta-method normal error", f1_clt_interval),
    quick=40,
    full=600,
)
def f_score_covers(rng: np.random.Generator, interval: Interval) -> float:
    """Coverage of 1,000 confusion matrices with Dirichlet(1, 1, 1, 1) probabilities."""
    chances = rng.dirichlet(np.ones(4), 1_000)
    hits, false_alarms, misses, _ = rng.multinomial(30, chances).T
    truth = 2 * chances[:, 0] / (2 * chances[:, 0] + chances[:, 1] + chances[:, 2])
    return float(_covered(interval(hits, false_alarms, misses), truth).mean())
