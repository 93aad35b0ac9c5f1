"""From observations to a fitted model: starts, sweeps, and merging and splitting of factors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from sklearn.cluster import KMeans

from statlas.core.progress import track
from statlas.core.rng import sklearn_seed
from statlas.statistics.ndm.likelihood import FloatArray, Observations
from statlas.statistics.ndm.model import (
    Globals,
    Locals,
    Prior,
    merge_candidates,
    merged,
    moments,
    reordered,
    split,
    step_bound,
    step_covariances,
    step_means,
    step_noise,
    step_rows,
    step_shares,
    tied_deviation,
    total_bound,
)

_TRIAL_SWEEPS = 8  # a merged or split model is given before it is judged
_START_SWEEPS = 5  # each start is given before the best is taken
_ROUNDS = 10
_PAIRS = 3  # of factors that are tried for merging, by either measure
_SHARES_EVERY = 3  # sweeps; the global proportions move slowly
_ROW_SWEEPS = 20  # for rows that come after the fit
_OUTWARD = 1.5  # how much further from the middle factors are sought than clusters
_FIRST_TOTAL = 20.0  # first concentration of a row's proportions


@dataclass(frozen=True)
class Settings:
    """What the fit is asked for."""

    n_factors: int
    learn_n_factors: bool
    alpha: float | None  # None learns it
    max_sweeps: int
    tolerance: float
    learn_noise: bool


@dataclass(frozen=True)
class Fit:
    """The model as it stands; `trace` is the evidence bound after each sweep."""

    observations: Observations
    rows: Locals
    shared: Globals
    trace: tuple[float, ...] = ()
    reach: float = 1.0
    converged: bool = False


def sweep(fit: Fit, particles: FloatArray, prior: Prior, settings: Settings) -> Fit:
    """One round of all steps; none of them lowers the bound."""
    observations, shared = fit.observations, fit.shared
    rows = step_bound(observations, fit.rows, shared, particles, prior)
    rows, _ = step_rows(rows, shared, particles, prior)
    rows, shared = step_means(rows, shared, particles, prior)
    shared, reach = step_covariances(rows, shared, particles, prior, fit.reach)
    if len(fit.trace) % _SHARES_EVERY == 0:
        shared = step_shares(rows, shared, prior, settings.alpha is None)
    if settings.learn_noise:
        observations, rows = step_noise(observations, rows, shared, particles, prior)
    new = Fit(observations, rows, shared, fit.trace, reach)
    return replace(new, trace=(*fit.trace, total_bound(rows, shared, particles, prior)))


def climb(
    fit: Fit, particles: FloatArray, prior: Prior, settings: Settings, sweeps: int
) -> Fit:  # fmt: skip
    """Sweep until the bound rises by less than the tolerance of a row, or sweeps run out."""
    least = settings.tolerance * len(fit.observations)
    for _ in range(sweeps):
        before = fit.trace[-1] if fit.trace else -np.inf
        fit = sweep(fit, particles, prior, settings)
        if fit.trace[-1] - before < least:
            return replace(fit, converged=True)
    return replace(fit, converged=False)


def fit_model(
    observations: Observations, particles: FloatArray, prior: Prior, settings: Settings,
    rng: np.random.Generator,
) -> Fit:  # fmt: skip
    """Fit from the better of two starts, then merge and split factors while that pays."""
    starts = [
        climb(first_fit(observations, centres, particles, prior, settings),
              particles, prior, settings, _START_SWEEPS)
        for centres in starting_means(observations, settings.n_factors, rng)
    ]  # fmt: skip
    fit = max(starts, key=lambda start: start.trace[-1])
    if not settings.learn_n_factors:
        return _ordered(climb(fit, particles, prior, settings, settings.max_sweeps))
    for _ in track(range(_ROUNDS), "rounds of merging and splitting"):
        fit = _ordered(climb(fit, particles, prior, settings, settings.max_sweeps))
        changed = _merge_all(fit, particles, prior, settings)
        changed = _split_all(changed, particles, prior, settings, rng)
        if changed.shared.n_factors == fit.shared.n_factors and fit.converged:
            return fit if changed.trace[-1] < fit.trace[-1] else _ordered(changed)
        fit = changed
    return _ordered(climb(fit, particles, prior, settings, settings.max_sweeps))


def _ordered(fit: Fit) -> Fit:
    rows, shared = reordered(fit.rows, fit.shared)
    return replace(fit, rows=rows, shared=shared)


def _merge_all(fit: Fit, particles: FloatArray, prior: Prior, settings: Settings) -> Fit:
    """Merge pairs whose proportions go together, or whose means are close, where it pays."""
    for _ in range(fit.shared.n_factors - 1):
        for pair in merge_candidates(fit.rows, fit.shared, prior, _PAIRS):
            rows, shared = merged(fit.rows, fit.shared, *pair)
            trial = _tried(replace(fit, rows=rows, shared=shared), fit, particles, prior, settings)
            if trial is not fit:
                fit = climb(trial, particles, prior, settings, settings.max_sweeps)
                break
        else:
            return fit
    return fit


def _split_all(
    fit: Fit, particles: FloatArray, prior: Prior, settings: Settings, rng: np.random.Generator
) -> Fit:
    """Split factors in two, by two-means of their local means, wherever the bound rises by it."""
    for which in range(fit.shared.n_factors):
        m = fit.rows.proportions[:, which]
        local = _local_targets(fit, which)
        use = m > 0.02
        if use.sum() < 4 or np.ptp(local[use], axis=0).max() == 0:
            continue
        clusters = KMeans(2, n_init=1, random_state=sklearn_seed(rng))
        clusters.fit(local[use], sample_weight=m[use])
        distance = clusters.transform(local) ** 2
        part = distance[:, 1] / np.maximum(distance.sum(axis=1), 1e-300)
        rows, shared = split(fit.rows, fit.shared, which, clusters.cluster_centers_, part)
        fit = _tried(replace(fit, rows=rows, shared=shared), fit, particles, prior, settings)
    return fit


def _local_targets(fit: Fit, which: int) -> FloatArray:
    """E x_nk; where factors do not vary, the row's misfit takes the place of the deviation."""
    m = fit.rows.proportions
    deviation = fit.rows.deviation[:, which]
    if not fit.rows.deviation.any():
        quadratic = fit.rows.quadratic
        misfit = quadratic.centre - m @ fit.shared.mean
        deviation = np.where(quadratic.precision > 0, misfit, 0.0)
    return np.asarray(fit.shared.mean[which] + deviation)


