"""Continuations of curves: mixtures of normal distributions, for tasks seen in training and new.

A new task's values are normal around the posterior mean of each mean process, with that process's
uncertainty added; a task seen in training has already taught the mean processes, so only its own
deviation is conditioned on its values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from scipy.special import ndtr, ndtri

from statlas.statistics.magmaclust.fitting import LENGTH, NOISE, VARIANCE, Fitted
from statlas.statistics.magmaclust.model import FloatArray, kernel, normalise

_LOG_2PI = float(np.log(2 * np.pi))
_HALVINGS = 48
# Log variance, length scale and noise variance from which a task alone is fitted.
SINGLE_STARTS = np.log([[1.0, 0.3, 0.05], [1.0, 1.0, 0.05]])


@dataclass(frozen=True)
class NormalMixture:
    """A mixture of normal distributions at each of several points.

    Attributes
    ----------
    weights
        Shape (n_clusters,), or (n_points, n_clusters).
    means, variances
        Shape (n_points, n_clusters).
    """

    weights: FloatArray
    means: FloatArray
    variances: FloatArray

    def mean(self) -> FloatArray:
        """Shape (n_points,)."""
        return np.asarray((self.weights * self.means).sum(axis=-1))

    def std(self) -> FloatArray:
        """Standard deviation: within the clusters and between them."""
        around = self.variances + (self.means - self.mean()[..., None]) ** 2
        return np.asarray(np.sqrt((self.weights * around).sum(axis=-1)))

    def cdf(self, values: ArrayLike) -> FloatArray:
        """Probability of at most `values`, shape (n_points,)."""
        scaled = (np.asarray(values, dtype=float)[..., None] - self.means) / np.sqrt(self.variances)
        return np.asarray((self.weights * ndtr(scaled)).sum(axis=-1))

    def log_density(self, values: ArrayLike) -> FloatArray:
        """Log density at `values`, shape (n_points,)."""
        gap = np.asarray(values, dtype=float)[..., None] - self.means
        with np.errstate(divide="ignore"):
            logs = np.log(self.weights) - 0.5 * (
                gap**2 / self.variances + np.log(self.variances) + _LOG_2PI
            )
        return np.asarray(np.logaddexp.reduce(logs, axis=-1))

    def quantile(self, level: float) -> FloatArray:
        """Quantiles of the mixture, by bisection between those of its parts, shape (n_points,).

        Examples
        --------
        >>> half = NormalMixture(np.array([0.5, 0.5]), np.array([[-9.0, 9.0]]), np.ones((1, 2)))
        >>> half.quantile(0.25).round(6)
        array([-9.])
        """
        parts = self.means + float(ndtri(level)) * np.sqrt(self.variances)
        used = np.broadcast_to(self.weights > 0, parts.shape)
        low = np.where(used, parts, np.inf).min(axis=-1)
        high = np.where(used, parts, -np.inf).max(axis=-1)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            below = self.cdf(middle) < level
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(0.5 * (low + high))

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Ends of the central interval."""
        return self.quantile(0.5 - level / 2), self.quantile(0.5 + level / 2)

    def scaled(self, offset: float, scale: float) -> NormalMixture:
        """The distribution of offset + scale times the variable."""
        return NormalMixture(self.weights, offset + scale * self.means, scale**2 * self.variances)


@dataclass(frozen=True)
class MeanProcesses:
    """Posterior of the mean processes at points of one's choice.

    Attributes
    ----------
    points
        Shape (n_points, n_inputs).
    mean, covariance
        Shapes (n_clusters, n_points) and (n_clusters, n_points, n_points).
    """

    points: FloatArray
    mean: FloatArray
    covariance: FloatArray

    @classmethod
    def at(cls, fit: Fitted, points: ArrayLike) -> MeanProcesses:
        """Posterior of all mean processes of a fit."""
        x = np.asarray(points, dtype=float)
        grid, logs = fit.posterior.tasks.grid, fit.posterior.hyper.mean
        own, cross = cdist(x, x, "sqeuclidean"), cdist(x, grid, "sqeuclidean")
        means, covariances = [], []
        for k, cluster in enumerate(fit.posterior.clusters):
            variance, length = logs[k if len(logs) > 1 else 0]
            reach = kernel(cross, variance, length)
            means.append(cluster.prior_mean + reach @ cluster.weights)
            covariances.append(kernel(own, variance, length) - reach @ cluster.gain @ reach.T)
        return cls(x, np.array(means), np.array(covariances))

    def deviations(self) -> FloatArray:
        """Standard deviations, shape (n_clusters, n_points)."""
        variances = np.diagonal(self.covariance, axis1=1, axis2=2)
        return np.asarray(np.sqrt(np.maximum(variances, 0.0)))


