"""Pairwise decisions: how often small runs order two recipes as the target does.

For recipes a and b with target means y_a, y_b and values m_a, m_b of one run each at a small scale,
the decision is right if m_a - m_b has the sign of y_a - y_b; a tie at the small scale is wrong.
Decision accuracy is the share of right decisions over pairs of recipes and over seeds, the same
seed for both runs of a pair (as in the authors' code; Section 2 of the paper).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def known_mean(values: ArrayLike, axis: int | None = None) -> FloatArray:
    """Mean of the numbers there are, NaN where there are none.

    Examples
    --------
    >>> print(known_mean([[1.0, np.nan], [np.nan, np.nan]], axis=1))
    [ 1. nan]
    """
    numbers = np.asarray(values, dtype=float)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(numbers, axis) / np.isfinite(numbers).sum(axis))


def decision_accuracy(small: FloatArray, target: FloatArray) -> float:
    """Share of pairs of recipes that single small runs order as the target's means do.

    Parameters
    ----------
    small
        Values of the small runs, shape (n_recipes, n_seeds); NaN where a run is absent.
    target
        Values of the target's runs, shape (n_recipes, n_target_seeds).

    Examples
    --------
    >>> small = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 4.0]])
    >>> round(decision_accuracy(small, np.array([[0.1], [0.2], [0.3]])), 4)
    0.8333
    """
    plain = Resamples.none(small.shape)
    order = order_of(known_mean(target, axis=1)[None])
    return float(accuracy(run_signs(small[None]), plain, order)[0, 0])


def pair_places(n_recipes: int) -> tuple[IntArray, IntArray]:
    """First and second recipe of every pair."""
    first, second = np.triu_indices(n_recipes, 1)
    return first, second


def run_signs(values: FloatArray) -> FloatArray:
    """Sign of the difference of each pair with the same seed, NaN where a run is absent.

    Shape (n_series, n_recipes, n_seeds) -> (n_series, n_seeds, n_pairs).
    """
    first, second = pair_places(values.shape[1])
    difference = values[:, first] - values[:, second]
    return np.asarray(np.sign(difference).transpose(0, 2, 1))


def order_of(means: FloatArray) -> FloatArray:
    """Sign of the difference of each pair of means; 0 for ties and absent ones.

    Shape (n_draws, n_recipes) -> (n_draws, n_pairs).
    """
    first, second = pair_places(means.shape[1])
    return np.asarray(np.nan_to_num(np.sign(means[:, first] - means[:, second])))


# --- resampling ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Resamples:
    """Weights of pairs and seeds; the first draw is the data themselves.

    Attributes
    ----------
    recipes
        How often each recipe was drawn, shape (n_draws, n_recipes).
    pairs
        Product of the two recipes' counts, shape (n_draws, n_pairs).
    seeds
        How often each seed of small runs was drawn, shape (n_draws, n_seeds).
    """

    recipes: FloatArray
    pairs: FloatArray
    seeds: FloatArray

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> Resamples:
        """The data themselves only; `shape` is (n_recipes, n_seeds)."""
        return cls._of(np.ones((1, shape[0])), np.ones((1, shape[1])))

    @classmethod
    def draw(cls, n_recipes: int, n_seeds: int, n: int, rng: np.random.Generator) -> Resamples:
        """Recipes and seeds drawn with replacement."""
        recipes = rng.multinomial(n_recipes, np.full(n_recipes, 1 / n_recipes), n)
        seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), n)
        return cls._of(
            np.vstack([np.ones((1, n_recipes)), recipes]), np.vstack([np.ones((1, n_seeds)), seeds])
        )

    @classmethod
    def _of(cls, recipes: FloatArray, seeds: FloatArray) -> Resamples:
        first, second = pair_places(recipes.shape[1])
        return cls(recipes, recipes[:, first] * recipes[:, second], seeds)


def resampled_means(target: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    """Means of recipes over their seeds: as they are, then `n` times with seeds drawn anew.

    Shape (n_recipes, n_seeds) -> (1 + n, n_recipes); NaN for a recipe without a run.
    """
    answer = np.full((1 + n, len(target)), np.nan)
    for recipe, row in enumerate(target):
        known = row[np.isfinite(row)]
        if len(known):
            answer[0, recipe] = known.mean()
            answer[1:, recipe] = rng.choice(known, (n, len(known))).mean(axis=1)
    return answer


def accuracy(signs: FloatArray, resamples: Resamples, order: FloatArray) -> FloatArray:
    """Decision accuracy of each series at each draw, shape (n_draws, n_series).

    Parameters
    ----------
    signs
        As `run_signs` gives them, shape (n_series, n_seeds, n_pairs).
    resamples
        Weights of pairs and seeds.
    order
        Order at the target at each draw, shape (n_draws, n_pairs); 0 leaves a pair out.
    """
    weight = resamples.pairs * (order != 0)
    known = np.isfinite(signs)
    decided = np.where(known, np.abs(np.nan_to_num(signs)), 0.0)
    direction = np.nan_to_num(signs)
    top = np.zeros((len(weight), len(signs)))
    bottom = np.zeros_like(top)
    for seed in range(signs.shape[1]):
        own = resamples.seeds[:, [seed]]
        agrees = weight @ decided[:, seed].T + (weight * order) @ direction[:, seed].T
        top += own * 0.5 * agrees
        bottom += own * (weight @ known[:, seed].T.astype(float))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(bottom > 0, top / bottom, np.nan))


def corrected_accuracy(observed: ArrayLike, reliability: float) -> FloatArray:
    """Decision accuracy against the true order, from that against the target's noisy one.

    Differences of recipes at the small scale and at the target are taken as jointly normal with
    correlation r: their signs agree with probability 1/2 + arcsin(r) / pi (Sheppard 1899). Noise at
    the target lowers r by the square root of the means' reliability. The first order in r undoes
    it here: the arcsine itself bends upwards, which makes a noisy share too high on average.

    Parameters
    ----------
    observed
        Decision accuracy against the observed order.
    reliability
        Share of the variance of the target's means that is not noise, in (0, 1].

    Returns
    -------
    ndarray
        At most 1; NaN where the reliability is 0.

    Examples
    --------
    >>> print(corrected_accuracy([0.5, 0.75], 0.8).round(3))
    [0.5  0.78]
    """
    shares = np.asarray(observed, dtype=float)
    if not reliability > 0:
        return np.full_like(shares, np.nan)
    return np.asarray(np.clip(0.5 + (shares - 0.5) / np.sqrt(reliability), 0.0, 1.0))


def centred_interval(draws: FloatArray, level: float) -> tuple[float, float, float]:
    """Estimate (the first draw) and the percentile interval of the others, moved to its middle.

    Resampling adds noise of its own to the target's order, which lowers every draw; only their
    spread is used.
    """
    estimate, others = float(draws[0]), draws[1:][np.isfinite(draws[1:])]
    if not np.isfinite(estimate) or len(others) < 20:
        return estimate, np.nan, np.nan
    low, high = np.quantile(others - others.mean(), [(1 - level) / 2, (1 + level) / 2])
    return estimate, estimate + float(low), estimate + float(high)


# --- noise ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noise:
    """What seeds do to a recipe's value at one scale.

    Attributes
    ----------
    means, counts
        Mean of each recipe's runs and their number, shape (n_recipes,).
    within
        Variance over seeds of one recipe, pooled; NaN without repeated seeds.
    freedom
        Its degrees of freedom.
    between
        Variance of the recipes' true means, not below 0.
    """

    means: FloatArray
    counts: FloatArray
    within: float
    freedom: int
    between: float

    @property
    def reliability(self) -> float:
        """Share of the variance of the means that is not seeds' noise; 1 where that is unknown."""
        if not np.isfinite(self.within):
            return 1.0
        known = self.counts > 0
        explained = self.within * float(np.mean(1 / self.counts[known]))
        total = self.between + explained
        return self.between / total if total > 0 else 1.0


