"""The estimator: sketch, climb there, lift, climb again, and bound what could be missed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from statlas.core.numerics.sketches import make_sketch
from statlas.statistics.kde_modes.bandwidth import choose_bandwidth
from statlas.statistics.kde_modes.certificate import density_bound
from statlas.statistics.kde_modes.kernels import FloatArray, Kernel, KernelName
from statlas.statistics.kde_modes.search import (
    IntArray,
    distinct_modes,
    lift,
    log_heights,
    mean_shift,
)

_MERGE = 0.1  # bandwidths within which two ends of a search are one mode


def usual_sketch(n: int, d: int) -> int:
    """Dimensions taken where none are asked for: 4 ln n, or all d if there are no more."""
    return int(min(d, np.ceil(4 * np.log(n)))) if n > 1 else d


@dataclass(frozen=True)
class Sketched:
    """One sketch with the modes found in it.

    Attributes
    ----------
    matrix
        Shape (m, d); None where the search was in all dimensions.
    rows, modes
        Rows and modes in the sketch, shapes (n, m) and (k, m).
    labels
        Mode to which each row climbed.
    lifted, log_heights
        The modes carried back, shape (k, d), and the log of the mean kernel value there.
    converged, steps, work
        Share of rows that came to rest; steps and work as in `Climb`, the lifting included.
    """

    matrix: FloatArray | None
    rows: FloatArray
    modes: FloatArray
    labels: IntArray
    lifted: FloatArray
    log_heights: FloatArray
    converged: float
    steps: int
    work: int


def search_sketch(
    points: FloatArray, bandwidth: float, kernel: Kernel, n_dimensions: int,
    rng: np.random.Generator, max_iter: int = 500, tol: float = 1e-3,
    starts: IntArray | None = None,
) -> Sketched:  # fmt: skip
    """Modes of the density by a search from every row (or those of `starts`) in one sketch.

    Parameters
    ----------
    points
        Shape (n, d).
    n_dimensions
        Rows m of the Gaussian sketch; d or more searches the points themselves.
    """
    d = points.shape[1]
    matrix = None
    rows = points
    if n_dimensions < d:
        matrix = np.asarray(make_sketch("gaussian", n_dimensions, d, rng) @ np.eye(d))
        rows = points @ matrix.T
    first = rows if starts is None else rows[starts]
    climb = mean_shift(first, rows, bandwidth, kernel, max_iter, tol)
    chosen, labels = distinct_modes(climb.places, climb.log_heights, _MERGE * bandwidth)
    modes = climb.places[chosen]
    lifted = modes
    if matrix is not None:
        lifted = np.array([lift(mode, rows, points, bandwidth, kernel) for mode in modes])
    heights = log_heights(lifted, points, bandwidth, kernel)
    work = climb.work + (len(modes) * points.size if matrix is not None else 0)
    return Sketched(
        matrix, rows, modes, labels, lifted, heights, float(climb.converged.mean()),
        climb.steps, work,
    )  # fmt: skip


class SketchedModeFinder(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Modes and basins of a kernel density, found after a random projection.

    Parameters
    ----------
    kernel
        ``"gaussian"``, ``"logistic"``, ``"sigmoid"`` or ``"generalised"``; see `Kernel`.
    power
        Exponent of the generalised Gaussian, at least 1.
    bandwidth
        Unit of distance; None to choose it by `rule`.
    rule
        ``"neighbours"``, or ``"likelihood"`` (leave-one-out; in many dimensions it often leaves
        each row alone).
    neighbours
        Share of the rows that a neighbourhood holds, for the rule of that name.
    n_dimensions
        Dimensions of a sketch; None for 4 ln n. As many as there are features: no sketch.
    n_sketches
        Sketches to search; the modes of all are pooled.
    refine
        Whether to climb on in all dimensions from the lifted modes.
    bound
        Whether to compute `upper_bound_`, from all n^2 distances.
    max_iter, tol
        Most steps of a search, and the mean shift (in bandwidths) at which it rests.
    random_state
        Seed or generator of the sketches; None for a fresh one.

    Attributes
    ----------
    cluster_centers_
        Modes from the highest down, shape (n_modes, n_features).
    heights_
        Mean kernel value at each mode, in (0, 1].
    labels_
        Mode of each training row: where it climbs to in the sketch whose best mode was highest.
    bandwidth_, n_dimensions_
        What was used.
    upper_bound_, certificate_
        Mean kernel value that no place exceeds, and the best height over it; NaN without `bound`.
    converged_
        Whether at least 99 % of the searches came to rest.
    lifted_height_
        Height of the best mode as it was lifted, before the climb in all dimensions.
    n_iter_
        Steps of the longest search, and of the longest climb after it.
    work_
        Pairs of a place and a row that were compared, times the dimensions they were compared in.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 200)) + np.repeat([[0.0], [2.0]], 30, axis=0)
    >>> finder = SketchedModeFinder(bandwidth=9.0, n_dimensions=20, random_state=0).fit(X)
    >>> finder.cluster_centers_.shape, np.bincount(finder.labels_)
    ((2, 200), array([30, 30]))
    """

    def __init__(
        self,
        kernel: KernelName = "gaussian",
        power: float = 2.0,
        bandwidth: float | None = None,
        rule: str = "neighbours",
        neighbours: float = 0.02,
        n_dimensions: int | None = None,
        n_sketches: int = 1,
        refine: bool = True,
        bound: bool = False,
        max_iter: int = 500,
        tol: float = 1e-3,
        random_state: Any = None,
    ) -> None:
        self.kernel = kernel
        self.power = power
        self.bandwidth = bandwidth
        self.rule = rule
        self.neighbours = neighbours
        self.n_dimensions = n_dimensions
        self.n_sketches = n_sketches
        self.refine = refine
        self.bound = bound
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Find the modes of the density of the rows of X; y is ignored."""
        points = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        self._check_parameters()
        seed = self.random_state
        if isinstance(seed, np.random.RandomState):
            seed = seed.randint(2**31 - 1)
        rng = np.random.default_rng(seed)
        self._kernel = Kernel(self.kernel, self.power)
        self._centre = points.mean(axis=0)
        points = self._points = points - self._centre
        self.bandwidth_ = self.bandwidth or choose_bandwidth(
            points, self._kernel, self.rule, self.neighbours, rng
        )
        self.n_dimensions_ = self.n_dimensions or usual_sketch(*points.shape)
        n_sketches = self.n_sketches if self.n_dimensions_ < points.shape[1] else 1
        searches = [
            search_sketch(points, self.bandwidth_, self._kernel, self.n_dimensions_, child,
                          self.max_iter, self.tol)
            for child in rng.spawn(n_sketches)
        ]  # fmt: skip
        self._pool(searches)
        self.upper_bound_ = self.certificate_ = float("nan")
        if self.bound:
            self.upper_bound_ = density_bound(points, self.bandwidth_, self._kernel)
            self.certificate_ = float(self.heights_[0] / self.upper_bound_)
        return self

    def _check_parameters(self) -> None:
        if self.rule not in ("neighbours", "likelihood"):
            raise ValueError(f"rule must be 'neighbours' or 'likelihood'; got {self.rule!r}")
        if self.bandwidth is not None and not self.bandwidth > 0:
            raise ValueError(f"bandwidth must be above 0; got {self.bandwidth!r}")
        if self.n_dimensions is not None and self.n_dimensions < 1:
            raise ValueError(f"n_dimensions must be at least 1; got {self.n_dimensions!r}")
        if self.n_sketches < 1:
            raise ValueError(f"n_sketches must be at least 1; got {self.n_sketches!r}")

    def _pool(self, searches: list[Sketched]) -> None:
        """Climb on from the lifted modes of all sketches, merge them, and number the basins."""
        places = np.concatenate([search.lifted for search in searches])
        heights = np.concatenate([search.log_heights for search in searches])
        self.work_ = sum(search.work for search in searches)
        self.n_iter_ = max(search.steps for search in searches)
        converged = min(search.converged for search in searches)
        self.lifted_height_ = float(np.exp(heights.max()))
        if self.refine and searches[0].matrix is not None:
            climb = mean_shift(places, self._points, self.bandwidth_, self._kernel,
                               self.max_iter, self.tol)  # fmt: skip
            places, heights = climb.places, climb.log_heights
            self.work_ += climb.work
            self.n_iter_ += climb.steps
            converged = min(converged, float(climb.converged.mean()))
        self.converged_ = converged >= 0.99
        modes, mode_of = distinct_modes(places, heights, _MERGE * self.bandwidth_)
        self.cluster_centers_ = places[modes] + self._centre
        self.heights_ = np.exp(heights[modes])
        best = int(np.argmax([search.log_heights.max() for search in searches]))
        first = sum(len(search.modes) for search in searches[:best])
        self._best = searches[best]
        self._mode_of = mode_of[first : first + len(self._best.modes)]
        self.labels_ = self._mode_of[self._best.labels]

    def predict(self, X: ArrayLike) -> IntArray:
        """The mode that each row climbs to in the sketch; each row by itself."""
        check_is_fitted(self)
        places = validate_data(self, X, reset=False, dtype=np.float64) - self._centre
        if self._best.matrix is not None:
            places = places @ self._best.matrix.T
        climb = mean_shift(places, self._best.rows, self.bandwidth_, self._kernel,
                           self.max_iter, self.tol)  # fmt: skip
        from sklearn.metrics import pairwise_distances_argmin

        return np.asarray(self._mode_of[pairwise_distances_argmin(climb.places, self._best.modes)])

    def score_samples(self, X: ArrayLike) -> FloatArray:
        """Log density of each row, per unit of volume in all dimensions."""
        check_is_fitted(self)
        places = validate_data(self, X, reset=False, dtype=np.float64) - self._centre
        heights = log_heights(places, self._points, self.bandwidth_, self._kernel)
        return np.asarray(heights + self.log_scale)

    @property
    def log_scale(self) -> float:
        """Log of density over mean kernel value."""
        d = self.n_features_in_
        return float(-self._kernel.log_mass(d) - d * np.log(self.bandwidth_))

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Mean log density of the rows, by which a grid search can choose a bandwidth."""
        return float(self.score_samples(X).mean())
