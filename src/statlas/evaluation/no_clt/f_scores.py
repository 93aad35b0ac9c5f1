"""F-scores, precision and recall from a small confusion matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from statlas.evaluation.no_clt.intervals import Bounds, FloatArray, bisect
from statlas.evaluation.no_clt.quadrature import beta_nodes


def f_score_interval(
    true_positives: ArrayLike,
    false_positives: ArrayLike,
    false_negatives: ArrayLike,
    level: float = 0.95,
    beta: float = 1.0,
    prior: float = 1.0,
) -> Bounds:
    r"""Credible interval of an F-score under a Dirichlet prior (Section 3.5).

    True negatives do not enter: given the four probabilities of the confusion matrix the score
    depends on the first three only through their proportions, whose posterior is Dirichlet with
    their own counts.

    Parameters
    ----------
    true_positives, false_positives, false_negatives
        Counts, broadcast against each other.
    level
        Posterior probability in (0, 1).
    beta
        Weight of recall; 1 gives F1.
    prior
        Parameter of the symmetric Dirichlet prior; 1 in the paper.

    Returns
    -------
    low, high
        Bounds in [0, 1].

    Notes
    -----
    The share J = TP / (TP + FP + FN) has a Beta posterior and :math:`F_1 = 2 J / (1 + J)`
    increases with it, so quantiles of F1 are exact. For other `beta` the split of the errors,
    also Beta distributed and independent of J, is integrated out.

    Examples
    --------
    >>> low, high = f_score_interval(12, 3, 2)
    >>> print(round(float(low), 4), round(float(high), 4))
    0.6058 0.9113
    """
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = (
        f_score_quantile(true_positives, false_positives, false_negatives, p, beta, prior)
        for p in tails
    )
    return low, high


def f_score_quantile(
    true_positives: ArrayLike,
    false_positives: ArrayLike,
    false_negatives: ArrayLike,
    probability: float,
    beta: float = 1.0,
    prior: float = 1.0,
) -> FloatArray:
    """Posterior quantile of an F-score; parameters as in `f_score_interval`.

    Examples
    --------
    >>> print(f_score_quantile(12, 3, 2, 0.5).round(4))
    0.7916
    """
    tp, fp, fn = np.broadcast_arrays(
        *(np.asarray(c, dtype=float) for c in (true_positives, false_positives, false_negatives))
    )
    if np.any(tp < 0) or np.any(fp < 0) or np.any(fn < 0) or beta <= 0 or prior <= 0:
        raise ValueError("counts must not be negative; beta and prior must be positive")
    a, b = tp + prior, fp + fn + 2 * prior  # Beta parameters of J
    if beta == 1:
        share = special.betaincinv(a, b, probability)
        return np.asarray(2 * share / (1 + share))
    log_odds, weights = beta_nodes(fn + prior, fp + prior)
    missed = special.expit(log_odds)  # false negatives among the errors
    cost = beta**2 * missed + 1 - missed

    def excess(score: FloatArray) -> FloatArray:
        # F <= score where J is at most the share that gives `score` with these errors.
        share = score[..., None] * cost
        share = share / (share + (1 + beta**2) * (1 - score[..., None]))
        below = special.betainc(a[..., None], b[..., None], share)
        return np.asarray((weights * below).sum(axis=-1) - probability)

    return bisect(excess, np.zeros(a.shape), np.ones(a.shape))


def precision_interval(
    true_positives: ArrayLike, false_positives: ArrayLike, level: float = 0.95, prior: float = 1.0
) -> Bounds:
    """Credible interval of precision under the same Dirichlet prior.

    Recall is the same function with false negatives in the place of false positives.

    Examples
    --------
    >>> low, high = precision_interval(12, 3)
    >>> print(round(float(low), 4), round(float(high), 4))
    0.5435 0.9273
    """
    a = np.asarray(true_positives, dtype=float) + prior
    b = np.asarray(false_positives, dtype=float) + prior
    tail = (1 - level) / 2
    return special.betaincinv(a, b, tail), special.betaincinv(a, b, 1 - tail)


def f1_clt_interval(
    true_positives: ArrayLike,
    false_positives: ArrayLike,
    false_negatives: ArrayLike,
    level: float = 0.95,
) -> Bounds:
    """F1 plus or minus a normal quantile of its delta-method error: the interval to avoid.

    Without true positives or errors its width is 0; with no counts at all it is NaN.

    Examples
    --------
    >>> low, high = f1_clt_interval(12, 3, 2)
    >>> print(round(float(low), 4), round(float(high), 4))
    0.6787 0.9764
    """
    hits = np.asarray(true_positives, dtype=float)
    errors = np.asarray(false_positives, dtype=float) + np.asarray(false_negatives, dtype=float)
    total = hits + errors
    with np.errstate(invalid="ignore", divide="ignore"):
        share = hits / total
        score = 2 * share / (1 + share)
        error = 2 / (1 + share) ** 2 * np.sqrt(share * (1 - share) / total)
    half = special.ndtri((1 + level) / 2) * error
    return score - half, score + half
