"""The variational bound of a mixture of multi-task Gaussian processes, and its gradient.

A task is one individual's series. Tasks with the same number of observations are computed together
as stacks of small matrices, and tasks with the same inputs and hyperparameters share one matrix (a
*unit*). The covariance of the mean processes is factored to its numerical rank, so neither it nor
the posterior covariance is ever inverted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import lapack
from scipy.spatial.distance import cdist

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# What the pivoted Cholesky factor may leave of a mean process's covariance, over its variance.
_RANK_TOLERANCE = 1e-10
_LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Block:
    """Tasks with equally many observations, and the units among them.

    Attributes
    ----------
    places
        Places of the grid at which each unit is observed, shape (n_units, n).
    tasks, unit
        Number and unit of each task of the block, shape (n_tasks,).
    values
        Observations, shape (n_tasks, n).
    squares
        Sum over each unit's tasks of y y', shape (n_units, n, n).
    """

    places: IntArray
    tasks: IntArray
    unit: IntArray
    values: FloatArray
    squares: FloatArray

    def per_unit(self, weights: FloatArray) -> FloatArray:
        """Sums over the tasks of each unit, shape (n_units, ...)."""
        if len(self.places) == len(self.tasks):
            return np.asarray(weights[np.argsort(self.unit)])
        total = np.zeros((len(self.places), *weights.shape[1:]))
        np.add.at(total, self.unit, weights)
        return total

    @cached_property
    def sizes(self) -> FloatArray:
        """Number of tasks of each unit."""
        return np.bincount(self.unit, minlength=len(self.places)).astype(float)

    @cached_property
    def pairs(self) -> tuple[IntArray, IntArray]:
        """Index of all pairs of places of each unit, for matrices on the grid."""
        return self.places[:, :, None], self.places[:, None, :]


@dataclass(frozen=True)
class Tasks:
    """All observations: distinct inputs (the grid), and blocks of tasks.

    Attributes
    ----------
    grid
        Distinct inputs of all tasks, shape (n_grid, n_inputs).
    blocks
        Tasks by number of observations.
    n_tasks, n_values
        Number of tasks and of observations.
    """

    grid: FloatArray
    blocks: tuple[Block, ...]
    n_tasks: int
    n_values: int

    @classmethod
    def collect(
        cls, task: ArrayLike, inputs: ArrayLike, values: ArrayLike, separate: bool = False
    ) -> Tasks:
        """Sort a long table into blocks.

        Parameters
        ----------
        task
            Task of each row from 0, every number in use, shape (n_rows,).
        inputs
            Shape (n_rows, n_inputs); an input may occur twice in a task.
        values
            Shape (n_rows,).
        separate
            Whether each task has hyperparameters of its own, and so a unit of its own.
        """
        code, y = np.asarray(task, dtype=np.int64), np.asarray(values, dtype=float)
        grid, place = np.unique(np.asarray(inputs, dtype=float), axis=0, return_inverse=True)
        order = np.lexsort((place.ravel(), code))
        place, y = place.ravel()[order].astype(np.int64), y[order]
        counts = np.bincount(code)
        first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        blocks = []
        for n in np.unique(counts):
            tasks = np.flatnonzero(counts == n)
            rows = first[tasks][:, None] + np.arange(n)
            if separate:
                places, unit = place[rows], np.arange(len(tasks))
            else:
                places, unit = np.unique(place[rows], axis=0, return_inverse=True)
            own = y[rows]
            squares = np.zeros((len(places), n, n))
            np.add.at(squares, unit.ravel(), own[:, :, None] * own[:, None, :])
            blocks.append(Block(places, tasks, unit.ravel().astype(np.int64), own, squares))
        return cls(grid, tuple(blocks), len(counts), len(y))

    @cached_property
    def distances(self) -> FloatArray:
        """Squared distances of the grid's places, shape (n_grid, n_grid)."""
        return np.asarray(cdist(self.grid, self.grid, "sqeuclidean"))

    @cached_property
    def flat_places(self) -> IntArray:
        """Places of all units of all blocks in one row."""
        return np.concatenate([block.places.ravel() for block in self.blocks])

    @cached_property
    def flat_pairs(self) -> IntArray:
        """Pairs of places of all units of all blocks in one row, as places of a raveled matrix."""
        n = len(self.grid)
        return np.concatenate([(left * n + right).ravel() for left, right in
                               (block.pairs for block in self.blocks)])  # fmt: skip


