"""The paper's statements, measured again on its simulation and on real votes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.stats import invwishart

from statlas.core import Above, Below, Oracle, Twin, claim
from statlas.core.examples import example_path
from statlas.core.rng import sklearn_seed
from statlas.statistics.ndm.estimator import NonparametricDeconvolution
from statlas.statistics.ndm.fitting import Fit, Settings, first_fit, starting_means, sweep
from statlas.statistics.ndm.heldout import hidden_cells
from statlas.statistics.ndm.likelihood import FloatArray, Observations
from statlas.statistics.ndm.model import Prior, total_bound

_ROWS, _FEATURES, _FACTORS = 120, 6, 3
_LOCAL = 0.3  # standard deviation of local factors, in those of the global means
_SWEEPS = 20


@dataclass(frozen=True)
class Simulated:
    """A table whose factors are known."""

    y: FloatArray
    proportions: FloatArray
    means: FloatArray
    factors: FloatArray  # local means, (n_rows, K, n_features)


def simulate(rng: np.random.Generator, local: float = _LOCAL) -> Simulated:
    """The paper's simulation procedure 1 for real values, with stronger local variation.

    Global proportions ~ Dirichlet(5), rows' ~ Dirichlet(3 beta), a local mean a factor and row,
    100 particles a row (Poisson) that choose factors, and little noise.
    """
    n, m, k = _ROWS, _FEATURES, _FACTORS
    beta = rng.dirichlet(np.full(k, 5.0))
    means = rng.normal(0, 1, (k, m))
    freedom = m + 4
    covariances = [
        invwishart.rvs(freedom, np.eye(m) * local**2 * (freedom - m - 1), random_state=rng)
        for _ in range(k)
    ]
    factors = np.stack([rng.multivariate_normal(means[j], covariances[j], n) for j in range(k)], 1)
    shares = rng.dirichlet(3 * beta, n)
    counts = np.array([rng.multinomial(max(rng.poisson(100), 1), row) for row in shares])
    proportions = counts / counts.sum(axis=1, keepdims=True)
    y = np.einsum("nk,nkm->nm", proportions, factors) + rng.normal(0, 0.02, (n, m))
    return Simulated(y, proportions, means, factors)


def fitted(y: FloatArray, local: bool, seed: int, **more: Any) -> NonparametricDeconvolution:
    """The model with the true number of factors."""
    settings = {"alpha": 3.0, "local_scale": _LOCAL**2, "local_rows": 10.0, "max_iter": _SWEEPS}
    model = NonparametricDeconvolution(
        _FACTORS, learn_n_factors=False, local=local, random_state=seed, **(settings | more)
    )
    return model.fit(y)


def matched(found: FloatArray, true: FloatArray) -> FloatArray:
    """Place of the found factor that goes with each true one."""
    gap = ((true[:, None, :] - found[None, :, :]) ** 2).sum(axis=2)
    return np.asarray(linear_sum_assignment(gap)[1])


def _root_error(found: FloatArray, true: FloatArray) -> float:
    return float(np.sqrt(((found[matched(found, true)] - true) ** 2).mean()))


def _local_means(data: Simulated, seed: int) -> FloatArray:
    return fitted(data.y, True, seed).means_


def _cluster_means(data: Simulated, seed: int) -> FloatArray:
    from sklearn.cluster import KMeans

    clusters = KMeans(_FACTORS, n_init=3, random_state=seed).fit(data.y)
    return np.asarray(clusters.cluster_centers_)


@claim(
    "ndm",
    says="including local factors improves the estimates of the global factors",
    where="Abstract and Section 5.1 (simulation procedure 1, Gaussian)",
    expect=Below(1.0),
    unit="root mean squared error of global factor means over that with global factors only",
    subject=_local_means,
    twin=Twin("centres of clusters", _cluster_means),
    quick=8,
    full=32,
)
def local_factors_help_global(rng: np.random.Generator, estimate: Callable[..., Any]) -> float:
    """Error of the means over that of the same model without local factors."""
    data, seed = simulate(rng), sklearn_seed(rng)
    alone = _root_error(fitted(data.y, False, seed).means_, data.means)
    return _root_error(estimate(data, seed), data.means) / alone


def _mirrored_means(data: Simulated, seed: int) -> FloatArray:
    return np.asarray(2 * data.y.mean(axis=0) - _local_means(data, seed))


@claim(
    "ndm",
    says="global factor means are nearer to the truth than those of non-negative factorisation",
    where="Section 5.1, normalised error of global factor means (Gaussian)",
    expect=Below(1.0),
    unit="root mean squared error of global factor means over that of NMF on shifted features",
    subject=_local_means,
    twin=Twin("factors mirrored through the middle", _mirrored_means),
    quick=8,
    full=32,
)
def better_means_than_nmf(rng: np.random.Generator, estimate: Callable[..., Any]) -> float:
    """Error of the means over that of NMF, whose rows are scaled to weights that sum to one."""
    data, seed = simulate(rng), sklearn_seed(rng)
    low = data.y.min(axis=0)
    scores, components = _nonnegative(data.y - low, seed)
    peer = components * scores.sum(axis=1).mean() + low
    return _root_error(estimate(data, seed), data.means) / _root_error(peer, data.means)


def _nonnegative(shifted: FloatArray, seed: int) -> tuple[FloatArray, FloatArray]:
    import warnings

    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        nmf = NMF(_FACTORS, random_state=seed, max_iter=400)
        scores = nmf.fit_transform(shifted)
    return scores, nmf.components_


def _local_proportions(data: Simulated, seed: int) -> FloatArray:
    model = fitted(data.y, True, seed)
    return model.transform(data.y)[:, matched(model.means_, data.means)]


def _component_proportions(data: Simulated, seed: int) -> FloatArray:
    """Principal component scores, matched by correlation of their absolute values."""
    from sklearn.decomposition import PCA

    scores = np.abs(PCA(_FACTORS).fit_transform(data.y))
    return _by_correlation(scores, data.proportions)


def _by_correlation(scores: FloatArray, true: FloatArray) -> FloatArray:
    k = true.shape[1]
    correlation = np.nan_to_num(np.corrcoef(scores.T, true.T)[:k, k:])
    found, aim = linear_sum_assignment(-correlation)
    shares = scores[:, found[np.argsort(aim)]]
    return np.asarray(shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12))


def cosine(found: FloatArray, true: FloatArray) -> float:
    """Mean cosine similarity of rows."""
    size = np.sqrt((found**2).sum(axis=1) * (true**2).sum(axis=1))
    return float(((found * true).sum(axis=1) / np.maximum(size, 1e-300)).mean())


@claim(
    "ndm",
    says="local proportions are recovered better than by non-negative matrix factorisation",
    where="Section 5.1, cosine similarity of local proportions (Gaussian)",
    expect=Above(0.0),
    unit="cosine similarity minus that of NMF on shifted features, best matching",
    subject=_local_proportions,
    twin=Twin("principal component scores", _component_proportions),
    quick=8,
    full=32,
)
def recovers_proportions(rng: np.random.Generator, estimate: Callable[..., Any]) -> float:
    """Cosine similarity to the true proportions, minus that of NMF."""
    data, seed = simulate(rng), sklearn_seed(rng)
    scores, _ = _nonnegative(data.y - data.y.min(axis=0), seed)
    peer = cosine(_by_correlation(scores, data.proportions), data.proportions)
    return cosine(estimate(data, seed), data.proportions) - peer


def _same_rows(rows: FloatArray, rng: np.random.Generator) -> FloatArray:
    return rows


def _other_rows(rows: FloatArray, rng: np.random.Generator) -> FloatArray:
    return rows[rng.permutation(len(rows))]


@claim(
    "ndm",
    says="the local deviations of a row's factors from the global ones are recovered",
    where="Abstract; Section 5.1",
    expect=Above(0.3),
    unit="correlation of estimated and true local deviations, factors above 0.3 of the row",
    subject=_same_rows,
    twin=Twin("rows shuffled", _other_rows),
    quick=8,
    full=32,
)
def recovers_deviations(rng: np.random.Generator, rows: Callable[..., Any]) -> float:
    """Correlation over factors, rows and features."""
    data = simulate(rng)
    model = fitted(data.y, True, sklearn_seed(rng))
    order = matched(model.means_, data.means)
    found = rows(model.local_factors(data.y).deviation[:, order], rng)
    large = data.proportions > 0.3
    return float(
        np.corrcoef(found[large].ravel(), (data.factors - data.means)[large].ravel())[0, 1]
    )


@lru_cache(maxsize=1)
def _votes() -> FloatArray:
    frame = pd.read_csv(example_path("precinct_votes.csv"))
    return frame.drop(columns="precinct").to_numpy(float)


Prediction = Callable[[FloatArray, FloatArray, int], FloatArray]


def _vote_model(train: FloatArray, known: FloatArray, seed: int, local: bool = True) -> FloatArray:
    model = NonparametricDeconvolution(
        3, learn_n_factors=False, family="beta", local=local, max_iter=15, random_state=seed
    )
    return model.fit(train).predict_missing(known)


def _vote_means(train: FloatArray, known: FloatArray, seed: int) -> FloatArray:
    return np.broadcast_to(train.mean(axis=0), known.shape)


@claim(
    "ndm",
    says="on real votes local factors predict held-out results better than global factors alone",
    where="Section 5.2 (California, November 2016), judged on hidden cells",
    expect=Below(1.0),
    unit="root mean squared error of hidden cells over that of global factors only, random splits "
    "of 120 precincts",
    subject=_vote_model,
    twin=Twin("feature means", _vote_means),
    quick=8,
    full=32,
)
def real_votes_held_out(rng: np.random.Generator, predict: Prediction) -> float:
    """A third of the cells of 40 new precincts, from the others, fitted on 80; three factors."""
    x, seed = _votes(), sklearn_seed(rng)
    order = rng.permutation(len(x))
    test, train = x[order[:40]], x[order[40:]]
    hidden = hidden_cells(len(test), x.shape[1], rng)
    known = np.where(hidden, np.nan, test)

    def error(guess: FloatArray) -> float:
        gap = (guess - test) / train.std(axis=0)
        return float(np.sqrt((gap[hidden] ** 2).mean()))

    return error(predict(train, known, seed)) / error(_vote_model(train, known, seed, False))


Sweep = Callable[[Fit, FloatArray, Prior, Settings], Fit]


def _without_known_spread(fit: Fit, particles: FloatArray, prior: Prior, settings: Settings) -> Fit:
    """A sweep whose covariances are those of the posterior means, without their uncertainty."""
    new = sweep(fit, particles, prior, settings)
    m = new.rows.proportions
    scale = np.stack(
        [
            np.diag(prior.scale) + (d * (particles * m[:, k])[:, None]).T @ d
            for k, d in enumerate(new.rows.deviation.transpose(1, 0, 2))
        ]
    )
    shared = replace(new.shared, scale=scale)
    bound = total_bound(new.rows, shared, particles, prior)
    return replace(new, shared=shared, trace=(*new.trace[:-1], bound))


@claim(
    "ndm",
    says="the evidence bound never falls from sweep to sweep, for any observation model",
    where="Algorithm 1, with the steps of this module in place of stochastic gradients",
    expect=Oracle(1e-9),
    unit="largest fall of the bound in 12 sweeps, relative to its size",
    subject=sweep,
    twin=Twin("covariances without posterior uncertainty", _without_known_spread),
    quick=8,
    full=32,
)
def bound_rises(rng: np.random.Generator, step: Sweep) -> float:
    """Largest relative fall over a run of sweeps, the observation model drawn at random."""
    data = simulate(rng)
    family = ("gaussian", "beta", "binomial", "poisson")[rng.integers(4)]
    share = 1 / (1 + np.exp(-data.y))
    if family == "gaussian":
        observed, size = data.y, np.full(data.y.shape, 0.01)
    elif family == "beta":
        observed, size = share, np.full(data.y.shape, 100.0)
    elif family == "binomial":
        size = np.full(data.y.shape, 50.0)
        observed = rng.binomial(50, share) / 50
    else:
        size = np.ones(data.y.shape)
        observed = rng.poisson(np.logaddexp(0, 3 * data.y)).astype(float)
    observations = Observations(observed, family, size)  # type: ignore[arg-type]
    start = observations.start()
    variance, m = start.var(axis=0), data.y.shape[1]
    prior = Prior(1.0, start.mean(axis=0), 4 * variance, 0.1 * variance * (m + 2), m + 2.0)
    settings = Settings(_FACTORS, False, 3.0, 12, 0.0, False)
    ones = np.ones(len(start))
    fit = first_fit(observations, starting_means(observations, _FACTORS, rng)[0], ones, prior,
                 settings)  # fmt: skip
    for _ in range(12):
        fit = step(fit, ones, prior, settings)
    trace = np.array(fit.trace)
    return float(max(0.0, -np.diff(trace).min()) / np.abs(trace).max())
