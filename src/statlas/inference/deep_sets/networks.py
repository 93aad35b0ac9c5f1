"""The two networks: invariant (a set to an answer) and equivariant (a set to a score a member)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from statlas.inference.deep_sets.sets import FloatArray, IntArray, PackedSets
from statlas.models.training import (
    Tensor,
    TorchGenerator,
    dense_layer,
    perceptron,
    require_torch,
)

Pooling = Literal["sum", "mean", "max"]


def pool(members: Tensor, sizes: Tensor, pooling: Pooling) -> Tensor:
    """Pool the members of each set.

    Parameters
    ----------
    members
        Set by set, shape (n_members, width).
    sizes
        Members of each set, at least 1, shape (n_sets,).
    pooling
        Sum, mean or largest value.

    Returns
    -------
    torch.Tensor
        Shape (n_sets, width).
    """
    return require_torch().segment_reduce(members, pooling, lengths=sizes, axis=0, unsafe=True)


class EquivariantLayer:
    """A layer whose outputs move with the members of the set (Lemma 3 and Eq. 4).

    Each member's output is ``own(member) + pooled(pool(members of its set))``. With one feature,
    no bias and sum pooling that is ``(lambda I + gamma 1 1^T) x``, the only linear map of the
    members that commutes with all their permutations.

    Parameters
    ----------
    n_inputs, n_outputs
        Features of a member before and after.
    pooling
        How members are pooled: ``"sum"`` is Lemma 3's, ``"max"`` is Eq. (4)'s.
    generator
        Source of the initial values.
    """

    def __init__(self, n_inputs: int, n_outputs: int, pooling: Pooling, generator: TorchGenerator):
        self.pooling = pooling
        self.own = dense_layer(n_inputs, n_outputs, generator)
        self.pooled = dense_layer(n_inputs, n_outputs, generator, bias=False)

    def __call__(self, members: Tensor, sizes: Tensor) -> Tensor:
        """Outputs of the members, shape (n_members, n_outputs)."""
        shared = self.pooled(pool(members, sizes, self.pooling))
        return self.own(members) + shared.repeat_interleave(sizes, dim=0)


class SetNetwork:
    """The invariant network ``rho(pool(phi(x)))`` of Theorem 2.

    Parameters
    ----------
    n_features, n_outputs
        Features of a member, numbers answered a set.
    width, embedding
        Hidden units, and the length of phi(x).
    phi_layers, rho_layers
        Hidden layers before and after pooling; 0 makes that part linear.
    pooling
        Sum (Theorem 2), mean or max.
    scale
        Pooled values are divided by it; for sums the mean set size, so that rho starts with
        numbers of order 1. A constant, so sums stay sums.
    generator
        Source of the initial values.
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        width: int,
        embedding: int,
        phi_layers: int,
        rho_layers: int,
        pooling: Pooling,
        scale: float,
        generator: TorchGenerator,
    ):
        self.pooling, self.scale = pooling, scale
        self.phi = perceptron([n_features, *[width] * phi_layers, embedding], generator)
        self.rho = perceptron([embedding, *[width] * rho_layers, n_outputs], generator)
        self.modules = require_torch().nn.ModuleList([self.phi, self.rho])

    def __call__(self, members: Tensor, sizes: Tensor) -> Tensor:
        """Answers, shape (n_sets, n_outputs)."""
        return self.rho(pool(self.phi(members), sizes, self.pooling) / self.scale)


class PaddedNetwork:
    """The plain alternative: members in the order given, zeros behind, into one perceptron.

    Parameters
    ----------
    n_features, n_outputs
        Features of a member, numbers answered a set.
    most
        Members that are read of each set; further ones are left out.
    width, n_layers
        Units of the hidden layers, and how many there are.
    generator
        Source of the initial values.
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        most: int,
        width: int,
        n_layers: int,
        generator: TorchGenerator,
    ):
        self.most = most
        self.body = perceptron([most * n_features, *[width] * n_layers, n_outputs], generator)
        self.modules = require_torch().nn.ModuleList([self.body])

    def __call__(self, members: Tensor, sizes: Tensor) -> Tensor:
        """Answers, shape (n_sets, n_outputs)."""
        torch = require_torch()
        owner = torch.arange(len(sizes)).repeat_interleave(sizes)
        place = torch.arange(len(members)) - (sizes.cumsum(0) - sizes)[owner]
        read = place < self.most
        rows = members.new_zeros(len(sizes), self.most, members.shape[1])
        rows[owner[read], place[read]] = members[read]
        return self.body(rows.flatten(1))


class MemberNetwork:
    """Equivariant layers with ELU between them; one score a member.

    Parameters
    ----------
    n_features
        Features of a member.
    width, n_layers
        Units of the hidden layers, and how many layers there are in all.
    pooling
        How each layer pools.
    generator
        Source of the initial values.
    """

    def __init__(
        self,
        n_features: int,
        *,
        width: int,
        n_layers: int,
        pooling: Pooling,
        generator: TorchGenerator,
    ):
        widths = [n_features, *[width] * (n_layers - 1), 1]
        self.layers = [
            EquivariantLayer(n_inputs, n_outputs, pooling, generator)
            for n_inputs, n_outputs in itertools.pairwise(widths)
        ]
        parts = [part for layer in self.layers for part in (layer.own, layer.pooled)]
        self.modules = require_torch().nn.ModuleList(parts)

    def __call__(self, members: Tensor, sizes: Tensor) -> Tensor:
        """Scores, shape (n_members,)."""
        torch = require_torch()
        hidden = members
        for layer in self.layers[:-1]:
            hidden = torch.nn.functional.elu(layer(hidden, sizes))
        return self.layers[-1](hidden, sizes).squeeze(1)


def log_softmax_in_sets(scores: Tensor, sizes: Tensor) -> Tensor:
    """Logarithm of the softmax over the members of each set, shape (n_members,)."""
    largest = pool(scores.detach()[:, None], sizes, "max").squeeze(1)
    shifted = scores - largest.repeat_interleave(sizes)
    totals = pool(shifted.exp()[:, None], sizes, "sum").squeeze(1)
    return shifted - totals.log().repeat_interleave(sizes)


@dataclass(frozen=True)
class Scaler:
    """Centre and spread of each feature on the training members."""

    centre: FloatArray
    spread: FloatArray

    @classmethod
    def of(cls, matrix: FloatArray) -> Scaler:
        """Learn both; a constant feature is centred only."""
        spread = matrix.std(axis=0)
        return cls(matrix.mean(axis=0), np.where(spread > 0, spread, 1.0))

    def __call__(self, matrix: FloatArray) -> FloatArray:
        """The matrix in units of the spread."""
        return (matrix - self.centre) / self.spread


class SetTensors:
    """Packed sets as tensors, from which batches of whole sets are cut."""

    def __init__(self, packed: PackedSets, scaler: Scaler):
        torch = require_torch()
        self.packed = packed
        self.members = torch.from_numpy(scaler(packed.members))
        self.sizes = torch.from_numpy(packed.sizes)

    def batch(self, chosen: IntArray) -> tuple[Tensor, Tensor]:
        """Members and sizes of the chosen sets."""
        torch = require_torch()
        rows = torch.from_numpy(self.packed.member_rows(chosen))
        return self.members[rows], self.sizes[torch.from_numpy(chosen)]


def to_numpy(tensor: Any) -> NDArray[Any]:
    """A tensor's values without gradients."""
    values: NDArray[Any] = tensor.detach().numpy()
    return values
