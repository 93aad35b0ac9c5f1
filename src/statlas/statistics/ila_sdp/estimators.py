"""The two clusterings as scikit-learn estimators."""

from __future__ import annotations

from typing import Any, Self, cast, get_args

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from statlas.statistics.ila_sdp.certificate import bounded_kmeans
from statlas.statistics.ila_sdp.likelihood import (
    CovarianceKind,
    Solver,
    covariance_floor,
    likelihood_adjusted,
    log_densities,
    round_kmeans,
    solve_kmeans,
)
from statlas.statistics.ila_sdp.relaxation import EXACT_LIMIT, FloatArray, IntArray


class _SemidefiniteClusterer(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """What both share: checks of input and options."""

    n_clusters: int
    solver: Solver
    n_init: int
    tolerance: float
    random_state: Any

    def _checked(self, X: Any) -> tuple[FloatArray, np.random.Generator]:
        x = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        if self.n_clusters < 1 or self.n_init < 1 or not self.tolerance > 0:
            raise ValueError("n_clusters and n_init must be at least 1, tolerance above 0")
        if self.solver not in get_args(Solver):
            raise ValueError(f"solver must be one of {get_args(Solver)}; got {self.solver!r}")
        if len(x) < self.n_clusters:
            raise ValueError(f"n_samples={len(x)} should be >= n_clusters={self.n_clusters}")
        if self.solver == "exact" and len(x) > EXACT_LIMIT:
            raise ValueError(
                f"the exact solver takes up to {EXACT_LIMIT} samples; got n_samples={len(x)}"
            )
        if self.random_state is None:  # scikit-learn would take, and move, the global generator
            return x, np.random.default_rng()
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        return x, np.random.default_rng(seed)

    def _plain(self, x: FloatArray, rng: np.random.Generator) -> tuple[Any, IntArray]:
        """Peng and Wei's programme and its labels."""
        if self.n_clusters == 1:
            return None, np.zeros(len(x), dtype=np.int64)
        solution = solve_kmeans(
            x, self.n_clusters, solver=self.solver, n_init=self.n_init,
            tolerance=self.tolerance, rng=rng,
        )  # fmt: skip
        return solution, round_kmeans(solution, self.n_clusters, int(rng.integers(2**31)))


class SemidefiniteKMeans(_SemidefiniteClusterer):
    """K-means by Peng and Wei's semidefinite relaxation, without dependence on a start.

    Parameters
    ----------
    n_clusters
        Number of clusters K.
    solver
        ``"low-rank"``: Z = U U' with nonnegative U of 2 K columns. ``"exact"``: the convex
        programme, for at most 400 rows.
    n_init
        Random starts of the low-rank solver, of which the best is kept.
    tolerance
        Largest violation of a constraint of the low-rank solver.
    random_state
        Seed of the starts and of rounding.

    Attributes
    ----------
    labels_
        Shape (n,).
    cluster_centers_
        Shape (K, p).
    certificate_
        What the dual says about these labels, a `Certificate`.
    solution_
        The relaxation's solution, None for one cluster.
    converged_
        Whether the solver met its tolerance.
    """

    def __init__(
        self,
        n_clusters: int = 3,
        *,
        solver: Solver = "low-rank",
        n_init: int = 1,
        tolerance: float = 1e-4,
        random_state: Any = None,
    ):
        self.n_clusters = n_clusters
        self.solver = solver
        self.n_init = n_init
        self.tolerance = tolerance
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Cluster the rows.

        Raises
        ------
        ValueError
            If an option is out of range or there are fewer rows than clusters.
        """
        x, rng = self._checked(X)
        self.solution_, labels = self._plain(x, rng)
        used, self.labels_ = np.unique(labels, return_inverse=True)
        self.cluster_centers_ = np.stack(
            [x[self.labels_ == k].mean(axis=0) for k in range(len(used))]
        )
        self.certificate_ = bounded_kmeans(x, self.labels_, self.solution_)
        self.converged_ = self.solution_ is None or self.solution_.converged
        return self

    def predict(self, X: Any) -> IntArray:
        """Cluster whose centre is nearest."""
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray(self._distances(x).argmin(axis=1), dtype=np.int64)

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the sum of squared distances to the nearest centre, as scikit-learn's K-means."""
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype=np.float64)
        return -float(self._distances(x).min(axis=1).sum())

    def _distances(self, x: FloatArray) -> FloatArray:
        return np.asarray(((x[:, None, :] - self.cluster_centers_) ** 2).sum(axis=2))


