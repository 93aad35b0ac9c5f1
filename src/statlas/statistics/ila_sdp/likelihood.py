"""Memberships by the likelihood-adjusted programme, covariances by the lifted memberships."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_triangular
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans

from statlas.statistics.ila_sdp.relaxation import (
    EXACT_LIMIT,
    Costs,
    Exact,
    FloatArray,
    IntArray,
    Multipliers,
    Relaxed,
    bound_near,
    partition_factors,
    peng_wei_costs,
    solve_exact,
    solve_low_rank,
)

CovarianceKind = Literal["full", "diag", "spherical", "tied"]
Solver = Literal["low-rank", "exact"]
Solution = Relaxed | Exact

_JITTER = 0.05  # noise on a start over its typical entry
_TINY = 1e-10


# --- the two programmes --------------------------------------------------------------------------


def solve_kmeans(
    x: ArrayLike,
    n_clusters: int,
    *,
    solver: Solver = "low-rank",
    n_init: int = 1,
    tolerance: float = 1e-3,
    rng: np.random.Generator | None = None,
) -> Solution:
    """Solve Peng and Wei's relaxation of K-means; the best of `n_init` random starts."""
    costs = peng_wei_costs(x, n_clusters)
    if solver == "exact":
        return solve_exact(costs)
    generator = np.random.default_rng(rng)
    found = [
        solve_low_rank(costs, 2 * n_clusters, tolerance=tolerance, rng=generator)
        for _ in range(n_init)
    ]
    return max(found, key=lambda one: one.value)


def membership_costs(x: ArrayLike, covariances: ArrayLike) -> Costs:
    """Costs of the likelihood-adjusted programme: minus twice the log-likelihood, lifted.

    With the mean of each cluster at its maximum, sum_{i in G} |x_i - mean|^2_S = (1 / 2 |G|)
    sum_{i, j in G} |x_i - x_j|^2_S, |v|^2_S = v' S^-1 v, so A_k[i, j] = -|x_i - x_j|^2_S / 2 -
    log det S and no centre appears.

    Parameters
    ----------
    x
        Shape (n, p).
    covariances
        Shape (K, p, p), positive definite.
    """
    points = np.asarray(x, dtype=float)
    points = points - points.mean(axis=0)
    roots = np.linalg.cholesky(np.asarray(covariances, dtype=float))
    whitened = np.stack([solve_triangular(root, points.T, lower=True).T for root in roots])
    offsets = 2 * np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
    return Costs(whitened, offsets, np.ones(len(roots)))


# --- covariances ---------------------------------------------------------------------------------


def lifted_covariances(
    x: ArrayLike, solution: Solution, kind: CovarianceKind = "full", floor: float = 1e-3
) -> FloatArray:
    """Covariances that maximise the lifted likelihood given the memberships.

    S_k = X' (diag(Z_k 1) - Z_k) X / (1' Z_k 1), eigenvalues raised to `floor`: exactly the maximum
    among covariances with no smaller eigenvalue, so that the likelihood never falls.

    Parameters
    ----------
    x
        Shape (n, p).
    solution
        Memberships.
    kind
        ``"full"``, ``"diag"`` and ``"spherical"`` differ between clusters, ``"tied"`` is one for
        all.
    floor
        Smallest eigenvalue (variance).

    Returns
    -------
    ndarray
        Shape (K, p, p).
    """
    points = np.asarray(x, dtype=float)
    points = points - points.mean(axis=0)
    weights = np.maximum(solution.weights, 0.0)
    if isinstance(solution, Relaxed):
        pulled = points.T @ solution.factors
        cross = pulled @ pulled.transpose(0, 2, 1)
    else:
        cross = points.T @ solution.matrices @ points
    scatter = np.einsum("ni,nk,nj->kij", points, weights, points, optimize=True) - cross
    sizes = np.maximum(weights.sum(axis=0), _TINY)
    return _maximised(scatter, sizes, kind, floor)


def partition_covariances(
    x: ArrayLike, labels: ArrayLike, n_clusters: int, kind: CovarianceKind, floor: float
) -> FloatArray:
    """The same for a partition."""
    factors = partition_factors(labels, n_clusters, 1, n_clusters)
    solution = Relaxed(factors, 0.0, 0.0, True)
    return lifted_covariances(x, solution, kind, floor)


def _maximised(
    scatter: FloatArray, sizes: FloatArray, kind: CovarianceKind, floor: float
) -> FloatArray:
    n_features = scatter.shape[1]
    if kind == "tied":
        pooled = scatter.sum(axis=0) / sizes.sum()
        return np.repeat(_raised(pooled[None], floor), len(sizes), axis=0)
    covariances = scatter / sizes[:, None, None]
    if kind == "full":
        return _raised(covariances, floor)
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    if kind == "spherical":
        variances = np.repeat(variances.mean(axis=1, keepdims=True), n_features, axis=1)
    return np.maximum(variances, floor)[:, :, None] * np.eye(n_features)


