"""Questions in clusters: the hierarchical model and the clustered normal interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special
from scipy.interpolate import CubicSpline

from statlas.evaluation.no_clt.comparison import Comparison
from statlas.evaluation.no_clt.intervals import UNIFORM, Bounds, FloatArray, Prior
from statlas.evaluation.no_clt.quadrature import mixture_quantile, quantiles_on_grid

_BATCH = 4_000_000  # posterior values held at once: 32 MB an array
_NEGLIGIBLE = 1e-12  # share of a posterior that a grid point may hold and be left out


@dataclass(frozen=True)
class ClusteredPosterior:
    """Posterior of the mean success probability over all clusters, on a grid of log-odds.

    Attributes
    ----------
    log_odds
        Grid, shape (n_grid,).
    density
        Density of the log-odds for each data set, shape (n, n_grid), each summing to 1 over the
        grid.
    """

    log_odds: FloatArray
    density: FloatArray

    @property
    def mean(self) -> FloatArray:
        """Posterior mean, shape (n,)."""
        return np.asarray(self.density @ special.expit(self.log_odds))

    @property
    def resolution(self) -> FloatArray:
        """Effective number of grid points that carry each posterior, shape (n,)."""
        return np.asarray(1 / np.sum(self.density**2, axis=1))

    def interval(self, level: float = 0.95) -> Bounds:
        """Equal-tailed credible interval, two arrays of shape (n,)."""
        tails = [(1 - level) / 2, (1 + level) / 2]
        ends = special.expit(quantiles_on_grid(self.log_odds, self.density, tails))
        return ends[:, 0], ends[:, 1]


def clustered_posterior(
    successes: ArrayLike, trials: ArrayLike, prior: Prior = UNIFORM
) -> ClusteredPosterior:
    """Posterior of the mean under the paper's hierarchical model (Section 3.2).

    Cluster t has its own success probability, Beta(d theta, d (1 - theta)) distributed; theta has
    the Beta prior and d is Gamma(1, 1) distributed, so that Beta-Binomial counts remain.

    Parameters
    ----------
    successes, trials
        Counts of each cluster, broadcast to shape (n, n_clusters); a cluster without trials
        carries no weight, so data sets of unequal numbers of clusters can be padded with 0.
    prior
        Parameters of the Beta prior of theta.

    Notes
    -----
    Both parameters are integrated over a grid that all data sets share, by the trapezoid rule in
    log-odds of theta and in a scale of d that is logarithmic below 1 and a square root above.
    """
    k, n = _checked_clusters(successes, trials)
    kinds, counts = _count_kinds(k, n)
    log_odds = _log_odds_grid(float(n.sum(axis=1).max()), prior)
    rows = max(1, _BATCH // len(log_odds))
    parts = [
        _posterior_of_kinds(kinds, counts[start : start + rows], log_odds, prior)
        for start in range(0, len(counts), rows)
    ]
    return ClusteredPosterior(log_odds, np.concatenate(parts))


def clustered_interval(
    successes: ArrayLike, trials: ArrayLike, level: float = 0.95, prior: Prior = UNIFORM
) -> Bounds:
    """Credible interval of the mean success probability of clustered questions.

    Parameters and model are those of `clustered_posterior`; data sets with the same clusters in
    another order are computed once.

    Returns
    -------
    low, high
        Bounds in [0, 1], shape (n,).

    Examples
    --------
    >>> low, high = clustered_interval([5, 5, 0, 4, 5, 1], 5)
    >>> print(low.round(3), high.round(3))
    [0.345] [0.881]
    """
    k, n = _checked_clusters(successes, trials)
    order = np.lexsort((k, n), axis=1)
    sorted_counts = [np.take_along_axis(counts, order, axis=1) for counts in (k, n)]
    unique, back = np.unique(np.hstack(sorted_counts), axis=0, return_inverse=True)
    k, n = np.hsplit(unique, 2)
    low, high = clustered_posterior(k, n, prior).interval(level)
    return low[back.ravel()], high[back.ravel()]


def clustered_clt_interval(successes: ArrayLike, trials: ArrayLike, level: float = 0.95) -> Bounds:
    """Share of all questions plus or minus a normal quantile of its clustered standard error.

    This is the interval to avoid when clusters are few; see `error-bars` for when they are many.

    Parameters
    ----------
    successes, trials
        Counts of each cluster, broadcast to shape (n, n_clusters).

    Examples
    --------
    >>> low, high = clustered_clt_interval([5, 5, 0, 4, 5, 1], 5)
    >>> print(low.round(3), high.round(3))
    [0.338] [0.995]
    """
    k, n = _checked_clusters(successes, trials)
    total = n.sum(axis=1)
    share = k.sum(axis=1) / total
    error = np.sqrt(np.sum((k - n * share[:, None]) ** 2, axis=1)) / total
    half = special.ndtri((1 + level) / 2) * error
    return share - half, share + half


def clustered_comparison(
    a: ClusteredPosterior, b: ClusteredPosterior, level: float = 0.95
) -> Comparison:
    """Compare two models by their hierarchical posteriors, taken as independent.

    Parameters
    ----------
    a, b
        Posteriors of one data set each.
    level
        Posterior probability of the intervals.

    Notes
    -----
    What the models have in common on the same questions is not used, so the intervals of the
    difference are wide where both find the same questions hard.
    """
    fine, below = _cumulative(a)
    carried = b.density[0] > _NEGLIGIBLE
    weights, at = b.density[0, carried] / b.density[0, carried].sum(), b.log_odds[carried]
    parts = weights[:, None] * below  # mass of A below each value, given each B
    log_ratio = fine - at[:, None]
    gap = special.expit(fine) - special.expit(at)[:, None]
    tails = [(1 - level) / 2, (1 + level) / 2]
    numbers = (
        1 - weights @ np.interp(at, fine, below),
        a.mean[0] - b.mean[0],
        *mixture_quantile(gap, parts, tails),
        *np.exp(mixture_quantile(log_ratio, parts, [0.5, *tails])),
        min(a.resolution[0], b.resolution[0]),
    )
    return Comparison(*(np.asarray(number) for number in numbers))


def _cumulative(posterior: ClusteredPosterior) -> tuple[FloatArray, FloatArray]:
    """Posterior distribution function on a grid eight times as fine, where it is not 0 or 1."""
    carried = np.flatnonzero(posterior.density[0] > _NEGLIGIBLE)
    cells = slice(max(carried[0] - 1, 0), carried[-1] + 2)
    x = posterior.log_odds[cells]
    fine = np.linspace(x[0], x[-1], 8 * (len(x) - 1) + 1)
    below = CubicSpline(x, posterior.density[0, cells]).antiderivative()(fine)
    return fine, np.maximum.accumulate(below) / below[-1]


def _checked_clusters(successes: ArrayLike, trials: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Both counts as floats of shape (n, n_clusters)."""
    k, n = np.broadcast_arrays(
        np.atleast_2d(np.asarray(successes, dtype=float)),
        np.atleast_2d(np.asarray(trials, dtype=float)),
    )
    if np.any(k < 0) or np.any(k > n) or np.any(n.sum(axis=1) < 1):
        raise ValueError("counts need 0 <= successes <= trials and at least one trial")
    return k, n


