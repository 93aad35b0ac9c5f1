"""Two models on separate questions: difference, odds ratio and probability of superiority."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from statlas.evaluation.no_clt.intervals import UNIFORM, Bounds, FloatArray, Prior, bisect
from statlas.evaluation.no_clt.quadrature import beta_nodes


@dataclass(frozen=True)
class Comparison:
    """Posterior of two models' success probabilities A and B, each field of the batch's shape.

    Attributes
    ----------
    probability
        P(A > B).
    difference, difference_low, difference_high
        Posterior mean of A - B and its equal-tailed interval.
    odds_ratio, odds_ratio_low, odds_ratio_high
        Posterior median of the ratio of A's odds to B's and its equal-tailed interval.
    resolution
        Smallest effective number of quadrature nodes on which the posterior rests in any
        direction; below about 5 the numbers are unreliable. NaN where it does not apply.
    """

    probability: FloatArray
    difference: FloatArray
    difference_low: FloatArray
    difference_high: FloatArray
    odds_ratio: FloatArray
    odds_ratio_low: FloatArray
    odds_ratio_high: FloatArray
    resolution: FloatArray

    def __getitem__(self, index: object) -> Comparison:
        """The comparisons at an index of the batch."""
        parts = {spec.name: getattr(self, spec.name)[index] for spec in fields(self)}
        return Comparison(**parts)

    def exchanged(self, where: NDArray[np.bool_]) -> Comparison:
        """The comparisons with A and B exchanged where asked for."""
        other = Comparison(
            probability=1 - self.probability,
            difference=-self.difference,
            difference_low=-self.difference_high,
            difference_high=-self.difference_low,
            odds_ratio=1 / self.odds_ratio,
            odds_ratio_low=1 / self.odds_ratio_high,
            odds_ratio_high=1 / self.odds_ratio_low,
            resolution=self.resolution,
        )
        names = [spec.name for spec in fields(self)]
        pick = {n: np.where(where, getattr(other, n), getattr(self, n)) for n in names}
        return Comparison(**pick)

    def reshape(self, shape: tuple[int, ...]) -> Comparison:
        """The same comparisons as a batch of another shape."""
        parts = {spec.name: getattr(self, spec.name).reshape(shape) for spec in fields(self)}
        return Comparison(**parts)


def independent_comparison(
    successes_a: ArrayLike,
    trials_a: ArrayLike,
    successes_b: ArrayLike,
    trials_b: ArrayLike,
    level: float = 0.95,
    prior: Prior = UNIFORM,
) -> Comparison:
    """Compare two proportions from separate samples (Section 3.3).

    Parameters
    ----------
    successes_a, trials_a, successes_b, trials_b
        Counts, broadcast against each other.
    level
        Posterior probability of the intervals.
    prior
        Parameters of the Beta prior of either proportion.

    Examples
    --------
    >>> result = independent_comparison(27, 30, 21, 30)
    >>> print(round(float(result.probability), 4), round(float(result.difference_low), 4))
    0.9707 -0.007
    """
    counts = np.broadcast_arrays(
        *(np.asarray(c, dtype=float) for c in (successes_a, trials_a, successes_b, trials_b))
    )
    shape = counts[0].shape
    unique, back = np.unique(
        np.stack([c.ravel() for c in counts], axis=1), axis=0, return_inverse=True
    )
    result = _compare_betas(
        unique[:, 0] + prior[0],
        unique[:, 1] - unique[:, 0] + prior[1],
        unique[:, 2] + prior[0],
        unique[:, 3] - unique[:, 2] + prior[1],
        level,
    )
    return result[back.ravel()].reshape(shape)


def _compare_betas(
    a1: FloatArray, b1: FloatArray, a2: FloatArray, b2: FloatArray, level: float
) -> Comparison:
    """Compare A ~ Beta(a1, b1) with an independent B ~ Beta(a2, b2), all of shape (n,)."""
    log_odds, weights = beta_nodes(a2, b2)
    b = special.expit(log_odds)

    def given_b(a: FloatArray) -> FloatArray:
        """P(A <= a), a threshold for each node of B, averaged over B."""
        below = special.betainc(a1[:, None], b1[:, None], np.clip(a, 0.0, 1.0))
        return np.asarray((weights * below).sum(axis=1))

    def difference_cdf(x: FloatArray) -> FloatArray:
        return given_b(b + x[:, None])

    def log_ratio_cdf(x: FloatArray) -> FloatArray:
        return given_b(special.expit(log_odds + x[:, None]))

    tails = ((1 - level) / 2, (1 + level) / 2)
    low, high = (_quantile(difference_cdf, p, np.full(len(a1), 1.0)) for p in tails)
    widest = np.full(len(a1), 80.0)
    ratio, ratio_low, ratio_high = (
        np.exp(_quantile(log_ratio_cdf, p, widest)) for p in (0.5, *tails)
    )
    return Comparison(
        probability=1 - given_b(b),
        difference=a1 / (a1 + b1) - a2 / (a2 + b2),
        difference_low=low,
        difference_high=high,
        odds_ratio=ratio,
        odds_ratio_low=ratio_low,
        odds_ratio_high=ratio_high,
        resolution=np.full(len(a1), np.nan),
    )


def _quantile(
    cdf: Callable[[FloatArray], FloatArray], probability: float, reach: FloatArray
) -> FloatArray:
    """Where `cdf` reaches `probability`, inside [-reach, reach], to nine digits or more."""
    return bisect(lambda x: cdf(x) - probability, -reach, reach, halvings=40)


def independent_clt_interval(
    successes_a: ArrayLike,
    trials_a: ArrayLike,
    successes_b: ArrayLike,
    trials_b: ArrayLike,
    level: float = 0.95,
) -> Bounds:
    """Difference of two shares plus or minus a normal quantile: the interval to avoid.

    Examples
    --------
    >>> low, high = independent_clt_interval(30, 30, 30, 30)
    >>> print(float(low), float(high))
    0.0 0.0
    """
    n_a, n_b = np.asarray(trials_a, dtype=float), np.asarray(trials_b, dtype=float)
    a, b = np.asarray(successes_a) / n_a, np.asarray(successes_b) / n_b
    half = special.ndtri((1 + level) / 2) * np.sqrt(a * (1 - a) / n_a + b * (1 - b) / n_b)
    return a - b - half, a - b + half


def paired_clt_interval(
    only_a: ArrayLike, only_b: ArrayLike, trials: ArrayLike, level: float = 0.95
) -> Bounds:
    """Mean of paired differences plus or minus a normal quantile: the interval to avoid.

    Parameters
    ----------
    only_a, only_b
        Questions that only one of the models got right.
    trials
        Number of shared questions.

    Examples
    --------
    >>> low, high = paired_clt_interval(3, 0, 30)
    >>> print(round(float(low), 4), round(float(high), 4))
    -0.0074 0.2074
    """
    n = np.asarray(trials, dtype=float)
    a, b = np.asarray(only_a) / n, np.asarray(only_b) / n
    half = special.ndtri((1 + level) / 2) * np.sqrt((a + b - (a - b) ** 2) / n)
    return a - b - half, a - b + half
