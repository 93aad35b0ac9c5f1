"""Small samples: closed forms, enumeration, published intervals, brute force, the authors' code."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from statlas.core import InputError, Status
from statlas.core.registry import load_claims
from statlas.evaluation.no_clt import (
    JEFFREYS,
    SmallSampleComparison,
    beta_interval,
    clt_interval,
    clustered_clt_interval,
    clustered_comparison,
    clustered_interval,
    clustered_posterior,
    exact_interval,
    f1_clt_interval,
    f_score_interval,
    f_score_quantile,
    independent_clt_interval,
    independent_comparison,
    mid_p_interval,
    paired_clt_interval,
    paired_comparison,
    precision_interval,
    small_sample_comparison,
    wilson_interval,
)
from statlas.evaluation.no_clt.paired import cell_probabilities
from statlas.evaluation.no_clt.quadrature import beta_nodes, mixture_quantile, quantiles_on_grid

FIELDS = (
    "probability",
    "difference",
    "difference_low",
    "difference_high",
    "odds_ratio",
    "odds_ratio_low",
    "odds_ratio_high",
)


def numbers(comparison) -> np.ndarray:
    """Every field of one comparison, ratios as logarithms."""
    values = np.array([float(getattr(comparison, name)) for name in FIELDS])
    values[4:] = np.log(values[4:])
    return values


def rounded(interval: tuple, digits: int = 4) -> tuple[float, float]:
    low, high = (round(float(np.ravel(end)[0]), digits) for end in interval)
    return low, high


# --- one proportion --------------------------------------------------------------------------

# Newcombe (1998), Statistics in Medicine 17, 857-872, Table I, methods 1, 3, 5 and 6.
NEWCOMBE = {
    (81, 263): [(0.2522, 0.3638), (0.2553, 0.3662), (0.2527, 0.3676), (0.2544, 0.3658)],
    (15, 148): [(0.0527, 0.1500), (0.0624, 0.1605), (0.0578, 0.1617), (0.0601, 0.1581)],
    (0, 20): [(0.0, 0.0), (0.0, 0.1611), (0.0, 0.1684), (0.0, 0.1391)],
    (1, 29): [(-0.0319, 0.1009), (0.0061, 0.1718), (0.0009, 0.1776), (0.0017, 0.1585)],
}
METHODS = (clt_interval, wilson_interval, exact_interval, mid_p_interval)


@pytest.mark.parametrize("counts", NEWCOMBE)
def test_published_intervals(counts):
    expected = NEWCOMBE[counts]
    assert [rounded(method(*counts)) for method in METHODS] == expected
    failures = (counts[1] - counts[0], counts[1])  # and mirrored
    for method, (low, high) in zip(METHODS, expected, strict=True):
        assert rounded(method(*failures)) == (round(1 - high, 4), round(1 - low, 4))


@pytest.mark.parametrize("k", [0, 1, 7, 20])
@pytest.mark.parametrize("prior", [(1.0, 1.0), JEFFREYS, (2.0, 5.0)])
def test_beta_interval_is_scipys(k, prior):
    expected = stats.beta(k + prior[0], 20 - k + prior[1]).interval(0.9)
    np.testing.assert_allclose(beta_interval(k, 20, 0.9, prior), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("k", "n", "prior"), [(3, 10, (1, 1)), (9, 10, (1, 1)), (28, 30, (2, 1)), (1, 4, (1, 3))]
)
def test_highest_density_interval_is_the_shortest(k, n, prior):
    low, high = beta_interval(k, n, 0.95, prior, "highest-density")
    posterior = stats.beta(k + prior[0], n - k + prior[1])
    assert posterior.cdf(high) - posterior.cdf(low) == pytest.approx(0.95, abs=1e-12)
    assert posterior.pdf(low) == pytest.approx(posterior.pdf(high), rel=1e-6)
    below = np.linspace(0, 0.05, 2001)
    widths = posterior.ppf(below + 0.95) - posterior.ppf(below)
    assert high - low <= widths.min() + 1e-9


def test_highest_density_reaches_the_boundary():
    # Beta(11, 1) has distribution function x^11.
    low, high = beta_interval([10, 0], 10, kind="highest-density")
    np.testing.assert_allclose(low, [0.05 ** (1 / 11), 0], atol=1e-12)
    np.testing.assert_allclose(high, [1, 1 - 0.05 ** (1 / 11)], atol=1e-12)
    flat = beta_interval(1, 1, prior=(0.0001, 1.0), kind="highest-density")
    assert flat[0] < flat[1] == 1.0


def coverage(interval, n: int, p: np.ndarray) -> np.ndarray:
    """Exact coverage by enumeration of the counts."""
    k = np.arange(n + 1)
    low, high = (np.asarray(end)[:, None] for end in interval(k, n))
    return np.sum(stats.binom.pmf(k[:, None], n, p) * ((low <= p) & (p <= high)), axis=0)


def test_exact_interval_never_undercovers():
    p = np.linspace(0.001, 0.999, 999)
    assert coverage(exact_interval, 17, p).min() >= 0.95
    assert coverage(mid_p_interval, 17, p).min() < 0.95  # the check can tell


def test_credible_intervals_cover_exactly_on_average_over_the_prior():
    p = (np.arange(20_000) + 0.5) / 20_000
    for kind in ("equal-tailed", "highest-density"):

        def interval(k, n, kind=kind):
            return beta_interval(k, n, kind=kind)

        assert coverage(interval, 12, p).mean() == pytest.approx(0.95, abs=2e-4)
    assert coverage(clt_interval, 12, p).mean() < 0.85


def test_normal_interval_covers_half_where_the_paper_warns():
    # By hand: at n = 30, p = 0.97 the interval misses for k = 30 (width 0) and for k <= 25.
    expected = stats.binom.pmf([26, 27, 28, 29], 30, 0.97).sum()
    assert coverage(clt_interval, 30, np.array([0.97]))[0] == pytest.approx(expected, abs=1e-12)
    assert expected < 0.6


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.data(), st.floats(0.5, 0.99))
def test_intervals_are_ordered_mirrored_and_nested(n, data, level):
    k = data.draw(st.integers(0, n))
    for method in (wilson_interval, exact_interval, mid_p_interval, beta_interval):
        low, high = method(k, n, level)
        other_low, other_high = method(n - k, n, level)
        assert 0 <= low < high <= 1
        assert float(low) == pytest.approx(1 - float(other_high), abs=1e-9)
        assert float(high) == pytest.approx(1 - float(other_low), abs=1e-9)
    exact, mid = exact_interval(k, n, level), mid_p_interval(k, n, level)
    assert exact[0] <= mid[0] + 1e-12
    assert exact[1] >= mid[1] - 1e-12


def test_impossible_counts_are_refused():
    for k, n in [(3, 2), (-1, 2), (0, 0)]:
        with pytest.raises(ValueError, match="counts"):
            beta_interval(k, n)


# --- quadrature ------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (1, 1), (41, 1), (3, 700), (2000, 900)])
def test_beta_nodes_integrate_moments(a, b):
    log_odds, weights = beta_nodes(a, b)
    x = special.expit(log_odds)
    assert weights @ x == pytest.approx(a / (a + b), abs=1e-12)
    second = a * (a + 1) / (a + b) / (a + b + 1)
    assert weights @ x**2 == pytest.approx(second, abs=1e-12)


def test_quantiles_on_grid_find_normal_and_skewed_quantiles():
    x = np.linspace(-30, 8, 300)
    log_gamma = np.exp(3 * x - np.exp(x))  # log of a Gamma(3) variable
    normal = np.exp(-((x - 1) ** 2) / 2)
    got = quantiles_on_grid(x, np.stack([normal, log_gamma]), [0.025, 0.5, 0.975])
    np.testing.assert_allclose(got[0], 1 + stats.norm.ppf([0.025, 0.5, 0.975]), atol=2e-4)
    np.testing.assert_allclose(np.exp(got[1]), stats.gamma(3).ppf([0.025, 0.5, 0.975]), rtol=3e-4)


def test_mixture_quantile_of_uniform_parts():
    # 0.25 U(0, 1) + 0.75 U(2, 4): the median lies where 0.25 + 0.75 (x - 2) / 2 = 0.5.
    values, below = np.array([[0.0, 1.0], [2.0, 4.0]]), np.array([[0.0, 0.25], [0.0, 0.75]])
    assert mixture_quantile(values, below, [0.5])[0] == pytest.approx(2 + 2 / 3, abs=1e-5)


# --- separate questions ----------------------------------------------------------------------


def test_two_uniforms():
    # No data: A - B is triangular, and the log odds ratio the difference of two logistics.
    result = independent_comparison(0, 0, 0, 0)
    assert float(result.probability) == pytest.approx(0.5, abs=1e-12)
    assert float(result.difference_low) == pytest.approx(-1 + np.sqrt(0.05), abs=5e-5)
    assert float(result.difference_high) == pytest.approx(1 - np.sqrt(0.05), abs=5e-5)
    r = float(result.odds_ratio_low)
    assert r * (r - 1 - np.log(r)) / (r - 1) ** 2 == pytest.approx(0.025, abs=1e-9)


def superiority_by_sum(k_a, n_a, k_b, n_b) -> float:
    """P(A > B) under uniform priors, a finite sum for whole-number parameters."""
    a, b, c, d = k_a + 1, n_a - k_a + 1, k_b + 1, n_b - k_b + 1
    i = np.arange(a)
    logs = (
        special.betaln(c + i, b + d)
        - np.log(b + i)
        - special.betaln(1 + i, b)
        - special.betaln(c, d)
    )
    return float(np.exp(logs).sum())


@pytest.mark.parametrize(
    "counts", [(27, 30, 21, 30), (0, 10, 0, 25), (40, 40, 39, 40), (5, 9, 80, 200)]
)
def test_superiority_is_the_finite_sum(counts):
    result = independent_comparison(*counts)
    assert float(result.probability) == pytest.approx(superiority_by_sum(*counts), abs=1e-10)
    assert float(result.difference) == pytest.approx(
        (counts[0] + 1) / (counts[1] + 2) - (counts[2] + 1) / (counts[3] + 2)
    )


def test_independent_intervals_match_draws():
    rng = np.random.default_rng(3)
    a, b = rng.beta(28, 4, 400_000), rng.beta(22, 10, 400_000)
    ratio = special.logit(a) - special.logit(b)
    drawn = [np.mean(a > b), np.mean(a - b), *np.quantile(a - b, [0.025, 0.975])]
    drawn += [*np.quantile(ratio, [0.5, 0.025, 0.975])]
    got = numbers(independent_comparison(27, 30, 21, 30))
    np.testing.assert_allclose(got[:4], drawn[:4], atol=1.5e-3)
    np.testing.assert_allclose(got[4:], drawn[4:], atol=1.5e-2)


def test_comparisons_are_vectorised_and_antisymmetric():
    k_a, k_b = np.array([[3], [10]]), np.array([0, 5, 10])
    forth, back = (
        independent_comparison(k_a, 10, k_b, 10),
        independent_comparison(k_b, 10, k_a, 10),
    )
    assert forth.probability.shape == (2, 3)
    np.testing.assert_allclose(forth.probability, 1 - back.probability, atol=1e-9)
    np.testing.assert_allclose(forth.difference_low, -back.difference_high, atol=2e-4)
    np.testing.assert_allclose(forth.odds_ratio_low, 1 / back.odds_ratio_high, rtol=1e-6)
    single = independent_comparison(10, 10, 5, 10)
    np.testing.assert_allclose(numbers(forth[1, 1]), numbers(single), rtol=1e-9)


def test_normal_differences_by_hand():
    # (8/10 - 5/10) +- 1.959964 sqrt(0.016 + 0.025); paired: var = (0.4 + 0.1 - 0.3^2) / 10.
    assert rounded(independent_clt_interval(8, 10, 5, 10)) == (-0.0969, 0.6969)
    assert rounded(paired_clt_interval(4, 1, 10)) == (-0.0969, 0.6969)
    assert rounded(paired_clt_interval(3, 0, 30)) == (-0.0074, 0.2074)
    assert rounded(paired_clt_interval(0, 0, 30)) == (0.0, 0.0)


# --- shared questions ------------------------------------------------------------------------


def test_cells_are_bivariate_normal_probabilities():
    angles = np.pi / 2 * np.polynomial.legendre.leggauss(46)[0]
    mu = np.array([[0.3, -1.2], [2.0, 1.9], [-2.5, 0.1], [0.0, 0.0]])
    cells = cell_probabilities(mu[:, :1], mu[:, 1:], angles)
    np.testing.assert_allclose(sum(cells), 1, atol=1e-12)
    np.testing.assert_allclose((cells[0] + cells[1])[:, 0, 5], special.ndtr(mu[:, 0]), atol=1e-12)
    np.testing.assert_allclose(cells[0][3, 0], 0.25 + angles / (2 * np.pi), atol=1e-6)
    for place in (0, 8, 30, 45):
        rho = np.sin(angles[place])
        normal = stats.multivariate_normal(cov=[[1, rho], [rho, 1]], allow_singular=True)
        np.testing.assert_allclose(cells[0][:, 0, place], normal.cdf(mu), atol=2e-6)


def weighted_prior_draws(counts, uniform: bool, draws: int = 1_000_000) -> np.ndarray:
    """The same posterior by weighted draws from the prior, with Owen's T for the probabilities."""
    rng = np.random.default_rng(7)
    a, b = rng.random(draws), rng.random(draws)
    rho = rng.uniform(-1, 1, draws) if uniform else 2 * rng.beta(4, 2, draws) - 1
    h, k = special.ndtri(a), special.ndtri(b)
    root = np.sqrt(1 - rho**2)
    both = (a + b) / 2 - special.owens_t(h, (k / h - rho) / root)
    both -= special.owens_t(k, (h / k - rho) / root) + np.where(h * k < 0, 0.5, 0.0)
    cells = np.clip([both, a - both, b - both, 1 - a - b + both], 1e-300, 1)
    weights = np.exp(np.asarray(counts) @ np.log(cells))
    weights /= weights.sum()
    gap, ratio = a - b, special.logit(a) - special.logit(b)

    def quantiles(values, probabilities):
        order = np.argsort(values)
        return np.interp(probabilities, np.cumsum(weights[order]), values[order])

    tails = [0.025, 0.975]
    return np.array(
        [
            weights[gap > 0].sum(),
            weights @ gap,
            *quantiles(gap, tails),
            *quantiles(ratio, [0.5, *tails]),
        ]
    )