@dataclass(frozen=True)
class Labelled:
    """Tasks with responsibilities, summed over the tasks of each unit.

    Attributes
    ----------
    tasks, tau
        The tasks, and responsibilities of shape (n_tasks, n_clusters).
    weights, sums
        For each block, sums of tau (n_clusters, n_units) and of tau y (n_clusters, n_units, n).
    """

    tasks: Tasks
    tau: FloatArray
    weights: tuple[FloatArray, ...]
    sums: tuple[FloatArray, ...]

    @classmethod
    def of(cls, tasks: Tasks, tau: FloatArray) -> Labelled:
        """Sum up."""
        weights, sums = [], []
        for block in tasks.blocks:
            own = tau[block.tasks]
            weights.append(block.per_unit(own).T)
            products = block.per_unit(own[:, :, None] * block.values[:, None, :])
            sums.append(np.swapaxes(products, 0, 1))
        return cls(tasks, tau, tuple(weights), tuple(sums))


@dataclass(frozen=True)
class Hyperparameters:
    """Logarithms of what the kernels need.

    Attributes
    ----------
    mean
        Log variance and log length scale of the mean processes, shape (1 or n_clusters, 2).
    task
        Log variance, log length scale and log noise variance of the tasks, (1 or n_tasks, 3).
    """

    mean: FloatArray
    task: FloatArray

    def flat(self) -> FloatArray:
        """All in one vector."""
        return np.concatenate([self.mean.ravel(), self.task.ravel()])

    def of(self, tasks: IntArray) -> Hyperparameters:
        """Those of some of the tasks."""
        return Hyperparameters(self.mean, self.task if len(self.task) == 1 else self.task[tasks])

    def like(self, flat: FloatArray) -> Hyperparameters:
        """Read a vector with this one's shapes."""
        cut = self.mean.size
        return Hyperparameters(
            flat[:cut].reshape(self.mean.shape), flat[cut:].reshape(self.task.shape)
        )


def kernel(squared: FloatArray, variance: FloatArray, length: FloatArray) -> FloatArray:
    """Exponentiated quadratic kernel of squared distances; arguments other than these are logs.

    Examples
    --------
    >>> kernel(np.array([0.0, 2.0]), np.log(4.0), np.log(1.0)).round(3)
    array([4.   , 1.472])
    """
    return np.asarray(np.exp(variance - 0.5 * squared * np.exp(-2 * length)))


@dataclass(frozen=True)
class UnitTerms:
    """Covariances of one block's units: without noise, and inverse and log determinant with it."""

    signal: FloatArray
    inverse: FloatArray
    log_determinant: FloatArray
    noise: FloatArray
    squared: FloatArray
    length: FloatArray


def unit_terms(tasks: Tasks, block: Block, logs: FloatArray) -> UnitTerms:
    """Psi_i = xi_i + sigma_i^2 I of each unit, from the tasks' log hyperparameters."""
    own = logs if len(logs) == 1 else logs[block.tasks]
    variance, length, noise = own.T[:, :, None, None]
    squared = tasks.distances[block.pairs]
    signal = kernel(squared, variance, length)
    n = block.places.shape[1]
    lower = np.linalg.cholesky(signal + np.exp(noise) * np.eye(n))
    half = np.linalg.inv(lower)
    inverse = np.swapaxes(half, 1, 2) @ half
    log_determinant = 2 * np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    return UnitTerms(signal, inverse, log_determinant, np.exp(own[:, 2]), squared, length)


@dataclass(frozen=True)
class MeanPosterior:
    """q(mu_k) of one cluster on the grid: N(m + d, factor B^-1 factor').

    Attributes
    ----------
    prior_mean
        The constant m_k.
    shift
        d, posterior mean less prior mean, shape (n_grid,).
    covariance
        Posterior covariance, shape (n_grid, n_grid).
    weights
        C^-1 d, which predicts anywhere, shape (n_grid,).
    gain
        C^-1 (C - posterior covariance) C^-1, shape (n_grid, n_grid).
    divergence
        Kullback-Leibler divergence from the prior.
    """

    prior_mean: float
    shift: FloatArray
    covariance: FloatArray
    weights: FloatArray
    gain: FloatArray
    divergence: float

    @property
    def mean(self) -> FloatArray:
        """Posterior mean on the grid."""
        return self.prior_mean + self.shift