def _tried(trial: Fit, fit: Fit, particles: FloatArray, prior: Prior, settings: Settings) -> Fit:
    """The trial after a few sweeps if its bound is then higher, else the present fit."""
    trial = replace(trial, trace=(), reach=1.0)
    for left in range(_TRIAL_SWEEPS, 0, -1):
        last = trial.trace[-1] if trial.trace else -np.inf
        trial = sweep(trial, particles, prior, settings)
        lacking = fit.trace[-1] - trial.trace[-1]
        if lacking < 0:
            return replace(trial, trace=(*fit.trace, trial.trace[-1]))
        gain = trial.trace[-1] - last
        if lacking > gain * (left - 1):
            return fit
    return fit


# --- starts ---------------------------------------------------------------------------------------


def starting_means(
    observations: Observations, n_factors: int, rng: np.random.Generator
) -> list[FloatArray]:
    """Two guesses of the global means: centres of clusters, and those drawn apart.

    An average of factors lies inside their hull, so factors lie further out than clusters.
    """
    filled = _filled(observations)
    scale = filled.std(axis=0)
    scale[scale == 0] = 1.0
    scaled = filled / scale
    n = min(n_factors, len(filled))
    clusters = KMeans(n, n_init=3, random_state=sklearn_seed(rng)).fit(scaled)
    centres = clusters.cluster_centers_ * scale
    middle = filled.mean(axis=0)
    means = [centres, middle + _OUTWARD * (centres - middle)]
    lacking = n_factors - n
    return [np.vstack([mean, np.repeat(mean[:1], lacking, axis=0)]) for mean in means]


def _filled(observations: Observations) -> FloatArray:
    start = observations.start()
    with np.errstate(invalid="ignore"):
        seen = observations.seen
        count = np.maximum(seen.sum(axis=0), 1)
        mean = np.where(seen, start, 0.0).sum(axis=0) / count
    return np.where(seen, start, mean)


def first_fit(
    observations: Observations, centres: FloatArray, particles: FloatArray, prior: Prior,
    settings: Settings,
) -> Fit:  # fmt: skip
    """The model before any sweep, with these global means."""
    n_factors = len(centres)
    n = len(observations)
    freedom = prior.freedom + n
    shared = Globals(
        centres,
        np.repeat(1e-3 * prior.spread[None, :], n_factors, axis=0),
        np.repeat(np.diag(prior.scale)[None], n_factors, axis=0) * freedom / prior.freedom,
        freedom,
        np.full(n_factors, 10.0),
        1.0 if settings.alpha is None else settings.alpha,
    )
    return Fit(observations, first_rows(observations, shared, particles, prior), shared)


def first_rows(
    observations: Observations, shared: Globals, particles: FloatArray, prior: Prior
) -> Locals:
    """Rows before any step: proportions by nearness to the global means."""
    start = observations.start()
    seen = observations.seen
    first = np.where(seen, start, 0.0)
    quadratic = observations.bound(first, first**2 + 1e-2)
    gap = np.where(seen[:, None, :], start[:, None, :] - shared.mean, 0.0)
    distance = (gap**2 / prior.spread).sum(axis=2) / np.maximum(seen.sum(axis=1), 1)[:, None]
    closeness = 1 / np.maximum(distance, 1e-3)
    m = closeness / closeness.sum(axis=1, keepdims=True)
    weights = _FIRST_TOTAL * np.maximum(m, 1e-3)
    deviation = np.zeros((*weights.shape, shared.mean.shape[1]))
    return Locals(weights, deviation, quadratic)


def infer_rows(
    observations: Observations, shared: Globals, particles: FloatArray, prior: Prior
) -> tuple[Locals, FloatArray]:
    """Rows given the fitted globals, with each row's bound; a row does not see the others."""
    rows = first_rows(observations, shared, particles, prior)
    if prior.local:
        at = moments(rows, shared, particles, prior)
        d = tied_deviation(at.m, at.pull, rows.quadratic.centre, shared, particles)
        rows = replace(rows, deviation=d)
    for _ in range(_ROW_SWEEPS):
        rows = step_bound(observations, rows, shared, particles, prior)
        rows, value = step_rows(rows, shared, particles, prior)
    return rows, value
