"""The best width, depth and number of tokens for a budget under a law of all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from statlas.core.numerics.laws import Law
from statlas.scaling.gemstones.accounting import FloatArray, ShapeMap

_WIDTHS, _RATIOS, _FINE, _ZOOMS = 19, 13, 5, 9
_ONE_BLOCK = 1.02  # depths below count as a single block, an end of the search


@dataclass(frozen=True)
class Bounds:
    """Shapes that are searched: logarithms of width and of width over depth."""

    log_width: tuple[float, float]
    log_ratio: tuple[float, float]


@dataclass(frozen=True)
class BestShapes:
    """Best shapes, (n_fits,) each; `inside` says whether they lie at no end of the search."""

    width: FloatArray
    depth: FloatArray
    size: FloatArray
    tokens: FloatArray
    loss: FloatArray
    inside: FloatArray


def best_shapes(
    law: Law,
    parameters: FloatArray,
    size_of: ShapeMap,
    cost_coefficients: FloatArray,
    compute: FloatArray,
    bounds: Bounds,
) -> BestShapes:
    """Width, depth and tokens with the least loss at each budget, one for each fit.

    Width and depth are continuous, as in the authors' relaxed search; a depth below 1 is excluded.

    Parameters
    ----------
    law
        `WIDTH_DEPTH_SIZE` or `WIDTH_DEPTH`.
    parameters
        Natural units, shape (n_fits, n_parameters).
    size_of
        Parameters of a shape.
    cost_coefficients
        Coefficients of the `ShapeMap` of the operations a token, shape (n_fits, 4).
    compute
        Budgets, shape (n_fits,).
    bounds
        What is searched: a grid first, then finer grids around its best point.
    """
    n_fits = len(parameters)
    ends = np.array([bounds.log_width, bounds.log_ratio])
    low = np.repeat(ends[None, :, 0], n_fits, axis=0)
    high = np.repeat(ends[None, :, 1], n_fits, axis=0)
    best = np.zeros((n_fits, 2))
    counts = (_WIDTHS, _RATIOS)
    for _ in range(_ZOOMS + 1):
        grid = _grid(low, high, counts)
        loss = _losses(law, parameters, size_of, cost_coefficients, compute, grid)
        at = loss.argmin(axis=1)
        best = grid[np.arange(n_fits), :, at]
        step = (high - low) / (np.array(counts) - 1)
        low, high = np.maximum(best - step, ends[:, 0]), np.minimum(best + step, ends[:, 1])
        counts = (_FINE, _FINE)
    width = np.exp(best[:, 0])
    depth = width / np.exp(best[:, 1])
    cost = _mapped(cost_coefficients, width, depth)
    slack = 1e-6 + 0.02 * np.ptp(ends[1])
    inside = (best[:, 1] > ends[1, 0] + slack) & (best[:, 1] < ends[1, 1] - slack)
    inside &= depth > _ONE_BLOCK
    return BestShapes(
        width, depth, size_of(width, depth), compute / cost, loss.min(axis=1), inside.astype(float)
    )


def _grid(low: FloatArray, high: FloatArray, counts: tuple[int, int]) -> FloatArray:
    """Points of a rectangle a fit, shape (n_fits, 2, n_points)."""
    shares = np.meshgrid(*(np.linspace(0, 1, count) for count in counts), indexing="ij")
    flat = np.array([share.ravel() for share in shares])
    return np.asarray(low[:, :, None] + flat * (high - low)[:, :, None])


def _losses(
    law: Law,
    parameters: FloatArray,
    size_of: ShapeMap,
    cost_coefficients: FloatArray,
    compute: FloatArray,
    grid: FloatArray,
) -> FloatArray:
    log_width, log_ratio = grid[:, 0], grid[:, 1]
    log_depth = log_width - log_ratio
    width, depth = np.exp(log_width), np.exp(log_depth)
    cost = _mapped(cost_coefficients[:, :, None].transpose(1, 0, 2), width, depth)
    logs = {
        "log width": log_width,
        "log depth": log_depth,
        "log N": np.log(size_of(width, depth)),
        "log D": np.log(compute[:, None] / cost),
    }
    named = {name: parameters[:, [place]] for place, name in enumerate(law.names)}
    with np.errstate(all="ignore"):
        value, _ = law.formula(named, logs)
    return np.where(np.isfinite(value) & (log_depth >= 0), value, np.inf)


def _mapped(coefficients: FloatArray, width: FloatArray, depth: FloatArray) -> FloatArray:
    """A `ShapeMap` with coefficients a fit."""
    c = coefficients if coefficients.ndim == 3 else coefficients.T
    return np.asarray((c[0] * width + c[1]) * width * depth + c[2] * width + c[3])