def _raised(matrices: FloatArray, floor: float) -> FloatArray:
    values, vectors = np.linalg.eigh((matrices + matrices.transpose(0, 2, 1)) / 2)
    kept: Any = vectors * np.maximum(values, floor)[:, None, :]
    return np.asarray(kept @ vectors.transpose(0, 2, 1))


def covariance_floor(x: ArrayLike, share: float) -> float:
    """The least variance admitted: `share` of the columns' mean variance."""
    return max(share * float(np.asarray(x, dtype=float).var(axis=0).mean()), _TINY)


# --- rounding ------------------------------------------------------------------------------------


def round_kmeans(solution: Solution, n_clusters: int, seed: int) -> IntArray:
    """Labels from the leading eigenvectors of Z, grouped by K-means, as the authors round."""
    if isinstance(solution, Relaxed):
        left, values, _ = np.linalg.svd(solution.factors[0], full_matrices=False)
        leading = left[:, :n_clusters] * values[:n_clusters]
    else:
        values, vectors = np.linalg.eigh(solution.matrices[0])
        leading = vectors[:, -n_clusters:] * np.sqrt(np.maximum(values[-n_clusters:], 0))
    return np.asarray(
        KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(leading), dtype=np.int64
    )


def round_memberships(solution: Solution) -> IntArray:
    """The cluster to which Z_k 1 gives most of a row."""
    return np.asarray(solution.weights.argmax(axis=1), dtype=np.int64)


# --- the iteration -------------------------------------------------------------------------------


@dataclass(frozen=True)
class AdjustedFit:
    """What the iteration ends with.

    Attributes
    ----------
    solution
        Memberships, one Z_k a cluster.
    labels
        Rounded, shape (n,).
    covariances
        Shape (K, p, p).
    trace
        Log-likelihood of the lifted memberships after each covariance update.
    converged
        Whether the likelihood has settled, and each programme was solved to its tolerance.
    """

    solution: Solution
    labels: IntArray
    covariances: FloatArray
    trace: tuple[float, ...]
    converged: bool


def likelihood_adjusted(
    x: ArrayLike,
    start: ArrayLike,
    *,
    kind: CovarianceKind = "full",
    floor: float = 1e-3,
    solver: Solver = "low-rank",
    rank: int | None = None,
    max_iter: int = 30,
    tol: float = 1e-4,
    tolerance: float = 1e-3,
    rng: np.random.Generator | None = None,
) -> AdjustedFit:
    """Alternate memberships given covariances and covariances given memberships.

    Both steps maximise one function, the lifted log-likelihood, so it never falls where the
    programmes are solved; a step that would lower it by numerical error is refused. The low-rank
    programme starts from the given labels and from a random point at the first step, then from the
    last memberships, and from a random point again when it has settled, to leave a local optimum.

    Parameters
    ----------
    x
        Shape (n, p).
    start
        Labels from 0 to K - 1 from which the first covariances come, shape (n,).
    kind, floor
        See `lifted_covariances`.
    solver
        ``"low-rank"`` or ``"exact"`` (up to some hundred rows).
    rank
        Columns of each factor, 2 K by default; 1 would be assignment vectors, hardly lifted.
    max_iter, tol
        Most iterations, and the gain a row below which the likelihood has settled.
    tolerance
        Largest violation of a constraint of the low-rank programme.
    rng
        For the random starts.
    """
    points, labels = np.asarray(x, dtype=float), np.asarray(start, dtype=np.int64)
    n_clusters = int(labels.max()) + 1
    programme = _Programme(
        solver, rank or 2 * n_clusters, tolerance, np.random.default_rng(rng), labels
    )
    covariances = partition_covariances(points, labels, n_clusters, kind, floor)
    best: Solution | None = None
    trace: list[float] = []
    fresh, settled = True, False
    for _ in range(max_iter):
        solution = programme.solve(membership_costs(points, covariances), best, fresh)
        updated = lifted_covariances(points, solution, kind, floor)
        likelihood = lifted_log_likelihood(points, solution, updated)
        gain = (likelihood - trace[-1]) / len(points) if trace else np.inf
        if gain > 0:
            best, covariances = solution, updated
            trace.append(likelihood)
        if gain <= tol and (fresh or solver == "exact"):
            settled = True
            break
        fresh = gain <= tol
    assert best is not None
    return AdjustedFit(
        best, round_memberships(best), covariances, tuple(trace), settled and best.converged
    )


@dataclass(frozen=True)
class _Programme:
    """How memberships are solved for."""

    solver: Solver
    rank: int
    tolerance: float
    rng: np.random.Generator
    labels: IntArray

    def solve(self, costs: Costs, last: Solution | None, fresh: bool) -> Solution:
        """From the last memberships, or afresh."""
        if self.solver == "exact":
            return solve_exact(costs)
        starts: list[tuple[FloatArray | None, Multipliers | None]] = []
        n_blocks = len(costs.traces)
        if last is None:
            own = partition_factors(self.labels, n_blocks, self.rank, n_blocks)
            starts.append((self._shaken(own), None))
        if isinstance(last, Relaxed) and not fresh:
            starts.append((self._shaken(last.factors), last.multipliers))
        if fresh:
            starts.append((None, None))
        found = [
            solve_low_rank(
                costs, self.rank, start=start, multipliers=known, tolerance=self.tolerance,
                rng=self.rng,
            )
            for start, known in starts
        ]  # fmt: skip
        return max(found, key=lambda one: one.value)

    def _shaken(self, factors: FloatArray) -> FloatArray:
        """Factors with noise, so that columns of zeros can move."""
        noise = self.rng.random(factors.shape) / np.sqrt(factors.shape[1] * factors.shape[2])
        return np.asarray(factors + _JITTER * noise)