@pytest.mark.parametrize(
    ("counts", "correlation"),
    [
        ((20, 8, 1, 1), "positive"),
        ((2, 3, 0, 1), "positive"),
        ((2, 3, 0, 1), "uniform"),
        ((10, 5, 5, 10), "uniform"),
        ((0, 6, 3, 1), "uniform"),
    ],
)
def test_paired_posterior_matches_weighted_draws(counts, correlation):
    got = numbers(paired_comparison(*counts, correlation=correlation))
    drawn = weighted_prior_draws(counts, correlation == "uniform")
    np.testing.assert_allclose(got[:4], drawn[:4], atol=6e-3)
    np.testing.assert_allclose(got[4:], drawn[4:], atol=0.05)


# Counts and P(A better than B), paired and independent, that sambowyer/bayes_evals gives on two
# columns of its own example data (langchain tool use, 20 questions): means over both orders of
# five runs with 200,000 draws, and one run with 1,000,000. Its error is about 0.003.
AUTHORS = [
    ((18, 2, 0, 0), 0.911, 0.8836),
    ((7, 5, 3, 5), 0.758, 0.7322),
    ((4, 8, 4, 4), 0.890, 0.8913),
    ((2, 6, 3, 9), 0.849, 0.8366),
    ((0, 1, 2, 17), 0.2895, 0.3033),
]