def mean_posterior(
    prior_factor: FloatArray, precision: FloatArray, information: FloatArray,
    prior_mean: float | None,
) -> MeanPosterior:  # fmt: skip
    """q(mu_k) = N(C^ (C^-1 m + information), C^), C^ = (C^-1 + precision)^-1.

    Parameters
    ----------
    prior_factor
        F with C = F F', shape (n_grid, rank).
    precision, information
        sum_i tau_ik Psi_i^-1 and sum_i tau_ik Psi_i^-1 y_i, put in their places of the grid.
    prior_mean
        The constant m_k; None takes the value that maximises the bound.
    """
    spread = precision @ prior_factor
    lower = np.linalg.cholesky(np.eye(prior_factor.shape[1]) + prior_factor.T @ spread)
    half = np.linalg.inv(lower)
    inverse = half.T @ half
    gain = precision - spread @ inverse @ spread.T
    total = precision.sum(axis=1)
    if prior_mean is None:
        pull = 1.0 - prior_factor @ (inverse @ spread.sum(axis=0))  # (C^-1 + L)^-1 C^-1 1
        scale = float(pull @ total)
        prior_mean = float(pull @ information) / scale if scale > 1e-10 else 0.0
    residual = information - prior_mean * total
    a = inverse @ (prior_factor.T @ residual)
    shift = prior_factor @ a
    divergence = 0.5 * (np.trace(inverse) + a @ a - len(a)) + np.log(np.diag(lower)).sum()
    covariance = prior_factor @ inverse @ prior_factor.T
    weights = residual - precision @ shift
    return MeanPosterior(prior_mean, shift, covariance, weights, gain, float(divergence))


def prior_factor(tasks: Tasks, logs: FloatArray) -> FloatArray:
    """F with F F' the covariance of a mean process on the grid, to its numerical rank."""
    covariance = kernel(tasks.distances, logs[0], logs[1])
    factor, pivot, rank, _ = lapack.dpstrf(
        covariance, tol=_RANK_TOLERANCE * np.exp(logs[0]), lower=1
    )
    ordered = np.empty((len(covariance), rank))
    ordered[pivot - 1] = np.tril(factor)[:, :rank]
    return ordered


@dataclass(frozen=True)
class Posterior:
    """The variational distribution of all mean processes, and what the bound needs of the tasks."""

    tasks: Tasks
    hyper: Hyperparameters
    terms: tuple[UnitTerms, ...]
    clusters: tuple[MeanPosterior, ...]

    @cached_property
    def fit_terms(self) -> FloatArray:
        """E_q log N(y_i; mu_k, Psi_i), the trace correction included, (n_tasks, n_clusters)."""
        found = np.empty((self.tasks.n_tasks, len(self.clusters)))
        for block, terms in zip(self.tasks.blocks, self.terms, strict=True):
            constant = block.places.shape[1] * _LOG_2PI + terms.log_determinant
            inverse = terms.inverse[block.unit]
            for k, cluster in enumerate(self.clusters):
                residual = block.values - cluster.mean[block.places][block.unit]
                square = (residual * (inverse @ residual[:, :, None])[:, :, 0]).sum(axis=1)
                trace = (terms.inverse * cluster.covariance[block.pairs]).sum(axis=(1, 2))
                found[block.tasks, k] = -0.5 * (square + (constant + trace)[block.unit])
        return found

    def bound(self, tau: FloatArray, log_share: FloatArray) -> float:
        """The evidence lower bound of the values as given."""
        divergence = sum(cluster.divergence for cluster in self.clusters)
        return float((tau * self.fit_terms).sum() - divergence + label_terms(tau, log_share))


def label_terms(tau: FloatArray, log_share: FloatArray) -> float:
    """E_q log p(Z) - E_q log q(Z)."""
    with np.errstate(divide="ignore"):
        logs = np.where(tau > 0, log_share - np.log(np.where(tau > 0, tau, 1.0)), 0.0)
    return float((tau * logs).sum())


def infer_means(
    labelled: Labelled, hyper: Hyperparameters, prior_mean: float | None = None,
    terms: tuple[UnitTerms, ...] | None = None,
) -> Posterior:  # fmt: skip
    """The optimal q(mu) for given responsibilities and hyperparameters.

    Parameters
    ----------
    prior_mean
        Constant of all mean processes; None estimates one for each.
    terms
        Those of the same hyperparameters, where at hand.
    """
    tasks = labelled.tasks
    if terms is None:
        terms = tuple(unit_terms(tasks, block, hyper.task) for block in tasks.blocks)
    factors = [prior_factor(tasks, logs) for logs in hyper.mean]
    n, clusters = len(tasks.grid), []
    for k in range(labelled.tau.shape[1]):
        precisions, pushes = [], []
        for own, weights, sums in zip(terms, labelled.weights, labelled.sums, strict=True):
            precisions.append((weights[k][:, None, None] * own.inverse).ravel())
            pushes.append((own.inverse @ sums[k][:, :, None]).ravel())
        precision = _summed(tasks.flat_pairs, precisions, n * n).reshape(n, n)
        information = _summed(tasks.flat_places, pushes, n)
        factor = factors[k if len(factors) > 1 else 0]
        clusters.append(mean_posterior(factor, precision, information, prior_mean))
    return Posterior(tasks, hyper, terms, tuple(clusters))