def _count_kinds(k: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Different (successes, trials) of clusters, (n_kinds, 2), and how often they occur.

    The counts have shape (n, n_kinds); clusters without trials are left out.
    """
    pairs = np.stack([k.ravel(), n.ravel()], axis=1)
    kinds, code = np.unique(pairs, axis=0, return_inverse=True)
    cell = np.repeat(np.arange(len(k)), k.shape[1]) * len(kinds) + code.ravel()
    counts = np.bincount(cell, minlength=len(k) * len(kinds)).reshape(len(k), len(kinds))
    informative = kinds[:, 1] > 0
    return kinds[informative], counts[:, informative].astype(float)


def _log_odds_grid(most_trials: float, prior: Prior) -> FloatArray:
    """Grid fine enough for the narrowest posterior that so many independent trials can give.

    It reaches to where the prior alone, falling like exp(-prior |x|), is negligible.
    """
    narrowest = 2 / np.sqrt(most_trials + sum(prior))
    reach = 20 / min(1.0, 2 * min(prior))
    steps = int(np.ceil(reach / min(0.15, narrowest / 2)))
    return np.linspace(-reach, reach, 1 + 2 * steps)


def _concentration_grid(kinds: FloatArray, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Nodes in d and the logarithm of their prior weights.

    With d = log(1 + e^z)^2 a posterior is about as wide in z wherever it lies: d falls like e^2z
    to the left, where data say no more, and grows like z^2 to the right, where a posterior
    proportional to exp(-d - c / d) lies near d = c^1/2.
    """
    pairs_of_questions = counts @ (kinds[:, 1] * (kinds[:, 1] - 1) / 2)
    largest = 40 + 2 * np.sqrt(pairs_of_questions.max())
    z = np.arange(-9.0, np.sqrt(largest) + 0.3, 0.3)
    root = np.logaddexp(0, z)
    slope = 2 * root * special.expit(z)  # dd / dz
    return root**2, -(root**2) + np.log(slope)


def _posterior_of_kinds(
    kinds: FloatArray, counts: FloatArray, log_odds: FloatArray, prior: Prior
) -> FloatArray:
    """Posterior density of the log-odds on the grid, shape (n, n_grid), summing to 1."""
    theta, rest = special.expit(log_odds), special.expit(-log_odds)
    log_density = np.full((len(counts), len(log_odds)), -np.inf)
    for d, log_weight in zip(*_concentration_grid(kinds, counts), strict=True):
        per_kind = _log_beta_binomial(kinds, d * theta, d * rest)
        log_density = np.logaddexp(log_density, counts @ per_kind + log_weight)
    log_density += prior[0] * np.log(theta) + prior[1] * np.log(rest)
    return np.asarray(special.softmax(log_density, axis=1))


def _log_beta_binomial(kinds: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Log-probability of each kind of cluster without the binomial coefficient, (n_kinds, n)."""
    hits, hit_code = np.unique(kinds[:, 0], return_inverse=True)
    misses, miss_code = np.unique(kinds[:, 1] - kinds[:, 0], return_inverse=True)
    of_hits = special.gammaln(hits[:, None] + a) - special.gammaln(a)
    of_misses = special.gammaln(misses[:, None] + b) - special.gammaln(b)
    d = a[0] + b[0]
    of_size = special.gammaln(kinds[:, 1] + d) - special.gammaln(d)
    return np.asarray(of_hits[hit_code] + of_misses[miss_code] - of_size[:, None])