@pytest.mark.parametrize(("counts", "paired", "independent"), AUTHORS)
def test_the_authors_library_agrees(counts, paired, independent):
    assert float(paired_comparison(*counts).probability) == pytest.approx(paired, abs=4e-3)
    a, b = counts[0] + counts[1], counts[0] + counts[2]
    separate = independent_comparison(a, 20, b, 20)
    assert float(separate.probability) == pytest.approx(independent, abs=2e-3)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=4, max_size=4).filter(any))
def test_paired_comparison_is_antisymmetric_and_mirrored(counts):
    both, only_a, only_b, neither = counts
    forth = numbers(paired_comparison(*counts))
    exchanged = numbers(paired_comparison(both, only_b, only_a, neither))
    order = [0, 1, 3, 2, 4, 6, 5]
    flipped = np.array([1, 0, 0, 0, 0, 0, 0]) - exchanged[order]
    np.testing.assert_allclose(forth, flipped, atol=2e-3)
    assert forth[2] < forth[1] < forth[3]
    # Exchanging right and wrong as well as the models leaves everything as it was.
    mirrored = numbers(paired_comparison(neither, only_a, only_b, both))
    np.testing.assert_allclose(forth, mirrored, atol=2e-3)


def test_equal_models_are_equal_and_agreement_narrows():
    alike, unlike = paired_comparison(20, 0, 0, 10), paired_comparison(14, 6, 6, 4)
    assert float(alike.probability) == pytest.approx(0.5, abs=1e-9)
    assert float(unlike.probability) == pytest.approx(0.5, abs=1e-9)
    width = [float(c.difference_high - c.difference_low) for c in (alike, unlike)]
    assert width[0] < 0.75 * width[1]
    independent = independent_comparison(20, 30, 20, 30)
    assert width[0] < float(independent.difference_high - independent.difference_low)