def lifted_log_likelihood(x: ArrayLike, solution: Solution, covariances: ArrayLike) -> float:
    """Gaussian log-likelihood of the lifted memberships, the means at their maximum."""
    costs = membership_costs(x, covariances)
    n, p = np.shape(x)
    if isinstance(solution, Relaxed):
        u, y = solution.factors, costs.points
        sums = u.sum(axis=1)
        loads = (y**2).sum(axis=2) + costs.offsets[:, None]
        inner = y.transpose(0, 2, 1) @ u
        value = float((inner**2).sum() - (np.einsum("mn,mnr->mr", loads, u) * sums).sum())
    else:
        value = float((costs.dense() * solution.matrices).sum())
    return float((value - n * p * np.log(2 * np.pi)) / 2)


def likelihood_gap(
    x: ArrayLike, labels: ArrayLike, covariances: ArrayLike, solution: Solution
) -> float:
    """Log-likelihood that no other partition can gain over `labels` at these covariances.

    From the dual of the likelihood-adjusted programme, a few steps of the exact solver from the
    low-rank solution; NaN for more than 400 rows.
    """
    points = np.asarray(x, dtype=float)
    if len(points) > EXACT_LIMIT:
        return float("nan")
    costs = membership_costs(points, covariances)
    k = len(costs.traces)
    if isinstance(solution, Relaxed):
        bound = bound_near(costs, solution)
    else:
        bound = solve_exact(costs).bound
    factors = partition_factors(labels, k, 1, k)
    own = lifted_log_likelihood(points, Relaxed(factors, 0.0, 0.0, True), covariances)
    most = (bound - points.size * np.log(2 * np.pi)) / 2
    return float(max(most - own, 0.0))


# --- judging -------------------------------------------------------------------------------------


def log_densities(x: ArrayLike, means: ArrayLike, covariances: ArrayLike) -> FloatArray:
    """Gaussian log-densities of each row under each cluster, shape (n, K)."""
    points = np.asarray(x, dtype=float)
    columns = []
    for mean, covariance in zip(np.asarray(means), np.asarray(covariances), strict=True):
        root = np.linalg.cholesky(covariance)
        z = solve_triangular(root, (points - mean).T, lower=True)
        constant = len(mean) * np.log(2 * np.pi) / 2 + np.log(np.diag(root)).sum()
        columns.append(-0.5 * (z**2).sum(axis=0) - constant)
    return np.stack(columns, axis=1)


def integrated_criterion(
    x: ArrayLike, labels: ArrayLike, kind: CovarianceKind = "full", floor: float = 1e-3
) -> float:
    """ICL of a partition (Biernacki, Celeux and Govaert, 2000) to choose K by; less is better.

    -2 sum_i log(share_k density_k(x_i)) with k the row's cluster, plus log n a parameter.
    """
    points = np.asarray(x, dtype=float)
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    n, p, k = *points.shape, int(codes.max()) + 1
    covariances = partition_covariances(points, codes, k, kind, floor)
    means = np.stack([points[codes == j].mean(axis=0) for j in range(k)])
    own = log_densities(points, means, covariances)[np.arange(n), codes]
    shares = np.bincount(codes) / n
    shapes = {"full": k * p * (p + 1) // 2, "tied": p * (p + 1) // 2, "diag": k * p, "spherical": k}
    n_parameters = k * p + shapes[kind] + k - 1
    return float(-2 * (own + np.log(shares[codes])).sum() + n_parameters * np.log(n))


def misclustering(labels: ArrayLike, truth: ArrayLike) -> float:
    """Share of rows in the wrong cluster, clusters matched to true groups as well as can be.

    Examples
    --------
    >>> misclustering([1, 1, 0, 0], ["a", "a", "b", "a"])
    0.25
    """
    matched = match_labels(labels, truth)
    codes = np.unique(np.asarray(truth), return_inverse=True)[1]
    return float(np.mean(matched != codes))


def match_labels(labels: ArrayLike, truth: ArrayLike) -> IntArray:
    """The true group that each row's cluster stands for, -1 for clusters left over."""
    own = np.asarray(labels, dtype=np.int64)
    codes = np.unique(np.asarray(truth), return_inverse=True)[1]
    table = np.zeros((int(own.max()) + 1, int(codes.max()) + 1))
    np.add.at(table, (own, codes), 1)
    rows, columns = linear_sum_assignment(-table)
    stands = np.full(len(table), -1)
    stands[rows] = columns
    return np.asarray(stands[own], dtype=np.int64)
