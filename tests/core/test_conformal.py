"""Split conformal prediction: ranks by enumeration, coverage and uniformity by exchangeability."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from statlas.core.numerics.conformal import conformal_p_values, conformal_quantile


@pytest.mark.parametrize(
    ("n", "level", "rank"), [(9, 0.9, 9), (10, 0.9, 10), (8, 0.9, np.inf), (4, 0.5, 3), (1, 0.5, 1)]
)
def test_quantile_is_the_order_statistic(n, level, rank):
    scores = np.random.default_rng(0).permutation(np.arange(1, n + 1))
    assert conformal_quantile(scores, level) == rank


def test_coverage_over_all_orders_is_exact():
    """Of the n + 1 places that a new score can take among others, `rank` are covered."""
    values = np.arange(10.0)
    covered = [values[i] <= conformal_quantile(np.delete(values, i), 0.7) for i in range(10)]
    assert np.mean(covered) == pytest.approx(0.7)


def test_p_values_count_those_at_least_as_large():
    scores, new = [0.1, 0.2, 0.2, 0.4], [0.2, 0.05, 0.5]
    expected = [(1 + sum(s >= x for s in scores)) / 5 for x in new]
    np.testing.assert_allclose(conformal_p_values(scores, new), expected)


def test_smoothed_p_values_are_uniform_with_ties():
    """Kolmogorov's test at 1e-6, its false-alarm rate."""
    rng = np.random.default_rng(1)
    draws = rng.integers(0, 4, (4000, 12)).astype(float)
    p = [conformal_p_values(row[1:], row[:1], rng)[0] for row in draws]
    assert stats.kstest(p, "uniform").pvalue > 1e-6


def test_quantile_and_p_value_agree():
    scores = np.random.default_rng(2).standard_normal(30)
    new = np.linspace(-3, 3, 200)
    inside = new <= conformal_quantile(scores, 0.8)
    np.testing.assert_array_equal(inside, conformal_p_values(scores, new) > 0.2 - 1e-12)
