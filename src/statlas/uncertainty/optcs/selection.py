"""Conformal p-values, Benjamini-Hochberg, and the e-values that allow a choice among scores.

All functions work on the last axis and broadcast over the others, so thousands of simulated sets
go through at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Pruning = Literal["shared", "separate", "none"]

# Keeps p <= q r / m true where both sides are the same number rounded differently.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Selection:
    """Who is selected, and why; arrays of shape (..., n_candidates).

    Attributes
    ----------
    selected
        Whether the candidate is picked.
    p_value
        Conformal p-value under the candidate's own chosen score.
    threshold
        Largest p-value that is small enough for the candidate.
    chosen
        Index of the score that the candidate's auxiliary selection prefers.
    """

    selected: BoolArray
    p_value: FloatArray
    threshold: FloatArray
    chosen: IntArray


def clipped_scores(predictions: ArrayLike, good: ArrayLike) -> FloatArray:
    """Scores V(x, y) of labelled rows: minus the prediction for a dud, infinite for a good row.

    The paper's clipped score M 1{y > c} - mu(x) with M beyond all predictions. It is monotone in
    y, and for a dud it equals the score -mu(x) that a candidate gets.

    Examples
    --------
    >>> clipped_scores([0.2, 0.9], [False, True])
    array([-0.2,  inf])
    """
    return np.where(np.asarray(good, dtype=bool), np.inf, -np.asarray(predictions, dtype=float))


def counts_at_most(labelled: ArrayLike, new: ArrayLike) -> IntArray:
    """Number of labelled scores at most as large as each new one, shape (..., n_new).

    Examples
    --------
    >>> counts_at_most([-0.9, -0.2, -0.2, np.inf], [-1.0, -0.2])
    array([0, 3])
    """
    old, fresh = np.asarray(labelled, dtype=float), np.asarray(new, dtype=float)
    n = old.shape[-1]
    both = np.concatenate([old, fresh], axis=-1)
    # Stable, so that labelled scores come before equal new ones and are counted.
    order = np.argsort(both, axis=-1, kind="stable")
    below = np.cumsum(order < n, axis=-1)
    counts = np.empty_like(order)
    np.put_along_axis(counts, order, below, axis=-1)
    return counts[..., n:]


def p_values(labelled: ArrayLike, new: ArrayLike) -> FloatArray:
    """Conformal p-values (1 + #{i: V_i <= V_new}) / (n + 1): small where few duds look as good.

    Parameters
    ----------
    labelled
        Scores of the labelled rows, see `clipped_scores`, shape (..., n).
    new
        Scores of the candidates, shape (..., n_candidates).

    Examples
    --------
    >>> p_values([-0.9, -0.2, np.inf], [-1.0, -0.2])
    array([0.25, 0.75])
    """
    n = np.asarray(labelled).shape[-1]
    return np.asarray((1 + counts_at_most(labelled, new)) / (n + 1))


def benjamini_hochberg(p: ArrayLike, q: float) -> BoolArray:
    """Benjamini and Hochberg's selection at level q, shape of `p`.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.5, 0.04, 0.03], 0.1)
    array([ True, False,  True,  True])
    """
    values = np.asarray(p, dtype=float)
    m = values.shape[-1]
    ordered = np.sort(values, axis=-1)
    rank = np.arange(1, m + 1)
    size = np.max(rank * (ordered * m <= q * rank + _ROUNDING), axis=-1, keepdims=True)
    return np.asarray(values * m <= q * size + _ROUNDING)


def conformal_selection(labelled: ArrayLike, new: ArrayLike, q: float) -> Selection:
    """Benjamini-Hochberg on the p-values of one score (Jin and Candes; OptCS-Full ends with it).

    Examples
    --------
    >>> found = conformal_selection([-0.1] * 9, [-1.0, -2.0, 0.0], 0.2)
    >>> found.selected
    array([ True,  True, False])
    """
    p = p_values(labelled, new)
    selected = benjamini_hochberg(p, q)
    size = selected.sum(axis=-1, keepdims=True)
    threshold = np.broadcast_to(q * size / p.shape[-1], p.shape)
    return Selection(selected, p, threshold, np.zeros(p.shape, dtype=np.int64))


def auxiliary_sizes(labelled: ArrayLike, new: ArrayLike, q: float) -> IntArray:
    """Size R_j of the selection in which candidate j counts as one of the labelled rows.

    For each j, Benjamini-Hochberg is run on p_j = 0 and, for l other than j,
    p_l = (#{i: V_i <= V_l} + 1{V_j <= V_l}) / (n + 1). None of these changes when candidate j and
    a labelled row swap places, which is why R_j may guide the choice of a score.

    One sort serves all j: moving j to the front leaves the order of the others, those that come
    before it have one place more, those after it one count more. O((n + m) log(n + m)) instead of
    O(m^2 n).

    Returns
    -------
    ndarray
        At least 1, shape (..., n_candidates).

    Examples
    --------
    >>> auxiliary_sizes([-0.1] * 9, [-1.0, -2.0, 0.0], 0.2)
    array([2, 2, 3])
    """
    fresh = np.asarray(new, dtype=float)
    n, m = np.asarray(labelled).shape[-1], fresh.shape[-1]
    order = np.argsort(fresh, axis=-1)
    ordered = np.take_along_axis(fresh, order, axis=-1)
    counts = np.take_along_axis(counts_at_most(labelled, fresh), order, axis=-1)
    place = np.arange(m)
    # Ties count one more than what is strictly before, wherever the sort has put j among them.
    begins = np.concatenate(
        [np.ones((*fresh.shape[:-1], 1), dtype=bool), ordered[..., 1:] > ordered[..., :-1]], axis=-1
    )
    first = np.maximum.accumulate(np.where(begins, place, 0), axis=-1)
    bound = q * (n + 1) / m
    earlier = np.where(counts <= bound * (place + 2) + _ROUNDING, place + 2, 1)
    later = np.where(counts + 1 <= bound * (place + 1) + _ROUNDING, place + 1, 1)
    one = np.ones((*fresh.shape[:-1], 1), dtype=np.int64)
    before = np.concatenate([one, np.maximum.accumulate(earlier, axis=-1)], axis=-1)
    after = np.flip(np.maximum.accumulate(np.flip(later, axis=-1), axis=-1), axis=-1)
    after = np.concatenate([after, one], axis=-1)
    sizes = np.maximum(
        np.take_along_axis(before, first, axis=-1), np.take_along_axis(after, first + 1, axis=-1)
    )
    result: IntArray = np.empty_like(sizes)
    np.put_along_axis(result, order, sizes, axis=-1)
    return result


def best_score_selection(
    labelled: ArrayLike,
    new: ArrayLike,
    q: float,
    pruning: Pruning = "none",
    rng: np.random.Generator | None = None,
) -> Selection:
    """Choose the best of several scores for each candidate and still control the FDR (OptCS-MSel).

    Candidate j takes the score with the largest auxiliary selection R_j; its e-value is
    1{p_j <= q R_j / m} / (q R_j / m), of mean at most 1 for a dud; the e-values go through the
    Benjamini-Hochberg procedure for e-values.

    Parameters
    ----------
    labelled
        Clipped scores of the labelled rows, shape (..., n_scores, n).
    new
        Scores of the candidates, shape (..., n_scores, n_candidates).
    q
        Nominal false discovery rate in (0, 1).
    pruning
        Divide the e-values by one uniform draw for all (``"shared"``), by one each
        (``"separate"``), or not at all (``"none"``, the fewest picks).
    rng
        Generator, needed unless pruning is ``"none"``.

    Raises
    ------
    ValueError
        If draws are asked for without a generator.

    Examples
    --------
    >>> useful, useless = [-0.1] * 19, [-0.5] * 19
    >>> found = best_score_selection([useless, useful], [[-0.4, -0.3], [-0.9, -0.8]], 0.2)
    >>> found.selected, found.chosen
    (array([ True,  True]), array([1, 1]))
    """
    old, fresh = np.asarray(labelled, dtype=float), np.asarray(new, dtype=float)
    m = fresh.shape[-1]
    sizes = auxiliary_sizes(old, fresh, q)
    chosen = np.argmax(sizes, axis=-2)
    index = chosen[..., None, :]
    size = np.take_along_axis(sizes, index, axis=-2)[..., 0, :]
    p = np.take_along_axis(p_values(old, fresh), index, axis=-2)[..., 0, :]
    passed = p * m <= q * size + _ROUNDING
    # e_j / u_j >= m / (q k) says u_j R_j <= k for those that passed.
    price = np.where(passed, size * _draws(pruning, size.shape, rng), np.inf)
    rank = np.arange(1, m + 1)
    affordable = np.sort(price, axis=-1) <= rank + _ROUNDING
    count = np.max(rank * affordable, axis=-1, keepdims=True)
    return Selection(price <= count + _ROUNDING, p, q * size / m, chosen)


def _draws(pruning: Pruning, shape: tuple[int, ...], rng: np.random.Generator | None) -> FloatArray:
    if pruning == "none":
        return np.ones(shape)
    if rng is None:
        raise ValueError("pruning by draws needs a generator")
    return rng.uniform(size=(*shape[:-1], 1) if pruning == "shared" else shape)


def naive_best_selection(labelled: ArrayLike, new: ArrayLike, q: float) -> Selection:
    """Run every score and keep the one with most picks: what must not be done.

    Shapes as in `best_score_selection`; here to show how far the false discovery rate goes.
    """
    p = p_values(labelled, new)
    selected = benjamini_hochberg(p, q)
    best = np.argmax(selected.sum(axis=-1), axis=-1)[..., None, None]
    pick = np.take_along_axis(selected, best, axis=-2)[..., 0, :]
    p_best = np.take_along_axis(p, best, axis=-2)[..., 0, :]
    threshold = np.broadcast_to(q * pick.sum(axis=-1, keepdims=True) / p.shape[-1], pick.shape)
    return Selection(pick, p_best, threshold, np.broadcast_to(best[..., 0], pick.shape))