def measure_noise(values: FloatArray) -> Noise:
    """Pooled variance over seeds, and what of the variance of means it does not explain.

    Parameters
    ----------
    values
        Shape (n_recipes, n_seeds), NaN where absent.
    """
    counts = np.isfinite(values).sum(axis=1).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.nansum(values, axis=1) / counts
    freedom = int(np.maximum(counts - 1, 0).sum())
    squares = float(np.nansum((values - means[:, None]) ** 2))
    within = squares / freedom if freedom else np.nan
    known = counts > 0
    between = np.nan
    if known.sum() > 1 and freedom:
        explained = within * float(np.mean(1 / counts[known]))
        between = max(float(means[known].var(ddof=1)) - explained, 0.0)
    return Noise(means, counts, within, freedom, between)


def surety_of_order(means: FloatArray, noise: Noise) -> FloatArray:
    """Probability that the observed order of each pair is the true one.

    True differences have a normal prior of variance 2 x between; the observed one adds the seeds'
    noise, so that the true one has mean k d and variance k v with k = prior / (prior + v).

    Shape (n_draws, n_recipes) -> (n_draws, n_pairs); 1 where seeds say nothing of noise.
    """
    first, second = pair_places(means.shape[1])
    difference = np.abs(means[:, first] - means[:, second])
    if not np.isfinite(noise.within):
        return np.ones_like(difference)
    with np.errstate(divide="ignore"):
        variance = noise.within * (1 / noise.counts[first] + 1 / noise.counts[second])
    prior = 2 * noise.between
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(variance > 0, prior / (prior + variance), 1.0)
        sure = ndtr(np.sqrt(share) * difference / np.sqrt(variance))
    return np.where(np.isfinite(difference), np.nan_to_num(sure, nan=1.0), 0.5)


