"""The paper's claims, measured on networks small enough for seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from statlas.core import Above, Below, Oracle, Twin, claim
from statlas.core.rng import sklearn_seed
from statlas.inference.deep_sets.estimators import (
    DeepSetRegressor,
    PaddedRegressor,
    SetOutlierDetector,
)
from statlas.inference.deep_sets.networks import (
    EquivariantLayer,
    PaddedNetwork,
    Pooling,
    Scaler,
    SetNetwork,
    SetTensors,
    to_numpy,
)
from statlas.inference.deep_sets.sets import FloatArray, IntArray, PackedSets, pack_sets
from statlas.models.training import limited_threads, require_torch, torch_generator

Network = Callable[[Any, Any], Any]
_POOLINGS: tuple[Pooling, ...] = ("sum", "mean", "max")


def _answers(network: Network, packed: PackedSets) -> FloatArray:
    unscaled = Scaler(np.zeros(1), np.ones(1))
    data = SetTensors(packed, unscaled)
    with limited_threads(), require_torch().no_grad():
        return to_numpy(network(data.members, data.sizes))


# --- exactness -------------------------------------------------------------------------------


def _pooled_network(rng: np.random.Generator) -> Network:
    pooling = _POOLINGS[int(rng.integers(3))]
    return SetNetwork(
        3,
        2,
        width=32,
        embedding=32,
        phi_layers=2,
        rho_layers=1,
        pooling=pooling,
        scale=1.0,
        generator=torch_generator(rng),
    )


def _padded_network(rng: np.random.Generator) -> Network:
    return PaddedNetwork(3, 2, most=12, width=32, n_layers=2, generator=torch_generator(rng))


@claim(
    "deep-sets",
    says="a network of the form rho(pool(phi(x))) answers the same whatever the order of the "
    "members, for sums, means and maxima and sets of any size",
    where="Theorem 2",
    expect=Oracle(1e-10),
    unit="largest change of an answer when the members of 50 sets are shuffled",
    subject=_pooled_network,
    twin=Twin("perceptron on padded rows", _padded_network),
    quick=50,
    full=1_000,
)
def invariance(rng: np.random.Generator, build: Any) -> float:
    """Change of the answers of a random network to sets of 2 to 12 members."""
    packed = pack_sets([rng.normal(size=(n, 3)) for n in rng.integers(2, 13, 50)])
    network = build(rng)
    return float(np.abs(_answers(network, packed.shuffled(rng)) - _answers(network, packed)).max())


def _tied_layer(rng: np.random.Generator) -> Network:
    pooling: Pooling = "sum" if rng.random() < 0.5 else "max"  # Lemma 3, Eq. (4)
    return EquivariantLayer(3, 4, pooling, torch_generator(rng))


def _untied_layer(rng: np.random.Generator) -> Network:
    """A linear layer whose weights between members are not tied; for sets of 6 members."""
    torch = require_torch()
    mixing = torch.from_numpy(rng.normal(size=(6, 6)))
    weights = torch.from_numpy(rng.normal(size=(3, 4)))

    def layer(members: Any, sizes: Any) -> Any:
        sets = members.reshape(len(sizes), 6, 3)
        return (mixing @ sets @ weights).reshape(-1, 4)

    return layer


@claim(
    "deep-sets",
    says="with the weights between members tied (one for a member itself, one for the pooled "
    "set), a layer's outputs are permuted exactly as its members are",
    where="Lemma 3 and Eq. (4)",
    expect=Oracle(1e-10),
    unit="largest difference between permuting before and after the layer",
    subject=_tied_layer,
    twin=Twin("weights between members not tied", _untied_layer),
    quick=50,
    full=1_000,
)
def equivariance(rng: np.random.Generator, build: Any) -> float:
    """Permute the members of 20 sets of 6 before, and after, a random layer."""
    packed = pack_sets(rng.normal(size=(20, 6, 3)))
    layer = build(rng)
    moved = packed.shuffled(rng)
    return float(np.abs(_answers(layer, moved) - _answers(layer, packed)[moved.rows]).max())


# --- what sharing buys -----------------------------------------------------------------------


def _rotated_gaussians(
    rng: np.random.Generator, root: FloatArray, n_sets: int
) -> tuple[list[FloatArray], FloatArray]:
    """Samples of a rotated bivariate Gaussian, and the entropy of its first coordinate."""
    sets, entropies = [], []
    for angle in rng.uniform(0, np.pi, n_sets):
        cosine, sine = np.cos(angle), np.sin(angle)
        turned = np.array([[cosine, -sine], [sine, cosine]]) @ root
        sets.append(rng.normal(size=(rng.integers(20, 41), 2)) @ turned.T)
        entropies.append(0.5 * np.log(2 * np.pi * np.e * (turned[0] @ turned[0])))
    return sets, np.array(entropies)


def _squared_error(model: Any, train: Any, test: Any) -> float:
    return float(np.mean((model.fit(*train).predict(test[0]) - test[1]) ** 2))


def _nano(kind: Any, rng: np.random.Generator, **given: Any) -> Any:
    """An estimator that trains in about a second."""
    settings = {"width": 24, "embedding": 24, "epochs": 60, "patience": 15, "batch_size": 16}
    return kind(**(settings | given), random_state=sklearn_seed(rng))


@claim(
    "deep-sets",
    says="a statistic of a population is learnt from samples of it with a smaller squared error "
    "than by a perceptron that reads the samples as padded rows",
    where="Section 4.1.1 (entropy of a rotated Gaussian; the paper's baseline is another one)",
    expect=Below(0),
    unit="log10 of the test error over that of the padded perceptron, 250 training samples",
    subject=DeepSetRegressor,
    twin=Twin("the padded perceptron, trained again from another start", PaddedRegressor),
    quick=8,
    full=100,
)
def population_statistic(rng: np.random.Generator, kind: Any) -> float:
    """Entropy of the first coordinate from samples of 20 to 40 draws."""
    root = rng.random((2, 2)) + np.array([[1.0, 0.0], [0.0, 0.0]])
    train, test = _rotated_gaussians(rng, root, 250), _rotated_gaussians(rng, root, 200)
    baseline = _squared_error(_nano(PaddedRegressor, rng), train, test)
    return float(np.log10(_squared_error(_nano(kind, rng), train, test) / baseline))


def _sums(rng: np.random.Generator) -> Any:
    return _nano(DeepSetRegressor, rng, pooling="sum", rho_layers=0, phi_layers=1)


def _means(rng: np.random.Generator) -> Any:
    return _nano(DeepSetRegressor, rng, pooling="mean", rho_layers=0, phi_layers=1)


def _digit_sets(rng: np.random.Generator, sizes: IntArray) -> tuple[list[FloatArray], FloatArray]:
    digits = [rng.integers(0, 10, size) for size in sizes]
    return [np.eye(10)[d] for d in digits], np.array([float(d.sum()) for d in digits])


@claim(
    "deep-sets",
    says="trained on the sums of at most 10 digits, sum pooling gives the sums of 50 digits to "
    "the nearest whole number",
    where="Section 4.1.2",
    expect=Below(0.5),
    unit="mean absolute error of the sum of 50 digits",
    subject=_sums,
    twin=Twin("mean pooling", _means),
    quick=8,
    full=100,
)
def longer_sums(rng: np.random.Generator, build: Any) -> float:
    """Train on 500 sets of 1 to 10 one-hot digits, test on 200 sets of 50."""
    model = build(rng).fit(*_digit_sets(rng, rng.integers(1, 11, 500)))
    sets, sums = _digit_sets(rng, np.full(200, 50))
    return float(np.abs(model.predict(sets) - sums).mean())


class _DenseDetector(SetOutlierDetector):
    """Dense layers over all members of a set of fixed size in place of equivariant ones."""

    def _build(self, training: PackedSets, generator: Any) -> Any:
        size = int(training.sizes[0])
        network = PaddedNetwork(
            training.members.shape[1],
            size,
            most=size,
            width=self.width,
            n_layers=1 + self.rho_layers,
            generator=generator,
        )
        return _Flattened(network)


class _Flattened:
    """A network that answers sets of fixed size with one number a member."""

    def __init__(self, network: PaddedNetwork):
        self.network, self.modules = network, network.modules

    def __call__(self, members: Any, sizes: Any) -> Any:
        return self.network(members, sizes).flatten()


def _sets_with_odd_member(
    rng: np.random.Generator, n_sets: int, size: int = 8
) -> tuple[FloatArray, list[IntArray]]:
    """Members near a centre of their set, one near another centre; alike member by member."""
    centres = rng.normal(scale=2, size=(n_sets, 2, 3))
    odd = rng.integers(0, size, n_sets)
    marks = np.eye(size, dtype=np.int64)[odd]
    places = np.where(marks[:, :, None] == 1, centres[:, 1:], centres[:, :1])
    return places + rng.normal(size=(n_sets, size, 3)), list(marks)


@claim(
    "deep-sets",
    says="equivariant layers find the odd member of a set more often than dense layers over all "
    "its members, trained on the same sets",
    where="Section 4.3",
    expect=Above(0),
    unit="share of test sets whose odd member is found, minus that of dense layers",
    subject=SetOutlierDetector,
    twin=Twin("dense layers, trained again from another start", _DenseDetector),
    quick=8,
    full=100,
)
def odd_member(rng: np.random.Generator, kind: Any) -> float:
    """Sets of 8 members in three dimensions: 300 to train on, 300 to test."""
    train, test = _sets_with_odd_member(rng, 300), _sets_with_odd_member(rng, 300)
    dense = _nano(_DenseDetector, rng).fit(*train).score(*test)
    return float(_nano(kind, rng).fit(*train).score(*test) - dense)
