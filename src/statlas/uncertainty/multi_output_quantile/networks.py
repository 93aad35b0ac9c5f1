"""The two networks of the method: a conditional autoencoder of Y, and directional quantiles."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from statlas.models.training import (
    Tensor,
    TorchGenerator,
    TrainingPlan,
    dense_layer,
    limited_threads,
    require_torch,
    split_validation,
    torch_generator,
    train_network,
)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Draw = Callable[[IntArray, np.random.Generator], FloatArray]

_VALIDATION = 0.2
_DIRECTIONS_A_STEP = 8
_PAIRS_AT_ONCE = 200_000  # rows times directions that go through the network together
_LOG_SPREAD = (-6.0, 2.0)  # keeps the encoder's spread a number that can be drawn with


@dataclass(frozen=True)
class Scaler:
    """Centre and spread of each column."""

    centre: FloatArray
    spread: FloatArray

    @classmethod
    def of(cls, matrix: FloatArray) -> Scaler:
        """Learn both; a constant column is centred only."""
        spread = matrix.std(axis=0)
        return cls(matrix.mean(axis=0), np.where(spread > 0, spread, 1.0))

    def __call__(self, matrix: FloatArray) -> FloatArray:
        """In units of the spread."""
        return np.asarray((matrix - self.centre) / self.spread)

    def back(self, matrix: FloatArray) -> FloatArray:
        """In the original units."""
        return np.asarray(matrix * self.spread + self.centre)


def rectified(widths: Sequence[int], generator: TorchGenerator) -> Any:
    """Linear layers of the given widths with leaky rectifiers between them.

    The decoder has to fold a normal cloud into bands with sharp ends, which smooth units did
    badly: of decoded normal draws 74 to 87 % fell within 0.1 of the paper's band, here 90 to 94 %.
    """
    torch = require_torch()
    layers: list[Any] = []
    for n_inputs, n_outputs in itertools.pairwise(widths):
        layers += [dense_layer(n_inputs, n_outputs, generator), torch.nn.LeakyReLU()]
    return torch.nn.Sequential(*layers[:-1])


def train_in_two_stages(
    network: Any,
    batch_loss: Callable[[IntArray], Tensor],
    n_items: int,
    plan: TrainingPlan,
    rng: np.random.Generator,
    validation_loss: Callable[[], Tensor] | None,
) -> None:
    """Train as planned, then for half as many epochs with a quarter of the learning rate."""
    slower = replace(plan, learning_rate=plan.learning_rate / 4, epochs=max(plan.epochs // 2, 1))
    for stage in (plan, slower):
        train_network(network, batch_loss, n_items, stage, rng, validation_loss)


class Network:
    """A trained perceptron that takes and gives arrays."""

    def __init__(self, body: Any):
        self.body = body

    def __call__(self, *inputs: FloatArray) -> FloatArray:
        """Outputs for the joined columns of the inputs."""
        torch = require_torch()
        with limited_threads(), torch.no_grad():
            joined = torch.from_numpy(np.concatenate(inputs, axis=1))
            values: FloatArray = self.body(joined).numpy()
        return values


def train_perceptron(
    widths: Sequence[int],
    inputs: FloatArray,
    loss_of: Callable[[Tensor, IntArray], Tensor],
    plan: TrainingPlan,
    rng: np.random.Generator,
) -> Network:
    """Train a perceptron on rows; a fifth of them decides when to stop.

    Parameters
    ----------
    widths
        Of its layers, inputs and outputs included.
    inputs
        Shape (n, widths[0]).
    loss_of
        Mean loss from the outputs of some rows and the numbers of these rows.
    plan, rng
        How to train, and the source of all randomness.
    """
    torch = require_torch()
    own, held = split_validation(len(inputs), _VALIDATION, rng)
    with limited_threads():
        body = rectified(widths, torch_generator(rng))
        given = torch.from_numpy(inputs)

        def loss(rows: IntArray) -> Tensor:
            return loss_of(body(given[torch.from_numpy(rows)]), rows)

        train_in_two_stages(
            body, lambda batch: loss(own[batch]), len(own), plan, rng,
            (lambda: loss(held)) if len(held) else None,
        )  # fmt: skip
    return Network(body)


# --- representations of the response -------------------------------------------------------------


class IdentityRepresentation:
    """The response itself as its latent variable: plain directional quantile regression."""

    def draw(self, x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
        """The latent variable of each row."""
        return y

    def decode(self, z: FloatArray, x: FloatArray) -> FloatArray:
        """The response of each latent point."""
        return z


class ConditionalAutoencoder:
    """A conditional variational autoencoder of Y given X.

    Encoder N(m(y, x), diag s(y, x)^2) of z, decoder D(z; x); the loss of a row is
    |y - D(z; x)|^2 + kl_weight KL(encoder || N(0, I)) with z drawn from the encoder.

    Parameters
    ----------
    n_features, n_targets, latent_dim, width
        Sizes; both networks have two hidden layers of `width` units.
    kl_weight
        Weight of the pull towards a standard normal representation.
    rng
        Source of the initial values.
    """

    def __init__(
        self, n_features: int, n_targets: int, latent_dim: int, width: int, kl_weight: float,
        rng: np.random.Generator,
    ):  # fmt: skip
        generator = torch_generator(rng)
        hidden = [width, width]
        self.latent_dim, self.kl_weight = latent_dim, kl_weight
        self.encoder = rectified([n_targets + n_features, *hidden, 2 * latent_dim], generator)
        self.decoder = rectified([latent_dim + n_features, *hidden, n_targets], generator)

    def fit(
        self, x: FloatArray, y: FloatArray, plan: TrainingPlan, rng: np.random.Generator
    ) -> ConditionalAutoencoder:
        """Train both networks; a fifth of the rows decides when to stop."""
        torch = require_torch()
        own, held = split_validation(len(x), _VALIDATION, rng)
        generator = torch_generator(rng)
        features, targets = torch.from_numpy(x), torch.from_numpy(y)
        fixed = torch.randn(len(held), self.latent_dim, dtype=torch.float64, generator=generator)

        def loss(rows: IntArray, noise: Tensor | None = None) -> Tensor:
            chosen = torch.from_numpy(rows)
            return self._loss(features[chosen], targets[chosen], noise, generator)

        with limited_threads():
            train_in_two_stages(
                torch.nn.ModuleList([self.encoder, self.decoder]), lambda b: loss(own[b]),
                len(own), plan, rng, (lambda: loss(held, fixed)) if len(held) else None,
            )  # fmt: skip
        return self

    def _loss(self, x: Tensor, y: Tensor, noise: Tensor | None, generator: Any) -> Tensor:
        torch = require_torch()
        middle, log_spread = self._posterior(x, y)
        if noise is None:
            noise = torch.randn(middle.shape, dtype=middle.dtype, generator=generator)
        latent = middle + log_spread.exp() * noise
        decoded = self.decoder(torch.cat([latent, x], dim=1))
        divergence = 0.5 * ((2 * log_spread).exp() + middle**2 - 1) - log_spread
        error = ((y - decoded) ** 2).sum(dim=1)
        return (error + self.kl_weight * divergence.sum(dim=1)).mean()

    def _posterior(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        torch = require_torch()
        out = self.encoder(torch.cat([y, x], dim=1))
        return out[:, : self.latent_dim], out[:, self.latent_dim :].clamp(*_LOG_SPREAD)

    def draw(self, x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
        """A draw of the latent variable of each row."""
        torch = require_torch()
        with limited_threads(), torch.no_grad():
            middle, log_spread = self._posterior(torch.from_numpy(x), torch.from_numpy(y))
        noise = rng.normal(size=tuple(middle.shape))
        return np.asarray(middle.numpy() + np.exp(log_spread.numpy()) * noise)

    def decode(self, z: FloatArray, x: FloatArray) -> FloatArray:
        """The response of each latent point."""
        return Network(self.decoder)(z, x)


Representation = IdentityRepresentation | ConditionalAutoencoder


# --- directional quantiles ------------------------------------------------------------------------


def sphere_directions(dimension: int, n_directions: int, rng: np.random.Generator) -> FloatArray:
    """Unit vectors: both in one dimension, equally spaced in two, random beyond.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sphere_directions(1, 8, rng).ravel(), sphere_directions(2, 4, rng).round(9).shape
    (array([ 1., -1.]), (4, 2))
    """
    if dimension == 1:
        return np.array([[1.0], [-1.0]])
    if dimension == 2:
        angle = 2 * np.pi * np.arange(n_directions) / n_directions
        return np.column_stack([np.cos(angle), np.sin(angle)])
    drawn = rng.normal(size=(n_directions, dimension))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


class DirectionalQuantiles:
    """One network f(x, u) for the `level` quantiles of u'z given x in all directions u.

    Parameters
    ----------
    directions
        Unit vectors u, shape (n_directions, r).
    level
        Quantile level tau in (0, 1/2).
    """

    def __init__(self, directions: FloatArray, level: float):
        self.directions, self.level = directions, level

    def fit(
        self, x: FloatArray, draw: Draw, width: int, plan: TrainingPlan, rng: np.random.Generator
    ) -> DirectionalQuantiles:
        """Train on the pinball loss; every step draws latent points and some of the directions.

        Parameters
        ----------
        x
            Features, shape (n, p).
        draw
            Gives latent points of rows with the given numbers.
        width, plan, rng
            Hidden units, how to train, and the source of all randomness.
        """
        torch = require_torch()
        own, held = split_validation(len(x), _VALIDATION, rng)
        features, every = torch.from_numpy(x), torch.from_numpy(self.directions)
        n_directions, dimension = self.directions.shape
        few = min(_DIRECTIONS_A_STEP, n_directions)
        spread_out = np.linspace(0, n_directions - 1, few).astype(np.int64)
        held_points = draw(held, rng)

        with limited_threads():
            widths = [x.shape[1] + dimension, width, width, 1]
            body = rectified(widths, torch_generator(rng))

            def loss(rows: IntArray, points: FloatArray, chosen: IntArray) -> Tensor:
                u = every[torch.from_numpy(chosen)]
                predicted = body(_pairs(features[torch.from_numpy(rows)], u))
                excess = torch.from_numpy(points) @ u.T - predicted.reshape(len(rows), len(u))
                return torch.maximum(self.level * excess, (self.level - 1) * excess).mean()

            def batch_loss(batch: IntArray) -> Tensor:
                chosen = rng.choice(n_directions, few, replace=False)
                return loss(own[batch], draw(own[batch], rng), chosen)

            train_in_two_stages(
                body, batch_loss, len(own), plan, rng,
                (lambda: loss(held, held_points, spread_out)) if len(held) else None,
            )  # fmt: skip
        self.body = body
        return self

    def predict(self, x: FloatArray) -> FloatArray:
        """Quantiles in every direction, shape (n, n_directions)."""
        torch = require_torch()
        rows = max(_PAIRS_AT_ONCE // len(self.directions), 1)
        u = torch.from_numpy(self.directions)
        starts = [*range(0, len(x), rows), len(x)]
        with limited_threads(), torch.no_grad():
            parts = [
                self.body(_pairs(torch.from_numpy(x[a:b]), u)).numpy().reshape(b - a, len(u))
                for a, b in itertools.pairwise(starts)
            ]
        return np.concatenate(parts)


def _pairs(x: Tensor, u: Tensor) -> Tensor:
    """Every row of x beside every direction, shape (n * n_directions, p + r)."""
    torch = require_torch()
    return torch.cat([x.repeat_interleave(len(u), dim=0), u.repeat(len(x), 1)], dim=1)
