"""Which choice moves the answer: shares of the variance over a multiverse of analyses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from statlas.scaling.gemstones.accounting import FloatArray


@dataclass(frozen=True)
class Shares:
    """Variance shares of the factors, shape (n_draws, n_factors) each.

    Attributes
    ----------
    alone
        Var(E[y | factor]) / Var(y): what the factor does by itself.
    total
        E[Var(y | all other factors)] / Var(y): with its interactions.
    variance
        Var(y) over the analyses, shape (n_draws,).
    """

    alone: FloatArray
    total: FloatArray
    variance: FloatArray


def variance_shares(values: FloatArray, levels: NDArray[np.int64]) -> Shares:
    """First-order and total variance shares over a crossed design, each cell counting once.

    Parameters
    ----------
    values
        Outcome of each draw and cell, shape (n_draws, n_cells); NaN where there is none.
    levels
        Level of each cell in each factor, shape (n_cells, n_factors).

    Examples
    --------
    >>> levels = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> found = variance_shares(np.array([[0.0, 1, 3, 4]]), levels)
    >>> print(found.alone[0], found.total[0])
    [0.9 0.1] [0.9 0.1]
    """
    present = np.isfinite(values)
    filled = np.where(present, values, 0.0)
    counts = present.sum(axis=1)
    mean = filled.sum(axis=1) / np.maximum(counts, 1)
    variance = ((filled - mean[:, None]) ** 2 * present).sum(axis=1) / np.maximum(counts, 1)
    alone, total = [], []
    for factor in range(levels.shape[1]):
        groups = levels[:, factor]
        spread, _ = _between_and_within(filled, present, groups)
        alone.append(spread)
        others = np.delete(levels, factor, axis=1)
        _, within = _between_and_within(filled, present, _numbered(others))
        total.append(within)
    scale = np.where(variance > 0, variance, np.nan)[:, None]
    return Shares(np.column_stack(alone) / scale, np.column_stack(total) / scale, variance)


def _between_and_within(
    filled: FloatArray, present: NDArray[np.bool_], groups: NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """Variance between the means of groups and mean variance within them, each draw."""
    indicator = (groups[:, None] == np.arange(groups.max() + 1)).astype(float)
    counts = present @ indicator
    sums, squares = filled @ indicator, filled**2 @ indicator
    means = sums / np.maximum(counts, 1)
    n = np.maximum(counts.sum(axis=1), 1)
    grand = sums.sum(axis=1) / n
    between = (counts * (means - grand[:, None]) ** 2).sum(axis=1) / n
    within = np.maximum((squares - counts * means**2).sum(axis=1), 0.0) / n
    return between, within


def _numbered(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    if rows.shape[1] == 0:
        return np.zeros(len(rows), dtype=np.int64)
    return np.unique(rows, axis=0, return_inverse=True)[1].ravel()


def level_shifts(
    values: FloatArray, levels: NDArray[np.int64], factor: int, level: int, reference: int
) -> FloatArray:
    """Mean difference between two levels of a factor, all other choices equal, each draw.

    Returns
    -------
    ndarray
        Shape (n_draws,); NaN where no pair of cells has both.
    """
    others = _numbered(np.delete(levels, factor, axis=1))
    ours = np.flatnonzero(levels[:, factor] == level)
    theirs = {others[cell]: cell for cell in np.flatnonzero(levels[:, factor] == reference)}
    pairs = [(int(cell), int(theirs[others[cell]])) for cell in ours if others[cell] in theirs]
    if not pairs:
        return np.full(len(values), np.nan)
    first, second = np.array(pairs).T
    differences = values[:, first] - values[:, second]
    present = np.isfinite(differences)
    sums = np.where(present, differences, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(present.any(axis=1), sums / present.sum(axis=1), np.nan))
