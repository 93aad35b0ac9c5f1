"""Does a region cover everywhere? Coverage by cluster and in the worst slab of features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class SlabCoverage:
    """Coverage of the rows in one slab {low <= direction'x <= high}.

    Attributes
    ----------
    covered, rows
        Covered rows, and all rows, of the slab among those that did not choose it.
    found
        Coverage on the rows that chose it, which is too low by the choice.
    """

    covered: int
    rows: int
    found: float

    @property
    def coverage(self) -> float:
        """Share covered; NaN where no row fell into the slab."""
        return self.covered / self.rows if self.rows else float("nan")


def lowest_mean(values: FloatArray, shortest: int) -> tuple[float, int, int]:
    """The run of at least `shortest` neighbours with the smallest mean: mean, start, end.

    A run of twice the shortest length or more splits into shorter ones, one of which has no larger
    mean, so only lengths below that are looked at.

    Examples
    --------
    >>> lowest_mean(np.array([1.0, 0.0, 0.0, 1.0, 0.0]), 2)
    (0.0, 1, 3)
    """
    total = np.concatenate([[0.0], np.cumsum(values)])
    best = (np.inf, 0, len(values))
    for length in range(shortest, min(2 * shortest, len(values) + 1)):
        means = (total[length:] - total[:-length]) / length
        start = int(np.argmin(means))
        if means[start] < best[0]:
            best = (float(means[start]), start, start + length)
    return best


def worst_slab_coverage(
    features: ArrayLike,
    covered: ArrayLike,
    rng: np.random.Generator,
    *,
    share: float = 0.2,
    n_directions: int = 200,
) -> SlabCoverage:
    """Coverage in the slab of features where it is lowest (Cauchois, Gupta and Duchi, 2021).

    Half of the rows choose the slab among random directions; the others say what it covers, so
    that the answer is not lower only because it was looked for.

    Parameters
    ----------
    features
        On comparable scales, shape (n, p), n at least 4.
    covered
        Whether the region of each row held its response, shape (n,).
    rng
        Source of the halves and the directions.
    share
        Smallest share of rows in a slab, in (0, 1).
    n_directions
        Directions to try.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(2000, 2))
    >>> found = worst_slab_coverage(x, x[:, 0] < 0.5, rng)
    >>> bool(found.coverage < 0.05)
    True
    """
    x, hit = np.asarray(features, dtype=float), np.asarray(covered, dtype=float)
    order = rng.permutation(len(x))
    own, other = order[: len(x) // 2], order[len(x) // 2 :]
    shortest = max(int(np.ceil(share * len(own))), 1)
    directions = rng.normal(size=(n_directions, x.shape[1]))
    best = (np.inf, 0.0, 0.0, directions[0])
    for direction in directions:
        along = x[own] @ direction
        rank = np.argsort(along, kind="stable")
        mean, start, end = lowest_mean(hit[own][rank], shortest)
        if mean < best[0]:
            best = (mean, along[rank[start]], along[rank[end - 1]], direction)
    found, low, high, direction = best
    along = x[other] @ direction
    inside = (low <= along) & (along <= high)
    return SlabCoverage(int(hit[other][inside].sum()), int(inside.sum()), float(found))


def cluster_rows(
    fitted: ArrayLike, new: ArrayLike, n_clusters: int, rng: np.random.Generator
) -> IntArray:
    """Cluster of each new row by k-means on the fitted ones, shape (n_new,)."""
    from sklearn.cluster import KMeans

    seed = int(rng.integers(2**31))
    means = KMeans(n_clusters, n_init=5, random_state=seed).fit(np.asarray(fitted, dtype=float))
    return np.asarray(means.predict(np.asarray(new, dtype=float)), dtype=np.int64)