@pytest.mark.parametrize("counts", [(300, 0, 0, 0), (0, 300, 0, 0), (0, 150, 150, 0), (0, 0, 0, 1)])
def test_extreme_tables_are_resolved(counts):
    result = paired_comparison(*counts)
    assert np.isfinite(numbers(result)).all()
    assert float(result.resolution) > 3
    low, high = float(result.difference_low), float(result.difference_high)
    assert -1 <= low < high <= 1
    if counts == (0, 300, 0, 0):
        # Both shares are known as well as one is from 300 successes: error of order 1 / 300.
        assert 0.97 < low < high < 1


def test_paired_needs_a_question_and_a_prior_that_can_be_integrated():
    with pytest.raises(ValueError, match="at least 1"):
        paired_comparison(0, 0, 0, 0)
    with pytest.raises(ValueError, match="at least 1/2"):
        paired_comparison(1, 0, 0, 0, prior=(0.1, 1.0))


def test_a_strong_prior_is_followed():
    # With 2,000 prior answers a share, one question hardly moves Beta(1000, 1000).
    result = paired_comparison(0, 1, 0, 0, prior=(1000.0, 1000.0))
    half = 1.96 * np.sqrt(2 * 0.25 / 2001)
    assert float(result.difference_high) == pytest.approx(half, abs=2e-3)
    assert float(result.resolution) > 5


