"""Calibrated regions as scikit-learn estimators: the paper's, plain directional, box, ellipsoid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import lgamma, log, pi
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from statlas.core import InputError
from statlas.core.numerics.conformal import conformal_quantile
from statlas.models.training import Tensor, TrainingPlan, require_torch
from statlas.uncertainty.multi_output_quantile.networks import (
    ConditionalAutoencoder,
    DirectionalQuantiles,
    IdentityRepresentation,
    Representation,
    Scaler,
    sphere_directions,
    train_perceptron,
)
from statlas.uncertainty.multi_output_quantile.regions import PointRegion, unit_points

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

_FEWEST = 4
_RIDGE = 1e-9  # keeps the residual covariance of targets without spread invertible
_PAD, _TAIL = 1.0, 0.01  # of the box of latent points, as in the authors' code


@dataclass(frozen=True)
class Areas:
    """Area (volume) of the region of each row, in the product of the units of the targets.

    Attributes
    ----------
    area, error
        Estimates and their Monte Carlo standard errors, 0 where the area is exact; shape (n,).
    """

    area: FloatArray
    error: FloatArray

    @property
    def mean(self) -> float:
        """Mean area."""
        return float(self.area.mean())

    @property
    def mean_error(self) -> float:
        """Monte Carlo standard error of the mean area."""
        return float(np.sqrt((self.error**2).sum()) / len(self.error))


class _RegionRegressor(RegressorMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Split conformal prediction with a score of the joint response; subclasses give the score."""

    level: float
    calibration: float
    width: int
    epochs: int
    batch_size: int
    learning_rate: float
    patience: int
    random_state: int | None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.two_d_labels = False
        tags.regressor_tags.poor_score = True
        return tags

    # --- fitting ------------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on one part of the rows and calibrate on the other.

        Parameters
        ----------
        X
            Shape (n, n_features), n at least 4.
        y
            Shape (n, n_targets), or (n,) for one target.
        """
        self._check_parameters()
        features, targets = validate_data(
            self, X, y, multi_output=True, y_numeric=True, dtype=np.float64
        )
        self.flat_ = targets.ndim == 1
        response = np.asarray(targets, dtype=np.float64).reshape(len(targets), -1)
        if len(response) < _FEWEST:
            raise ValueError(f"at least {_FEWEST} samples are needed; n_samples={len(response)}")
        rng = np.random.default_rng(self.random_state)
        own, held = _split(len(response), self.calibration, rng)
        self.feature_scaler_ = Scaler.of(features[own])
        self.target_scaler_ = Scaler.of(response[own])
        self.n_targets_ = response.shape[1]
        self._fit_model(self.feature_scaler_(features[own]), self.target_scaler_(response[own]),
                        rng)  # fmt: skip
        return self.calibrate(features[held], response[held])

    def calibrate(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Set the radius anew from rows that took no part in training.

        The coverage of a new row is `level` or more whatever was trained, if the rows given here
        and the new one are exchangeable.
        """
        self.radius_ = self._radius(*self._pair(X, y))
        return self

    def _check_parameters(self) -> None:
        for name in ("level", "calibration"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} must be in (0, 1); got {getattr(self, name)!r}")
        for name in ("width", "epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1; got {getattr(self, name)!r}")
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate must be above 0; got {self.learning_rate!r}")

    def _plan(self) -> TrainingPlan:
        return TrainingPlan(
            epochs=self.epochs, batch_size=self.batch_size, learning_rate=self.learning_rate,
            patience=self.patience,
        )  # fmt: skip

    def _radius(self, x: FloatArray, y: FloatArray) -> float:
        return conformal_quantile(self._scores(x, y), self.level)

    # --- what subclasses give, all in standardised units ----------------------------------------

    @abstractmethod
    def _fit_model(self, x: FloatArray, y: FloatArray, rng: np.random.Generator) -> None: ...

    @abstractmethod
    def _scores(self, x: FloatArray, y: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _point(self, x: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _areas(self, x: FloatArray, n_draws: int, rng: np.random.Generator) -> Areas: ...

    # --- answers --------------------------------------------------------------------------------

    def _features(self, X: ArrayLike) -> FloatArray:
        check_is_fitted(self)
        return self.feature_scaler_(validate_data(self, X, reset=False, dtype=np.float64))

    def _pair(self, X: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
        x = self._features(X)
        response = np.asarray(y, dtype=np.float64)
        response = response[:, None] if response.ndim == 1 else response
        if response.shape != (len(x), self.n_targets_):
            raise InputError(
                f"responses must have shape ({len(x)}, {self.n_targets_}); got {response.shape}"
            )
        if not np.isfinite(response).all():
            raise InputError("responses must be finite")
        return x, self.target_scaler_(response)

    def predict(self, X: ArrayLike) -> FloatArray:
        """A point in the middle of each region, shape (n, n_targets), or (n,) if fitted on (n,)."""
        middle = self._point(self._features(X))
        point = self.target_scaler_.back(middle)
        return point[:, 0] if self.flat_ else point

    def conformity(self, X: ArrayLike, y: ArrayLike) -> FloatArray:
        """Score of each response; it is in the region where the score is at most `radius_`."""
        return self._scores(*self._pair(X, y))

    def contains(self, X: ArrayLike, y: ArrayLike) -> BoolArray:
        """Whether the region of each row holds the response beside it, in any dimension."""
        return self._contains(*self._pair(X, y))

    def _contains(self, x: FloatArray, y: FloatArray) -> BoolArray:
        return np.asarray(self._scores(x, y) <= self.radius_)

    def contains_each(self, X: ArrayLike, points: ArrayLike) -> BoolArray:
        """Whether the region of each row holds each of some points, shape (n, n_points)."""
        x = self._features(X)
        given = np.asarray(points, dtype=np.float64).reshape(-1, self.n_targets_)
        y = self.target_scaler_(given)
        return self._contains_each(x, y)

    def _contains_each(self, x: FloatArray, y: FloatArray) -> BoolArray:
        rows = (np.broadcast_to(row, (len(y), len(row))) for row in x)
        return np.stack([self._contains(row, y) for row in rows])

    def area(self, X: ArrayLike, *, n_draws: int = 2_000, rng: int | np.random.Generator = 0) -> (
        Areas
    ):  # fmt: skip
        """Area of the region of each row.

        Parameters
        ----------
        X
            Features, shape (n, n_features).
        n_draws
            Monte Carlo draws a row, for regions whose area has no closed form.
        rng
            Source of the draws.
        """
        found = self._areas(self._features(X), n_draws, np.random.default_rng(rng))
        unit = float(np.prod(self.target_scaler_.spread))
        return Areas(found.area * unit, found.error * unit)


def _split(n: int, calibration: float, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Rows that train and rows that calibrate."""
    order = rng.permutation(n)
    n_held = min(max(round(calibration * n), 1), n - 2)
    return order[n_held:], order[:n_held]


# --- the method -----------------------------------------------------------------------------------


class MultiOutputQuantileRegressor(_RegionRegressor):
    """A calibrated region of any shape for several responses at once.

    Parameters
    ----------
    level
        Probability with which the region of a new row holds its response, in (0, 1).
    representation : {"autoencoder", "identity"}
        Learn latent responses first (the paper's method), or take the response itself (plain
        directional quantile regression with the paper's calibration).
    latent_dim
        Numbers in the latent response.
    direction_level
        Quantile level of every direction, in (0, 1/2); (1 - level) / 2 by default.
    n_directions
        Directions that bound the latent region.
    n_points
        Points that probe the latent region, and again the outside of its image.
    kl_weight
        Pull of the autoencoder towards a standard normal latent response.
    calibration
        Share of rows set aside to calibrate, in (0, 1).
    width
        Units of the two hidden layers of each network.
    epochs, batch_size, learning_rate, patience
        Training; see `statlas.models.training.TrainingPlan`.
    random_state
        Seed; None takes a fresh one.

    Attributes
    ----------
    radius_
        Growth (above 0) or shrinkage of the region, in units of the targets' spreads.
    initial_coverage_
        Share of calibration rows in the region before it grows or shrinks.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(size=(200, 1))
    >>> y = x + rng.normal(size=(200, 2))
    >>> model = MultiOutputQuantileRegressor(epochs=5, n_points=256, random_state=0).fit(x, y)
    >>> model.contains(x[:3], y[:3]).shape, model.area(x[:3]).area.shape
    ((3,), (3,))
    """

    def __init__(
        self,
        level: float = 0.9,
        representation: Literal["autoencoder", "identity"] = "autoencoder",
        latent_dim: int = 3,
        direction_level: float | None = None,
        n_directions: int = 128,
        n_points: int = 2_048,
        kl_weight: float = 0.1,
        calibration: float = 0.4,
        width: int = 64,
        epochs: int = 150,
        batch_size: int = 128,
        learning_rate: float = 1e-2,
        patience: int = 30,
        random_state: int | None = None,
    ):
        self.level = level
        self.representation = representation
        self.latent_dim = latent_dim
        self.direction_level = direction_level
        self.n_directions = n_directions
        self.n_points = n_points
        self.kl_weight = kl_weight
        self.calibration = calibration
        self.width = width
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.patience = patience
        self.random_state = random_state

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.representation not in ("autoencoder", "identity"):
            raise InputError(
                f"representation must be autoencoder or identity; got {self.representation!r}"
            )
        if min(self.latent_dim, self.n_directions, self.n_points) < 1 or self.kl_weight < 0:
            raise InputError(
                "latent_dim, n_directions and n_points must be at least 1, kl_weight at least 0"
            )
        if not 0 < self._direction_level() < 0.5:
            raise InputError(f"direction_level must be in (0, 1/2); got {self.direction_level!r}")

    def _direction_level(self) -> float:
        given = self.direction_level
        return (1 - self.level) / 2 if given is None else float(given)

    def _fit_model(self, x: FloatArray, y: FloatArray, rng: np.random.Generator) -> None:
        model = self._represent(x, y, rng)
        # Latent points in the range of the trained ones, padded: the region is looked for there.
        latent = model.draw(x, y, rng)
        dimension = latent.shape[1]
        low, high = np.quantile(latent, [_TAIL, 1 - _TAIL], axis=0)
        unit = unit_points(self.n_points, dimension, rng)
        directions = sphere_directions(dimension, self.n_directions, rng)
        self.representation_ = model
        self.latent_points_ = (low - _PAD) + unit * (high - low + 2 * _PAD)
        self.along_ = self.latent_points_ @ directions.T
        self.probes_ = unit_points(self.n_points, y.shape[1], rng)
        self.quantiles_ = DirectionalQuantiles(directions, self._direction_level()).fit(
            x, lambda rows, source: model.draw(x[rows], y[rows], source), self.width, self._plan(),
            rng,
        )  # fmt: skip

    def _represent(self, x: FloatArray, y: FloatArray, rng: np.random.Generator) -> Representation:
        if self.representation == "identity":
            return IdentityRepresentation()
        network = ConditionalAutoencoder(
            x.shape[1], y.shape[1], self.latent_dim, self.width, self.kl_weight, rng
        )
        return network.fit(x, y, self._plan(), rng)

    def _regions(self, x: FloatArray) -> list[PointRegion]:
        """The region of each row before calibration, in standardised units."""
        return [
            PointRegion(self._decode(self._inside(q), row), self.probes_)
            for row, q in self._bounds(x)
        ]

    def _bounds(self, x: FloatArray) -> Any:
        return zip(x, self.quantiles_.predict(x), strict=True)

    def _inside(self, quantiles: FloatArray) -> FloatArray:
        """Latent points in all half-spaces; the one that lacks least where there is none."""
        margin = (self.along_ - quantiles).min(axis=1)
        inside = margin >= 0
        if not inside.any():
            inside[np.argmax(margin)] = True
        return np.asarray(self.latent_points_[inside])

    def _decode(self, latent: FloatArray, row: FloatArray) -> FloatArray:
        return self.representation_.decode(latent, np.tile(row, (len(latent), 1)))

    def _radius(self, x: FloatArray, y: FloatArray) -> float:
        """The conformal quantile of signed distances; depths only where it falls below 0."""
        regions = self._regions(x)
        distance = np.zeros(len(y))
        inside = np.zeros(len(y), dtype=bool)
        for place, (region, row) in enumerate(zip(regions, y[:, None], strict=True)):
            distance[place : place + 1] = region.distance(row)
            inside[place] = region.inside(row, distance[place : place + 1])[0]
        self.initial_coverage_ = float(inside.mean())
        scores = np.where(inside, -np.inf, distance)
        radius = conformal_quantile(scores, self.level)
        if radius >= 0:
            return radius
        for held in np.flatnonzero(inside):
            scores[held] = -regions[held].depth(y[held][None])[0]
        return conformal_quantile(scores, self.level)

    def _scores(self, x: FloatArray, y: FloatArray) -> FloatArray:
        pairs = zip(self._regions(x), y[:, None], strict=True)
        return np.array([region.signed_distance(row)[0] for region, row in pairs])

    def _contains(self, x: FloatArray, y: FloatArray) -> BoolArray:
        pairs = zip(self._regions(x), y[:, None], strict=True)
        return np.array([region.contains(row, self.radius_)[0] for region, row in pairs])

    def _contains_each(self, x: FloatArray, y: FloatArray) -> BoolArray:
        return np.stack([region.contains(y, self.radius_) for region in self._regions(x)])

    def _point(self, x: FloatArray) -> FloatArray:
        """The image of the latent point deepest in the half-spaces."""
        deepest = [np.argmax((self.along_ - q).min(axis=1)) for _, q in self._bounds(x)]
        return self.representation_.decode(self.latent_points_[deepest], x)

    def _areas(self, x: FloatArray, n_draws: int, rng: np.random.Generator) -> Areas:
        found = [r.volume(self.radius_, n_draws, rng) for r in self._regions(x)]
        area, error = np.array(found).T
        return Areas(area, error)

    def region_points(self, X: ArrayLike) -> list[FloatArray]:
        """Points that fill the region of each row before calibration, in units of the targets."""
        return [self.target_scaler_.back(r.cloud) for r in self._regions(self._features(X))]


# --- what it is compared with ---------------------------------------------------------------------


class _PlainRegressor(_RegionRegressor):
    """Parameters that the box and the ellipsoid share."""

    def __init__(
        self,
        level: float = 0.9,
        calibration: float = 0.4,
        width: int = 64,
        epochs: int = 150,
        batch_size: int = 128,
        learning_rate: float = 1e-2,
        patience: int = 30,
        random_state: int | None = None,
    ):
        self.level = level
        self.calibration = calibration
        self.width = width
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.patience = patience
        self.random_state = random_state

    def _train(self, x: FloatArray, n_outputs: int, loss_of: Any, rng: np.random.Generator) -> None:
        widths = [x.shape[1], self.width, self.width, n_outputs]
        self.network_ = train_perceptron(widths, x, loss_of, self._plan(), rng)


class BoxRegressor(_PlainRegressor):
    """The naive region: an interval a target at level 1 - (1 - level) / n_targets, calibrated.

    All intervals are widened alike, in units of the targets' spreads, until the box holds the
    response. With one target this is conformalised quantile regression.

    Parameters are those of `MultiOutputQuantileRegressor`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(size=(200, 1))
    >>> model = BoxRegressor(epochs=5, random_state=0).fit(x, x + rng.normal(size=(200, 2)))
    >>> model.predict_box(x[:3]).shape
    (3, 2, 2)
    """

    def _fit_model(self, x: FloatArray, y: FloatArray, rng: np.random.Generator) -> None:
        torch = require_torch()
        targets = torch.from_numpy(y)
        tail = (1 - self.level) / (2 * y.shape[1])
        levels = torch.tensor([tail, 1 - tail], dtype=torch.float64)[:, None]

        def loss(outputs: Tensor, rows: IntArray) -> Tensor:
            excess = targets[torch.from_numpy(rows)][:, None, :] - outputs.reshape(
                len(rows), 2, y.shape[1]
            )
            return torch.maximum(levels * excess, (levels - 1) * excess).mean()

        self._train(x, 2 * y.shape[1], loss, rng)

    def _ends(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        low, high = np.split(self.network_(x), 2, axis=1)
        return low, high

    def _scores(self, x: FloatArray, y: FloatArray) -> FloatArray:
        low, high = self._ends(x)
        return np.asarray(np.maximum(low - y, y - high).max(axis=1))

    def _point(self, x: FloatArray) -> FloatArray:
        low, high = self._ends(x)
        return (low + high) / 2

    def _areas(self, x: FloatArray, n_draws: int, rng: np.random.Generator) -> Areas:
        low, high = self._ends(x)
        sides = np.maximum(high - low + 2 * self.radius_, 0.0)
        return Areas(sides.prod(axis=1), np.zeros(len(x)))

    def predict_box(self, X: ArrayLike) -> FloatArray:
        """Lower and upper end a target, shape (n, n_targets, 2)."""
        low, high = self._ends(self._features(X))
        ends = (low - self.radius_, high + self.radius_)
        return np.stack([self.target_scaler_.back(end) for end in ends], axis=2)


class EllipsoidRegressor(_PlainRegressor):
    """A conditional mean with one ellipsoid for all rows, of the residuals' covariance, calibrated.

    Parameters are those of `MultiOutputQuantileRegressor`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(size=(200, 1))
    >>> model = EllipsoidRegressor(epochs=5, random_state=0).fit(x, x + rng.normal(size=(200, 2)))
    >>> bool(np.ptp(model.area(x).area) == 0)
    True
    """

    def _fit_model(self, x: FloatArray, y: FloatArray, rng: np.random.Generator) -> None:
        torch = require_torch()
        targets = torch.from_numpy(y)

        def loss(outputs: Tensor, rows: IntArray) -> Tensor:
            return ((targets[torch.from_numpy(rows)] - outputs) ** 2).mean()

        self._train(x, y.shape[1], loss, rng)
        residuals = y - self.network_(x)
        covariance = residuals.T @ residuals / len(y) + _RIDGE * np.eye(y.shape[1])
        self.root_: FloatArray = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)

    def _scores(self, x: FloatArray, y: FloatArray) -> FloatArray:
        whitened = np.linalg.solve(self.root_, (y - self.network_(x)).T)
        return np.asarray(np.sqrt((whitened**2).sum(axis=0)))

    def _point(self, x: FloatArray) -> FloatArray:
        return self.network_(x)

    def _areas(self, x: FloatArray, n_draws: int, rng: np.random.Generator) -> Areas:
        area = ellipsoid_volume(self.root_, self.radius_)
        return Areas(np.full(len(x), area), np.zeros(len(x)))


def ellipsoid_volume(root: FloatArray, radius: float) -> float:
    """Volume of {y : |root^-1 y| <= radius}.

    Examples
    --------
    >>> ellipsoid_volume(np.diag([2.0, 3.0]), 1.0) / np.pi
    6.0
    """
    d = len(root)
    unit = np.exp(d / 2 * log(pi) - lgamma(d / 2 + 1))
    return float(unit * abs(np.linalg.det(root)) * radius**d)
