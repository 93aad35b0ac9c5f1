"""Deterministic integration over posteriors of proportions, and quantiles of what it gives."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.interpolate import CubicSpline

FloatArray = NDArray[np.float64]

# Integrands are followed down to exp(-_DEPTH) of their peak, below double precision.
_DEPTH = 37.0


def beta_nodes(a: ArrayLike, b: ArrayLike, n_nodes: int = 321) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights that integrate smooth functions against a Beta density.

    In log-odds x the density is smooth and falls exponentially; stretched by x = centre + scale
    sinh(t) it falls doubly exponentially in t, where the trapezoid rule converges geometrically.

    Parameters
    ----------
    a, b
        Positive parameters, broadcast against each other to shape (...).
    n_nodes
        Number of nodes.

    Returns
    -------
    log_odds, weights
        Shape (..., n_nodes); the weights sum to 1.

    Examples
    --------
    >>> log_odds, weights = beta_nodes(3, 5)
    >>> print(round(float(weights @ special.expit(log_odds)), 12))
    0.375
    """
    a_, b_ = np.broadcast_arrays(np.asarray(a, dtype=float), np.asarray(b, dtype=float))
    a_, b_ = a_[..., None], b_[..., None]
    scale = np.sqrt(1 / a_ + 1 / b_)  # standard deviation of Laplace's approximation
    # The density falls like a Gaussian at first, then like exp(-min(a, b) |x|).
    reach = np.arcsinh(9 + _DEPTH / (np.minimum(a_, b_) * scale))
    t = reach * np.linspace(-1, 1, n_nodes)
    log_odds = np.log(a_ / b_) + scale * np.sinh(t)
    log_density = a_ * special.log_expit(log_odds) + b_ * special.log_expit(-log_odds)
    return log_odds, special.softmax(log_density + np.log(np.cosh(t)), axis=-1)


def quantiles_on_grid(x: FloatArray, density: FloatArray, probabilities: ArrayLike) -> FloatArray:
    """Quantiles of densities that are known on a common grid and negligible at its ends.

    The densities are integrated as cubic splines; with three points a standard deviation, quantiles
    are right to about 1e-4 of one.

    Parameters
    ----------
    x
        Increasing grid, shape (n_grid,).
    density
        Proportional to the densities, shape (n, n_grid).
    probabilities
        Shape (m,), in (0, 1).

    Returns
    -------
    ndarray
        Shape (n, m).

    Examples
    --------
    >>> x = np.linspace(-8, 8, 41)
    >>> print(quantiles_on_grid(x, np.exp(-(x**2) / 2)[None], [0.975]).round(4))
    [[1.9599]]
    """
    cumulative = CubicSpline(x, density, axis=1).antiderivative()
    at_grid = cumulative(x)
    wanted = np.asarray(probabilities, dtype=float) * at_grid[:, -1:]
    # Cell in which each quantile lies, then bisection on the cell's quartic.
    cell = np.sum(at_grid[:, None, :] < wanted[:, :, None], axis=2) - 1
    cell = np.clip(cell, 0, len(x) - 2)
    powers = cumulative.c[:, cell, np.arange(len(density))[:, None]]
    low, high = np.zeros(cell.shape), np.diff(x)[cell]
    for _ in range(50):
        middle = (low + high) / 2
        beyond = _polynomial(powers, middle) > wanted
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return np.asarray(x[cell] + (low + high) / 2)


def _polynomial(powers: FloatArray, x: FloatArray) -> FloatArray:
    """Horner's rule; `powers` has the highest power first."""
    total = np.zeros_like(x)
    for coefficient in powers:
        total = total * x + coefficient
    return total


def mixture_quantile(values: FloatArray, below: FloatArray, probabilities: ArrayLike) -> FloatArray:
    """Quantiles of a mixture whose parts are known as cumulative masses on increasing values.

    Parameters
    ----------
    values, below
        Row by row the values of a part and the mass at or below each, shape (n_parts, n); the
        masses at the ends of the rows sum to 1.
    probabilities
        Shape (m,), in (0, 1).

    Returns
    -------
    ndarray
        Shape (m,).

    Examples
    --------
    >>> values, below = np.array([[0.0, 1.0], [1.0, 2.0]]), np.array([[0.0, 0.5], [0.0, 0.5]])
    >>> print(mixture_quantile(values, below, [0.75]).round(6))
    [1.5]
    """
    quantiles = []
    for probability in np.asarray(probabilities, dtype=float):
        low, high = float(values.min()), float(values.max())
        for _ in range(4):  # each round shrinks the bracket 64 times
            x = np.linspace(low, high, 65)
            mass = sum(np.interp(x, *part) for part in zip(values, below, strict=True))
            cell = int(np.clip(np.searchsorted(mass, probability), 1, len(x) - 1))
            low, high = float(x[cell - 1]), float(x[cell])
        quantiles.append((low + high) / 2)
    return np.array(quantiles)