# --- clusters --------------------------------------------------------------------------------


def test_one_question_a_cluster_is_the_beta_posterior():
    low, high = clustered_interval([[1, 0, 1, 1, 1], [0, 0, 0, 0, 0]], 1)
    np.testing.assert_allclose(low, stats.beta([5, 1], [2, 6]).ppf(0.025), atol=2e-5)
    np.testing.assert_allclose(high, stats.beta([5, 1], [2, 6]).ppf(0.975), atol=2e-5)
    posterior = clustered_posterior([1, 0, 1, 1, 1], 1, prior=(3, 2))
    assert posterior.mean[0] == pytest.approx(7 / 10, abs=1e-9)


@pytest.mark.parametrize(
    ("k", "n"), [([5, 5, 0, 4, 5, 1], [5] * 6), ([3, 7, 9], [4, 12, 10]), ([5] * 6, [5] * 6)]
)
def test_hierarchical_posterior_matches_a_dense_grid(k, n):
    # Midpoints in theta and in the prior probability of d, with scipy's Beta-Binomial.
    theta = ((np.arange(1500) + 0.5) / 1500)[:, None]
    d = stats.gamma(1).ppf((np.arange(600) + 0.5) / 600)
    log_density = sum(
        stats.betabinom(ni, d * theta, d * (1 - theta)).logpmf(ki)
        for ki, ni in zip(k, n, strict=True)
    )
    density = np.exp(log_density - log_density.max()).sum(axis=1)
    below = np.cumsum(density) / density.sum()
    low, high = clustered_interval(k, n)
    edges = (np.arange(1500) + 1) / 1500
    assert np.interp(low[0], edges, below) == pytest.approx(0.025, abs=1.5e-3)
    assert np.interp(high[0], edges, below) == pytest.approx(0.975, abs=1.5e-3)


