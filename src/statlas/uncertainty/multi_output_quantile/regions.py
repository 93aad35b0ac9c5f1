"""Regions given by points that fill them: distance, growth, shrinkage, area."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import qmc

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_NEIGHBOUR_SHARE = 0.9
_SMALLEST_MARGIN = 1e-9


def unit_points(n_points: int, dimension: int, rng: np.random.Generator) -> FloatArray:
    """Sobol points of the unit cube under a random shift.

    As many as the power of two at or above `n_points`.

    Examples
    --------
    >>> unit_points(5, 2, np.random.default_rng(0)).shape
    (8, 2)
    """
    power = int(np.ceil(np.log2(max(n_points, 2))))
    points = qmc.Sobol(dimension, scramble=False).random_base2(power)
    return np.asarray((points + rng.uniform(size=dimension)) % 1.0)


@dataclass(frozen=True)
class PointRegion:
    """A region of R^d given by a cloud of points that fills it.

    Parameters
    ----------
    cloud
        Points of the region, shape (m, d), m at least 1.
    unit
        Points of the unit cube, shape (k, d): stretched over a box around the region they probe
        its outside.
    """

    cloud: FloatArray
    unit: FloatArray

    @cached_property
    def tree(self) -> cKDTree:
        """Index of the cloud."""
        return cKDTree(self.cloud)

    @cached_property
    def tolerance(self) -> float:
        """Distance within which nine tenths of the cloud's points have a neighbour."""
        if len(self.cloud) < 2:
            return 0.0
        nearest = self.tree.query(self.cloud, k=2)[0][:, 1]
        return float(np.quantile(nearest, _NEIGHBOUR_SHARE))

    @cached_property
    def reach(self) -> float:
        """Distance from the cloud beyond which no hole of the region reaches.

        Of points at random with a density such that the share 1 - exp(-c t^d) lies within t of the
        cloud, and 9 / 10 within the tolerance, the share 1 / (100 m) is farther away than this.
        """
        m, d = self.cloud.shape
        holes = np.log(100 * m) / np.log(1 / (1 - _NEIGHBOUR_SHARE))
        return float(self.tolerance * holes ** (1 / d))

    @cached_property
    def outside(self) -> cKDTree:
        """Index of the probes that are farther than `reach` from the cloud."""
        low, high = self.box(2 * self.reach)
        probes = low + self.unit * (high - low)
        far = probes[self.distance(probes) > self.reach]
        return cKDTree(np.concatenate([far, low[None], high[None]]))

    def box(self, margin: float) -> tuple[FloatArray, FloatArray]:
        """Lower and upper corner of a box around the region grown by `margin`."""
        margin = max(margin, _SMALLEST_MARGIN)
        return self.cloud.min(axis=0) - margin, self.cloud.max(axis=0) + margin

    def distance(self, y: FloatArray) -> FloatArray:
        """Distance from the cloud."""
        return np.asarray(self.tree.query(y)[0])

    def depth(self, y: FloatArray) -> FloatArray:
        """Distance from the nearest probe outside."""
        return np.asarray(self.outside.query(y)[0])

    def inside(self, y: FloatArray, distance: FloatArray) -> BoolArray:
        """Whether points at the given distances from the cloud are in the region as trained.

        Those within the tolerance are, and those in holes between points of the cloud.
        """
        within = distance <= self.tolerance
        doubtful = ~within & (distance <= self.reach)
        if doubtful.any():
            within[doubtful] = self.depth(y[doubtful]) > self.reach
        return within

    def signed_distance(self, y: FloatArray) -> FloatArray:
        """Distance from the cloud for points outside, minus the depth for points inside.

        The region as trained is where it is at most 0; {signed distance <= r} grows it for r above
        0 and shrinks it below.
        """
        distance = self.distance(y)
        inside = self.inside(y, distance)
        if inside.any():
            distance[inside] = -self.depth(y[inside])
        return distance

    def contains(self, y: FloatArray, radius: float) -> BoolArray:
        """Whether the signed distance is at most `radius`, without computing what is not needed."""
        if np.isinf(radius):
            return np.full(len(y), radius > 0)
        distance = self.distance(y)
        if radius < 0:
            held = self.inside(y, distance)
            if held.any():
                held[held] = self.depth(y[held]) >= -radius
            return held
        held = distance <= max(radius, self.tolerance)
        rest = ~held & (distance <= self.reach)
        if rest.any():
            held[rest] = self.inside(y[rest], distance[rest])
        return np.asarray(held)

    def volume(self, radius: float, n_draws: int, rng: np.random.Generator) -> tuple[float, float]:
        """Monte Carlo volume of {signed distance <= radius} and its standard error."""
        if np.isinf(radius):
            return (np.inf if radius > 0 else 0.0), 0.0
        low, high = self.box(max(self.reach, radius))
        hit = self.contains(rng.uniform(low, high, (n_draws, len(low))), radius)
        share, whole = float(hit.mean()), float(np.prod(high - low))
        return whole * share, whole * float(np.sqrt(share * (1 - share) / n_draws))
