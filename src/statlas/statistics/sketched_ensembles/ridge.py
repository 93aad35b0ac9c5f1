"""Ridge regression on sketched features: the fit, its risk by GCV, and the estimator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from statlas.core.errors import InputError
from statlas.core.numerics.sketches import SketchKind, make_sketch

FloatArray = NDArray[np.float64]

_CELLS = 8_000_000  # numbers of a centred block of rows that exist at a time
DEFAULT_SHARES = (0.2, 0.4, 0.6, 0.8)


# --- the fit -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SketchedPath:
    """An ensemble of sketched ridge fits for every penalty of a path.

    Attributes
    ----------
    size, n_sketches, n_features
        Sketch size q, members K, features p.
    penalties
        The penalties lambda, shape (n_penalties,).
    coefficients
        Of the averaged model on the original features, shape (n_features, n_penalties).
    intercepts
        Shape (n_penalties,).
    residuals
        Training residuals of the averaged model, shape (n_samples, n_penalties).
    member_errors
        Mean squared training residual of a single member, averaged over members, (n_penalties,).
    degrees
        Degrees of freedom of the smoother with one for the intercept, averaged over members.
    """

    size: int
    n_sketches: int
    n_features: int
    penalties: FloatArray
    coefficients: FloatArray
    intercepts: FloatArray
    residuals: FloatArray
    member_errors: FloatArray
    degrees: FloatArray

    @property
    def left(self) -> FloatArray:
        """The GCV divisor 1 - tr(L) / n of each penalty; next to 0 the fit interpolates."""
        return np.asarray(1 - self.degrees / len(self.residuals))

    @property
    def corrected(self) -> FloatArray:
        """Residuals as new rows would leave them: r / (1 - tr(L) / n), (n_samples, n_penalties)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(self.left > 1e-9, self.residuals / self.left, np.inf))

    @property
    def risk(self) -> FloatArray:
        """GCV estimate of the squared prediction risk of the ensemble, (n_penalties,)."""
        return np.asarray((self.corrected**2).mean(axis=0))

    def risk_of(self, n_sketches: float) -> FloatArray:
        """Risk that `n_sketches` members would have, by the ensemble trick (infinity allowed).

        R_K = R_inf + D / K holds for risk and GCV alike, so cross products of the residuals of
        different members estimate R_inf; for two members this is 2 R_2 - R_1.

        Raises
        ------
        ValueError
            If the path has one member only.
        """
        if self.n_sketches < 2:
            raise ValueError("the ensemble trick needs at least two sketches")
        k = self.n_sketches
        together = (self.residuals**2).mean(axis=0)
        pairs = (k * together - self.member_errors) / (k - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            risk = (pairs + (self.member_errors - pairs) / n_sketches) / self.left**2
        return np.asarray(np.where(self.left > 1e-9, risk, np.inf))

    def functional(
        self, y: ArrayLike, loss: Callable[[FloatArray, FloatArray], FloatArray]
    ) -> FloatArray:
        """GCV estimate of another risk: the mean of loss(y, y minus corrected residual).

        Parameters
        ----------
        y
            The target that was fitted, shape (n_samples,).
        loss
            Of truth and prediction, elementwise, growing less than quadratically or quadratically.
        """
        truth = np.asarray(y, dtype=float)[:, None]
        return np.asarray(loss(truth, truth - self.corrected).mean(axis=0))

    def equivalent_penalties(self, kind: SketchKind) -> FloatArray:
        """Penalty mu of the plain ridge fit that infinitely many such sketches amount to.

        mu = lambda / (1 - d / q) for Gaussian sketches, times 1 - d / p for the orthogonal ones,
        with d the degrees of freedom without the intercept (and p rounded up to a power of two
        for the SRHT, which pads); NaN for count sketches.
        """
        if kind == "count":
            return np.full(len(self.penalties), np.nan)
        degrees = self.degrees - 1
        mu = self.penalties / np.maximum(1 - degrees / self.size, 1e-12)
        if kind != "gaussian":
            p = self.n_features
            length = 1 << (p - 1).bit_length() if kind == "srht" else p
            mu = mu * (1 - degrees / length)
        return np.asarray(mu)


def sketched_ridge(
    X: ArrayLike,
    y: ArrayLike,
    sketches: Sequence[LinearOperator],
    penalties: ArrayLike,
) -> SketchedPath:
    """Fit ridge on each sketch of the features and average, for a whole path of penalties.

    Minimises |y - a - X S b|^2 / n + lambda |b|^2 for every sketch S' (rows: sketched features)
    and averages S b. One eigendecomposition a sketch serves all penalties. Rows are centred,
    sketched and summed block by block, so memory beyond X is of order q^2 + n n_penalties.

    Parameters
    ----------
    X, y
        Features (n_samples, n_features) and target (n_samples,).
    sketches
        Operators of shape (q, n_features), all of one size.
    penalties
        lambda > 0, shape (n_penalties,).

    Raises
    ------
    InputError
        If a penalty is not positive or shapes do not fit.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(60, 8))
    >>> path = sketched_ridge(X, X[:, 0], [make_sketch("srdct", 8, 8)], [1e-9])
    >>> print(np.abs(path.coefficients[0]).round(6))
    [1.]
    """
    X, y = np.asarray(X), np.asarray(y, dtype=float)
    lambdas = np.asarray(penalties, dtype=float).ravel()
    if np.any(lambdas <= 0) or not len(lambdas):
        raise InputError("penalties must be above 0", remedy="take for example 1e-6 for nearly 0")
    if not sketches or any(s.shape != (sketches[0].shape[0], X.shape[1]) for s in sketches):
        raise InputError("sketches must have one size, and as many columns as there are features")
    n, (q, p) = len(X), sketches[0].shape
    centre, mean = X.mean(axis=0, dtype=float), float(y.mean())
    target = y - mean
    total = np.zeros((p, len(lambdas)))
    errors, degrees = np.zeros(len(lambdas)), np.zeros(len(lambdas))
    members = _few_rows(X, centre, target, sketches, lambdas) if q >= n else _many_rows(
        X, centre, target, sketches, lambdas
    )  # fmt: skip
    for sketch, (weights, error, freedom) in zip(sketches, members, strict=True):
        total += sketch.rmatmat(weights)
        errors += error
        degrees += freedom
    k = len(sketches)
    coefficients = total / k
    residuals = np.empty((n, len(lambdas)))
    for rows in _blocks(n, p):
        residuals[rows] = target[rows, None] - (X[rows] - centre) @ coefficients
    return SketchedPath(
        q, k, p, lambdas, coefficients, mean - centre @ coefficients, residuals, errors / k,
        1 + degrees / k,
    )  # fmt: skip


Member = tuple[FloatArray, FloatArray, FloatArray]


def _blocks(n: int, p: int) -> list[slice]:
    step = max(_CELLS // max(p, 1), 256)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def _many_rows(
    X: NDArray[Any], centre: FloatArray, y: FloatArray, sketches: Sequence[LinearOperator],
    lambdas: FloatArray,
) -> list[Member]:  # fmt: skip
    """Members from the q x q second moments of the sketched features, in one pass over X."""
    n, q = len(X), sketches[0].shape[0]
    grams = [np.zeros((q, q)) for _ in sketches]
    crosses = [np.zeros(q) for _ in sketches]
    for rows in _blocks(*X.shape):
        turned = (X[rows] - centre).T
        for gram, cross, sketch in zip(grams, crosses, sketches, strict=True):
            short = sketch.matmat(turned)
            gram += short @ short.T
            cross += short @ y[rows]
    found = []
    for gram, cross in zip(grams, crosses, strict=True):
        values, vectors = eigh(gram / n, overwrite_a=True, driver="evd")
        values = np.maximum(values, 0.0)[:, None]
        u = (vectors.T @ cross / n)[:, None]
        share = values / (values + lambdas)
        # |y - Z b|^2 / n = y'y / n - sum u^2 (value + 2 lambda) / (value + lambda)^2
        fitted = (u**2 * (values + 2 * lambdas) / (values + lambdas) ** 2).sum(axis=0)
        error = np.maximum(y @ y / n - fitted, 0.0)
        found.append((vectors @ (u / (values + lambdas)), error, share.sum(axis=0)))
    return found


def _few_rows(
    X: NDArray[Any], centre: FloatArray, y: FloatArray, sketches: Sequence[LinearOperator],
    lambdas: FloatArray,
) -> list[Member]:  # fmt: skip
    """Members from the n x n products of rows, where the sketch is longer than the table."""
    found = []
    n, turned = len(X), (X - centre).T
    for sketch in sketches:
        short = sketch.matmat(turned)
        values, vectors = eigh(short.T @ short / n, overwrite_a=True, driver="evd")
        values = np.maximum(values, 0.0)[:, None]
        u = (vectors.T @ y)[:, None]
        left = lambdas / (values + lambdas)
        weights = short @ (vectors @ (u / (values + lambdas))) / n
        found.append((weights, ((left * u) ** 2).mean(axis=0), (1 - left).sum(axis=0)))
    return found


def draw_sketches(
    kind: SketchKind, size: int, n_features: int, n_sketches: int, rng: np.random.Generator
) -> list[LinearOperator]:
    """Draw independent sketches of the features, shape (size, n_features) each."""
    return [make_sketch(kind, size, n_features, child) for child in rng.spawn(n_sketches)]


def default_penalties(X: ArrayLike) -> FloatArray:
    """Nineteen penalties about the mean eigenvalue of the features' covariance, small to large."""
    X = np.asarray(X)
    scale = float(X.var(axis=0).sum()) / max(min(X.shape), 1)
    return np.geomspace(1e-4, 1e2, 19) * (scale if scale > 0 else 1.0)


def sizes_of(shares: Sequence[float], n_features: int) -> list[int]:
    """Sketch sizes from shares of the number of features: at least 1, each size once."""
    return sorted({max(1, round(share * n_features)) for share in shares})


# --- the estimator -------------------------------------------------------------------------------


class SketchedRidgeEnsembleGCV(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Average of ridge fits on random sketches of the features, tuned by GCV.

    Parameters
    ----------
    n_sketches : int
        Members K of the ensemble.
    kind : {"srdct", "srht", "haar", "gaussian", "count"}
        The sketch; see `statlas.core.numerics.sketches`.
    sizes : sequence of float
        Sketch sizes to try, as shares of the number of features, in (0, 1].
    lambdas : sequence of float or None
        Penalties to try; by default nineteen about the mean variance of a direction.
    random_state : int, RandomState or None
        Seed of the sketches.

    Attributes
    ----------
    coef_, intercept_
        The averaged model on the original features, (n_features,) and float.
    size_, lambda_
        Best sketch size and penalty.
    risk_, risk_infinite_
        GCV estimate of the squared prediction risk of this ensemble, and of infinitely many
        sketches (NaN for one sketch).
    residuals_
        Corrected training residuals: a sample from the errors on new rows, (n_samples,).
    paths_ : list of SketchedPath
        Everything that was tried.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 30))
    >>> model = SketchedRidgeEnsembleGCV(random_state=0).fit(X, X[:, 0] + rng.normal(size=200))
    >>> bool(1.0 < model.risk_ < 1.6)
    True
    """

    def __init__(
        self,
        n_sketches: int = 5,
        kind: SketchKind = "srdct",
        sizes: Sequence[float] = DEFAULT_SHARES,
        lambdas: Sequence[float] | None = None,
        random_state: Any = None,
    ):
        self.n_sketches = n_sketches
        self.kind = kind
        self.sizes = sizes
        self.lambdas = lambdas
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> SketchedRidgeEnsembleGCV:
        """Fit all sizes and penalties, keep the pair with the least GCV risk."""
        rows, target = validate_data(
            self, X, y, y_numeric=True, ensure_min_samples=2, dtype=(np.float64, np.float32)
        )
        if self.n_sketches < 1:
            raise ValueError(f"n_sketches must be at least 1; got {self.n_sketches}")
        if not len(self.sizes) or not all(0 < share <= 1 for share in self.sizes):
            raise ValueError(f"sizes must be shares in (0, 1]; got {self.sizes!r}")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        generator = np.random.default_rng(seed)
        lambdas = (
            default_penalties(rows) if self.lambdas is None else np.asarray(self.lambdas, float)
        )
        p = rows.shape[1]
        self.paths_ = [
            sketched_ridge(
                rows,
                target,
                draw_sketches(self.kind, size, p, self.n_sketches, generator),
                lambdas,
            )
            for size in sizes_of(self.sizes, p)
        ]
        _, row, place = min(
            (risk, row, place)
            for row, path in enumerate(self.paths_)
            for place, risk in enumerate(path.risk)
        )
        best = self.paths_[row]
        self.size_, self.lambda_ = best.size, float(best.penalties[place])
        self.coef_ = best.coefficients[:, place]
        self.intercept_ = float(best.intercepts[place])
        self.risk_ = float(best.risk[place])
        self.risk_infinite_ = (
            float(best.risk_of(np.inf)[place]) if self.n_sketches > 1 else float("nan")
        )
        self.residuals_ = best.corrected[:, place]
        return self

    def predict(self, X: ArrayLike) -> FloatArray:
        """Predict the target, shape (n_samples,)."""
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        return np.asarray(rows @ self.coef_ + self.intercept_)

    def predict_interval(self, X: ArrayLike, level: float = 0.9) -> FloatArray:
        """Intervals that hold new targets with about the given chance, shape (n_samples, 2)."""
        if not 0 < level < 1:
            raise ValueError(f"level must be in (0, 1); got {level}")
        ends = np.quantile(self.residuals_, [(1 - level) / 2, (1 + level) / 2])
        return np.asarray(self.predict(X)[:, None] + ends)
