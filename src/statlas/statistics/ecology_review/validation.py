"""Errors out of fold, at random and in blocks; importance and effects on rows held out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

from statlas.core.numerics.clusters import covariance_of_means
from statlas.statistics.ecology_review.tools import FloatArray, IntArray, Tool, Tuning, fitted

Splits = list[tuple[IntArray, IntArray]]


def random_folds(y: NDArray[Any], labels: bool, n_folds: int, rng: np.random.Generator) -> Splits:
    """Folds of rows at random, with classes in proportion where each has enough rows."""
    seed = int(rng.integers(2**31))
    rows = np.zeros((len(y), 1))
    if labels and np.bincount(y).min() >= n_folds:
        return list(StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(rows, y))
    return list(KFold(n_folds, shuffle=True, random_state=seed).split(rows))


def block_folds(blocks: IntArray, n_folds: int) -> Splits:
    """Folds of whole blocks."""
    n = min(n_folds, len(np.unique(blocks)))
    return list(GroupKFold(n).split(np.zeros((len(blocks), 1)), groups=blocks))


def spatial_blocks(coordinates: FloatArray, n_blocks: int, rng: np.random.Generator) -> IntArray:
    """Blocks of neighbouring sites by k-means on their coordinates."""
    n = min(n_blocks, len(np.unique(coordinates, axis=0)))
    model = KMeans(n, n_init=3, random_state=int(rng.integers(2**31)))
    return np.asarray(model.fit_predict(coordinates), dtype=np.int64)


@dataclass(frozen=True)
class Fit:
    """A fitted tool with the scales that it was fitted on.

    Attributes
    ----------
    model
        Fitted on standardised covariates and, for regression, response; a number where there was
        one class to learn from.
    settings
        Settings chosen, in words.
    """

    model: Any
    settings: str
    centre: FloatArray
    spread: FloatArray
    y_centre: float
    y_spread: float

    def predict(self, X: FloatArray) -> NDArray[Any]:
        """Predictions in the unit of the response, or class numbers."""
        if isinstance(self.model, int | np.integer):
            return np.full(len(X), self.model)
        guess = self.model.predict((X - self.centre) / self.spread)
        scaled = guess if self.y_spread == 0 else self.y_centre + self.y_spread * guess
        return np.asarray(scaled)


@dataclass(frozen=True)
class OutOfFold:
    """A tool's losses on rows that it was not fitted to.

    Attributes
    ----------
    losses
        Squared error (unit of the response, squared) or 1 for a wrong class, a row each.
    fits
        The fit of each fold.
    """

    losses: FloatArray
    fits: list[Fit]


def losses_of(guess: NDArray[Any], y: NDArray[Any], labels: bool) -> FloatArray:
    """Squared errors, or 1 where a class is wrong."""
    return np.asarray(guess != y if labels else (guess - y) ** 2, dtype=float)


def fit_tool(
    tool: Tool, X: FloatArray, y: NDArray[Any], labels: bool, blocks: IntArray | None = None,
    tuning: Tuning = "light", seed: int = 0,
) -> Fit:  # fmt: skip
    """Standardise by the rows given, tune within them, and fit."""
    centre, spread = X.mean(axis=0), X.std(axis=0)
    spread = np.where(spread > 1e-12 * np.maximum(np.abs(centre), 1e-300), spread, 1.0)
    if labels and len(np.unique(y)) == 1:
        return Fit(y[0], "", centre, spread, 0.0, 0.0)
    y_centre, y_spread = (0.0, 0.0) if labels else (float(y.mean()), float(y.std()) or 1.0)
    target = y if labels else (y - y_centre) / y_spread
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # early stops of the network
        model, chosen = fitted(tool, (X - centre) / spread, target, blocks, labels, tuning, seed)
    return Fit(model, chosen, centre, spread, y_centre, y_spread)


def out_of_fold(
    tool: Tool, X: FloatArray, y: NDArray[Any], splits: Splits, labels: bool,
    blocks: IntArray | None = None, tuning: Tuning = "light", seed: int = 0,
) -> OutOfFold:  # fmt: skip
    """Fit and tune on each training part, and keep the losses on the part left out."""
    losses, fits = np.empty(len(y)), []
    for train, test in splits:
        inner = None if blocks is None else blocks[train]
        fits.append(fit_tool(tool, X[train], y[train], labels, inner, tuning, seed))
        losses[test] = losses_of(fits[-1].predict(X[test]), y[test], labels)
    return OutOfFold(losses, fits)


def mean_interval(
    values: FloatArray, blocks: IntArray | None, level: float
) -> tuple[float, float, float]:
    """Mean with a Student's interval; blocks, where given, are the independent units."""
    mean = float(values.mean())
    units = len(values) if blocks is None else len(np.unique(blocks))
    if units < 2:
        return mean, float("nan"), float("nan")
    codes = None if blocks is None else np.unique(blocks, return_inverse=True)[1]
    error = float(np.sqrt(covariance_of_means(values, codes)[0, 0]))
    reach = float(student.ppf((1 + level) / 2, units - 1)) * error
    return mean, mean - reach, mean + reach


def permutation_losses(
    found: OutOfFold, X: FloatArray, y: NDArray[Any], splits: Splits, columns: list[list[int]],
    labels: bool, rng: np.random.Generator, repeats: int = 3,
) -> FloatArray:  # fmt: skip
    """Loss of each held-out row with a covariate shuffled among them, less its loss before.

    Returns
    -------
    ndarray
        Shape (n_covariates, n_rows); a covariate is a list of columns (one for each of its levels).
    """
    change = np.zeros((len(columns), len(y)))
    for fit, (_, test) in zip(found.fits, splits, strict=True):
        for place, own in enumerate(columns):
            for _ in range(repeats):
                mixed = X[test].copy()
                mixed[:, own] = mixed[rng.permutation(len(test))][:, own]
                loss = losses_of(fit.predict(mixed), y[test], labels)
                change[place, test] += (loss - found.losses[test]) / repeats
    return change


def accumulated_local_effects(
    predict: Any, X: FloatArray, column: int, n_bins: int = 12
) -> tuple[FloatArray, FloatArray]:
    """First-order accumulated local effect of a numeric column, with mean 0 over the rows.

    Within each bin of the column the change of the prediction from its lower to its upper edge is
    averaged over the rows that lie there, so that no row is moved far from where data are; the
    averages are summed from the left (Apley and Zhu, 2020).

    Returns
    -------
    edges, effects
        Shape (n_edges,) each.

    Examples
    --------
    >>> X = np.column_stack([np.arange(8.0), np.ones(8)])
    >>> edges, effects = accumulated_local_effects(lambda x: 2 * x[:, 0], X, 0, 2)
    >>> print(edges, effects)
    [0.  3.5 7. ] [-7.  0.  7.]
    """
    edges = np.unique(np.quantile(X[:, column], np.linspace(0, 1, n_bins + 1)))
    if len(edges) < 2:
        return edges, np.zeros(len(edges))
    bins = np.clip(np.searchsorted(edges, X[:, column], side="left") - 1, 0, len(edges) - 2)
    low, high = X.copy(), X.copy()
    low[:, column], high[:, column] = edges[bins], edges[bins + 1]
    change = np.asarray(predict(high) - predict(low), dtype=float)
    count = np.bincount(bins, minlength=len(edges) - 1)
    steps = np.bincount(bins, change, minlength=len(edges) - 1) / np.maximum(count, 1)
    effects = np.concatenate([[0.0], np.cumsum(steps)])
    middle = (effects[1:] + effects[:-1]) / 2
    return edges, effects - (middle * count).sum() / count.sum()
