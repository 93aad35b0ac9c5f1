"""Observation models f with link g, each with a quadratic lower bound of its log-likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaln, logit, psi

FloatArray = NDArray[np.float64]
Family = Literal["gaussian", "binomial", "beta", "poisson"]

_EDGE = 1e-3  # shares are kept this far from 0 and 1 where a logarithm of them is needed


@dataclass(frozen=True)
class Quadratic:
    """log f(y | theta) >= height - precision / 2 (theta - centre)^2, cell by cell."""

    precision: FloatArray
    centre: FloatArray
    height: FloatArray

    def rows(self, which: NDArray[np.bool_], other: Quadratic) -> Quadratic:
        """These rows where `which` is true, the other's elsewhere."""
        keep = which[:, None]
        return Quadratic(
            np.where(keep, self.precision, other.precision),
            np.where(keep, self.centre, other.centre),
            np.where(keep, self.height, other.height),
        )

    def take(self, places: NDArray[np.int64]) -> Quadratic:
        """Some of the rows."""
        return Quadratic(self.precision[places], self.centre[places], self.height[places])


@dataclass(frozen=True)
class Observations:
    """Rows as observed, with the observation model.

    Attributes
    ----------
    values
        Observed features, shape (n_rows, n_features); NaN is a value that was not observed.
    family
        Distribution of an observation.
    size
        Noise variance (gaussian), number of trials (binomial) or precision (beta) of each cell;
        1 for Poisson. Same shape as `values`.
    """

    values: FloatArray
    family: Family
    size: FloatArray

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Observations:
        """Some of the rows."""
        return Observations(self.values[rows], self.family, self.size[rows])

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which cells were observed."""
        return ~np.isnan(self.values)

    def start(self) -> FloatArray:
        """Observations on the scale of theta, NaN where there is none."""
        return inverse_link(self.values, self.family, self.size)

    def log_density(self, theta: FloatArray) -> FloatArray:
        """Log f(y | theta), cell by cell; 0 where nothing was observed."""
        y = np.where(self.seen, self.values, 0.5)
        return np.where(self.seen, _log_density(y, theta, self.family, self.size), 0.0)

    def bound(self, mean: FloatArray, second: FloatArray) -> Quadratic:
        """Quadratic bound that touches the log-likelihood near the present theta.

        Parameters
        ----------
        mean, second
            Mean of theta and of its square.
        """
        y = np.where(self.seen, self.values, 0.5)
        if self.family == "gaussian":
            height = -0.5 * np.log(2 * np.pi * self.size)
            found = Quadratic(1 / self.size, y, height)
        elif self.family == "binomial":
            found = _binomial_bound(y, self.size, np.sqrt(second))
        elif self.family == "beta":
            curvature = beta_curvature(y, self.size)
            found = _tangent(y, mean, curvature, "beta", self.size)
        else:
            found = _poisson_bound(y, mean, np.sqrt(second))
        return Quadratic(
            np.where(self.seen, found.precision, 0.0),
            np.where(self.seen, found.centre, 0.0),
            np.where(self.seen, found.height, 0.0),
        )


def link(theta: FloatArray, family: Family) -> FloatArray:
    """g: the expected observation (a share for binomial) at theta."""
    if family == "gaussian":
        return theta
    return np.asarray(np.logaddexp(0.0, theta) if family == "poisson" else expit(theta))


def inverse_link(values: FloatArray, family: Family, size: FloatArray) -> FloatArray:
    """Rough theta of each observation, kept off the ends where it would be infinite."""
    if family == "gaussian":
        return values
    if family == "poisson":
        y = np.maximum(values, 0.1)
        return np.asarray(y + np.log(-np.expm1(-y)))
    trials = size if family == "binomial" else np.inf
    shrunk = (values * trials + 0.5) / (trials + 1) if family == "binomial" else values
    return np.asarray(logit(np.clip(shrunk, _EDGE, 1 - _EDGE)))


def _log_density(y: FloatArray, theta: FloatArray, family: Family, size: FloatArray) -> FloatArray:
    if family == "gaussian":
        return np.asarray(-0.5 * np.log(2 * np.pi * size) - 0.5 * (y - theta) ** 2 / size)
    if family == "binomial":
        cases = y * size
        ways = gammaln(size + 1) - gammaln(cases + 1) - gammaln(size - cases + 1)
        return np.asarray(ways + cases * theta - size * np.logaddexp(0, theta))
    if family == "poisson":
        rate = np.logaddexp(0, theta)
        return np.asarray(y * _log_softplus(theta) - rate - gammaln(y + 1))
    y, p = np.clip(y, _EDGE, 1 - _EDGE), expit(theta)
    a, b = size * p, size * expit(-theta)
    return np.asarray(
        gammaln(size) - gammaln(a) - gammaln(b) + (a - 1) * np.log(y) + (b - 1) * np.log1p(-y)
    )


def _log_softplus(theta: FloatArray) -> FloatArray:
    return np.asarray(np.where(theta < -30, theta, np.log(np.logaddexp(0, np.maximum(theta, -30)))))


def _slope(y: FloatArray, theta: FloatArray, family: Family, size: FloatArray) -> FloatArray:
    """Derivative of the log-likelihood by theta, for the families bounded by a tangent."""
    p, q = expit(theta), expit(-theta)
    y = np.clip(y, _EDGE, 1 - _EDGE)
    return np.asarray(size * p * q * (psi(size * q) - psi(size * p) + logit(y)))


def _tangent(
    y: FloatArray, at: FloatArray, curvature: FloatArray, family: Family, size: FloatArray
) -> Quadratic:
    """Quadratic that touches at `at` and bends as strongly as the log-likelihood ever does."""
    slope = _slope(y, at, family, size)
    height = _log_density(y, at, family, size) + slope**2 / (2 * curvature)
    return Quadratic(curvature, at + slope / curvature, height)


def beta_curvature(share: FloatArray, precision: FloatArray) -> FloatArray:
    """Largest -d^2/dtheta^2 of the beta log-density with mean sigmoid(theta), or more.

    With p = 1 - q the mean and phi the precision it is phi^2 p^2 q^2 [psi'(phi p) + psi'(phi q)] -
    phi p q (1 - 2 p) [psi(phi q) - psi(phi p) + logit y]. psi'(x) <= 1/x + 1/x^2 bounds the first
    part by phi / 4 + 1, and log x - 1/x <= psi(x) <= log x - 1/(2 x) the second by
    phi |logit y| / (6 sqrt 3) + 1.
    """
    pull = np.abs(logit(np.clip(share, _EDGE, 1 - _EDGE))) / (6 * np.sqrt(3))
    return np.asarray(precision * (0.25 + pull) + 2)


def _binomial_bound(share: FloatArray, trials: FloatArray, xi: FloatArray) -> Quadratic:
    """Jaakkola and Jordan's bound of the logistic function, touching at +-xi."""
    xi = np.maximum(xi, 1e-6)
    bend = trials * np.tanh(xi / 2) / (2 * xi)
    slope = trials * (share - 0.5)
    ways = gammaln(trials + 1) - gammaln(trials * share + 1) - gammaln(trials * (1 - share) + 1)
    at_zero = ways - trials * (np.logaddexp(0, xi) - xi / 2) + 0.5 * bend * xi**2
    bend = np.where(trials > 0, bend, 1e-300)
    return Quadratic(bend, slope / bend, at_zero + slope**2 / (2 * bend))


