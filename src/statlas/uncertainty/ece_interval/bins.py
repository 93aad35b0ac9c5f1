"""Bins of equal mass or equal width over predicted probabilities, and how many there should be."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from statlas.core import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BinKind = Literal["mass", "width"]

_FEWEST_A_BIN = 4


def suggested_bins(n_rows: int, n_dimensions: int, smoothness: float = 1.0) -> int:
    """Number of bins in the middle of what the theory admits.

    The error of binning, of order m^(-2 s / d) for a calibration curve of Hölder smoothness s in d
    dimensions, must vanish beside the sampling error n^(-1/2), and the noise of m degenerate
    statistics, of order m^(1/2) / n, too: n^(d / 4 s) << m << n. Taken is the geometric mean of the
    ends. Where d is 4 s or more the range is empty, and the most bins are taken that have four rows
    each.

    Examples
    --------
    >>> suggested_bins(1000, 1), suggested_bins(1_000_000, 1), suggested_bins(1000, 2)
    (74, 5623, 177)
    """
    lowest = min(n_dimensions / (4 * smoothness), 1.0)
    return max(1, min(int(n_rows ** ((1 + lowest) / 2)), n_rows // _FEWEST_A_BIN))


def is_fine_enough(n_dimensions: int, smoothness: float = 1.0) -> bool:
    """Whether any number of bins meets both conditions of `suggested_bins`."""
    return n_dimensions < 4 * smoothness


def assign_bins(points: ArrayLike, n_bins: int, kind: BinKind = "mass") -> IntArray:
    """Bin of each point, from the points alone.

    Parameters
    ----------
    points
        Probabilities, shape (n, d), in [0, 1].
    n_bins
        Number of bins wanted, at least 1. In several dimensions each of the first ones is cut into
        about n_bins^(1/d) parts.
    kind
        ``"mass"``: quantiles, in later dimensions within the parts of the earlier ones; equal
        points stay together, so ties make bins unequal, and the order of rows does not matter.
        ``"width"``: cells of one width, as the paper has them.

    Returns
    -------
    ndarray
        Bin numbers from 0 without gaps, shape (n,).

    Examples
    --------
    >>> print(assign_bins([[0.1], [0.9], [0.2], [0.8]], 2))
    [0 1 0 1]
    """
    z = np.asarray(points, dtype=float)
    if z.ndim != 2 or len(z) == 0:
        raise InputError(f"points must have shape (n, d) with rows; got {z.shape}")
    codes = np.zeros(len(z), dtype=np.int64)
    for axis, parts in enumerate(_parts(n_bins, z.shape[1])):
        if kind == "width":
            codes = codes * parts + np.minimum((z[:, axis] * parts).astype(np.int64), parts - 1)
        else:
            codes = _split(codes, z[:, axis], parts)
    return np.asarray(np.unique(codes, return_inverse=True)[1]) if kind == "width" else codes


def _parts(n_bins: int, n_dimensions: int) -> list[int]:
    """Parts a dimension, their product about `n_bins`; none is cut into fewer than two."""
    used = min(n_dimensions, max(int(np.log2(max(n_bins, 1))), 1))
    parts, left = [], float(n_bins)
    for place in range(used):
        parts.append(max(round(left ** (1 / (used - place))), 1))
        left /= parts[-1]
    return parts


def _split(codes: IntArray, values: FloatArray, parts: int) -> IntArray:
    """Cut each bin into `parts` of equal mass along `values`; equal values stay together."""
    one_bin = not codes.any()
    order = np.argsort(values, kind="stable") if one_bin else np.lexsort((values, codes))
    own, sorted_values = codes[order], values[order]
    starts = np.flatnonzero(np.append(True, own[1:] != own[:-1]))
    sizes = np.diff(np.append(starts, len(own)))
    place = np.arange(len(own)) - np.repeat(starts, sizes)
    part = place * parts // np.repeat(sizes, sizes)
    first_of_ties = np.append(True, (own[1:] != own[:-1]) | (np.diff(sorted_values) != 0))
    part = part[np.maximum.accumulate(np.where(first_of_ties, np.arange(len(own)), 0))]
    changed = np.append(False, (own[1:] != own[:-1]) | (part[1:] != part[:-1]))
    finer = np.empty_like(codes)
    finer[order] = np.cumsum(changed)
    return finer