def test_cluster_order_and_padding_do_not_matter():
    low, high = clustered_interval([[5, 1, 4, 0], [4, 5, 0, 1]], [[5, 5, 5, 0], [5, 5, 0, 5]])
    again = clustered_interval([5, 1, 4], 5)
    np.testing.assert_allclose(low, again[0][0], rtol=1e-9)
    np.testing.assert_allclose(high, again[1][0], rtol=1e-9)


def test_clustered_normal_interval_is_the_paper_sum_over_pairs():
    answers = [np.array([1, 1, 0]), np.array([1, 0]), np.array([1, 1, 1, 1])]
    every = np.concatenate(answers)
    share, n = every.mean(), len(every)
    variance = share * (1 - share) / n
    for x in answers:
        residual = x - share
        variance += (residual.sum() ** 2 - (residual**2).sum()) / n**2
    low, high = clustered_clt_interval([x.sum() for x in answers], [len(x) for x in answers])
    half = 1.959963985 * np.sqrt(variance)
    assert (low[0], high[0]) == pytest.approx((share - half, share + half), abs=1e-9)


def test_clustered_comparison_matches_draws():
    a, b = clustered_posterior([5, 5, 5, 4, 5, 5], 5), clustered_posterior([5, 2, 0, 4, 5, 1], 5)
    rng = np.random.default_rng(5)

    def draws(posterior):
        u = (np.arange(2000) + 0.5) / 2000
        return rng.choice(quantiles_on_grid(posterior.log_odds, posterior.density, u)[0], 400_000)

    x, y = draws(a), draws(b)
    gap = special.expit(x) - special.expit(y)
    drawn = [np.mean(gap > 0), gap.mean(), *np.quantile(gap, [0.025, 0.975])]
    drawn += [*np.quantile(x - y, [0.5, 0.025, 0.975])]
    got = numbers(clustered_comparison(a, b))
    np.testing.assert_allclose(got[:4], drawn[:4], atol=3e-3)
    np.testing.assert_allclose(got[4:], drawn[4:], atol=0.03)


def test_clusters_that_agree_within_widen_the_interval():
    apart = clustered_interval([5, 5, 5, 0, 0, 0], 5)
    alike = clustered_interval([2, 3, 2, 3, 2, 3], 5)
    assert apart[1][0] - apart[0][0] > 1.3 * (alike[1][0] - alike[0][0])


def test_impossible_clusters_are_refused():
    for k, n in [([3, 2], 2), ([0, 0], 0)]:
        with pytest.raises(ValueError, match="counts"):
            clustered_posterior(k, n)


# --- F-scores --------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_f_score_quantiles_match_dirichlet_draws(beta):
    rng = np.random.default_rng(0)
    tp, fp, fn, _ = rng.dirichlet([13, 4, 3, 26], 400_000).T
    score = (1 + beta**2) * tp / ((1 + beta**2) * tp + beta**2 * fn + fp)
    expected = np.quantile(score, [0.025, 0.975])
    np.testing.assert_allclose(f_score_interval(12, 3, 2, beta=beta), expected, atol=1.5e-3)


def test_f1_closed_form_is_the_limit_of_the_quadrature():
    exact = f_score_quantile([12, 0, 9], [3, 4, 0], [2, 1, 0], 0.3)
    near = f_score_quantile([12, 0, 9], [3, 4, 0], [2, 1, 0], 0.3, beta=1 + 1e-9)
    np.testing.assert_allclose(exact, near, atol=1e-8)


def test_f_score_parts():
    expected = stats.beta(13, 4).interval(0.95)
    np.testing.assert_allclose(precision_interval(12, 3), expected, rtol=1e-12)
    # Delta method by hand: J = 12 / 17, F1 = 2 J / (1 + J) = 24 / 29.
    low, high = f1_clt_interval(12, 3, 2)
    assert (low + high) / 2 == pytest.approx(24 / 29)
    half = 1.959963985 * 2 / (29 / 17) ** 2 * np.sqrt(12 / 17 * 5 / 17 / 17)
    assert (high - low) / 2 == pytest.approx(half, abs=1e-9)
    with pytest.raises(ValueError, match="counts"):
        f_score_interval(-1, 2, 3)


# --- the recipe ------------------------------------------------------------------------------


def wide_table(**right: list[int]) -> pd.DataFrame:
    n = len(next(iter(right.values())))
    return pd.DataFrame({"question": [f"q{i}" for i in range(n)], **right})