def _poisson_bound(count: FloatArray, at: FloatArray, xi: FloatArray) -> Quadratic:
    """Rate log(1 + e^theta): a quadratic for -rate (touching at +-xi), one for count log rate."""
    xi = np.maximum(xi, 1e-6)
    bend = np.tanh(xi / 2) / (2 * xi)
    level = -np.logaddexp(0, xi) + xi / 2 + 0.5 * bend * xi**2  # -rate >= level - t/2 - bend t^2/2
    curvature = log_rate_curvature(at)
    slope = np.exp(np.minimum(at, 0) - np.logaddexp(0, -np.abs(at)) - _log_softplus(at))
    # count [log rate(at) + slope (t - at) - curvature / 2 (t - at)^2], expanded about 0
    free = _log_softplus(at) - slope * at - 0.5 * curvature * at**2
    linear = slope + curvature * at
    precision = bend + count * curvature
    pull = count * linear - 0.5
    height = level + count * free - gammaln(count + 1) + pull**2 / (2 * precision)
    return Quadratic(precision, pull / precision, height)


def log_rate_curvature(at: FloatArray) -> FloatArray:
    """Bend of a parabola that touches log log(1 + e^t) at `at` and stays below it everywhere.

    Tabulated from its definition: the largest, over t, of twice the tangent's excess over
    (t - at)^2; between nodes the larger neighbour counts. Far right it is about 2 log(at) / at^2.
    """
    nodes, bends = _log_rate_table()
    place = np.clip(np.searchsorted(nodes, at), 1, len(nodes) - 1)
    return np.asarray(np.maximum(bends[place], bends[place - 1]))


@lru_cache(maxsize=1)
def _log_rate_table() -> tuple[FloatArray, FloatArray]:
    right = np.expm1(np.linspace(0, np.log1p(1e7), 700))
    nodes = np.concatenate([-right[::-1][:-1], right])
    others = np.concatenate([nodes, np.linspace(-40, 40, 1601)])
    value = _log_softplus(nodes)
    slope = np.exp(np.minimum(nodes, 0) - np.logaddexp(0, -np.abs(nodes)) - value)
    gap = others[None, :] - nodes[:, None]
    excess = value[:, None] + slope[:, None] * gap - _log_softplus(others)[None, :]
    bends = np.zeros_like(gap)
    apart = np.abs(gap) > 1e-3 * (1 + np.abs(nodes[:, None]))
    bends[apart] = 2 * excess[apart] / gap[apart] ** 2
    return nodes, 1.02 * np.maximum(bends.max(axis=1), 1e-16)
