"""How large a model a number of examples asks for: s(m) = scale m^beta."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from statlas.core.learning_curves import LearningCurve
from statlas.core.numerics.laws import POWER_LAW, Draws, Objective, bootstrap, fit_law
from statlas.scaling.predictable_scaling.law import FloatArray

_FEWEST_SIZES, _FEWEST_POINTS = 4, 3
_NEIGHBOURS = 2  # sizes on either side of the best that its parabola goes through


@dataclass(frozen=True)
class BestSizes:
    """Best model size at each number of examples, of one family of models.

    Attributes
    ----------
    n, size
        Number of examples and best number of parameters, NaN where it lies at an end of the sizes
        tried, shape (n_sizes,) each.
    spread
        Standard deviation of log(size) under the errors' own noise.
    best_error
        Lowest error at each n, as the model of the best size has.
    """

    n: FloatArray
    size: FloatArray
    spread: FloatArray
    best_error: FloatArray


@dataclass(frozen=True)
class Growth:
    """The law of model growth.

    Attributes
    ----------
    best
        What it is fitted to.
    exponent
        beta in size = scale m^beta.
    draws
        Bootstrap of the law, which is one of 1 / m, so that beta is its exponent.
    """

    best: BestSizes
    exponent: float
    draws: Draws

    @property
    def exponents(self) -> FloatArray:
        """Exponent of growth in each bootstrap sample."""
        return self.draws["alpha"]


def best_sizes(
    curves: list[LearningCurve], sizes: FloatArray, rng: np.random.Generator, n_draws: int = 100
) -> BestSizes:
    """Best size at each number of examples: the vertex of a parabola in logarithms near the lowest.

    Parameters
    ----------
    curves
        One a model size.
    sizes
        Parameters of each, shape (n_curves,).
    rng
        For the noise that the spread is found from.
    n_draws
        Draws of that noise.
    """
    order = np.argsort(sizes)
    curves, log_size = [curves[place] for place in order], np.log(sizes[order])
    n = np.unique(np.concatenate([curve.n for curve in curves]))
    y, noise = (np.full((len(n), len(curves)), np.nan) for _ in range(2))
    for column, curve in enumerate(curves):
        rows = np.searchsorted(n, curve.n)
        y[rows, column], noise[rows, column] = curve.y, curve.spread
    kept = np.isfinite(y).sum(axis=1) >= _FEWEST_SIZES
    n, y, noise = n[kept], y[kept], noise[kept]
    # Without a known spread: what neighbours of a curve differ from the mean of theirs.
    unknown = ~np.isfinite(noise)
    noise = np.where(unknown, 0.03 if unknown.all() else np.nanmedian(noise), noise)
    draws = y + noise * rng.standard_normal((n_draws, *y.shape))
    at = np.array([_vertex(log_size, row) for row in y])
    drawn = np.array([[_vertex(log_size, row) for row in sample] for sample in draws])
    drawn = drawn.reshape(n_draws, len(n))
    inside = np.isfinite(drawn)
    with np.errstate(invalid="ignore"):
        spread = np.array(
            [np.std(column[fine]) if fine.sum() > 5 else np.nan
             for column, fine in zip(drawn.T, inside.T, strict=True)]
        )  # fmt: skip
    # A best size that half of the draws put at an end of the sizes tried is not inside them.
    at = np.where(inside.mean(axis=0) >= 0.5, at, np.nan)
    return BestSizes(n, np.exp(at), spread, np.exp(np.nanmin(y, axis=1)))


def _vertex(log_size: FloatArray, y: FloatArray) -> float:
    """Logarithm of the best size, NaN where it is not between the sizes tried."""
    there = np.flatnonzero(np.isfinite(y))
    lowest = int(np.argmin(y[there]))
    near = there[max(lowest - _NEIGHBOURS, 0) : lowest + _NEIGHBOURS + 1]
    if len(near) < 3:
        return np.nan
    centre = log_size[near].mean()
    curvature, slope, _ = np.polyfit(log_size[near] - centre, y[near], 2)
    if curvature <= 0:
        return np.nan
    vertex = float(centre - slope / (2 * curvature))
    inside = log_size[there[0]] < vertex < log_size[there[-1]]
    return vertex if inside and 0 < lowest < len(there) - 1 else np.nan


def fit_growth(best: BestSizes, rng: np.random.Generator, n_draws: int = 200) -> Growth | None:
    """The power law through the best sizes; None with fewer than three of them inside."""
    usable: NDArray[np.bool_] = np.isfinite(best.size) & np.isfinite(best.spread)
    if usable.sum() < _FEWEST_POINTS:
        return None
    # Sizes come in steps, so no best size is surer than a part of a step.
    weights = 1 / (best.spread[usable] ** 2 + 0.1**2)
    fit = fit_law(
        POWER_LAW, {"x": 1 / best.n[usable]}, best.size[usable], Objective("log"),
        weights=weights / weights.mean(), n_starts=16, rng=rng,
    )  # fmt: skip
    draws = bootstrap(fit, n_draws, kind="parametric", rng=rng)
    return Growth(best, fit.parameters["alpha"], draws)