TWO = wide_table(a=[1] * 12, b=[1] * 9 + [0] * 3)


def test_example_answers_the_question():
    result = small_sample_comparison.run_example()
    assert result.status is Status.OK
    # 40 of 40 against 39 of 40: the table says so and the difference is not called real.
    assert result.headline.startswith("lda (40 of 40 right) against naive-bayes (39 of 40 right)")
    assert "could be luck" in result.headline
    pair = result.table.query("model_a == 'naive-bayes' and model_b == 'lda'").iloc[0]
    assert (pair["both"], pair["only_a"], pair["only_b"], pair["neither"]) == (39, 0, 1, 0)
    expected = paired_comparison(39, 0, 1, 0)
    assert pair["probability_a_better"] == pytest.approx(float(expected.probability), abs=1e-12)
    lda = result.models.set_index("model").loc["lda"]
    assert (lda["exact_low"], lda["exact_high"]) == pytest.approx((0.025 ** (1 / 40), 1.0))
    assert (lda["clt_low"], lda["clt_high"]) == (1.0, 1.0)
    assert lda["low"] == pytest.approx(0.025 ** (1 / 41))
    assert result.value("share of lda").estimate == pytest.approx(41 / 42)


def test_long_and_wide_tables_agree():
    long = TWO.melt("question", var_name="system", value_name="correct")
    shuffled = long.sample(frac=1, random_state=1)
    first, second = small_sample_comparison(TWO), small_sample_comparison(shuffled)
    sign = 1 if second.table["model_a"].iloc[0] == "a" else -1
    assert second.table["difference"].iloc[0] * sign == pytest.approx(
        first.table["difference"].iloc[0], abs=1e-5
    )
    assert first.headline == second.headline


def test_best_model_leads_whatever_the_column_order():
    turned = small_sample_comparison(TWO[["question", "b", "a"]])
    assert turned.headline == small_sample_comparison(TWO).headline
    assert turned.table["difference"].iloc[0] < 0
    shown = turned.details["shown_pairs"][0]
    assert shown["model_a"] == "a"
    assert shown["difference"] > 0
    assert shown["odds_ratio_low"] < shown["odds_ratio"] < shown["odds_ratio_high"]


def test_options_reach_the_method():
    options = {"level": 0.8, "correlation": "uniform", "prior_right": 0.5, "prior_wrong": 2.0}
    row = small_sample_comparison(TWO, **options).table.iloc[0]
    expected = paired_comparison(9, 3, 0, 0, 0.8, (0.5, 2.0), "uniform")
    assert row["low"] == pytest.approx(float(expected.difference_low), abs=1e-12)
    row = small_sample_comparison(TWO, comparison="independent").table.iloc[0]
    assert row["compared_as"] == "independent"
    expected = independent_comparison(12, 12, 9, 12)
    assert row["high"] == pytest.approx(float(expected.difference_high), abs=1e-12)
    # Var = 0 + 0.75 * 0.25 / 12.
    assert row["clt_high"] == pytest.approx(0.25 + 1.959963985 * 0.125, abs=1e-9)
    for interval in ("wilson", "exact", "clt"):
        model = small_sample_comparison(TWO, interval=interval).models.iloc[1]
        assert model["low"] == model[f"{interval}_low"]
        assert model["estimate"] == 0.75


def test_asking_for_the_normal_interval_warns_and_changes_the_answer():
    result = small_sample_comparison(TWO, interval="clt")
    assert "clt-small-sample" in [notice.code for notice in result.warnings]
    assert "CLT interval" in result.headline
    assert rounded(result.table[["low", "high"]].iloc[0].to_numpy()[:, None]) == rounded(
        paired_clt_interval(3, 0, 12)
    )
    many = wide_table(a=[1, 0] * 200, b=[1, 1, 0, 0] * 100)
    codes = [notice.code for notice in small_sample_comparison(many, interval="clt").warnings]
    assert "clt-small-sample" not in codes
    assert "clt-small-sample" not in [n.code for n in small_sample_comparison(TWO).warnings]


