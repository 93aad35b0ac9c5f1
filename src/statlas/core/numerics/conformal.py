"""Split conformal prediction: the two steps that every method of that kind ends with.

Scores are of calibration points exchangeable with the new one; a large score means that the point
conforms badly.

References: Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World; Lei,
G'Sell, Rinaldo, Tibshirani and Wasserman (2018, J. Am. Stat. Assoc. 113:1094), Section 2.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

# Keeps (9 + 1) * 0.9 at 9 although the product may be rounded upwards.
_ROUNDING = 1e-9


def conformal_quantile(scores: ArrayLike, level: float) -> float:
    """The ceil((n + 1) level)-th smallest score, infinite where there are too few scores.

    Parameters
    ----------
    scores
        Calibration scores, shape (n,).
    level
        Coverage in (0, 1): the score of a new exchangeable point is at most the answer with
        probability `level` or more.

    Examples
    --------
    >>> conformal_quantile([0.3, 0.1, 0.2], 0.5), conformal_quantile([0.3, 0.1, 0.2], 0.9)
    (0.2, inf)
    """
    values = np.asarray(scores, dtype=float)
    rank = int(np.ceil((len(values) + 1) * level - _ROUNDING))
    return float(np.partition(values, rank - 1)[rank - 1]) if rank <= len(values) else np.inf


def conformal_p_values(
    scores: ArrayLike, new: ArrayLike, rng: np.random.Generator | None = None
) -> FloatArray:
    """Share of scores at least as large as each new one, itself counted.

    Parameters
    ----------
    scores
        Calibration scores, shape (n,).
    new
        Scores of new points, shape (n_new,).
    rng
        Where given, ties and the new point itself count with a uniform share, which makes the
        p-value exactly uniform under exchangeability; without it the p-value is conservative.

    Returns
    -------
    ndarray
        Shape (n_new,), in (0, 1].

    Examples
    --------
    >>> print(conformal_p_values([0.1, 0.2, 0.3], [0.25, 0.0, 1.0]))
    [0.5  1.   0.25]
    """
    ordered, fresh = np.sort(np.asarray(scores, dtype=float)), np.asarray(new, dtype=float)
    n = len(ordered)
    above = n - np.searchsorted(ordered, fresh, side="right")
    tied = n - np.searchsorted(ordered, fresh, side="left") - above
    share = 1.0 if rng is None else rng.uniform(size=fresh.shape)
    return np.asarray((above + share * (tied + 1)) / (n + 1))
