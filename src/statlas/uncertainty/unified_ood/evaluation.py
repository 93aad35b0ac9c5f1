"""Detectors judged by whether the model is right, and by classes; intervals by weighted draws.

A draw of the bootstrap is a weight a row, so all draws share one sort a detector.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

CovariateRows = Literal["leave-out", "reject", "accept"]
IN, COVARIATE, SEMANTIC = 0, 1, 2

_CELLS = 2_000_000  # weights held at once
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Cases:
    """Where rows come from and whether the model is right.

    Attributes
    ----------
    source
        0 in-distribution, 1 covariate shift (a class the model knows, from elsewhere), 2 semantic
        shift (a class it does not know), shape (n,).
    right
        Whether the model's class is the true one, shape (n,); never under semantic shift.
    """

    source: IntArray
    right: BoolArray


@dataclass(frozen=True)
class Protocol:
    """Which rows a detector should accept and reject; others are left out.

    Attributes
    ----------
    accept, reject
        Shape (n,) each.
    reference
        Rows of which a stated share is accepted, which fixes the threshold.
    """

    accept: BoolArray
    reject: BoolArray
    reference: BoolArray

    @property
    def possible(self) -> bool:
        """Whether there is something to accept, to reject and to fix the threshold by."""
        return bool(self.accept.any() and self.reject.any() and self.reference.any())


def model_specific(cases: Cases) -> Protocol:
    """Accept what the model gets right, wherever it is from; reject all else (MS-OOD).

    Examples
    --------
    >>> cases = Cases(np.array([0, 0, 1, 1, 2]), np.array([True, False, True, False, False]))
    >>> model_specific(cases).accept
    array([ True, False,  True, False, False])
    """
    return Protocol(cases.right, ~cases.right, cases.right & (cases.source == IN))


def class_based(cases: Cases, covariate: CovariateRows = "leave-out") -> Protocol:
    """Accept what is in-distribution, reject unknown classes, whatever the model says of them."""
    inside, shifted = cases.source == IN, cases.source == COVARIATE
    accept = inside | (shifted & (covariate == "accept"))
    reject = (cases.source == SEMANTIC) | (shifted & (covariate == "reject"))
    return Protocol(accept, reject, inside)


def against_source(cases: Cases, source: int) -> Protocol:
    """Right in-distribution rows against the wrong rows of one source."""
    accept = cases.right & (cases.source == IN)
    return Protocol(accept, ~cases.right & (cases.source == source), accept)


# --- one detector ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measures:
    """How well a detector does, a number a draw.

    Attributes
    ----------
    auroc
        Probability that a row to accept has a larger score than one to reject, ties half.
    threshold
        Largest score from which on the stated share of reference rows is accepted.
    fpr
        Share of rows to reject that is accepted at the threshold.
    """

    auroc: FloatArray
    threshold: FloatArray
    fpr: FloatArray


def measure(
    scores: ArrayLike, protocol: Protocol, tpr: float = 0.95, weights: ArrayLike | None = None
) -> Measures:
    """Measure a detector under a protocol.

    Parameters
    ----------
    scores
        Larger for more acceptable, shape (n,).
    protocol
        What to accept and what to reject.
    tpr
        Share of reference rows to accept, in (0, 1].
    weights
        Weights of the rows in each draw, at least 0, shape (n, n_draws); one draw of equal weights
        by default. A draw without rows of a kind measures NaN.

    Examples
    --------
    >>> protocol = Protocol(*(np.array(m, bool) for m in ([1, 1, 0], [0, 0, 1], [1, 1, 0])))
    >>> found = measure([0.9, 0.4, 0.5], protocol, tpr=0.5)
    >>> found.auroc, found.threshold, found.fpr
    (array([0.5]), array([0.9]), array([0.]))
    """
    values = np.asarray(scores, dtype=float)
    w = np.ones((len(values), 1)) if weights is None else np.asarray(weights, dtype=float)
    order = np.argsort(-values, kind="stable")
    threshold = _threshold(values, order[protocol.reference[order]], w, tpr)
    bad = np.flatnonzero(protocol.reject)
    kept = w[bad] * (values[bad, None] >= threshold)
    with np.errstate(invalid="ignore", divide="ignore"):
        fpr = kept.sum(axis=0) / w[bad].sum(axis=0)
    auroc = area_under_curve(values, protocol, w)
    return Measures(auroc, threshold, np.where(np.isnan(threshold), np.nan, fpr))


def area_under_curve(scores: ArrayLike, protocol: Protocol, weights: ArrayLike) -> FloatArray:
    """The `auroc` of `measure` alone, shape (n_draws,)."""
    values, w = np.asarray(scores, dtype=float), np.asarray(weights, dtype=float)
    order = np.argsort(-values, kind="stable")
    rows = order[(protocol.accept | protocol.reject)[order]]
    ordered, accept = w[rows], protocol.accept[rows]
    # Weight to accept among the first so many rows by falling score.
    before = np.concatenate([np.zeros((1, w.shape[1])), ordered * accept[:, None]])
    np.cumsum(before, axis=0, out=before)
    bad = np.flatnonzero(~accept)
    falling = -values[rows]
    first = np.searchsorted(falling, falling[bad], "left")
    last = np.searchsorted(falling, falling[bad], "right")
    rivals = before[first]
    if np.any(last > first + 1):
        rivals = (rivals + before[last]) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.einsum("ij,ij->j", ordered[bad], rivals) / before[-1]
        return np.asarray(share / ordered[bad].sum(axis=0))


def _threshold(values: FloatArray, rows: IntArray, weights: FloatArray, tpr: float) -> FloatArray:
    """`rows` are the reference by falling score; NaN where a draw has none of them."""
    if len(rows) == 0:
        return np.full(weights.shape[1], np.nan)
    total = np.cumsum(weights[rows], axis=0)
    place = np.argmax(total >= tpr * total[-1] - _ROUNDING, axis=0)
    return np.where(total[-1] > 0, values[rows][place], np.nan)


def accepted_shares(
    scores: FloatArray, threshold: FloatArray, groups: BoolArray, weights: FloatArray
) -> FloatArray:
    """Share of each group of rows that is accepted in each draw, NaN for an empty group.

    Parameters
    ----------
    scores
        Shape (n,).
    threshold
        Of each draw, shape (n_draws,).
    groups
        Shape (n, n_groups).
    weights
        Shape (n, n_draws).

    Returns
    -------
    ndarray
        Shape (n_groups, n_draws).
    """
    members = groups.T.astype(float)
    kept = weights * (scores[:, None] >= threshold)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((members @ kept) / (members @ weights))


# --- draws ----------------------------------------------------------------------------------------


def draw_weights(
    strata: IntArray,
    clusters: IntArray | None,
    n_draws: int,
    rng: np.random.Generator,
) -> Iterator[FloatArray]:
    """Weights of bootstrap draws, block by block, the first draw being the table itself.

    Without clusters, rows are drawn within strata; with clusters, whole clusters are.

    Yields
    ------
    ndarray
        Shape (n, draws of the block).
    """
    n = len(strata)
    yield np.ones((n, 1))
    block = max(_CELLS // n, 1)
    for start in range(0, n_draws, block):
        size = min(block, n_draws - start)
        if clusters is not None:
            n_clusters = int(clusters.max()) + 1
            counts = rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size)
            yield counts.T[clusters].astype(float)
            continue
        weights = np.empty((n, size))
        for stratum in np.unique(strata):
            rows = np.flatnonzero(strata == stratum)
            weights[rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size).T
        yield weights


def with_shares(weights: FloatArray, source: IntArray, shares: FloatArray | None) -> FloatArray:
    """Weights such that the three sources have the given shares of each draw.

    Examples
    --------
    >>> print(with_shares(np.ones((3, 1)), np.array([0, 0, 2]), np.array([0.5, 0, 0.5])).T)
    [[0.25 0.25 0.5 ]]
    """
    if shares is None:
        return weights
    result = weights.copy()
    for place, share in enumerate(shares):
        rows = source == place
        total = weights[rows].sum(axis=0)
        result[rows] *= share / np.maximum(total, np.finfo(float).tiny)
    return result


# --- rankings -------------------------------------------------------------------------------------


def kendall_tau(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Kendall's tau-b of two rankings along the last axis, NaN where one is all ties.

    Examples
    --------
    >>> print(kendall_tau([1, 2, 3, 4], [1, 2, 4, 3]).round(4))
    0.6667
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    i, j = np.triu_indices(a.shape[-1], 1)
    above, over = np.sign(a[..., i] - a[..., j]), np.sign(b[..., i] - b[..., j])
    size = np.sqrt(np.sum(above**2, axis=-1) * np.sum(over**2, axis=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sum(above * over, axis=-1) / size)


def sure_reversals(first: FloatArray, second: FloatArray, level: float) -> list[tuple[int, int]]:
    """Pairs of detectors whose order surely differs between two measures.

    A pair counts where one difference is above zero and the other below it, each beyond its normal
    interval from the draws, with Bonferroni's correction for the number of pairs. Both must be so,
    hence no further correction for there being two.

    Parameters
    ----------
    first, second
        Measures, the first row from the table itself, the others from draws, shape
        (1 + n_draws, n_detectors).
    level
        Level at which all the pairs named are right together.

    Returns
    -------
    list of tuple
        (i, j) with i above j by the first measure and below it by the second.
    """
    n = first.shape[1]
    z = norm.ppf(1 - (1 - level) / max(n * (n - 1), 1))
    found = []
    for i, j in itertools.permutations(range(n), 2):
        gap, other = first[:, i] - first[:, j], second[:, i] - second[:, j]
        ahead = gap[0] > z * np.nanstd(gap[1:])
        behind = other[0] < -z * np.nanstd(other[1:])
        if ahead and behind:
            found.append((i, j))
    return found