def probability_best(noise: Noise, n: int, rng: np.random.Generator) -> FloatArray:
    """Probability of each recipe that it is truly the best, given its runs at the scale.

    Draws of the true means from their posterior (see `surety_of_order`), the seeds' variance drawn
    from its own. NaN where there are no repeated seeds; 0 for recipes without a run.
    """
    if not np.isfinite(noise.within):
        return np.full(len(noise.means), np.nan)
    known = np.flatnonzero(noise.counts > 0)
    within = noise.within * noise.freedom / rng.chisquare(noise.freedom, (n, 1))
    variance = within / noise.counts[known]
    prior = noise.between
    share = prior / (prior + variance) if prior > 0 else np.zeros_like(variance)
    means = noise.means[known]
    centre = means.mean() + share * (means - means.mean())
    drawn = centre + np.sqrt(share * variance) * rng.standard_normal((n, len(known)))
    if prior == 0:  # nothing tells the recipes apart
        drawn = rng.standard_normal((n, len(known)))
    answer = np.zeros(len(noise.means))
    answer[known] = np.bincount(drawn.argmax(axis=1), minlength=len(known)) / n
    return answer


def spread_and_noise(values: FloatArray, resamples: Resamples) -> tuple[FloatArray, FloatArray]:
    """Standard deviation over recipes of their means, and the mean over recipes of that over seeds.

    Shape (n_series, n_recipes, n_seeds) -> two of shape (n_draws, n_series).
    """
    counts = np.isfinite(values).sum(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.nansum(values, axis=2) / counts
        squares = np.nansum((values - means[:, :, None]) ** 2, axis=2)
        seeds = np.where(counts > 1, np.sqrt(squares / (counts - 1)), np.nan)
    weight = resamples.recipes
    spread = np.sqrt(_weighted_variance(means, weight))
    known = np.isfinite(seeds).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        noise = (weight @ np.nan_to_num(seeds).T) / (weight @ known.T)
    return spread, noise


def _weighted_variance(means: FloatArray, weight: FloatArray) -> FloatArray:
    """Variance (n - 1 in the denominator) of each series at each draw."""
    known = np.isfinite(means).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = np.where(known > 0, means - known_mean(means, axis=1)[:, None], 0.0)
        n = weight @ known.T
        first = (weight @ centred.T) / n
        second = (weight @ (centred**2).T) / n
        return np.asarray(np.maximum(second - first**2, 0.0) * n / (n - 1))


# --- the frontier --------------------------------------------------------------------------------


def rising_curve(values: FloatArray) -> FloatArray:
    """The nearest sequence that never falls (least squares), along the last axis; NaN stay out.

    Examples
    --------
    >>> print(rising_curve(np.array([[0.5, 0.8, 0.6, 0.9]])))
    [[0.5 0.7 0.7 0.9]]
    """
    from sklearn.isotonic import isotonic_regression

    answer = np.full(values.shape, np.nan)
    for row, curve in enumerate(values):
        known = np.isfinite(curve)
        if known.any():
            answer[row, known] = isotonic_regression(curve[known])
    return answer


def compute_needed(curves: FloatArray, compute: FloatArray, goal: float) -> FloatArray:
    """Least compute from which rising curves reach the goal, infinite where they never do.

    Parameters
    ----------
    curves
        Decision accuracy, shape (n_draws, n_scales), by rising compute.
    compute
        Shape (n_scales,).
    goal
        Decision accuracy wanted.
    """
    reached = rising_curve(curves) >= goal - 1e-12
    first = reached.argmax(axis=1)
    return np.where(reached.any(axis=1), compute[first], np.inf)


@dataclass(frozen=True)
class Forecast:
    """The target's values of recipes predicted from one small scale.

    Attributes
    ----------
    predicted, error
        Predicted mean at the target and its standard error, shape (n_recipes,).
    best
        Probability of each recipe to be best at the target.
    slope
        Change of the target's value for one unit of the small one's.
    """

    predicted: FloatArray
    error: FloatArray
    best: FloatArray
    slope: float


def forecast_from(
    small: FloatArray, target: FloatArray, n: int, rng: np.random.Generator
) -> Forecast | None:
    """Regress the target's means on those of a small scale, and predict every recipe that has it.

    Parameters
    ----------
    small, target
        Means of the recipes' runs, shape (n_recipes,); NaN where absent.
    n
        Draws for the probability to be best.
    rng
        Source of the draws.

    Returns
    -------
    Forecast or None
        None for fewer than four recipes with both.
    """
    both = np.isfinite(small) & np.isfinite(target)
    if both.sum() < 4 or np.ptp(small[both]) == 0:
        return None
    x, y = small[both], target[both]
    centre, spread = x.mean(), float(np.sum((x - x.mean()) ** 2))
    slope = float(np.sum((x - centre) * y)) / spread
    rest = y - y.mean() - slope * (x - centre)
    freedom = int(both.sum()) - 2
    variance = float(np.sum(rest**2)) / freedom
    predicted = y.mean() + slope * (small - centre)
    error = np.sqrt(variance * (1 + 1 / both.sum() + (small - centre) ** 2 / spread))
    known = np.flatnonzero(np.isfinite(small))
    best = np.zeros(len(small))
    if variance > 0:
        line = (centre, spread, float(y.mean()), slope)
        drawn = _draw_forecasts(small[known], line, variance, (freedom, len(x)), n, rng)
        best[known] = np.bincount(drawn.argmax(axis=1), minlength=len(known)) / n
    else:
        best[known[int(np.argmax(predicted[known]))]] = 1.0
    return Forecast(predicted, error, best, slope)


def _draw_forecasts(
    small: FloatArray,
    line: tuple[float, float, float, float],
    variance: float,
    counts: tuple[int, int],
    n: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Draws of the target's values: of the line, its variance, and each recipe's deviation."""
    centre, spread, mean, slope = line
    freedom, n_fitted = counts
    drawn = variance * freedom / rng.chisquare(freedom, (n, 1))
    slopes = slope + np.sqrt(drawn / spread) * rng.standard_normal((n, 1))
    means = mean + np.sqrt(drawn / n_fitted) * rng.standard_normal((n, 1))
    deviation = np.sqrt(drawn) * rng.standard_normal((n, len(small)))
    return np.asarray(means + slopes * (small - centre) + deviation)
