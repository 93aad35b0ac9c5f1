"""The Fay-Herriot model by restricted likelihood, for one table of areas or many at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

_GRID = np.concatenate([[0.0], np.logspace(-4, 2, 25)])  # between-area variance over mean psi
_STEPS, _TOLERANCE = 60, 1e-11


@dataclass(frozen=True)
class FayHerriot:
    """A fitted model; leading dimensions are those of the tables fitted at once.

    Attributes
    ----------
    between
        Variance of the area effects, sigma_v^2, shape (...,).
    coefficients
        Regression coefficients, shape (..., n_covariates).
    synthetic, estimate, mse
        x' beta, EBLUP and its estimated mean squared error, shape (..., n_areas).
    weight
        Weight of the direct estimate, gamma, shape (..., n_areas).
    """

    between: FloatArray
    coefficients: FloatArray
    synthetic: FloatArray
    estimate: FloatArray
    mse: FloatArray
    weight: FloatArray


def weighted_regression(
    direct: ArrayLike, weight: ArrayLike, covariates: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weighted least squares over areas, for each of many tables.

    Parameters
    ----------
    direct, weight
        Estimates and weights, shape (..., n_areas); a weight of 0 leaves an area out.
    covariates
        Shape (n_areas, n_covariates) with a column of ones where an intercept is wanted.

    Returns
    -------
    fitted, spread, coefficients
        x' beta and x' (X' W X)^-1 x, shape (..., n_areas), and beta.

    Examples
    --------
    >>> fitted, spread, beta = weighted_regression([1.0, 3.0], [1.0, 1.0], [[1.0], [1.0]])
    >>> fitted, spread
    (array([2., 2.]), array([0.5, 0.5]))
    """
    x = np.asarray(covariates, dtype=float)
    y, w = np.asarray(direct, dtype=float), np.asarray(weight, dtype=float)
    inverse = np.linalg.inv(_normal(w, x))
    beta = (inverse @ ((w * y) @ x)[..., None])[..., 0]
    spread = ((x @ inverse) * x).sum(axis=-1)
    return beta @ x.T, spread, beta


def _normal(weight: FloatArray, x: FloatArray) -> FloatArray:
    """X' W X for each table, shape (..., n_covariates, n_covariates)."""
    return np.asarray((weight[..., None, :] * x.T) @ x)


def restricted_log_likelihood(
    between: ArrayLike, direct: ArrayLike, variance: ArrayLike, covariates: ArrayLike
) -> FloatArray:
    """Restricted log likelihood of the variance of area effects, up to a constant.

    Parameters
    ----------
    between
        sigma_v^2, shape (...,).
    direct, variance
        Direct estimates and their sampling variances (infinite where there is none),
        shape (..., n_areas).
    covariates
        Shape (n_areas, n_covariates).

    Returns
    -------
    ndarray
        Shape (...,).
    """
    x = np.asarray(covariates, dtype=float)
    psi = np.asarray(variance, dtype=float)
    total = np.asarray(between, dtype=float)[..., None] + psi
    w = 1 / total
    fitted, _, _ = weighted_regression(direct, w, x)
    normal = _normal(w, x)
    known = np.isfinite(psi)
    logs = np.log(np.where(known, total, 1.0)).sum(axis=-1)
    squares = (w * (np.asarray(direct) - fitted) ** 2).sum(axis=-1)
    return np.asarray(-0.5 * (logs + np.linalg.slogdet(normal)[1] + squares))


