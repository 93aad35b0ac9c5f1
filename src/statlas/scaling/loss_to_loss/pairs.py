"""Runs of two data sets, or two losses of one run, brought together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from statlas.core import InputError
from statlas.scaling.loss_to_loss.laws import FloatArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
PairBy = Literal["size-and-tokens", "compute"]

_SAME_COMPUTE = 1e-3  # relative difference within which two runs count as equally dear


@dataclass(frozen=True)
class Runs:
    """Runs of one data set with one of their losses, shape (n_runs,) each.

    Attributes
    ----------
    size, tokens, compute
        Parameters, tokens and floating-point operations.
    loss
        The loss that is looked at.
    unit
        Code of the training, shared by trainings of equal size and seed on other data: what is
        drawn together when uncertainty is simulated.
    seed
        Code of the seed, 0 where there is none.
    """

    size: FloatArray
    tokens: FloatArray
    compute: FloatArray
    loss: FloatArray
    unit: IntArray
    seed: IntArray

    def where(self, chosen: BoolArray | IntArray) -> Runs:
        """Some of the runs."""
        return Runs(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    @property
    def n_runs(self) -> int:
        """Number of runs."""
        return len(self.loss)


@dataclass(frozen=True)
class Pairs:
    """Two losses at equal training, shape (n_pairs,) each.

    Attributes
    ----------
    first, second
        L0 and L1.
    size, tokens, compute, unit
        Of the first loss's run.
    second_size, second_tokens
        Of the second's; they differ from the first's where pairs are made by compute.
    """

    first: FloatArray
    second: FloatArray
    size: FloatArray
    tokens: FloatArray
    compute: FloatArray
    unit: IntArray
    second_size: FloatArray
    second_tokens: FloatArray

    def where(self, chosen: BoolArray | IntArray) -> Pairs:
        """Some of the pairs."""
        return Pairs(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    @property
    def n_pairs(self) -> int:
        """Number of pairs."""
        return len(self.first)


def pair_runs(one: Runs, other: Runs, by: PairBy = "size-and-tokens") -> Pairs:
    """Pair the runs of two tables.

    Parameters
    ----------
    one, other
        Runs with the first and with the second loss.
    by
        ``"size-and-tokens"``: runs of equal size, tokens and seed, repeats averaged;
        ``"compute"``: at each compute that both have, the run with the lowest loss of each.

    Raises
    ------
    InputError
        If fewer than two runs have a partner.
    """
    if by == "compute":
        one, other = best_by_compute(one), best_by_compute(other)
        keys = _levels(np.concatenate([one.compute, other.compute]))
    else:
        # Sizes and tokens may carry rounding; seven digits tell runs apart.
        both = [np.concatenate([getattr(one, n), getattr(other, n)]) for n in ("size", "tokens")]
        columns = [[float(f"{value:.7g}") for value in values] for values in both]
        columns.append(np.concatenate([one.seed, other.seed]).tolist())
        keys = np.unique(np.array(columns), axis=1, return_inverse=True)[1].ravel()
    left, right = keys[: one.n_runs], keys[one.n_runs :]
    shared = np.intersect1d(left, right)
    if len(shared) < 2:
        raise InputError(
            f"{len(shared)} run(s) have a partner of equal "
            + ("compute" if by == "compute" else "size, tokens and seed"),
            remedy="pair them by compute (pair_by='compute'), leave out the column of seeds, or "
            "check the units",
        )
    first, second = _means(one.loss, left, shared), _means(other.loss, right, shared)
    here = np.array([int(np.argmax(left == key)) for key in shared])
    there = np.array([int(np.argmax(right == key)) for key in shared])
    return Pairs(
        first, second, one.size[here], one.tokens[here], one.compute[here], one.unit[here],
        other.size[there], other.tokens[there],
    )  # fmt: skip


def same_runs(runs: Runs, second: FloatArray) -> Pairs:
    """Pair two losses of the same runs."""
    return Pairs(
        runs.loss, np.asarray(second, dtype=float), runs.size, runs.tokens, runs.compute, runs.unit,
        runs.size, runs.tokens,
    )  # fmt: skip


def best_by_compute(runs: Runs) -> Runs:
    """At each compute the run with the lowest loss."""
    level = _levels(runs.compute)
    order = np.lexsort((runs.loss, level))
    first = np.unique(level[order], return_index=True)[1]
    return runs.where(order[first])


def _levels(compute: FloatArray) -> IntArray:
    """Code of each compute; values that differ by less than a thousandth share one."""
    order = np.argsort(compute)
    steps = np.diff(np.log(compute[order])) > _SAME_COMPUTE
    level = np.empty(len(compute), dtype=np.int64)
    level[order] = np.concatenate([[0], np.cumsum(steps)])
    return level


def _means(values: FloatArray, keys: IntArray, shared: IntArray) -> FloatArray:
    return np.array([float(values[keys == key].mean()) for key in shared])


def spread_out(pairs: Pairs, count: int) -> IntArray:
    """A few pairs, evenly spaced in compute, each with the lowest first loss near its compute.

    These are the points that somebody would train on a second data set: near the best size at each
    of a few budgets.
    """
    logs = np.log(pairs.compute)
    edges = np.linspace(logs.min(), logs.max() + 1e-9, count + 1)
    bins = np.clip(np.searchsorted(edges, logs, side="right") - 1, 0, count - 1)
    chosen = []
    for place in np.unique(bins):
        rows = np.flatnonzero(bins == place)
        # The lowest loss for its compute: what is left of a power law through the bin.
        chosen.append(int(rows[np.argmin(np.log(pairs.first[rows]) + 0.05 * logs[rows])]))
    return np.array(chosen, dtype=np.int64)
