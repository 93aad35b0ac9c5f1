"""Mean shift by any of the kernels, and the two ways back from a sketch to all dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from statlas.statistics.kde_modes.kernels import FloatArray, Kernel

IntArray = NDArray[np.int64]

_CELLS = 2_000_000  # pairs of a place and a row held at a time
_LONGEST, _SHORTEST = 4.0, 2.0**-12  # step lengths, as multiples of the mean shift


def squared_distances(places: FloatArray, points: FloatArray) -> FloatArray:
    """Squared Euclidean distances, shape (n_places, n_points)."""
    lengths = np.einsum("ij,ij->i", points, points)
    result = places @ points.T
    result *= -2
    result += np.einsum("ij,ij->i", places, places)[:, None]
    result += lengths
    return np.maximum(result, 0.0, out=result)


def log_heights(
    places: ArrayLike, points: ArrayLike, bandwidth: float, kernel: Kernel
) -> FloatArray:
    """Log of the mean kernel value at each place, (n_places,); it never underflows.

    Examples
    --------
    >>> rows = np.array([[0.0], [2.0]])
    >>> print(np.exp(log_heights(rows, rows, 1.0, Kernel("gaussian"))).round(4))
    [0.5677 0.5677]
    """
    return _climb(np.asarray(places, float), np.asarray(points, float), bandwidth, kernel)[0]


def _climb(
    places: FloatArray, points: FloatArray, bandwidth: float, kernel: Kernel
) -> tuple[FloatArray, FloatArray]:
    """Log heights, and where one mean shift leads from each place."""
    heights, means = np.empty(len(places)), np.empty(places.shape)
    block = max(1, _CELLS // len(points))
    for start in range(0, len(places), block):
        part = slice(start, start + block)
        here = places[part]
        z = squared_distances(here, points)
        z /= bandwidth**2
        logs = kernel.log_profile(z)
        peak = logs.max(axis=1, keepdims=True)
        values = np.exp(logs - peak)
        heights[part] = peak[:, 0] + np.log(values.mean(axis=1))
        if kernel.name != "gaussian":  # whose weights are its values, up to a factor
            values *= kernel.slope(z)
        total = values.sum(axis=1, keepdims=True)
        # Without weight (alone on a cusp or a flat top) the place stays.
        means[part] = np.where(total > 0, values @ points / np.where(total > 0, total, 1), here)
    return heights, means


@dataclass(frozen=True)
class Climb:
    """Where a search by mean shift ended.

    Attributes
    ----------
    places, log_heights
        End of each start, and the log of the mean kernel value there.
    converged
        Whether each search came to rest.
    steps
        Steps of the longest search.
    work
        Pairs of a place and a row looked at, times their dimensions.
    """

    places: FloatArray
    log_heights: FloatArray
    converged: NDArray[np.bool_]
    steps: int
    work: int


def mean_shift(
    starts: ArrayLike, points: ArrayLike, bandwidth: float, kernel: Kernel,
    max_iter: int = 500, tol: float = 1e-3,
) -> Climb:  # fmt: skip
    """Climb the density from each start by mean shifts, lengthened where that goes on climbing.

    Every step is along the mean shift, which points up the gradient, and is taken only if the
    density does not fall; steps grow until one passes the mode. For kernels that are convex in the
    squared distance the plain mean shift never falls; else the step is halved until it does not.

    Parameters
    ----------
    starts, points
        Shapes (n_starts, d) and (n_rows, d).
    bandwidth
        Unit of distance.
    max_iter
        Most steps from a start.
    tol
        A start is at rest when the mean shift is shorter than so many bandwidths.

    Examples
    --------
    >>> rows = np.array([[0.0], [1.0], [9.0]])
    >>> print(mean_shift(rows, rows, 1.0, Kernel("gaussian")).places.round(1).ravel())
    [0.5 0.5 9. ]
    """
    places, points = np.array(starts, dtype=float), np.asarray(points, dtype=float)
    heights, means = _climb(places, points, bandwidth, kernel)
    work = places.shape[0] * points.size
    step = np.ones(len(places))
    steps = 0
    while True:
        shift = np.linalg.norm(means - places, axis=1)
        resting = (shift <= tol * bandwidth) | (step < _SHORTEST)
        going = np.flatnonzero(~resting)
        if steps == max_iter or not len(going):
            return Climb(places, heights, resting, steps, work)
        steps += 1
        tried = places[going] + step[going, None] * (means[going] - places[going])
        tried_heights, tried_means = _climb(tried, points, bandwidth, kernel)
        work += len(going) * points.size
        # Equal heights may differ by rounding.
        up = tried_heights >= heights[going] - 1e-14
        taken, back = going[up], going[~up]
        before = means[taken] - places[taken]
        places[taken], heights[taken], means[taken] = tried[up], tried_heights[up], tried_means[up]
        turned = np.einsum("ij,ij->i", before, means[taken] - places[taken]) < 0
        step[taken] = np.where(
            turned, np.maximum(step[taken] / 2, 0.05), np.minimum(1.5 * step[taken], _LONGEST)
        )
        step[back] = np.where(step[back] > 1, 1.0, step[back] / 2)


def distinct_modes(
    places: FloatArray, log_heights: FloatArray, radius: float
) -> tuple[IntArray, IntArray]:
    """Merge ends within `radius` of a higher one.

    Returns
    -------
    modes, labels
        Row numbers of the modes from the highest down, and the mode of each row.
    """
    labels = np.full(len(places), -1)
    modes: list[int] = []
    for row in np.argsort(-log_heights, kind="stable"):
        if labels[row] < 0:
            free = np.flatnonzero(labels < 0)
            near = squared_distances(places[[row]], places[free])[0] <= radius**2
            labels[free[near]] = len(modes)
            labels[row] = len(modes)
            modes.append(int(row))
    return np.array(modes), labels


# --- back to all dimensions ----------------------------------------------------------------------


def lift(
    place: ArrayLike, sketched: ArrayLike, points: ArrayLike, bandwidth: float, kernel: Kernel
) -> FloatArray:
    """Carry a place among the sketched points back to the space of the points.

    Kernels convex in the squared distance: one mean shift, with weights from the sketch and means
    of the points. Others: the place of Kirszbraun's theorem, whose distances are hardly longer
    than the sketched ones, from `kirszbraun_place`.

    Parameters
    ----------
    place
        Shape (m,).
    sketched, points
        The same rows in m and in d dimensions.
    """
    place, sketched, points = (np.asarray(a, dtype=float) for a in (place, sketched, points))
    z = squared_distances(place[None], sketched)[0] / bandwidth**2
    logs = kernel.log_profile(z)
    if kernel.is_convex:
        if kernel.has_cusp and z.min() < 1e-10:
            return np.array(points[np.argmin(z)])
        weights = np.exp(logs - logs.max()) * kernel.slope(z)
        return np.asarray(weights @ points / weights.sum())
    # Points that add less than a thousandth of the density in all need no distance kept.
    near = logs >= logs.max() - np.log(1_000 * len(points))
    return kirszbraun_place(points[near], z[near] * bandwidth**2)


def kirszbraun_place(points: ArrayLike, squared: ArrayLike) -> FloatArray:
    """The place whose squared distances exceed given ones by the smallest factor.

    Minimises max_i |x - p_i|^2 / a_i over x, a convex problem, by Newton-like descent on its
    smoothed maximum, sharpened in stages. Where p -> Pi p shrinks no squared distance below
    1 - gamma of itself, Kirszbraun's theorem bounds the factor by 1 / (1 - gamma).

    Parameters
    ----------
    points
        Shape (n, d).
    squared
        Wanted squared distances a, shape (n,).

    Examples
    --------
    >>> print(kirszbraun_place([[0.0, 0.0], [2.0, 0.0]], [1.0, 1.0]).round(4))
    [1. 0.]
    """
    p, a = np.asarray(points, dtype=float), np.asarray(squared, dtype=float)
    a = np.maximum(a, 1e-9 * max(float(a.max()), np.finfo(float).tiny))
    x = (p / a[:, None]).sum(axis=0) / (1 / a).sum()

    def smoothed(x: FloatArray, sharpness: float) -> tuple[float, FloatArray]:
        gap = x - p
        ratios = np.einsum("ij,ij->i", gap, gap) / a
        top = ratios.max()
        weights = np.exp(sharpness * (ratios - top))
        total = weights.sum()
        return float(top + np.log(total) / sharpness), 2 * (weights / total / a) @ gap

    largest = float((((x - p) ** 2).sum(axis=1) / a).max())
    for sharpness in (10.0, 100.0, 1_000.0):
        if largest > 0:
            x = minimize(smoothed, x, args=(sharpness / largest,), jac=True, method="L-BFGS-B").x
    return np.asarray(x)


def lifting_loss(
    place: ArrayLike, sketched: ArrayLike, points: ArrayLike, bandwidth: float, kernel: Kernel
) -> float:
    """Most density that lifting by a mean shift can lose, as a mean kernel value; see the package.

    It is C / 2 times the weighted mean over pairs of rows of how much the sketch shortened their
    squared distance (in bandwidths), with C the mean of -kappa'; negative where lifting gains.
    """
    place, sketched, points = (np.asarray(a, dtype=float) for a in (place, sketched, points))
    z = squared_distances(place[None], sketched)[0] / bandwidth**2
    weights = np.exp(kernel.log_profile(z)) * kernel.slope(z)
    share = weights / weights.sum()
    spread = share @ ((points - share @ points) ** 2).sum(axis=1) / bandwidth**2
    return float(weights.mean() * (spread - share @ z))