def _score(
    between: FloatArray, direct: FloatArray, psi: FloatArray, x: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """First derivative of the restricted log likelihood and its expected information."""
    w = 1 / (between[..., None] + psi)
    inverse = np.linalg.inv(_normal(w, x))
    fitted = (inverse @ ((w * direct) @ x)[..., None])[..., 0] @ x.T
    second = _normal(w**2, x)
    third = _normal(w**3, x)
    shrunk = inverse @ second
    trace = w.sum(-1) - np.trace(shrunk, axis1=-2, axis2=-1)  # tr P
    residual = w * (direct - fitted)  # P y
    information = 0.5 * (
        (w**2).sum(-1)
        - 2 * np.trace(inverse @ third, axis1=-2, axis2=-1)
        + np.trace(shrunk @ shrunk, axis1=-2, axis2=-1)
    )  # tr(P P) / 2
    return 0.5 * ((residual**2).sum(-1) - trace), information


def fit_fay_herriot(
    direct: ArrayLike, variance: ArrayLike, covariates: ArrayLike, method: str = "reml"
) -> FayHerriot:
    """Fit the area-level model: direct = x' beta + area effect + sampling error.

    The restricted likelihood is looked at on a grid first, since it may have two maxima, and then
    climbed by Fisher scoring. The mean squared error is the second-order one for this method:
    g1 + g2 + 2 g3 (Prasad and Rao 1990; Datta and Lahiri 2000).

    Parameters
    ----------
    direct, variance
        Direct estimates and sampling variances, shape (..., n_areas); an infinite variance marks
        an area without a sample, whose direct estimate is ignored.
    covariates
        Shape (n_areas, n_covariates), of full rank.
    method
        ``"reml"``, or ``"ml"``, whose variance is too small by the fitted coefficients.

    Raises
    ------
    ValueError
        If a variance is not positive, or fewer areas have a sample than coefficients plus one.

    Examples
    --------
    >>> fit = fit_fay_herriot([1.0, 3.0, 5.0], [1.0, 1.0, 1.0], [[1.0]] * 3)
    >>> print(fit.between.round(6), fit.estimate.round(3))
    3.0 [1.5 3.  4.5]
    """
    x = np.asarray(covariates, dtype=float)
    psi = np.asarray(variance, dtype=float)
    known = np.isfinite(psi)
    y = np.where(known, np.asarray(direct, dtype=float), 0.0)
    if not np.all(psi > 0):
        raise ValueError("every sampling variance must be above 0")
    if known.sum(axis=-1).min() <= x.shape[1]:
        raise ValueError(f"{x.shape[1]} coefficients need more areas with a sample")
    between = _climb(y, psi, x, method)
    total = between[..., None] + psi
    synthetic, spread, beta = weighted_regression(y, 1 / total, x)
    gamma = between[..., None] / total
    estimate = synthetic + gamma * (y - synthetic)
    ratio = np.where(known, 1 - gamma, 1.0)  # psi / total
    leading = np.where(known, gamma * np.where(known, psi, 0.0), between[..., None])  # g1
    asymptotic = 2 / (1 / total**2).sum(-1)  # variance of the estimated sigma_v^2
    learning = ratio**2 / total * asymptotic[..., None]  # g3 = psi^2 / total^3 * that
    mse = leading + ratio**2 * spread + 2 * learning
    return FayHerriot(between, beta, synthetic, estimate, mse, gamma)


def _climb(y: FloatArray, psi: FloatArray, x: FloatArray, method: str) -> FloatArray:
    scale = (psi.size / np.isfinite(psi).sum()) * np.mean(np.where(np.isfinite(psi), psi, 0.0))
    grid = _GRID * scale
    shape = np.broadcast_shapes(y.shape, psi.shape)[:-1]
    candidates = grid.reshape(-1, *[1] * len(shape))
    values = _objective(np.broadcast_to(candidates, (len(grid), *shape)), y, psi, x, method)
    between = grid[np.argmax(values, axis=0)]
    climb = _ml_score if method == "ml" else _score
    for _ in range(_STEPS):
        score, information = climb(between, y, psi, x)
        moved = np.maximum(between + score / information, 0.0)
        done = np.all(np.abs(moved - between) <= _TOLERANCE * (scale + between))
        between = moved
        if done:
            break
    return np.asarray(between)


def _objective(
    between: FloatArray, y: FloatArray, psi: FloatArray, x: FloatArray, method: str
) -> FloatArray:
    value = restricted_log_likelihood(between, y, psi, x)
    if method == "ml":
        w = 1 / (between[..., None] + psi)
        normal = _normal(w, x)
        value = value + 0.5 * np.linalg.slogdet(normal)[1]
    return value


def _ml_score(
    between: FloatArray, y: FloatArray, psi: FloatArray, x: FloatArray
) -> tuple[FloatArray, FloatArray]:
    w = 1 / (between[..., None] + psi)
    fitted, _, _ = weighted_regression(y, w, x)
    residual = w * (y - fitted)
    return 0.5 * ((residual**2).sum(-1) - w.sum(-1)), 0.5 * (w**2).sum(-1)
