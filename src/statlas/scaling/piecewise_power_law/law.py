"""The piecewise power law: a bend, then a straight line, in logarithms of error and examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from statlas.core.numerics.laws import Law, Parameter
from statlas.core.numerics.laws.law import ByName

FloatArray = NDArray[np.float64]

# Slopes nearer to 0 than this are no fall: halving the error would take e^700 times the examples.
_FLAT = 1e-3


def _bend(x: FloatArray, knot: FloatArray) -> FloatArray:
    """x^2 up to the knot, and its tangent there beyond: 2 k x - k^2."""
    within = np.minimum(x, knot)
    return within * (2 * x - within)


def _formula(p: ByName, x: ByName) -> tuple[FloatArray, Mapping[str, FloatArray]]:
    # log error = a + b x + c x^2 for x <= log N, and the tangent at log N beyond.
    log_n, knot = x["log n"], np.log(p["N"])
    bend = _bend(log_n, knot)
    value = np.exp(p["a"] + p["b"] * log_n + p["c"] * bend)
    past = np.maximum(log_n - knot, 0.0)
    return value, {
        "a": value,
        "b": log_n * value,
        "c": bend * value,
        "N": 2 * p["c"] * past * value,
    }


PIECEWISE_POWER_LAW = Law(
    "piecewise power law",
    "log error = a + b log n + c (log n)^2 up to n = N, then straight with the same slope",
    ("n",),
    (
        Parameter("a", (-3.0, 3.0), scale=3.0),
        Parameter("b", (-2.0, 1.0)),
        Parameter("c", (-0.3, 0.3), scale=0.5),
        Parameter("N", (10.0, 1e5), log=True, unit="examples"),
    ),
    _formula,
)


@dataclass(frozen=True)
class Tail:
    """Piecewise power laws from a point on, many at once; each array has shape (n_curves,).

    Attributes
    ----------
    start
        log n of the point.
    level
        log error there.
    slope, final_slope
        d log error / d log n there, and from the knot on; at most 0.
    stretch
        log n of the knot less `start`, at least 0.
    """

    start: FloatArray
    level: FloatArray
    slope: FloatArray
    final_slope: FloatArray
    stretch: FloatArray

    def log_error(self, x: ArrayLike) -> FloatArray:
        """Log error at log n of shape (n_points,) or (n_curves, n_points), from `start` on.

        Examples
        --------
        >>> one = np.ones(1)
        >>> tail = Tail(0 * one, 0 * one, -2 * one, -1 * one, 1 * one)
        >>> tail.log_error([0.0, 1.0, 2.0])
        array([[ 0. , -1.5, -2.5]])
        """
        past = np.asarray(x, dtype=float) - self.start[:, None]
        stretch = np.maximum(self.stretch, 1e-9)[:, None]
        within = np.minimum(past, stretch)
        change = (self.final_slope - self.slope)[:, None]
        bend = change * within * (2 * past - within) / (2 * stretch)
        return np.asarray(self.level[:, None] + self.slope[:, None] * past + bend)

    def examples_for(self, log_error: float) -> FloatArray:
        """Examples at which each curve falls to a log error; infinite where it never does.

        A curve that starts below it needs no more than it has, e^start.
        """
        # slope d + change d^2 / (2 stretch) = fall before the knot; a straight line beyond.
        fall = log_error - self.level
        change, stretch = self.final_slope - self.slope, np.maximum(self.stretch, 1e-9)
        with np.errstate(divide="ignore", invalid="ignore"):
            square = self.slope**2 + 2 * change / stretch * fall
            before = 2 * fall / (self.slope - np.sqrt(np.maximum(square, 0.0)))
            beyond = (fall + change * stretch / 2) / self.final_slope
        in_bend = (square >= 0) & (before >= 0) & (before <= stretch)
        past = np.where(in_bend, before, np.where(self.final_slope < -_FLAT, beyond, np.inf))
        past = np.where(fall >= 0, 0.0, np.where(past > 0, past, np.inf))
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(self.start + past))


@dataclass(frozen=True)
class WholeFit:
    """Piecewise power laws fitted to whole curves, shape (n_curves,) each: a, b, c and log N."""

    intercept: FloatArray
    slope: FloatArray
    curvature: FloatArray
    knot: FloatArray

    def log_error(self, x: FloatArray) -> FloatArray:
        """Log error at log n, shape (n_curves, n_points)."""
        terms = np.stack([np.ones_like(x), x, _bend(x, self.knot[:, None])], axis=-1)
        weights = np.stack([self.intercept, self.slope, self.curvature], axis=-1)
        return np.asarray(np.einsum("cpk,ck->cp", terms, weights))

    def tail(self, start: FloatArray) -> Tail:
        """The part from log n = `start` on, slopes at most 0."""
        reached = np.minimum(start, self.knot)
        slope = self.slope + 2 * self.curvature * reached
        final = self.slope + 2 * self.curvature * self.knot
        final = np.where(start >= self.knot, slope, final)
        level = self.log_error(start[:, None])[:, 0]
        stretch = np.maximum(self.knot - start, 0.0)
        return Tail(start, level, np.minimum(slope, 0.0), np.minimum(final, 0.0), stretch)


def fit_whole_curves(
    x: FloatArray, y: FloatArray, weights: FloatArray, n_knots: int = 24
) -> WholeFit:
    """Least squares of log errors for every knot on a grid; the best knot of each curve.

    Parameters
    ----------
    x, y
        log n and log error, shape (n_curves, n_points).
    weights
        Weight of each point, 0 where a curve has none, shape (n_curves, n_points).
    n_knots
        Knots tried, from the third point of a curve to its last.
    """
    used = weights > 0
    first = np.where(used, x, np.inf).min(axis=1)
    last = np.where(used, x, -np.inf).max(axis=1)
    ordered = np.sort(np.where(used, x, np.inf), axis=1)
    third = np.minimum(ordered[:, min(2, x.shape[1] - 1)], last)
    shares = np.linspace(0, 1, n_knots)
    knots = third[:, None] + shares * (last - third)[:, None]
    # Centred and scaled: the normal equations of raw log n and its square are nearly singular.
    width = np.maximum(last - first, 1e-9)
    scaled = (x - first[:, None]) / width[:, None]
    scaled_knots = (knots - first[:, None]) / width[:, None]
    bend = _bend(scaled[:, None, :], scaled_knots[:, :, None])
    base = np.broadcast_to(scaled[:, None, :], bend.shape)
    terms = np.stack([np.ones_like(bend), base, bend], axis=-1)
    weighted = terms * weights[:, None, :, None]
    gram = weighted.transpose(0, 1, 3, 2) @ terms
    gram[..., 2, 2] += 1e-6 * weights.sum(axis=1)[:, None]
    gram += 1e-9 * weights.sum(axis=1)[:, None, None, None] * np.eye(3)
    moment = np.einsum("ckpt,cp->ckt", weighted, y)
    solved = np.linalg.solve(gram, moment[..., None])[..., 0]
    residual = np.einsum("ckpt,ckt->ckp", terms, solved) - y[:, None, :]
    cost = np.einsum("ckp,cp->ck", residual**2, weights)
    best = cost.argmin(axis=1)
    rows = np.arange(len(x))
    level, slope, curvature = solved[rows, best].T
    # Back from scaled s = (x - first) / width.
    c = curvature / width**2
    b = slope / width - 2 * c * first
    # The bend about `first` is that about 0 less 2 first x plus first^2, on both sides of the knot.
    a = level - slope * first / width + c * first**2
    return WholeFit(a, b, c, knots[rows, best])
