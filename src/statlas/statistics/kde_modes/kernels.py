"""Kernels as functions of the squared distance z, and the size of sketch that each needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import gammaln

from statlas.core import InputError

FloatArray = NDArray[np.float64]
KernelName = Literal["gaussian", "logistic", "sigmoid", "generalised"]

_NEAR = 1e-10  # squared distance, in bandwidths, below which a point is where a cusp is


@dataclass(frozen=True)
class Kernel:
    """A kernel kappa(z) of the squared distance z in bandwidths; kappa(0) = 1, never increasing.

    With s = sqrt(z): gaussian exp(-z / 2), logistic 1 / cosh(s / 2)^2, sigmoid 1 / cosh(s),
    generalised exp(-s^power).

    Parameters
    ----------
    name
        Which kernel.
    power
        Exponent of the distance in the generalised Gaussian, at least 1.

    Examples
    --------
    >>> print(np.exp(Kernel("gaussian").log_profile([0.0, 2.0])).round(4))
    [1.     0.3679]
    """

    name: KernelName = "gaussian"
    power: float = 2.0

    def __post_init__(self) -> None:
        if self.name not in ("gaussian", "logistic", "sigmoid", "generalised"):
            raise InputError(
                f"there is no kernel {self.name!r}",
                remedy="take gaussian, logistic, sigmoid or generalised",
            )
        if not self.power >= 1:
            raise InputError(f"the power of a kernel must be at least 1; got {self.power}")

    @property
    def is_convex(self) -> bool:
        """Whether kappa is a convex function of z, so that a mean shift lifts (and climbs)."""
        return self.name != "generalised" or self.power <= 2

    @property
    def has_cusp(self) -> bool:
        """Whether the slope at z = 0 is infinite."""
        return self.name == "generalised" and self.power < 2

    def log_profile(self, z: ArrayLike) -> FloatArray:
        """Logarithm of kappa(z)."""
        z = np.asarray(z, dtype=float)
        if self.name == "gaussian":
            return -0.5 * z
        if self.name == "generalised":
            return np.asarray(-(z ** (self.power / 2)))
        s = np.sqrt(z)
        if self.name == "logistic":
            return np.asarray(-s - 2 * np.log1p(np.exp(-s)) + 2 * np.log(2))
        return np.asarray(-s - np.log1p(np.exp(-2 * s)) + np.log(2))

    def slope(self, z: ArrayLike) -> FloatArray:
        """-kappa'(z) / kappa(z); at a cusp (z = 0) the point itself is left out: 0."""
        z = np.asarray(z, dtype=float)
        if self.name == "gaussian":
            return np.full(z.shape, 0.5)
        if self.name == "generalised":
            half = self.power / 2
            near = z < _NEAR if self.has_cusp else np.zeros(z.shape, dtype=bool)
            return np.where(near, 0.0, half * np.where(near, 1.0, z) ** (half - 1))
        rate = 0.5 if self.name == "logistic" else 1.0
        s = np.sqrt(np.maximum(z, 1e-16))
        return np.asarray(np.tanh(rate * s) / (2 * s))

    def elasticity(self, z: ArrayLike) -> FloatArray:
        """g(z) = -z kappa'(z) / kappa(z), which never decreases: the relative distance that counts.

        Stretching z by a small factor 1 + gamma costs the kernel a factor 1 - gamma g(z).
        """
        z = np.asarray(z, dtype=float)
        return np.asarray(z * self.slope(z))

    def critical_distance(self, value: float) -> float:
        """The z at which the kernel has fallen to `value` in (0, 1)."""
        goal = -np.log(value)
        if self.name == "gaussian":
            return float(2 * goal)
        if self.name == "generalised":
            return float(goal ** (2 / self.power))
        high = (goal + 2) ** 2
        return float(brentq(lambda z: float(self.log_profile(z)) + goal, 0.0, high, xtol=1e-12))

    def log_mass(self, n_dimensions: int) -> float:
        """Log of the integral of kappa(|u|^2) over u in so many dimensions."""
        d = n_dimensions
        sphere = np.log(2) + d / 2 * np.log(np.pi) - gammaln(d / 2)
        return float(sphere + self._log_radial(d - 1))

    def _log_radial(self, exponent: float) -> float:
        """Log of the integral of r^exponent kappa(r^2) over r > 0."""

        def log_integrand(r: float) -> float:
            return float(exponent * np.log(r) + self.log_profile(r * r))

        # The integrand is log-concave; it peaks where g(r^2) = exponent / 2.
        top = 1.0
        while 2 * float(self.elasticity(top * top)) < exponent:
            top *= 2
        peak = 0.5
        if exponent > 0:
            peak = float(brentq(lambda r: 2 * float(self.elasticity(r * r)) - exponent, 1e-9, top))
        height = log_integrand(peak)
        ends = [0.0, peak, 2 * peak + 1, 4 * peak + 10, 8 * peak + 800]
        parts = [
            quad(lambda r: np.exp(log_integrand(r) - height) if r > 0 else float(exponent == 0),
                 low, high, limit=200)[0]
            for low, high in pairwise(ends)
        ]  # fmt: skip
        return height + float(np.log(sum(parts)))


