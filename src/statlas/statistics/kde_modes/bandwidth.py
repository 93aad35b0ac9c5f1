"""Bandwidths: one as wide as the neighbourhoods of the rows, and the one of largest likelihood."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from statlas.core import InputError
from statlas.core.numerics.intrinsic_dimension import estimate_dimension, neighbour_distances
from statlas.statistics.kde_modes.kernels import FloatArray, Kernel
from statlas.statistics.kde_modes.search import squared_distances

_ROWS = 2_000  # rows that a bandwidth is chosen on


def neighbour_bandwidth(points: FloatArray, kernel: Kernel, share: float) -> float:
    """A kernel as wide as a ball that holds `share` of the rows, and five at least.

    The radius r is the mean distance to the row that closes this share. A Gaussian has the mean
    square of such a ball at r / sqrt(d + 2) in d dimensions, where it falls to exp(-(d + 2) / 2)
    at r; the other kernels fall as far there. For d stands the intrinsic dimension of the rows
    (Levina and Bickel): in that of the columns the kernel would see nothing but its own row.
    """
    if len(points) < 3:
        raise InputError("a bandwidth needs at least three different rows",
                         remedy="give more rows, or set the bandwidth")  # fmt: skip
    k = min(max(round(share * len(points)), 5), len(points) - 1)
    radius = float(neighbour_distances(points, k)[:, -1].mean())
    try:
        few = min(10, len(np.unique(points, axis=0)) - 1)
        dimension = estimate_dimension(points, neighbours=few).estimate
    except ValueError:  # too few different rows, or rows on a grid
        dimension = float(points.shape[1])
    dimension = float(np.clip(dimension, 1.0, points.shape[1]))
    if radius == 0:
        raise InputError("most rows repeat others, so their neighbours give no bandwidth",
                         remedy="set the bandwidth, or raise neighbours")  # fmt: skip
    fall = kernel.critical_distance(float(np.exp(-(dimension + 2) / 2)))
    return float(radius / np.sqrt(fall))


def likelihood_bandwidth(points: FloatArray, kernel: Kernel) -> float:
    """The bandwidth of largest leave-one-out likelihood."""
    z = squared_distances(points, points)
    others = ~np.eye(len(points), dtype=bool)
    z = z[others].reshape(len(points), -1)
    d = points.shape[1]
    nearest, farthest = np.sqrt(z.min(axis=1)), np.sqrt(z.max())
    if np.median(nearest) == 0:
        raise InputError("most rows repeat others, so the likelihood has no largest value",
                         remedy="set the bandwidth")  # fmt: skip

    def loss(log_h: float) -> float:
        logs = kernel.log_profile(z * np.exp(-2 * log_h))
        return float(d * log_h - np.logaddexp.reduce(logs, axis=1).mean())

    ends = np.log(np.median(nearest) / 30), np.log(farthest)
    return float(np.exp(minimize_scalar(loss, bounds=ends, method="bounded").x))


def choose_bandwidth(
    points: FloatArray, kernel: Kernel, rule: str, share: float, rng: np.random.Generator
) -> float:
    """A bandwidth by one of the rules, on at most two thousand of the rows."""
    if len(points) > _ROWS:
        points = points[np.sort(rng.choice(len(points), _ROWS, replace=False))]
    if rule == "likelihood":
        return likelihood_bandwidth(points, kernel)
    return neighbour_bandwidth(points, kernel, share)
