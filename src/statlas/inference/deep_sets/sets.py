"""Sets of different sizes as one flat matrix and the size of each set, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from statlas.core import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class PackedSets:
    """Sets one after the other in one matrix.

    Attributes
    ----------
    members
        Features of all members, set by set, shape (n_members, n_features).
    sizes
        Number of members of each set, at least 1, shape (n_sets,).
    rows
        Where each member stood in the input, shape (n_members,).
    """

    members: FloatArray
    sizes: IntArray
    rows: IntArray

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def starts(self) -> IntArray:
        """Row of the first member of each set, shape (n_sets,)."""
        return np.cumsum(self.sizes) - self.sizes

    @property
    def owner(self) -> IntArray:
        """Set of each member, shape (n_members,)."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def member_rows(self, chosen: ArrayLike) -> IntArray:
        """Rows of `members` that belong to the chosen sets, set by set.

        Examples
        --------
        >>> pack_sets([np.zeros((2, 1)), np.zeros((3, 1))]).member_rows([1, 0])
        array([2, 3, 4, 0, 1])
        """
        sets = np.asarray(chosen, dtype=np.int64)
        sizes = self.sizes[sets]
        first_of_block = np.cumsum(sizes) - sizes
        offsets = np.repeat(self.starts[sets] - first_of_block, sizes)
        return offsets + np.arange(sizes.sum())

    def take(self, chosen: ArrayLike) -> PackedSets:
        """The chosen sets in the order given."""
        picked = self.member_rows(chosen)
        sizes = self.sizes[np.asarray(chosen, dtype=np.int64)]
        return PackedSets(self.members[picked], sizes, self.rows[picked])

    def shuffled(self, rng: np.random.Generator) -> PackedSets:
        """The same sets with their members in another order."""
        order = np.lexsort((rng.random(len(self.members)), self.owner))
        return PackedSets(self.members[order], self.sizes, self.rows[order])


def stack_members(X: Any) -> tuple[Any, IntArray | None]:
    """Bring a sequence of matrices into one matrix and the sizes; a plain matrix stays as it is.

    Parameters
    ----------
    X
        A sequence of arrays of shape (n_i, n_features), an array of shape (n_sets, n, n_features),
        or one matrix of members (then the sizes are None).

    Raises
    ------
    InputError
        If the sets do not have the same features.
    """
    if isinstance(X, np.ndarray) and X.ndim == 3:
        return X.reshape(-1, X.shape[2]), np.full(len(X), X.shape[1], dtype=np.int64)
    is_sequence = isinstance(X, (list, tuple)) or (
        isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype == object
    )
    if not (is_sequence and len(X) and all(np.ndim(item) == 2 for item in X)):
        return X, None
    sets = [np.asarray(item) for item in X]
    for number, item in enumerate(sets):
        if item.shape[1] != sets[0].shape[1]:
            raise InputError(
                f"set {number} has {item.shape[1]} features and set 0 has {sets[0].shape[1]}",
                remedy="give every member of every set the same features",
            )
    return np.concatenate(sets), np.array([len(item) for item in sets], dtype=np.int64)


def pack_sets(X: Any, sets: ArrayLike | None = None) -> PackedSets:
    """Read sets from a list of matrices, or from one matrix and the set of each row.

    Parameters
    ----------
    X
        As for `stack_members`.
    sets
        Set of each row of a matrix, any labels, shape (n_members,). Sets are numbered by first
        appearance. Without it every row of a matrix is a set of one member.

    Raises
    ------
    InputError
        If a set is empty, values are not finite, or `sets` does not fit.

    Examples
    --------
    >>> packed = pack_sets([[1.0], [2.0], [3.0]], sets=["b", "a", "b"])
    >>> packed.sizes, packed.members.ravel(), packed.rows
    (array([2, 1]), array([1., 3., 2.]), array([0, 2, 1]))
    """
    matrix, sizes = stack_members(X)
    members = np.asarray(matrix, dtype=np.float64)
    if members.ndim != 2:
        raise InputError(
            f"sets must be matrices of shape (members, features); got {members.ndim} dimension(s)",
            remedy="reshape a set of plain numbers to (n, 1)",
        )
    if not np.isfinite(members).all():
        raise InputError("features must be finite", remedy="remove members with missing values")
    return pack_members(members, sizes, sets)


def pack_members(members: FloatArray, sizes: IntArray | None, sets: ArrayLike | None) -> PackedSets:
    """Pack a checked matrix of members; see `pack_sets`."""
    if sets is None:
        sizes = np.ones(len(members), dtype=np.int64) if sizes is None else sizes
        if np.any(sizes == 0):
            raise InputError(
                f"set {int(np.argmin(sizes))} has no members", remedy="leave empty sets out"
            )
        return PackedSets(members, sizes, np.arange(len(members)))
    if sizes is not None:
        raise InputError("`sets` goes with one matrix of members, not with a list of sets")
    codes = _codes_by_appearance(sets)
    if len(codes) != len(members):
        raise InputError(f"`sets` labels {len(codes)} rows and there are {len(members)}")
    order = np.argsort(codes, kind="stable")
    return PackedSets(members[order], np.bincount(codes).astype(np.int64), order)


def _codes_by_appearance(labels: ArrayLike) -> IntArray:
    _, first, codes = np.unique(np.asarray(labels), return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[codes]


def set_targets(y: ArrayLike, packed: PackedSets) -> NDArray[Any]:
    """One target a set, from one a set or one a row.

    Raises
    ------
    InputError
        If the length fits neither, or rows of a set disagree.

    Examples
    --------
    >>> set_targets([5, 7, 5], pack_sets(np.zeros((3, 1)), sets=[0, 1, 0]))
    array([5, 7])
    """
    targets = np.asarray(y)
    if len(targets) == len(packed):
        return targets
    if len(targets) != len(packed.members):
        raise InputError(
            f"y has {len(targets)} values; there are {len(packed)} sets of "
            f"{len(packed.members)} members"
        )
    by_member = targets[packed.rows]
    chosen = by_member[packed.starts]
    differs = by_member != chosen[packed.owner]
    if differs.any():
        raise InputError(
            f"the rows of set {int(packed.owner[differs.argmax()])} have different targets",
            remedy="give every row of a set the same target",
        )
    return chosen


def summary_statistics(packed: PackedSets) -> FloatArray:
    """Size, mean, standard deviation, smallest and largest value of each feature of each set.

    Parameters
    ----------
    packed
        The sets.

    Returns
    -------
    ndarray
        Shape (n_sets, 1 + 4 * n_features).

    Examples
    --------
    >>> summary_statistics(pack_sets([[[1.0], [3.0]]]))
    array([[2., 2., 1., 1., 3.]])
    """
    sizes, starts = packed.sizes[:, None], packed.starts
    mean = np.add.reduceat(packed.members, starts) / sizes
    centred = packed.members - mean[packed.owner]
    spread = np.sqrt(np.add.reduceat(centred**2, starts) / sizes)
    low = np.minimum.reduceat(packed.members, starts)
    high = np.maximum.reduceat(packed.members, starts)
    return np.hstack([sizes, mean, spread, low, high])


def concatenate_labels(y: Any) -> NDArray[Any]:
    """Labels of members as one array, from one array or a sequence with an array a set."""
    if isinstance(y, Sequence) and len(y) and all(np.ndim(item) == 1 for item in y):
        return np.concatenate([np.asarray(item) for item in y])
    return np.asarray(y)