@dataclass(frozen=True)
class SketchSize:
    """Rows of a Gaussian sketch that the theorem asks for, and the distortions it allows.

    Attributes
    ----------
    rows
        Sufficient number of dimensions after sketching.
    stretch, shrink
        Largest relative growth and shrinkage of squared distances allowed.
    critical_distance
        Squared distance in bandwidths beyond which points do not count.
    """

    rows: int
    stretch: float
    shrink: float
    critical_distance: float


def sketch_size(n: int, epsilon: float, kernel: Kernel, failure: float = 0.05) -> SketchSize:
    """Dimensions after which the lifted mode has at least (1 - epsilon) of the largest density.

    Parameters
    ----------
    n
        Rows, at least 2.
    epsilon
        Relative loss of density allowed, in (0, 1).
    kernel
        The kernel.
    failure
        Probability with which a Gaussian sketch may fail, in (0, 1).

    Notes
    -----
    See the package's docstring for the derivation. The mode of the sketched points must be found
    exactly; a search that misses by a factor of its own multiplies.

    Examples
    --------
    >>> size = sketch_size(1_000, 0.1, Kernel("gaussian"))
    >>> size.rows > 100_000, round(size.critical_distance, 1)
    (True, 22.6)
    """
    if n < 2 or not 0 < epsilon < 1 or not 0 < failure < 1:
        raise InputError("a sketch size needs two rows, and epsilon and failure between 0 and 1")
    cut = epsilon / 8
    share = np.sqrt(1 - epsilon)  # of the density kept on either way
    radius = kernel.critical_distance(cut / n)
    inside = float(kernel.log_profile(radius))
    allowed = np.log1p(-cut) - np.log(share)
    stretch = _root(lambda x: inside - float(kernel.log_profile(radius * (1 + x))) - allowed)
    if kernel.is_convex:
        room = (1 - share) / (float(kernel.elasticity(radius)) * (1 + cut))
        shrink = float(room / (1 + room))
    else:
        shrink = _root(lambda x: inside - float(kernel.log_profile(radius / (1 - x))) - allowed)
    up = 2 * np.log(2 * n / failure) / (stretch - np.log1p(stretch))
    down = 2 * np.log(n * (n - 1) / failure) / (-shrink - np.log1p(-shrink))
    return SketchSize(int(np.ceil(max(up, down))), stretch, shrink, radius)


def _root(excess: Callable[[float], float]) -> float:
    """The zero in (0, 1) of a function that increases from below 0, or almost 1."""
    last = 1 - 1e-9
    if excess(last) <= 0:
        return last
    return float(brentq(excess, 0.0, last, xtol=1e-14))