@dataclass(frozen=True)
class Continuation:
    """What is known of one task at new points.

    Attributes
    ----------
    tau
        Probability of each cluster, shape (n_clusters,).
    logs
        Log variance, log length scale and log noise variance of the task.
    mixture
        Its distribution at the new points: of the curve, or of values with their noise.
    """

    tau: FloatArray
    logs: FloatArray
    mixture: NormalMixture


def continue_seen(
    fit: Fitted, task: int, means: MeanProcesses, seen: ArrayLike, new: ArrayLike, y: ArrayLike,
    noisy: bool = True,
) -> Continuation:  # fmt: skip
    """A task of the training set at new points.

    Parameters
    ----------
    task
        Its number.
    means
        Mean processes at points that include those needed.
    seen, new
        Places among those points where the task was observed and where it is wanted.
    y
        Its values, shape (n_seen,).
    noisy
        Whether a new value with its noise is wanted, or the curve.

    Notes
    -----
    Given mu_k and y, the curve at new points has mean mu_new + R (y - mu_seen), R = xi_new,seen
    Psi^-1, and covariance xi_new - R xi_seen,new. Both are averaged over q(mu_k).
    """
    logs = fit.posterior.hyper.task
    own = logs[0 if len(logs) == 1 else task]
    seen, new, y = np.asarray(seen), np.asarray(new), np.asarray(y, dtype=float)
    reach, spread, noise = _deviation(means.points[seen], means.points[new], own)
    mean = means.mean[:, new] + (y - means.mean[:, seen]) @ reach.T
    covariance = means.covariance
    variance = (
        spread
        + np.diagonal(covariance[:, new[:, None], new], axis1=1, axis2=2)
        - 2 * np.einsum("ps,kps->kp", reach, covariance[:, new[:, None], seen])
        + np.einsum("ps,kst,pt->kp", reach, covariance[:, seen[:, None], seen], reach)
    )
    return _continuation(fit.tau[task], own, mean, variance, noise, noisy)


def _deviation(seen: FloatArray, new: FloatArray, logs: FloatArray) -> tuple[FloatArray, ...]:
    """xi_new,seen Psi^-1, variances of the rest, and the noise variance."""
    variance, length, noise = logs
    psi = kernel(cdist(seen, seen, "sqeuclidean"), variance, length)
    cross = kernel(cdist(new, seen, "sqeuclidean"), variance, length)
    factor = cho_factor(psi + np.exp(noise) * np.eye(len(seen)), lower=True)
    reach = cho_solve(factor, cross.T).T
    return reach, np.exp(variance) - (reach * cross).sum(axis=1), np.exp(noise)


def _continuation(
    tau: FloatArray, logs: FloatArray, mean: FloatArray, variance: FloatArray, noise: FloatArray,
    noisy: bool,
) -> Continuation:  # fmt: skip
    total = np.maximum(variance, 1e-12) + (noise if noisy else 0.0)
    return Continuation(tau, logs, NormalMixture(tau, mean.T, total.T))


def continue_new(
    fit: Fitted, seen: ArrayLike, y: ArrayLike, new: ArrayLike, noisy: bool = True,
    means: MeanProcesses | None = None,
) -> Continuation:  # fmt: skip
    """A task that was not in the training set, from its first values.

    Parameters
    ----------
    seen, y
        Its inputs (n_seen, n_inputs) and values (n_seen,); there may be none.
    new
        Inputs where it is wanted, shape (n_new, n_inputs).
    noisy
        Whether a new value with its noise is wanted, or the curve.
    means
        Mean processes at `seen` and then `new`, where at hand.

    Notes
    -----
    With hyperparameters that all tasks share only the label is inferred; else the task's own are
    found too, by the EM algorithm of the paper's prediction step.
    """
    observed = np.asarray(seen, dtype=float).reshape(-1, fit.posterior.tasks.grid.shape[1])
    wanted, y = np.asarray(new, dtype=float), np.asarray(y, dtype=float)
    n = len(y)
    if means is None:
        means = MeanProcesses.at(fit, np.vstack([observed, wanted]))
    task_logs = fit.posterior.hyper.task
    logs = task_logs.mean(axis=0)
    if n == 0:
        tau = fit.share
    elif len(task_logs) == 1:
        squared = cdist(observed, observed, "sqeuclidean")
        tau = normalise(_log_evidence(means, squared, y, logs)[0] + fit.log_share)
    else:
        logs, tau = new_task_em(means, y, logs, fit.log_share)[:2]
    distances = cdist(means.points, means.points, "sqeuclidean")
    gamma = means.covariance + kernel(distances, logs[0], logs[1])
    psi = gamma[:, :n, :n] + np.exp(logs[2]) * np.eye(n)
    gain = np.linalg.solve(psi, gamma[:, :n, n:])
    mean = means.mean[:, n:] + np.einsum("ksp,ks->kp", gain, y - means.mean[:, :n])
    variance = np.diagonal(gamma, axis1=1, axis2=2)[:, n:] - np.einsum(
        "ksp,ksp->kp", gain, gamma[:, :n, n:]
    )
    return _continuation(tau, logs, mean, variance, np.exp(logs[2]), noisy)