def _summed(places: IntArray, parts: list[FloatArray], size: int) -> FloatArray:
    """Sums of the parts' entries by place, shape (size,)."""
    return np.asarray(np.bincount(places, np.concatenate(parts), size), dtype=float)


def responsibilities(posterior: Posterior, log_share: FloatArray) -> FloatArray:
    """tau_ik in proportion to pi_k exp(E_q log N(y_i; mu_k, Psi_i)), (n_tasks, n_clusters)."""
    return normalise(posterior.fit_terms + log_share)


def normalise(logs: FloatArray) -> FloatArray:
    """Exponentials that sum to 1 over the last axis."""
    raised = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def collapsed_bound(
    labelled: Labelled, hyper: Hyperparameters, prior_mean: float | None = None
) -> tuple[float, FloatArray]:
    """The bound without its terms in the labels, q(mu) at its optimum; and its gradient.

    As q(mu) is optimal, the gradient by the hyperparameters is that of the bound with q(mu) held.

    Returns
    -------
    value, gradient
        The gradient is by `Hyperparameters.flat`.
    """
    posterior = infer_means(labelled, hyper, prior_mean)
    value = -sum(cluster.divergence for cluster in posterior.clusters)
    by_task = np.zeros_like(hyper.task)
    means = np.array([cluster.mean for cluster in posterior.clusters])
    covariances = [cluster.covariance for cluster in posterior.clusters]
    for block, terms, weights, sums in zip(
        labelled.tasks.blocks, posterior.terms, labelled.weights, labelled.sums, strict=True
    ):
        scatter = _expected_scatter(block, means, covariances, weights, sums)
        n, sizes = block.places.shape[1], block.sizes
        pulled = terms.inverse @ scatter
        value -= 0.5 * float(
            np.einsum("uii->", pulled) + (sizes * (terms.log_determinant + n * _LOG_2PI)).sum()
        )
        slope = 0.5 * (pulled @ terms.inverse - sizes[:, None, None] * terms.inverse)
        weighted = slope * terms.signal
        stretch = (weighted * terms.squared).sum(axis=(1, 2))
        gradient = np.stack(
            [
                weighted.sum(axis=(1, 2)),
                stretch * np.exp(-2 * terms.length[:, 0, 0]),
                np.einsum("uii->u", slope) * terms.noise,
            ],
            axis=1,
        )
        if len(hyper.task) == 1:
            by_task[0] += gradient.sum(axis=0)
        else:
            by_task[block.tasks] += gradient
    by_mean = _gradient_of_means(posterior, hyper)
    return float(value), np.concatenate([by_mean.ravel(), by_task.ravel()])


def _expected_scatter(
    block: Block, means: FloatArray, covariances: list[FloatArray], weights: FloatArray,
    sums: FloatArray,
) -> FloatArray:  # fmt: skip
    """Sum over each unit's tasks and the clusters of tau E_q (y - mu)(y - mu)'."""
    own = means[:, block.places]
    # tau (m m' - y m' - m y') = tau m (m / 2 - y)' and its transpose
    half = np.einsum("kui,kuj->uij", own, 0.5 * weights[:, :, None] * own - sums)
    scatter = block.squares + half + np.swapaxes(half, 1, 2)
    for weight, covariance in zip(weights, covariances, strict=True):
        scatter += weight[:, None, None] * covariance[block.pairs]
    return np.asarray(scatter)


def _gradient_of_means(posterior: Posterior, hyper: Hyperparameters) -> FloatArray:
    """Derivatives of -KL(q || prior) by the log variance and log length of each mean process."""
    found = np.zeros_like(hyper.mean)
    distances = posterior.tasks.distances
    for row, (variance, length) in enumerate(hyper.mean):
        members = posterior.clusters if len(hyper.mean) == 1 else posterior.clusters[row : row + 1]
        slope = 0.5 * sum(np.outer(one.weights, one.weights) - one.gain for one in members)
        weighted = slope * kernel(distances, variance, length)
        found[row] = weighted.sum(), (weighted * distances).sum() * np.exp(-2 * length)
    return found
