"""Two models on the same questions: a latent bivariate normal behind the 2 x 2 table."""

from __future__ import annotations

from dataclasses import fields
from typing import Literal

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import ArrayLike
from scipy import special
from scipy.interpolate import CubicSpline

from statlas.evaluation.no_clt.comparison import Comparison
from statlas.evaluation.no_clt.intervals import JEFFREYS, UNIFORM, FloatArray, Prior
from statlas.evaluation.no_clt.quadrature import mixture_quantile

CorrelationPrior = Literal["positive", "uniform"]

# Nodes in the mean and in the difference of the two latent means; both are stretched by sinh, so
# the outermost lie 9 standard deviations from the centre.
_MEAN_NODES, _DIFFERENCE_NODES, _STRETCH = 17, 41, 2.9
_FINER = 8  # cells a node's distance is cut into once the density is a spline
_ARC_NODES, _ARC_WEIGHTS = leggauss(3)  # for the integral between two neighbouring correlations
_SMALLEST = 1e-15  # probabilities below this are rounding errors


def paired_comparison(
    both: ArrayLike,
    only_a: ArrayLike,
    only_b: ArrayLike,
    neither: ArrayLike,
    level: float = 0.95,
    prior: Prior = UNIFORM,
    correlation: CorrelationPrior = "positive",
) -> Comparison:
    r"""Compare two models on shared questions (Section 3.4).

    A question is right for a model where its latent normal with mean :math:`\mu` is positive, so
    that A = Phi(mu_A) and B = Phi(mu_B); the two latents have correlation rho.

    Parameters
    ----------
    both, only_a, only_b, neither
        Counts of questions that both, one or none of the models got right, broadcast.
    level
        Posterior probability of the intervals.
    prior
        Parameters of the Beta prior of A and of B, at least 1/2: below that nearly all of the
        prior lies at 0 and 1, outside the grid.
    correlation
        ``"positive"``: (rho + 1) / 2 ~ Beta(4, 2), as questions tend to be hard for both;
        ``"uniform"``: rho uniform on (-1, 1).

    Notes
    -----
    The posterior is integrated over (mu_A + mu_B) / 2, mu_A - mu_B and arcsin(rho) on a grid
    around its centre; nothing is sampled. Equal tables, and tables that differ by an exchange of
    the models, are computed once.

    Examples
    --------
    >>> result = paired_comparison(20, 8, 1, 1)
    >>> print(round(float(result.probability), 3))
    0.993
    """
    counts = np.broadcast_arrays(
        *(np.asarray(c, dtype=float) for c in (both, only_a, only_b, neither))
    )
    shape = counts[0].shape
    given = np.stack([c.ravel() for c in counts], axis=1)
    turned = given[:, 2] > given[:, 1]
    given[turned] = given[turned][:, [0, 2, 1, 3]]
    tables, back = np.unique(given, axis=0, return_inverse=True)
    if np.any(tables < 0) or np.any(tables.sum(axis=1) < 1):
        raise ValueError("counts must not be negative, and their sum at least 1")
    if min(prior) < min(JEFFREYS):
        raise ValueError(f"both parameters of the prior must be at least 1/2; got {prior}")
    rows = np.array([_compare_table(table, level, prior, correlation) for table in tables])
    batch = Comparison(**{spec.name: rows[:, i] for i, spec in enumerate(fields(Comparison))})
    return batch[back.ravel()].exchanged(turned).reshape(shape)


def _compare_table(
    counts: FloatArray, level: float, prior: Prior, correlation: CorrelationPrior
) -> tuple[float, ...]:
    """The fields of a `Comparison` for one table of counts."""
    centre_m, scale_m, centre_d, scale_d = _centre(counts, prior)
    t_m = np.linspace(-_STRETCH, _STRETCH, _MEAN_NODES)
    t_d = np.linspace(-_STRETCH, _STRETCH, _DIFFERENCE_NODES)
    mean = centre_m + scale_m * np.sinh(t_m)[:, None]
    difference = centre_d + scale_d * np.sinh(t_d)
    density = _density(counts, mean + difference / 2, mean - difference / 2, prior, correlation)
    resolution = min(_effective(density.sum(axis=axis)) for axis in ((1, 2), (0, 2), (0, 1)))
    density = density.sum(axis=2) * np.cosh(t_m)[:, None] * np.cosh(t_d)

    cumulative = CubicSpline(t_d, density, axis=1).antiderivative()
    total = cumulative(t_d[-1]).sum()
    equal = np.clip(np.arcsinh(-centre_d / scale_d), t_d[0], t_d[-1])  # where mu_A = mu_B
    probability = 1 - cumulative(equal).sum() / total

    t_fine = np.linspace(-_STRETCH, _STRETCH, _FINER * (_DIFFERENCE_NODES - 1) + 1)
    below = np.maximum.accumulate(cumulative(t_fine), axis=1) / total
    fine = centre_d + scale_d * np.sinh(t_fine)
    mu_a, mu_b = mean + fine / 2, mean - fine / 2
    gap = special.ndtr(mu_a) - special.ndtr(mu_b)
    log_ratio = _log_odds(mu_a) - _log_odds(mu_b)
    tails = [(1 - level) / 2, (1 + level) / 2]
    return (
        probability,
        float(np.sum(np.diff(below, axis=1) * (gap[:, 1:] + gap[:, :-1]) / 2)),
        *mixture_quantile(gap, below, tails),
        *np.exp(mixture_quantile(log_ratio, below, [0.5, *tails])),
        resolution,
    )


