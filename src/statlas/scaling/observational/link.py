"""The sigmoid between capabilities and a downstream score, by weighted least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares, nnls
from scipy.special import expit, logit

from statlas.scaling.observational.components import FloatArray

_STEEPEST = 50.0  # bound on the coefficients; a step that steep is a jump
_RIDGE = 1e-6  # keeps the coefficients of a perfectly separated target finite


@dataclass(frozen=True)
class Link:
    """score = floor + (1 - floor) * expit(intercept + coefficients @ capability).

    Attributes
    ----------
    intercept, coefficients
        Of the index, in logits; (n_components,) coefficients.
    floor
        Score of a model without the ability.
    noise
        Standard deviation of scores around the curve, over all models.
    noise_parts
        Variance at the ends of the curve, and what its middle has beyond that; see `noise_at`.
    standard_errors
        Of intercept, coefficients and floor, from the curvature; NaN where the floor is at a bound.
    converged
        Whether the fit met its tolerance.
    """

    intercept: float
    coefficients: FloatArray
    floor: float
    noise: float
    noise_parts: tuple[float, float]
    standard_errors: FloatArray
    converged: bool

    def index(self, capability: ArrayLike) -> FloatArray:
        """The capability in logits that the target asks for, (n_models,)."""
        return np.asarray(self.intercept + np.asarray(capability) @ self.coefficients)

    def score(self, index: ArrayLike) -> FloatArray:
        """Expected score of an index."""
        return np.asarray(self.floor + (1 - self.floor) * expit(np.asarray(index)))

    def noise_at(self, score: ArrayLike) -> FloatArray:
        """Standard deviation of scores around an expected score, largest where the curve is steep.

        The variance is a constant plus a multiple of 4 p (1 - p), p the share of the rise.
        """
        share = (np.asarray(score) - self.floor) / (1 - self.floor)
        ends, middle = self.noise_parts
        return np.asarray(np.sqrt(ends + middle * 4 * share * (1 - share)))


def fit_link(
    capability: ArrayLike,
    score: ArrayLike,
    *,
    floor: float | None = None,
    highest_floor: float = 0.2,
    weights: ArrayLike | None = None,
    start: Link | None = None,
) -> Link:
    """Fit the sigmoid that turns capabilities into a downstream score.

    Parameters
    ----------
    capability
        Shape (n_models, n_components).
    score
        From 0 to 1, (n_models,).
    floor
        Score by chance, where it is known; fitted between 0 and `highest_floor` otherwise.
    weights
        Weight of each model, (n_models,).
    start
        A fit whose floor to start from, in place of several starts.

    Raises
    ------
    ValueError
        If there are not more models than parameters.

    Examples
    --------
    >>> z = np.linspace(-2, 2, 9)[:, None]
    >>> fit = fit_link(z, 1 / (1 + np.exp(-3 * z[:, 0] + 1)), floor=0.0)
    >>> print(round(fit.intercept, 3), fit.coefficients.round(3))
    -1.0 [3.]
    """
    x, y = np.asarray(capability, dtype=float), np.asarray(score, dtype=float)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)
    design = np.column_stack([np.ones(len(x)), x])[w > 0]
    y, root = y[w > 0], np.sqrt(w[w > 0])
    free_floor = floor is None
    n_parameters = design.shape[1] + free_floor
    if len(y) <= n_parameters:
        raise ValueError(f"{n_parameters} parameters need more than {len(y)} models")

    def pieces(point: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        low = point[-1] if free_floor else floor
        coefficients = point[:-1] if free_floor else point
        return coefficients, expit(design @ coefficients), float(low or 0.0)

    def residuals(point: FloatArray) -> FloatArray:
        coefficients, chance, low = pieces(point)
        off = root * (low + (1 - low) * chance - y)
        return np.concatenate([off, np.sqrt(_RIDGE) * coefficients[1:]])

    def jacobian(point: FloatArray) -> FloatArray:
        _, chance, low = pieces(point)
        slopes = design * ((1 - low) * chance * (1 - chance) * root)[:, None]
        rows = np.column_stack([slopes, root * (1 - chance)]) if free_floor else slopes
        ridge = np.zeros((design.shape[1] - 1, n_parameters))
        ridge[:, 1 : design.shape[1]] = np.sqrt(_RIDGE) * np.eye(len(ridge))
        return np.vstack([rows, ridge])

    bound = np.full(n_parameters, _STEEPEST)
    low_bound = -bound
    if free_floor:
        low_bound[-1], bound[-1] = 0.0, highest_floor
    floors = [0.0, 0.5 * highest_floor] if free_floor else [float(floor or 0.0)]
    if start is not None:
        floors = [start.floor]
    points = [_start(design, y, root, low) for low in floors]
    if free_floor:
        points = [np.append(point, low) for point, low in zip(points, floors, strict=True)]
    inside = 1e-3 * (bound - low_bound)
    fits = [
        least_squares(
            residuals, np.clip(point, low_bound + inside, bound - inside), jacobian,
            bounds=(low_bound, bound), x_scale="jac",
        )
        for point in points
    ]  # fmt: skip
    best = min(fits, key=lambda fit: float(fit.cost))
    coefficients, chance, low = pieces(best.x)
    squares = (root * (low + (1 - low) * chance - y)) ** 2
    free = max(float(root @ root) - n_parameters, 1.0)
    noise = np.sqrt(squares.sum() / free)
    bulge = root**2 * 4 * chance * (1 - chance)
    parts = _noise_parts(root, squares, bulge) * float(root @ root) / free
    errors = noise * np.sqrt(np.diag(np.linalg.pinv(best.jac.T @ best.jac)))
    if free_floor and not inside[-1] < low < highest_floor - inside[-1]:
        errors[-1] = np.nan
    return Link(
        float(coefficients[0]), coefficients[1:], low, float(noise),
        (float(parts[0]), float(parts[1])), errors, bool(best.success),
    )  # fmt: skip


def _noise_parts(root: FloatArray, squares: FloatArray, bulge: FloatArray) -> FloatArray:
    """Non-negative regression of squared residuals on 1 and 4 p (1 - p), all times the weights."""
    found: FloatArray = nnls(np.column_stack([root, bulge / root]), squares / root)[0]
    return found


def _start(design: FloatArray, y: FloatArray, root: FloatArray, low: float) -> FloatArray:
    """Least squares on the logits of scores that are kept off the curve's ends."""
    share = np.clip((y - low) / (1 - low), 0.02, 0.98)
    solution: FloatArray = np.linalg.lstsq(design * root[:, None], logit(share) * root, rcond=1e-8)[
        0
    ]
    return solution
