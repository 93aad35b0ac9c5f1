"""Approach 1: the convex hull of compute and loss, and the lines through its points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

FEWEST_POINTS = 3


def lower_hull(resource: FloatArray, loss: FloatArray) -> NDArray[np.int64]:
    """Rows on the lower left edge of the convex hull of log(resource) and log(loss).

    Parameters
    ----------
    resource, loss
        Positive, shape (n_rows,).

    Returns
    -------
    ndarray
        Rows in increasing order of resource, loss falling from each to the next.

    Examples
    --------
    >>> lower_hull(np.array([1.0, 2, 4, 8, 16]), np.array([4.0, 3.9, 2, 1.9, 1.5]))
    array([0, 2, 4])
    """
    order = np.lexsort([loss, resource])
    height = np.log(loss[order])
    falls = height < np.concatenate([[np.inf], np.minimum.accumulate(height)[:-1]])
    rows = order[falls]
    x, y = np.log(resource[rows]).tolist(), np.log(loss[rows]).tolist()
    kept: list[int] = []
    for point in range(len(rows)):
        while len(kept) > 1:
            first, second = kept[-2], kept[-1]
            # The middle point stays only where the chain turns left at it.
            turn = (x[second] - x[first]) * (y[point] - y[first]) - (y[second] - y[first]) * (
                x[point] - x[first]
            )
            if turn > 0:
                break
            kept.pop()
        kept.append(point)
    return rows[kept]


def hull_lines(
    resource: FloatArray, loss: FloatArray, size: FloatArray, tokens: FloatArray
) -> FloatArray:
    """Log-log lines of size and of tokens over compute through the hull's points.

    Returns
    -------
    ndarray
        Intercept and slope of log(size), intercept and slope of log(tokens); NaN where the hull
        has fewer than three points or one size only.
    """
    rows = lower_hull(resource, loss)
    x, targets = np.log(resource[rows]), np.log(np.column_stack([size[rows], tokens[rows]]))
    if len(rows) < FEWEST_POINTS or np.ptp(targets[:, 0]) == 0 or np.ptp(x) == 0:
        return np.full(4, np.nan)
    centred = x - x.mean()
    slopes = centred @ targets / (centred @ centred)
    intercepts = targets.mean(axis=0) - slopes * x.mean()
    return np.array([intercepts[0], slopes[0], intercepts[1], slopes[1]])


def near_hull(resource: FloatArray, loss: FloatArray, margin: float) -> NDArray[np.bool_]:
    """Rows whose loss is at most `margin` above the hull, relatively, at their resource.

    Right of the last point of the hull the hull is flat.
    """
    rows = lower_hull(resource, loss)
    edge = np.interp(np.log(resource), np.log(resource[rows]), np.log(loss[rows]))
    near: NDArray[np.bool_] = np.log(loss) - edge <= np.log1p(margin)
    return near
