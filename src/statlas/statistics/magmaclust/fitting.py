"""Variational EM, its start, and the choice of the number of clusters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from statlas.statistics.magmaclust.model import (
    FloatArray,
    Hyperparameters,
    Labelled,
    Posterior,
    Tasks,
    collapsed_bound,
    infer_means,
    kernel,
    responsibilities,
)

# Bounds for inputs of range 1 and values of variance 1, as logarithms.
VARIANCE, LENGTH, NOISE = np.log([(1e-4, 1e2), (0.02, 20.0), (1e-5, 1e1)])
_FIRST_MEAN = np.log([[0.5, 0.3]])
_FIRST_TASK = np.log([[0.3, 0.3, 0.1]])
_SWEEPS = 5  # of labels and mean processes between two steps in the hyperparameters
_FEATURES = 24  # places at which curves are compared for the first labels


@dataclass(frozen=True)
class Options:
    """How a model is fitted.

    Attributes
    ----------
    shared_clusters, shared_tasks
        Whether all mean processes, and all tasks, have the same hyperparameters.
    prior_mean
        Constant mean of the mean processes, None to estimate one for each cluster.
    max_iter, tol
        Most iterations, and the gain of the bound per observation that ends them.
    steps
        Quasi-Newton steps in the hyperparameters at each iteration.
    starts
        Partitions to start from.
    """

    shared_clusters: bool = True
    shared_tasks: bool = True
    prior_mean: float | None = None
    max_iter: int = 60
    tol: float = 1e-5
    steps: int = 8
    starts: int = 3


@dataclass(frozen=True)
class Fitted:
    """A fitted mixture, in the units in which the tasks were given.

    Attributes
    ----------
    posterior
        q(mu) and hyperparameters.
    tau
        Responsibilities, shape (n_tasks, n_clusters).
    share
        Mixing proportions pi, shape (n_clusters,).
    trace
        The bound after every half step: labels and mean processes, then hyperparameters.
    converged
        Whether the gain fell below the tolerance.
    """

    posterior: Posterior
    tau: FloatArray
    share: FloatArray
    trace: FloatArray
    converged: bool

    @property
    def bound(self) -> float:
        """The evidence lower bound reached."""
        return float(self.trace[-1])

    @property
    def log_share(self) -> FloatArray:
        """Log pi, minus infinity for an empty cluster."""
        return log_share(self.share)


def log_share(share: FloatArray) -> FloatArray:
    """Log pi, minus infinity where it is 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(share))


Update = Callable[[Posterior, FloatArray], FloatArray]


def variational_em(
    tasks: Tasks, tau: FloatArray, hyper: Hyperparameters, options: Options, *,
    fixed: bool = False, update: Update = responsibilities,
) -> Fitted:  # fmt: skip
    """Raise the bound by turns in q(mu), q(Z), pi and the hyperparameters.

    Parameters
    ----------
    tau
        First responsibilities, shape (n_tasks, n_clusters).
    hyper
        First hyperparameters.
    fixed
        Whether the responsibilities are known and stay.
    update
        The step in q(Z).
    """
    share = tau.mean(axis=0)
    least = options.tol * tasks.n_values
    trace: list[float] = []
    reached, converged = -np.inf, False
    for _ in range(options.max_iter):
        labelled = Labelled.of(tasks, tau)
        hyper = _raise_hyperparameters(labelled, hyper, options)
        posterior = infer_means(labelled, hyper, options.prior_mean)
        trace.append(posterior.bound(tau, log_share(share)))
        for _ in range(0 if fixed else _SWEEPS):
            tau = update(posterior, log_share(share))
            share = tau.mean(axis=0)
            labelled = Labelled.of(tasks, tau)
            posterior = infer_means(labelled, hyper, options.prior_mean, posterior.terms)
            trace.append(posterior.bound(tau, log_share(share)))
            if trace[-1] - trace[-2] < least:
                break
        converged = trace[-1] - reached < least
        reached = trace[-1]
        if converged:
            break
    return Fitted(posterior, tau, share, np.array(trace), converged)