class LikelihoodAdjustedSDP(_SemidefiniteClusterer):
    """Gaussian clusters of unequal covariances by iterated semidefinite programmes (iLA-SDP).

    Parameters
    ----------
    n_clusters
        Number of clusters K.
    covariance_type
        ``"full"``, ``"diag"`` or ``"spherical"`` for each cluster, ``"tied"`` for one of all.
    init
        ``"sdp"``: labels of the plain relaxation; ``"random"``; or labels, shape (n,).
    min_variance
        Least variance in any direction, as a share of the columns' mean variance.
    solver, n_init, tolerance
        As in `SemidefiniteKMeans`, for every programme solved; `n_init` is of the plain one.
    max_iter, tol
        Most iterations, and the gain a row in log-likelihood that ends them.
    random_state
        Seed.

    Attributes
    ----------
    labels_
        Rounded memberships, shape (n,).
    memberships_
        Z_k 1, shape (n, K); rows sum to one.
    means_, covariances_
        Of the lifted memberships, shapes (K, p) and (K, p, p).
    log_likelihoods_
        After each iteration; they never fall.
    start_labels_, start_solution_
        From which the first covariances came, and the plain programme's solution if it was that.
    converged_
        Whether the likelihood settled and the programmes met their tolerance.
    """

    def __init__(
        self,
        n_clusters: int = 3,
        *,
        covariance_type: CovarianceKind = "full",
        init: Any = "sdp",
        min_variance: float = 1e-3,
        solver: Solver = "low-rank",
        n_init: int = 1,
        max_iter: int = 30,
        tol: float = 1e-4,
        tolerance: float = 1e-3,
        random_state: Any = None,
    ):
        self.n_clusters = n_clusters
        self.covariance_type = covariance_type
        self.init = init
        self.min_variance = min_variance
        self.solver = solver
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.tolerance = tolerance
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Cluster the rows.

        Raises
        ------
        ValueError
            If an option is out of range or there are fewer rows than clusters.
        """
        x, rng = self._checked(X)
        if self.covariance_type not in get_args(CovarianceKind):
            raise ValueError(f"covariance_type must be one of {get_args(CovarianceKind)}")
        if self.max_iter < 1 or not self.min_variance > 0:
            raise ValueError("max_iter must be at least 1 and min_variance above 0")
        self.start_solution_, self.start_labels_ = self._start(x, rng)
        fitted = likelihood_adjusted(
            x, self.start_labels_, kind=self.covariance_type,
            floor=covariance_floor(x, self.min_variance), solver=self.solver,
            max_iter=self.max_iter, tol=self.tol, tolerance=self.tolerance, rng=rng,
        )  # fmt: skip
        weights = np.maximum(fitted.solution.weights, 0.0)
        self.memberships_ = weights / weights.sum(axis=1, keepdims=True)
        self.labels_ = fitted.labels
        sizes = np.maximum(self.memberships_.sum(axis=0), 1e-10)
        self.means_ = (self.memberships_.T @ x) / sizes[:, None]
        self.covariances_ = fitted.covariances
        self.log_likelihoods_ = np.array(fitted.trace)
        self.n_iter_ = len(fitted.trace)
        self.solution_ = fitted.solution
        self.converged_ = fitted.converged
        return self

    def _start(self, x: FloatArray, rng: np.random.Generator) -> tuple[Any, IntArray]:
        k = self.n_clusters
        if isinstance(self.init, str):
            if self.init == "sdp":
                return self._plain(x, rng)
            if self.init == "random":
                return None, rng.permutation(np.arange(len(x)) % k)
            raise ValueError(f"init must be 'sdp', 'random' or labels; got {self.init!r}")
        given = np.asarray(self.init)
        if given.shape != (len(x),) or len(np.unique(given)) != k:
            raise ValueError(f"init must label {len(x)} rows with {k} clusters")
        return None, np.asarray(np.unique(given, return_inverse=True)[1], dtype=np.int64)

    def _densities(self, X: Any) -> FloatArray:
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype=np.float64)
        return log_densities(x, self.means_, self.covariances_)

    def predict_proba(self, X: Any) -> FloatArray:
        """Probability of each cluster, all equally likely beforehand, shape (n, K)."""
        return cast(FloatArray, softmax(self._densities(X), axis=1))

    def predict(self, X: Any) -> IntArray:
        """Cluster of the highest density; for the rows fitted, `labels_` may differ where close."""
        return np.asarray(self._densities(X).argmax(axis=1), dtype=np.int64)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-density of a row under its likeliest cluster, in nats."""
        return float(self._densities(X).max(axis=1).mean())