def _centre(counts: FloatArray, prior: Prior) -> tuple[float, float, float, float]:
    """Rough centre and scale of the posterior of the mean and difference of latent means."""
    both, only_a, only_b, neither = counts
    n = counts.sum() + sum(prior)
    shares = (np.array([both + only_a, both + only_b]) + prior[0]) / n
    mu = special.ndtri(shares)
    slope = np.exp(-(mu**2) / 2) / np.sqrt(2 * np.pi)  # d Phi / d mu
    # As if independent, or less where the models mostly agree (or mostly disagree).
    apart = float(np.hypot(*(np.sqrt(shares * (1 - shares) / n) / slope)))
    per_answer = 1 / (counts.sum() + 2) / slope.mean()
    scale_d = min(apart, float(np.sqrt(only_a + only_b + 1) * per_answer))
    scale_m = min(apart, float(np.sqrt(both + neither + 1) * per_answer)) / 2
    return float(mu.mean()), scale_m, float(mu[0] - mu[1]), scale_d


def _density(
    counts: FloatArray,
    mu_a: FloatArray,
    mu_b: FloatArray,
    prior: Prior,
    correlation: CorrelationPrior,
) -> FloatArray:
    """Posterior of latent means and arcsin(rho) up to a factor, times the node weights of rho.

    `mu_a` and `mu_b` have shape (n, m); the result has shape (n, m, n_correlations).
    """
    # A posterior of n questions is about n^-1/2 wide; Legendre nodes crowd at rho = -1 and 1.
    nodes, weights = leggauss(24 + 2 * int(2 * np.sqrt(counts.sum())))
    angles = np.pi / 2 * nodes
    rho = np.sin(angles)
    log_density = _log_prior(mu_a, prior)[..., None] + _log_prior(mu_b, prior)[..., None]
    log_density = log_density + np.log(weights * np.cos(angles))
    if correlation == "positive":
        log_density = log_density + 3 * np.log1p(rho) + np.log1p(-rho)
    for count, cell in zip(counts, cell_probabilities(mu_a, mu_b, angles), strict=True):
        if count > 0:
            log_density += count * np.log(np.maximum(cell, _SMALLEST))
    return np.asarray(np.exp(log_density - log_density.max()))


def cell_probabilities(
    mu_a: FloatArray, mu_b: FloatArray, angles: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Probabilities of the 2 x 2 table: both, only A, only B, neither.

    They are those of independent models, plus or minus the integral over the correlation of the
    bivariate normal density at 0 (Plackett's identity, in arcsin(rho)).

    Parameters
    ----------
    mu_a, mu_b
        Latent means, shape (n, m).
    angles
        arcsin(rho), increasing and symmetric about 0 without containing it, shape (r,).

    Returns
    -------
    tuple of ndarray
        Four arrays of shape (n, m, r).

    Examples
    --------
    >>> zero = np.zeros((1, 1))
    >>> both = cell_probabilities(zero, zero, np.arcsin([-0.5, 0.5]))[0]
    >>> print(both.ravel().round(12))  # 1/4 + arcsin(rho) / (2 pi)
    [0.16666667 0.33333333]
    """
    half = len(angles) // 2
    stops = np.concatenate([angles[:half], [0.0], angles[half:]])
    middle, width = (stops[1:] + stops[:-1]) / 2, np.diff(stops) / 2
    squares, product = (mu_a**2 + mu_b**2)[..., None], (mu_a * mu_b)[..., None]
    pieces = np.zeros((*mu_a.shape, len(width)))
    for node, weight in zip(_ARC_NODES, _ARC_WEIGHTS, strict=True):
        at = middle + node * width
        exponent = (product * np.sin(at) - squares / 2) / np.cos(at) ** 2
        pieces += weight * width * np.exp(exponent)
    summed = np.cumsum(pieces, axis=-1) / (2 * np.pi)
    from_zero = np.concatenate([np.zeros((*mu_a.shape, 1)), summed], axis=-1)
    from_zero -= from_zero[..., half : half + 1]
    joint = np.delete(from_zero, half, axis=-1)
    a, b = special.ndtr(mu_a)[..., None], special.ndtr(mu_b)[..., None]
    not_a, not_b = special.ndtr(-mu_a)[..., None], special.ndtr(-mu_b)[..., None]
    return a * b + joint, a * not_b - joint, not_a * b - joint, not_a * not_b + joint


def _log_prior(mu: FloatArray, prior: Prior) -> FloatArray:
    """Log density of mu where Phi(mu) has a Beta prior, up to a constant."""
    below, above = special.log_ndtr(mu), special.log_ndtr(-mu)
    return np.asarray((prior[0] - 1) * below + (prior[1] - 1) * above - mu**2 / 2)


def _log_odds(mu: FloatArray) -> FloatArray:
    return np.asarray(special.log_ndtr(mu) - special.log_ndtr(-mu))


def _effective(mass: FloatArray) -> float:
    """Effective number of nodes that carry the mass."""
    return float(mass.sum() ** 2 / (mass**2).sum())