def _raise_hyperparameters(
    labelled: Labelled, hyper: Hyperparameters, options: Options
) -> Hyperparameters:
    """Some quasi-Newton steps of the bound in which q(mu) is at its optimum throughout."""

    def negative(flat: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = collapsed_bound(labelled, hyper.like(flat), options.prior_mean)
        return -value / n_values, -gradient / n_values

    n_values = labelled.tasks.n_values

    bounds = [VARIANCE, LENGTH] * len(hyper.mean) + [VARIANCE, LENGTH, NOISE] * len(hyper.task)
    start = np.clip(hyper.flat(), *np.array(bounds).T)
    found = minimize(
        negative, start, jac=True, method="L-BFGS-B", bounds=bounds,
        options={"maxiter": options.steps},
    )  # fmt: skip
    return hyper.like(found.x) if found.fun <= negative(hyper.flat())[0] else hyper


def first_hyperparameters(tasks: Tasks, n_clusters: int, options: Options) -> Hyperparameters:
    """Usual values for inputs of range 1 and values of variance 1."""
    return Hyperparameters(
        np.tile(_FIRST_MEAN, (1 if options.shared_clusters else n_clusters, 1)),
        np.tile(_FIRST_TASK, (1 if options.shared_tasks else tasks.n_tasks, 1)),
    )


def fit_one(tasks: Tasks, options: Options) -> Fitted:
    """The model with one cluster (Magma); its bound is the log likelihood itself."""
    tau = np.ones((tasks.n_tasks, 1))
    return variational_em(tasks, tau, first_hyperparameters(tasks, 1, options), options, fixed=True)


def fit_clusters(
    tasks: Tasks, n_clusters: int, options: Options, one: Fitted, rng: np.random.Generator
) -> Fitted:
    """The best of several starts from partitions of the smoothed curves.

    Parameters
    ----------
    one
        The fit with one cluster, which smooths the curves and gives the first hyperparameters.
    """
    if n_clusters == 1:
        return one
    hyper = one.posterior.hyper
    if not options.shared_clusters:
        hyper = replace(hyper, mean=np.tile(hyper.mean[:1], (n_clusters, 1)))
    curves = smoothed_curves(one)
    begun = [
        _begin(tasks, *_partition(curves, n_clusters, rng), hyper, options)
        for _ in range(options.starts)
    ]
    best = max(begun, key=lambda fit: fit.bound)
    rest = variational_em(tasks, best.tau, best.posterior.hyper, options)
    return replace(rest, trace=np.concatenate([best.trace, rest.trace]))


def _partition(
    curves: FloatArray, n_clusters: int, rng: np.random.Generator
) -> tuple[FloatArray, float]:
    """Labels of the curves by k-means, and the share of their spread that is left within."""
    from sklearn.cluster import KMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct curves than clusters
        means = KMeans(n_clusters, n_init=1, random_state=int(rng.integers(2**31))).fit(curves)
    total = float(((curves - curves.mean(axis=0)) ** 2).sum())
    return np.eye(n_clusters)[means.labels_], float(means.inertia_) / total if total > 0 else 1.0


def _begin(
    tasks: Tasks, tau: FloatArray, within: float, hyper: Hyperparameters, options: Options
) -> Fitted:
    """First hyperparameters that suit a partition, then two rounds with free labels.

    With the hyperparameters of a single cluster each curve's own deviation would explain the
    clusters away, so the tasks' variance starts at its share within the clusters.
    """
    lowered = hyper.task + np.array([np.log(max(within, 1e-6)), 0.0, 0.0])
    start = Hyperparameters(hyper.mean, np.maximum(lowered, [VARIANCE[0], LENGTH[0], NOISE[0]]))
    held = variational_em(tasks, tau, start, replace(options, max_iter=3), fixed=True)
    freed = variational_em(tasks, tau, held.posterior.hyper, replace(options, max_iter=2))
    return replace(freed, trace=np.concatenate([held.trace, freed.trace]))


def smoothed_curves(one: Fitted) -> FloatArray:
    """Mean of each task's curve at places spread over the grid, shape (n_tasks, n_places)."""
    posterior = one.posterior
    tasks, hyper = posterior.tasks, posterior.hyper
    n = len(tasks.grid)
    chosen = np.unique(np.linspace(0, n - 1, min(n, _FEATURES)).round().astype(int))
    mean = posterior.clusters[0].mean
    curves = np.tile(mean[chosen], (tasks.n_tasks, 1))
    for block, terms in zip(tasks.blocks, posterior.terms, strict=True):
        logs = hyper.task if len(hyper.task) == 1 else hyper.task[block.tasks]
        squared = tasks.distances[chosen[:, None], block.places[:, None, :]]
        cross = kernel(squared, logs[:, :1, None], logs[:, 1:2, None])
        gain = cross @ terms.inverse
        residual = block.values - mean[block.places][block.unit]
        curves[block.tasks] += np.einsum("tcn,tn->tc", gain[block.unit], residual)
    return curves


def n_parameters(fit: Fitted, options: Options) -> int:
    """Free hyperparameters: kernels, noise, prior means and mixing proportions."""
    hyper, k = fit.posterior.hyper, len(fit.share)
    means = k if options.prior_mean is None else 0
    return hyper.mean.size + hyper.task.size + means + k - 1


def variational_bic(fit: Fitted, options: Options) -> float:
    """Bound less half the number of hyperparameters times the log of the number of tasks."""
    return fit.bound - 0.5 * n_parameters(fit, options) * float(np.log(fit.posterior.tasks.n_tasks))


def fit_candidates(
    tasks: Tasks, candidates: Iterable[int], options: Options, rng: np.random.Generator
) -> dict[int, Fitted]:
    """A fit of each number of clusters, until three are below the best before them."""
    one = fit_one(tasks, options)
    fits: dict[int, Fitted] = {}
    scores: dict[int, float] = {}
    for k in candidates:
        fits[k] = fit_clusters(tasks, k, options, one, rng)
        scores[k] = variational_bic(fits[k], options)
        best = max(scores, key=lambda n: scores[n])
        if sum(n > best for n in scores) >= 3:
            break
    return fits