def _log_evidence(
    means: MeanProcesses, squared: FloatArray, y: FloatArray, logs: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Log N(y; m_k, C_k + Psi), shape (n_clusters,), and its gradient by `logs`, (.., 3)."""
    n = len(y)
    signal, noise = kernel(squared, logs[0], logs[1]), np.exp(logs[2])
    lower = np.linalg.cholesky(means.covariance[:, :n, :n] + signal + noise * np.eye(n))
    half = np.linalg.inv(lower)
    inverse = np.swapaxes(half, 1, 2) @ half
    residual = y - means.mean[:, :n]
    weights = (inverse @ residual[:, :, None])[:, :, 0]
    value = -0.5 * (
        (weights * residual).sum(axis=1)
        + 2 * np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
        + n * _LOG_2PI
    )
    slope = 0.5 * (weights[:, :, None] * weights[:, None, :] - inverse)
    weighted = slope * signal
    gradient = [
        weighted.sum(axis=(1, 2)),
        (weighted * squared).sum(axis=(1, 2)) * np.exp(-2 * logs[1]),
        np.einsum("kii->k", slope) * noise,
    ]
    return value, np.stack(gradient, axis=1)


def new_task_em(
    means: MeanProcesses, y: FloatArray, logs: FloatArray, log_share: FloatArray,
    max_iter: int = 30, tol: float = 1e-4,
) -> tuple[FloatArray, FloatArray, FloatArray]:  # fmt: skip
    """Hyperparameters and label of a new task, by EM of sum_k pi_k N(y; m_k, C_k + Psi).

    Returns
    -------
    logs, tau, trace
        The trace is the log likelihood after each round.
    """
    bounds = [VARIANCE, LENGTH, NOISE]
    squared = cdist(means.points[: len(y)], means.points[: len(y)], "sqeuclidean")
    value, _ = _log_evidence(means, squared, y, logs)
    trace = [float(np.logaddexp.reduce(value + log_share))]
    for _ in range(max_iter if len(log_share) > 1 else 1):
        tau = normalise(value + log_share)

        def negative(x: FloatArray, tau: FloatArray = tau) -> tuple[float, FloatArray]:
            values, gradient = _log_evidence(means, squared, y, x)
            return -float(tau @ values), -(tau @ gradient)

        start = np.clip(logs, *np.array(bounds).T)
        found = minimize(negative, start, jac=True, method="L-BFGS-B", bounds=bounds)
        logs = found.x if found.fun <= negative(logs)[0] else logs
        value, _ = _log_evidence(means, squared, y, logs)
        trace.append(float(np.logaddexp.reduce(value + log_share)))
        if trace[-1] - trace[-2] < tol:
            break
    return logs, normalise(value + log_share), np.array(trace)


def single_task(seen: ArrayLike, y: ArrayLike, new: ArrayLike, noisy: bool = True) -> NormalMixture:
    """One task alone: a Gaussian process around its own mean, by maximum likelihood.

    Parameters
    ----------
    seen, y, new
        Inputs of range about 1 (n_seen, n_inputs), values (n_seen,), inputs (n_new, n_inputs).
    """
    x, values = np.asarray(seen, dtype=float), np.asarray(y, dtype=float)
    offset, scale = float(values.mean()), float(values.std()) or 1.0
    scaled = (values - offset) / scale
    logs = alone_logs(x, scaled)
    reach, spread, noise = _deviation(x, np.asarray(new, dtype=float), logs)
    found = _continuation(np.ones(1), logs, (reach @ scaled)[None], spread[None], noise, noisy)
    return found.mixture.scaled(offset, scale)


def alone_logs(seen: FloatArray, y: FloatArray) -> FloatArray:
    """Log variance, length scale and noise variance of largest likelihood of one task alone."""
    flat = MeanProcesses(seen, np.zeros((1, len(y))), np.zeros((1, len(y), len(y))))
    runs = [new_task_em(flat, y, start, np.zeros(1)) for start in SINGLE_STARTS]
    return max(runs, key=lambda run: float(run[2][-1]))[0]
