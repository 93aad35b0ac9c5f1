"""The objective of a fit and its derivatives, for many parameter sets (and samples) at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from statlas.core.errors import InputError
from statlas.core.numerics.laws.law import ByName, FloatArray, Law

# Rows x fits that are worked on at a time: a handful of such arrays stay in a core's cache.
_CHUNK = 24_000


@dataclass(frozen=True)
class Objective:
    """What a fit minimises: the sum over rows of weight x rho(residual).

    Parameters
    ----------
    residual
        ``"log"``: log(fitted) - log(observed), for positive observations with relative errors;
        ``"linear"``: fitted - observed.
    huber
        Residual beyond which rho grows linearly (Huber's function); None for least squares.
    """

    residual: Literal["log", "linear"] = "log"
    huber: float | None = None

    def __post_init__(self) -> None:
        if self.huber is not None and not self.huber > 0:
            raise InputError(f"Huber's threshold must be above 0; got {self.huber!r}")

    def rho(self, residuals: FloatArray) -> FloatArray:
        """The loss of each residual."""
        slope = self.psi(residuals)
        return slope * (residuals - 0.5 * slope)

    def psi(self, residuals: FloatArray) -> FloatArray:
        """The derivative of the loss."""
        if self.huber is None:
            return residuals
        return np.clip(residuals, -self.huber, self.huber)


@dataclass(frozen=True)
class Point:
    """The objective of several fits at one point each.

    Attributes
    ----------
    value
        Objective, shape (n_fits,); infinite where the law gives no usable value.
    gradient
        Along the fitting coordinates, shape (n_fits, n_parameters).
    matrix
        Sum of weight x psi(r)/r x J J', shape (n_fits, n_parameters, n_parameters): a curvature
        from above, since rho lies below the parabola through r of that curvature.
    """

    value: FloatArray
    gradient: FloatArray
    matrix: FloatArray | None


@dataclass(frozen=True)
class Problem:
    """A law, its inputs, observations and weights, and the objective.

    `observed` is on the scale of the residual (logarithms for ``"log"``). It and `weights` have
    shape (n_rows,) for one sample that all fits share, or (n_fits, n_rows) for a sample a fit.
    """

    law: Law
    prepared: ByName
    observed: FloatArray
    weights: FloatArray
    objective: Objective

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.observed.shape[-1])

    def of_fits(self, fits: NDArray[np.int64] | slice) -> Problem:
        """The same problem for some of the fits: a sample a fit is cut, a shared one is not."""
        observed = self.observed[fits] if self.observed.ndim == 2 else self.observed
        weights = self.weights[fits] if self.weights.ndim == 2 else self.weights
        return replace(self, observed=observed, weights=weights)

    def on_residual_scale(self, values: FloatArray) -> FloatArray:
        """Values of the law as residuals compare them."""
        if self.objective.residual == "linear":
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(values)

    def residuals(self, coordinates: FloatArray) -> FloatArray:
        """Residuals at each set of coordinates, shape (n_fits, n_rows)."""
        value, _ = self.law.evaluate(coordinates, self.prepared)
        return self.on_residual_scale(value) - self.observed

    def jacobian(self, coordinates: FloatArray) -> FloatArray:
        """Derivatives of the residuals, shape (n_fits, n_parameters, n_rows)."""
        value, derivatives = self.law.evaluate(coordinates, self.prepared)
        return self._stacked(value, derivatives)

    def evaluate(self, coordinates: FloatArray, *, matrix: bool = False) -> Point:
        """Objective and derivatives at one set of coordinates a fit."""
        n_fits, size = len(coordinates), max(1, _CHUNK // self.n_rows)
        if n_fits <= size:
            return self._evaluate(coordinates, matrix)
        chunks = [slice(start, start + size) for start in range(0, n_fits, size)]
        points = [self.of_fits(part)._evaluate(coordinates[part], matrix) for part in chunks]
        return Point(
            np.concatenate([point.value for point in points]),
            np.concatenate([point.gradient for point in points]),
            np.concatenate([_known(point.matrix) for point in points]) if matrix else None,
        )

    def _evaluate(self, coordinates: FloatArray, matrix: bool) -> Point:
        with np.errstate(all="ignore"):
            value, derivatives = self.law.evaluate(coordinates, self.prepared)
            residuals = self.on_residual_scale(value) - self.observed
            slope = self.objective.psi(residuals)
            weighted = slope * self.weights
            total = np.einsum("fr,fr->f", weighted, residuals - 0.5 * slope)
            pull = weighted / value if self.objective.residual == "log" else weighted
            gradient = np.empty(coordinates.shape)
            for place, name in enumerate(self.law.names):
                derivative = derivatives[name]
                if derivative.shape[-1] == 1:
                    gradient[:, place] = derivative[:, 0] * pull.sum(axis=1)
                else:
                    gradient[:, place] = np.einsum("fr,fr->f", derivative, pull)
            curvature = None
            if matrix:
                jacobian = self._stacked(value, derivatives)
                share = weighted / residuals
                share[residuals == 0] = np.broadcast_to(self.weights, share.shape)[residuals == 0]
                curvature = (jacobian * share[:, None, :]) @ jacobian.transpose(0, 2, 1)
        usable = np.isfinite(total) & np.isfinite(gradient).all(axis=1)
        total[~usable], gradient[~usable] = np.inf, 0.0
        if curvature is not None:
            curvature[~np.isfinite(curvature).all(axis=(1, 2))] = np.eye(len(self.law.names))
        return Point(total, gradient, curvature)

    def _stacked(self, value: FloatArray, derivatives: ByName) -> FloatArray:
        jacobian = np.empty((value.shape[0], len(self.law.names), value.shape[1]))
        for place, name in enumerate(self.law.names):
            jacobian[:, place] = derivatives[name]
        if self.objective.residual == "log":
            jacobian /= value[:, None, :]
        return jacobian

    def project(self, coordinates: FloatArray) -> FloatArray:
        """Coordinates with the linear parameters solved for by weighted least squares.

        With ``"log"`` residuals the squares are those of relative errors, which agree with them
        to first order. A positive parameter that comes out at 0 or below is put at a thousandth
        of the observations' size instead, and the others are solved for again.
        """
        law, names = self.law, self.law.linear
        places = [law.position(name) for name in names]
        unit = coordinates.copy()
        unit[:, places] = np.where(law.is_log[places], 0.0, 1.0)
        with np.errstate(all="ignore"):
            value, derivatives = law.evaluate(unit, self.prepared)
        shape = (len(coordinates), value.shape[1])
        basis = np.stack([np.broadcast_to(derivatives[name], shape) for name in names], axis=2)
        if self.objective.residual == "log":
            target = np.exp(self.observed)
            root = np.sqrt(self.weights) / target
        else:
            target, root = self.observed, np.sqrt(self.weights)
        target, root = np.broadcast_to(target, shape), np.broadcast_to(root, shape)
        size = np.sqrt(np.einsum("frk,frk->fk", basis, basis) / shape[1])
        with np.errstate(divide="ignore", invalid="ignore"):  # a term may vanish at a start
            basis = basis / size[:, None, :] * root[:, :, None]
        level = np.sqrt(np.mean(target**2, axis=1))
        solved = _positive_least_squares(basis, target * root, 1e-3 * level, law.is_log[places])
        answer = coordinates.copy()
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            linear = solved / size
            linear[:, law.is_log[places]] = np.log(linear[:, law.is_log[places]])
        usable = np.isfinite(linear).all(axis=1)
        answer[np.ix_(usable, places)] = linear[usable]
        return np.clip(answer, *law.box)


def _known(matrix: FloatArray | None) -> FloatArray:
    assert matrix is not None
    return matrix


def _positive_least_squares(
    basis: FloatArray, target: FloatArray, least: FloatArray, positive: NDArray[np.bool_]
) -> FloatArray:
    """Least squares in each fit; coefficients that must be positive are held at `least` if not."""
    n_fits, _, n_terms = basis.shape
    gram = basis.transpose(0, 2, 1) @ basis
    moment = np.einsum("frk,fr->fk", basis, target)
    held = np.zeros((n_fits, n_terms), dtype=bool)
    solved = np.zeros((n_fits, n_terms))
    for _ in range(n_terms + 1):
        solved = _solve_with_held(gram, moment, held, least)
        low = positive & ~held & ~(solved > 1e-12 * least[:, None])
        if not low.any():
            break
        held |= low
    return np.where(held, least[:, None], solved)


def _solve_with_held(
    gram: FloatArray, moment: FloatArray, held: NDArray[np.bool_], least: FloatArray
) -> FloatArray:
    fixed = np.where(held, least[:, None], 0.0)
    right = np.where(held, fixed, moment - np.einsum("fij,fj->fi", gram, fixed))
    matrix = np.where(held[:, :, None] | held[:, None, :], 0.0, gram)
    n_terms = gram.shape[1]
    diagonal = np.einsum("fii->fi", matrix)
    trace = np.maximum(np.einsum("fii->f", gram), 1e-300)
    matrix[:, range(n_terms), range(n_terms)] = np.where(
        held, 1.0, diagonal + 1e-13 * trace[:, None]
    )
    with np.errstate(all="ignore"):
        matrix = np.where(np.isfinite(matrix), matrix, np.eye(n_terms))
        right = np.where(np.isfinite(right), right, 0.0)
        return np.asarray(np.linalg.solve(matrix, right[:, :, None])[:, :, 0])
