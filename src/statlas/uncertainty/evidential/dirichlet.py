"""Closed forms of the Dirichlet distribution over class probabilities, on arrays (..., n_classes).

Concentrations are above 0; information is in nats.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma, entr, gammaln

FloatArray = NDArray[np.float64]


def _read(concentration: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Concentrations and their sums, with a last axis of length 1."""
    alpha = np.asarray(concentration, dtype=float)
    return alpha, alpha.sum(axis=-1, keepdims=True)


def mean_probabilities(concentration: ArrayLike) -> FloatArray:
    """Expected class probabilities.

    >>> mean_probabilities([1.0, 3.0])
    array([0.25, 0.75])
    """
    alpha, total = _read(concentration)
    return np.asarray(alpha / total)


def total_uncertainty(concentration: ArrayLike) -> FloatArray:
    """Entropy of the expected probabilities; aleatoric plus epistemic.

    >>> round(float(total_uncertainty([5.0, 5.0])), 4)
    0.6931
    """
    return np.asarray(entr(mean_probabilities(concentration)).sum(axis=-1))


def aleatoric_uncertainty(concentration: ArrayLike) -> FloatArray:
    """Expected entropy of the class probabilities.

    >>> round(float(aleatoric_uncertainty([1.0, 1.0])), 4)
    0.5
    """
    alpha, total = _read(concentration)
    surprise = digamma(total + 1) - digamma(alpha + 1)
    return np.asarray((alpha / total * surprise).sum(axis=-1))


def epistemic_uncertainty(concentration: ArrayLike) -> FloatArray:
    """Mutual information between the class and the class probabilities.

    >>> round(float(epistemic_uncertainty([1.0, 1.0])), 4)
    0.1931
    """
    gap = total_uncertainty(concentration) - aleatoric_uncertainty(concentration)
    return np.asarray(np.maximum(gap, 0.0))


def expected_pairwise_divergence(concentration: ArrayLike) -> FloatArray:
    """Expected Kullback-Leibler divergence between two independent draws of the probabilities.

    >>> float(expected_pairwise_divergence([1.0, 3.0]))
    0.25
    """
    alpha, total = _read(concentration)
    return np.asarray((alpha.shape[-1] - 1) / total[..., 0])


def differential_entropy(concentration: ArrayLike) -> FloatArray:
    """Differential entropy of the distribution over the simplex.

    >>> float(differential_entropy([1.0, 1.0]))
    0.0
    """
    alpha, total = _read(concentration)
    n_classes = alpha.shape[-1]
    log_beta = gammaln(alpha).sum(axis=-1) - gammaln(total[..., 0])
    spread = (total[..., 0] - n_classes) * digamma(total[..., 0])
    return np.asarray(log_beta + spread - ((alpha - 1) * digamma(alpha)).sum(axis=-1))


def divergence(concentration: ArrayLike, other: ArrayLike) -> FloatArray:
    """Kullback-Leibler divergence KL(Dirichlet(concentration) || Dirichlet(other)).

    >>> float(divergence([2.0, 3.0], [2.0, 3.0]))
    0.0
    """
    alpha, total = _read(concentration)
    beta, other_total = _read(other)
    normaliser = gammaln(total[..., 0]) - gammaln(other_total[..., 0])
    normaliser = normaliser + (gammaln(beta) - gammaln(alpha)).sum(axis=-1)
    expected = ((alpha - beta) * (digamma(alpha) - digamma(total))).sum(axis=-1)
    return np.asarray(normaliser + expected)


def vacuity(concentration: ArrayLike) -> FloatArray:
    """Number of classes over the sum of concentrations: uncertainty mass of subjective logic.

    >>> float(vacuity([1.0, 3.0]))
    0.5
    """
    alpha, total = _read(concentration)
    return np.asarray(alpha.shape[-1] / total[..., 0])
