"""Coverage-risk curves, their areas, and the distance to the ideal point."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def coverage_risk_curve(errors: ArrayLike, scores: ArrayLike) -> FloatArray:
    """Mean of `errors` over the 1, 2, ..., n rows of smallest score; ties share their mean error.

    Examples
    --------
    >>> coverage_risk_curve([4.0, 1.0, 1.0], [3, 1, 2])
    array([1., 1., 2.])
    """
    e, s = np.asarray(errors, dtype=float), np.asarray(scores, dtype=float)
    _, group = np.unique(s, return_inverse=True)
    size = np.bincount(group)
    shared = np.repeat(np.bincount(group, e) / size, size)
    return np.asarray(np.cumsum(shared) / np.arange(1, len(e) + 1))


def normalised_area(errors: ArrayLike, scores: ArrayLike) -> float:
    """Area under the coverage-risk curve: 0 for rejection by true error, 1 for random rejection.

    Above 1 it is worse than random; NaN where all errors are equal.

    Examples
    --------
    >>> normalised_area([4.0, 1.0, 0.0], [3, 2, 1]), normalised_area([4.0, 1.0, 0.0], [1, 1, 1])
    (0.0, 1.0)
    """
    e = np.asarray(errors, dtype=float)
    best, random = coverage_risk_curve(e, e).mean(), e.mean()
    if random <= best * (1 + 1e-12):
        return float("nan")
    return float((coverage_risk_curve(e, scores).mean() - best) / (random - best))


def distance_to_ideal(risks: ArrayLike, shares: ArrayLike) -> FloatArray:
    """Distance of each rule from "no error, every row answered", after normalising the errors.

    At each share the errors are divided by the largest of all rules compared; the distance is
    that of (normalised error, share) from (0, 1). It depends on the rules that are compared.

    Parameters
    ----------
    risks
        Mean squared errors of kept rows, shape (n_rules, n_shares).
    shares
        Shares of rows answered, shape (n_shares,).

    Examples
    --------
    >>> print(distance_to_ideal([[1.2, 4.0], [2.0, 4.0]], [0.2, 1.0]))
    [[1.         1.        ]
     [1.28062485 1.        ]]
    """
    risk, share = np.asarray(risks, dtype=float), np.asarray(shares, dtype=float)
    worst = risk.max(axis=0)
    normalised = np.divide(risk, worst, out=np.zeros_like(risk), where=worst > 0)
    return np.asarray(np.hypot(normalised, 1 - share))
