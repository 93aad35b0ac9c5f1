"""How well doubt finds errors and strange rows: areas under the ROC curve with intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtri
from scipy.stats import rankdata

FloatArray = NDArray[np.float64]


def placements(strange: ArrayLike, familiar: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Share of familiar rows below each strange one, and of strange rows above each familiar one.

    Their means are both the area under the ROC curve; ties count half.

    >>> placements([2.0, 3.0], [1.0, 2.0])
    (array([0.75, 1.  ]), array([1.  , 0.75]))
    """
    high, low = np.asarray(strange, dtype=float), np.asarray(familiar, dtype=float)
    ranks = rankdata(np.concatenate([high, low]))
    above = (ranks[: len(high)] - rankdata(high)) / len(low)
    below = 1 - (ranks[len(high) :] - rankdata(low)) / len(high)
    return above, below


def area_interval(
    strange: ArrayLike, familiar: ArrayLike, level: float = 0.95
) -> tuple[float, float, float]:
    """Area under the ROC curve with DeLong's interval on the logit scale.

    An area of 0 or 1 has no spread; it is moved by half a pair, with Hanley and McNeil's variance.

    Returns
    -------
    area, low, high
    """
    above, below = placements(strange, familiar)
    area, m, n = float(above.mean()), len(above), len(below)
    moved = float(np.clip(area, 0.5 / (m * n), 1 - 0.5 / (m * n)))
    if moved == area and min(m, n) > 1:
        variance = above.var(ddof=1) / m + below.var(ddof=1) / n
    else:
        first, second = moved / (2 - moved), 2 * moved**2 / (1 + moved)
        spread = (m - 1) * (first - moved**2) + (n - 1) * (second - moved**2)
        variance = (moved * (1 - moved) + spread) / (m * n)
    half = ndtri((1 + level) / 2) * np.sqrt(variance) / (moved * (1 - moved))
    low, high = expit(logit(moved) - half), expit(logit(moved) + half)
    return area, float(low) if area > 0 else 0.0, float(high) if area < 1 else 1.0


def area_gain(
    ours: tuple[ArrayLike, ArrayLike], theirs: tuple[ArrayLike, ArrayLike], level: float = 0.95
) -> tuple[float, float, float]:
    """Difference of two areas on the same rows, with DeLong's paired interval.

    Parameters
    ----------
    ours, theirs
        Scores of strange and of familiar rows, in the same order of rows.
    """
    above, below = (a - b for a, b in zip(placements(*ours), placements(*theirs), strict=True))
    gain = float(above.mean())
    variance = above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below)
    half = float(ndtri((1 + level) / 2) * np.sqrt(variance))
    return gain, max(gain - half, -1.0), min(gain + half, 1.0)
