"""An upper bound on a kernel density over the whole space, from the distances between the rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from statlas.core.progress import track
from statlas.statistics.kde_modes.kernels import FloatArray, Kernel
from statlas.statistics.kde_modes.search import squared_distances

_ROWS = 256  # rows whose distances are held at a time
_GROWTH = 1.02  # ratio of one group size looked at to the one before


def density_bound(points: ArrayLike, bandwidth: float, kernel: Kernel) -> float:
    """A mean kernel value that no place exceeds.

    Any k rows have, from any place x, squared distances that sum to at least their sum of pairwise
    squared distances over 2 k. Hence the k smallest squared distances from x sum to at least V_k =
    (the k smallest over i of the sums of i's k - 1 smallest pairwise squared distances) / 2 k.
    Decreasing convex functions respect weak majorisation: with v the increments of the greatest
    convex minorant of V, the mean of kappa(v_k) bounds the density (of a convex majorant of kappa
    where it is not convex). The bound is sharp, up to 1 / n, for rows equally far from each other.

    Parameters
    ----------
    points
        Shape (n, d). Takes n^2 distances, and memory for n times some hundred of them.

    Examples
    --------
    >>> print(round(density_bound(np.eye(4), 1.0, Kernel("gaussian")), 4), "at least",
    ...       round(float(np.exp(-0.5 * 0.75)), 4))
    0.7049 at least 0.6873
    """
    rows = np.asarray(points, dtype=float) / bandwidth
    sizes = _group_sizes(len(rows))
    sums = np.concatenate(
        [
            _nearest_sums(rows, start, sizes)
            for start in track(range(0, len(rows), _ROWS), "bounding the density")
        ]
    )
    sums.sort(axis=0)
    totals = np.array([column[:k].sum() for k, column in zip(sizes, sums.T, strict=True)])
    lower = totals / (2 * sizes)
    # Between two group sizes: the mean of the k smallest never decreases with k.
    k = np.arange(1, len(rows) + 1)
    place = np.searchsorted(sizes, k, side="right") - 1
    partial = lower[place] * k / sizes[place]
    return float(_convex_majorant(kernel)(_minorant_increments(partial)).mean())


def _group_sizes(n: int) -> NDArray[np.int64]:
    """1, 2, 3, ... growing by some per cent, to n."""
    sizes = [1]
    while sizes[-1] < n:
        sizes.append(min(max(sizes[-1] + 1, int(sizes[-1] * _GROWTH)), n))
    return np.array(sizes)


def _nearest_sums(rows: FloatArray, start: int, sizes: NDArray[np.int64]) -> FloatArray:
    """For some rows, the sums of their k - 1 smallest squared distances to others, k in sizes."""
    block = rows[start : start + _ROWS]
    distances = squared_distances(block, rows)
    distances[np.arange(len(block)), np.arange(start, start + len(block))] = 0.0
    distances.sort(axis=1)
    return np.asarray(np.cumsum(distances, axis=1)[:, sizes - 1])


def _minorant_increments(partial: FloatArray) -> FloatArray:
    """Increments of the greatest convex function below 0, V_1, V_2, ..., by adjacent pooling."""
    from sklearn.isotonic import isotonic_regression

    # The slopes of the convex minorant of partial sums are the isotonic fit of their increments.
    return np.asarray(isotonic_regression(np.diff(partial, prepend=0.0)))


def _convex_majorant(kernel: Kernel) -> Callable[[FloatArray], FloatArray]:
    """A convex decreasing function of z that is nowhere below the kernel."""

    def profile(z: FloatArray) -> FloatArray:
        return np.asarray(np.exp(kernel.log_profile(z)))

    if kernel.is_convex:
        return profile
    half = kernel.power / 2
    bend = ((half - 1) / half) ** (1 / half)  # kappa'' = 0: concave before, convex after
    height = float(profile(np.array(bend)))
    slope = -height * float(kernel.slope(bend))
    return lambda z: np.where(z < bend, height + slope * (z - bend), profile(np.maximum(z, bend)))