def test_clusters_are_modelled():
    table = wide_table(a=[1] * 15 + [0] * 15, b=[1, 0] * 15).assign(topic=np.repeat(range(6), 5))
    result = small_sample_comparison(table)
    model = result.models.iloc[0]
    low, high = clustered_interval([5, 5, 5, 0, 0, 0], 5)
    assert (model["low"], model["high"]) == pytest.approx((low[0], high[0]), abs=1e-9)
    assert (model["clt_low"], model["clt_high"]) == pytest.approx(
        tuple(end[0] for end in clustered_clt_interval([5, 5, 5, 0, 0, 0], 5))
    )
    assert result.table["compared_as"].tolist() == ["clustered"]
    assert "pairing-unused" in [notice.code for notice in result.warnings]
    wilson = small_sample_comparison(table, interval="wilson")
    assert "clusters-ignored" in [notice.code for notice in wilson.warnings]


def test_one_cluster_has_no_normal_interval():
    table = TWO.assign(topic="only")
    assert small_sample_comparison(table).status is Status.OK
    result = small_sample_comparison(table, interval="clt")
    assert result.status is Status.NOT_COMPUTABLE
    assert "no 95 % CLT interval" in result.headline
    assert result.value("share of a").low is None


def test_models_that_share_few_or_no_questions():
    rows = {"model": ["a"] * 10 + ["b"] * 12, "question": [*range(10), *range(4, 16)]}
    rows["score"] = [1] * 10 + [0] * 6 + [1] * 6
    result = small_sample_comparison(rows)
    row = result.table.iloc[0]
    assert (row["shared_questions"], row["both"], row["only_a"]) == (6, 0, 6)
    assert "not-shared" in [notice.code for notice in result.warnings]
    rows["question"] = list(range(22))
    apart = small_sample_comparison(rows)
    assert apart.table["compared_as"].tolist() == ["independent"]
    expected = independent_comparison(10, 10, 6, 12)
    assert apart.table["low"].iloc[0] == pytest.approx(float(expected.difference_low))
    assert "nothing-shared" in [notice.code for notice in apart.warnings]


def test_one_model_and_one_question():
    result = small_sample_comparison(TWO[["question", "b"]])
    assert result.headline.startswith("b has 9 of 12 right")
    assert "wilson_low" in result.table
    result.plot()
    single = small_sample_comparison(TWO.iloc[:1])
    assert single.table["probability_a_better"].iloc[0] == pytest.approx(0.5)
    assert single.models["low"].iloc[0] == pytest.approx(1 - np.sqrt(1 - 0.025), abs=0.2)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TWO.assign(b=[0.5] + [1.0] * 11), "error-bars"),
        (TWO.assign(b=[2] + [1] * 11), "at most 1"),
        (pd.concat([TWO, TWO]), "has 2 rows of model"),
        (TWO.assign(b=[np.nan] + [1.0] * 11), "missing"),
    ],
)
def test_bad_scores_are_refused(table, message):
    with pytest.raises(InputError, match=message):
        small_sample_comparison(table)


def test_a_question_in_two_clusters_is_refused():
    rows = {"model": ["a", "b"], "question": [1, 1], "topic": ["x", "y"], "score": [1, 0]}
    with pytest.raises(InputError, match="two clusters"):
        small_sample_comparison(rows)


def test_many_models_are_compared_with_a_warning():
    rng = np.random.default_rng(0)
    table = wide_table(**{f"m{i}": rng.integers(0, 2, 9).tolist() for i in range(6)})
    result = small_sample_comparison(table)
    assert len(result.table) == 15
    assert "many-pairs" in [notice.code for notice in result.warnings]


def test_result_survives_json_with_its_figure():
    result = small_sample_comparison.run_example()
    again = SmallSampleComparison.from_json(result.to_json())
    pd.testing.assert_frame_equal(again.models, result.models)
    assert len(again.plot().get_axes()) == 2


@pytest.mark.parametrize("claim", load_claims("no-clt"), ids=lambda claim: claim.name)
def test_claims_measure_what_they_say(claim):
    rng = np.random.default_rng(11)
    subject, twin = (
        np.mean([claim.measure(rng, s) for _ in range(3)])
        for s in (claim.subject, claim.twin.subject)
    )
    assert claim.expect.low - 0.02 <= subject <= claim.expect.high + 0.02
    assert not claim.expect.low + 0.005 <= twin <= claim.expect.high - 0.005
