"""What parameters and compute mean: the ways of counting that a multiverse goes through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

FloatArray = NDArray[np.float64]
Counted = Literal["all", "last-layer", "body"]

# Layers of vocabulary x width that each way of counting parameters includes.
LAYERS: dict[Counted, int] = {"body": 0, "last-layer": 1, "all": 2}


def recount(
    parameters: ArrayLike, width: ArrayLike, vocabulary: ArrayLike, held: Counted, wanted: Counted
) -> FloatArray:
    """Parameters counted another way.

    Parameters
    ----------
    parameters, width, vocabulary
        As a table has them, shape (n_runs,).
    held, wanted
        What the table counts and what is wanted: blocks alone (``"body"``), with the last layer,
        or with an input embedding of its own on top (``"all"``).

    Examples
    --------
    >>> recount([98_304], [64], [1000], "body", "all")
    array([226304.])
    """
    layer = np.asarray(width, dtype=float) * np.asarray(vocabulary, dtype=float)
    more = LAYERS[wanted] - LAYERS[held]
    return np.asarray(np.asarray(parameters, dtype=float) + more * layer)


def gemstone_parameters(width: ArrayLike, depth: ArrayLike, vocabulary: int = 50_304) -> FloatArray:
    """Parameters of the released models: two query heads share keys and values, gated layers.

    Follows param_counter() of the authors' plotting_utils.py, with heads 128 wide; input embedding
    and last layer have weights of their own.

    Examples
    --------
    >>> print(gemstone_parameters(1024, 28))
    543482880.0
    """
    w, d = np.asarray(width, dtype=float), np.asarray(depth, dtype=float)
    heads = np.floor(w / 128)
    shared = np.floor(heads / 2)
    attention = w * (heads + 2 * shared) * 128 + heads * 128 * w
    return np.asarray(d * (attention + 12 * w**2 + 2 * w) + 2 * vocabulary * w + w)


def gemstone_flops_per_token(
    width: ArrayLike, depth: ArrayLike, vocabulary: int = 50_304, context: int = 2048
) -> FloatArray:
    """Training cost of a token of the released models, element-wise work included.

    Follows flops_per_token_gqa() of the authors' plotting_utils.py: rotary positions, softmax,
    gates, residuals and norms are counted; scores cost 2.5 times as much backward as forward, as
    in a fused kernel; their product with keys is halved for causality, that with values is not;
    the input embedding is free.

    Examples
    --------
    >>> print(f"{gemstone_flops_per_token(1024, 28):.5g}")
    3.5781e+09
    """
    w, d = np.asarray(width, dtype=float), np.asarray(depth, dtype=float)
    heads = w / 128
    shared = heads  # keys and values of half the heads
    projections = 2 * (heads + shared) * w * 128 + 3.5 * (heads + shared / 2) * 128
    scores = context * w + 3 * context * heads + 2 * context * w
    output = 2 * w * w
    block = 6 * w * 4 * w + 10 * 4 * w + 2 * w + 14 * w
    last = 7 * w + 2 * w * vocabulary
    forward = d * (projections + scores + output + block) + last
    backward = d * (2 * projections + 2.5 * scores + 2 * output) + 2 * (d * block + last)
    return np.asarray(forward + backward)


@dataclass(frozen=True)
class ShapeMap:
    """A quantity as a function of width and depth: c0 d w^2 + c1 d w + c2 w + c3.

    Blocks have d w^2 and d w weights (and as many operations a token), the vocabulary w; the
    coefficients are fitted to the table's own shapes, so that its architecture need not be known.

    Attributes
    ----------
    coefficients
        c0 to c3, at least 0.
    worst
        Largest relative error over the shapes.
    """

    coefficients: FloatArray
    worst: float

    def __call__(self, width: FloatArray, depth: FloatArray) -> FloatArray:
        """The quantity at shapes of any dimensions."""
        c = self.coefficients
        return np.asarray((c[0] * width + c[1]) * width * depth + c[2] * width + c[3])


def fit_shape_map(width: FloatArray, depth: FloatArray, values: FloatArray) -> ShapeMap:
    """Fit a `ShapeMap` to values at shapes, by least squares of relative errors.

    Examples
    --------
    >>> w, d = np.array([64.0, 128, 256, 128]), np.array([2.0, 4, 4, 8])
    >>> fit_shape_map(w, d, gemstone_parameters(w, d)).worst < 0.2
    True
    """
    basis = np.column_stack([depth * width**2, depth * width, width, np.ones_like(width)])
    scaled = basis / values[:, None]
    sizes = np.sqrt(np.mean(scaled**2, axis=0))
    solved, _ = nnls(scaled / sizes, np.ones(len(values)))
    coefficients = solved / sizes
    return ShapeMap(coefficients, float(np.max(np.abs(basis @ coefficients / values - 1))))


def fit_power(size: FloatArray, values: FloatArray) -> tuple[float, float]:
    """Factor and exponent of values = factor x size^exponent over distinct sizes.

    >>> factor, exponent = fit_power(np.array([1e3, 1e4, 1e5]), np.array([6e3, 6e4, 6e5]))
    >>> print(round(factor, 6), round(exponent, 6))
    6.0 1.0
    """
    distinct, first = np.unique(size, return_index=True)
    if len(distinct) < 2:
        return float(values[0] / size[0]), 1.0
    exponent, constant = np.polyfit(np.log(distinct), np.log(values[first]), 1)
    return float(np.exp(constant)), float(exponent)
