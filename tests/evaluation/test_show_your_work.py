"""Known answers: enumeration of subsets, closed forms, the authors' code on two small searches."""

from __future__ import annotations

import time
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from statlas.core import InputError, Status
from statlas.evaluation.show_your_work import (
    BudgetCurve,
    CutNormal,
    best_interval,
    budget_curve,
    difference_interval,
    expected_best,
    order_weights,
    plug_in_best,
    standard_error,
)

# First twelve dev F1 scores of each model in data/hedwig.tsv of github.com/castorini/meanmax, to
# four digits, and what CorrectedMeanMaxEstimator and MeanMaxEstimator of that repository give.
LSTM = [0.3622, 0.2481, 0.2083, 0.3697, 0.1928, 0.0025, 0.1703, 0.1346, 0.3333, 0.1937, 0.5141]
LSTM += [0.3047]
MLP = [0.7941, 0.7807, 0.7581, 0.7710, 0.7853, 0.7974, 0.7920, 0.7765, 0.7798, 0.7811, 0.7857]
MLP += [0.7765]
AUTHORS = [
    (LSTM, 1, 0.2528583333333333, 0.25285833333333335),
    (LSTM, 3, 0.36998954545454543, 0.3599760995370371),
    (LSTM, 8, 0.46470161616161615, 0.4354307059342824),
    (LSTM, 12, 0.5141, 0.46119679467791597),
    (MLP, 1, 0.7815166666666666, 0.7815166666666666),
    (MLP, 3, 0.7904668181818182, 0.7897626157407407),
    (MLP, 8, 0.7959937373737374, 0.7945609424071857),
    (MLP, 12, 0.7974, 0.7957935929356201),
]


@pytest.mark.parametrize(("scores", "budget", "unbiased", "plug_in"), AUTHORS)
def test_authors_code(scores, budget, unbiased, plug_in):
    assert expected_best(scores, budget) == pytest.approx(unbiased, abs=1e-14)
    assert plug_in_best(scores, budget) == pytest.approx(plug_in, abs=1e-14)


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_enumeration_of_all_subsets_with_ties(better):
    pick = max if better == "higher" else min
    rng = np.random.default_rng(3)
    for n_trials in range(1, 9):
        scores = rng.integers(-2, 3, n_trials) / 2
        budgets = range(1, n_trials + 1)
        exact = [np.mean([pick(s) for s in combinations(scores, n)]) for n in budgets]
        np.testing.assert_allclose(expected_best(scores, budgets, better), exact, atol=1e-14)


def test_plug_in_is_the_mean_over_draws_with_replacement():
    scores = np.array([0.3, 0.1, 0.3, 0.8])
    grid = np.stack(np.meshgrid(*[scores] * 3), axis=-1)
    assert plug_in_best(scores, 3) == pytest.approx(grid.max(axis=-1).mean(), abs=1e-14)
    assert plug_in_best(scores, 3, "lower") == pytest.approx(grid.min(axis=-1).mean(), abs=1e-14)


def test_ties_do_not_depend_on_their_order():
    scores = np.array([0.5, 0.5, 0.2, 0.9, 0.9, 0.9])
    shuffled = np.random.default_rng(0).permutation(scores)
    budgets = np.arange(1, 7)
    np.testing.assert_array_equal(expected_best(scores, budgets), expected_best(shuffled, budgets))
    # A subset of 3 misses all three 0.9 in one of C(6, 3) cases, whose best is then 0.5.
    assert expected_best(scores, 3) == pytest.approx((19 * 0.9 + 0.5) / 20, abs=1e-15)


def test_ends_are_mean_and_maximum():
    scores = np.random.default_rng(1).normal(size=57)
    np.testing.assert_allclose(
        expected_best(scores, [1, 57]), [scores.mean(), scores.max()], atol=1e-14
    )
    np.testing.assert_allclose(
        expected_best(scores, [1, 57], "lower"), [scores.mean(), scores.min()], atol=1e-14
    )


@pytest.mark.parametrize("budget", [1, 2, 7, 150, 299, 300])
def test_weights_are_the_combinatorial_ones(budget):
    exact = [comb(i - 1, budget - 1) / comb(300, budget) for i in range(1, 301)]
    np.testing.assert_allclose(order_weights(300, budget), exact, rtol=1e-12)


@pytest.mark.parametrize("budget", [1, 2, 3, 50, 1_000, 10**5, 10**6])
def test_weights_at_a_million_trials(budget):
    started = time.process_time()
    weights = order_weights(10**6, budget)
    assert time.process_time() - started < 1.0
    assert np.all(np.isfinite(weights)) and weights.min() >= 0
    assert abs(weights.sum() - 1) < 1e-12
    assert weights[-1] == pytest.approx(budget / 10**6, rel=1e-11)


def test_expected_best_at_a_million_trials_matches_a_closed_form():
    # Scores 1 .. B: the mean largest member of a subset of n is n (B + 1) / (n + 1).
    n_trials = 10**6
    budgets = np.array([1, 2, 10, 1_000, 10**5, 10**6])
    best = expected_best(np.arange(1, n_trials + 1), budgets)
    np.testing.assert_allclose(best, budgets * (n_trials + 1) / (budgets + 1), rtol=1e-12)


def test_plug_in_at_a_million_trials_is_not_above_the_unbiased():
    scores = np.random.default_rng(0).random(10**6)
    budgets = [1, 10, 10**4, 10**6]
    gap = expected_best(scores, budgets) - plug_in_best(scores, budgets)
    assert abs(gap[0]) < 1e-12 and np.all(gap > -1e-12)


@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize("n_trials", [2, 3, 8, 400])
def test_standard_error_is_the_jackknife_by_leaving_out(better, n_trials):
    scores = np.random.default_rng(4).integers(0, 7, n_trials) / 7
    budgets = np.unique(np.linspace(1, n_trials - 1, 12).astype(int))
    kept = [expected_best(np.delete(scores, i), budgets, better) for i in range(n_trials)]
    jackknife = np.sqrt((n_trials - 1) * np.var(kept, axis=0))
    np.testing.assert_allclose(standard_error(scores, budgets, better), jackknife, atol=1e-13)


def test_budget_of_one_gives_students_interval_of_the_mean():
    scores = np.random.default_rng(5).normal(size=23)
    low, high = best_interval(scores, 1, 0.9)
    expected = stats.t.interval(0.9, 22, scores.mean(), stats.sem(scores))
    np.testing.assert_allclose([low, high], expected, rtol=1e-12)


def test_budget_of_one_gives_welchs_interval_of_the_difference():
    rng = np.random.default_rng(6)
    first, second = rng.normal(1, 1, 30), rng.normal(0, 3, 12)
    difference, low, high = difference_interval(first, second, 1)
    welch = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    assert difference == pytest.approx(first.mean() - second.mean(), abs=1e-14)
    np.testing.assert_allclose([low, high], [welch.low, welch.high], rtol=1e-12)


def test_lower_is_better_mirrors_higher():
    scores = np.random.default_rng(7).exponential(size=40)
    low, high = best_interval(scores, [1, 5, 13], better="lower")
    mirrored_low, mirrored_high = best_interval(-scores, [1, 5, 13])
    np.testing.assert_array_equal(low, -mirrored_high)
    np.testing.assert_array_equal(high, -mirrored_low)


def test_no_interval_above_a_third_of_the_trials_or_without_spread():
    low, high = best_interval(np.arange(30.0), [10, 11, 30])
    assert np.isfinite(low[0]) and np.isnan(low[1:]).all() and np.isnan(high[1:]).all()
    assert np.isnan(best_interval(np.full(30, 0.5), 3)[0])


@pytest.mark.parametrize("budget", [0, -1, 4, 1.5, np.nan])
def test_budgets_outside_the_trials_are_refused(budget):
    with pytest.raises(ValueError, match="from 1 to 3"):
        expected_best([0.1, 0.2, 0.3], budget)


@pytest.mark.parametrize("scores", [[], [[0.1, 0.2]], [0.1, np.nan]])
def test_bad_scores_are_refused(scores):
    with pytest.raises(ValueError, match="finite"):
        expected_best(scores, 1)


def test_expected_maximum_of_cut_normal_matches_quadrature_of_its_density():
    cut = stats.truncnorm(-2.5, 1, loc=0.5, scale=0.2)
    exact = cut.expect(lambda x: 8 * x * cut.cdf(x) ** 7, epsabs=1e-12)
    assert CutNormal(0.5, 0.2, 0.7).expected_max(8) == pytest.approx(exact, abs=1e-9)


# --- recipe ----------------------------------------------------------------------------------


def _two_searches() -> pd.DataFrame:
    """Search `steady` is better at one trial, `wild` from some trials on."""
    rng = np.random.default_rng(8)
    scores = np.r_[rng.normal(0.7, 0.01, 60), rng.normal(0.6, 0.1, 60)]
    return pd.DataFrame({"search": ["steady"] * 60 + ["wild"] * 60, "acc": scores})


def test_recipe_reports_curves_difference_and_flip():
    frame = _two_searches()
    result = budget_curve(frame)
    assert result.status is Status.OK
    assert list(result.table.columns) == [
        "search",
        "budget",
        "expected_best",
        "low",
        "high",
        "plug_in",
    ]
    wild = frame.loc[frame["search"] == "wild", "acc"]
    rows = result.table[result.table["search"] == "wild"]
    np.testing.assert_array_equal(rows["budget"], np.arange(1, 61))
    np.testing.assert_array_equal(rows["expected_best"], expected_best(wild, np.arange(1, 61)))
    assert rows["low"].notna().sum() == 20
    assert result.details["headline_budget"] == 12 and result.details["leader"] == "wild"
    sign = np.sign(result.differences["difference"])
    flip = int(result.differences["budget"][sign.diff() != 0].iloc[1])
    assert f"with fewer than {flip} trials steady leads" in result.headline
    assert {"flip", "no-interval"} <= {notice.code for notice in result.warnings}
    assert result.value("expected best of 60, wild").low is None


def test_recipe_takes_the_lowest_loss():
    loss = {"loss": np.random.default_rng(9).exponential(size=20)}
    result = budget_curve(loss, score="loss", better="lower", max_budget=4)
    np.testing.assert_array_equal(
        result.table["expected_best"], expected_best(loss["loss"], [1, 2, 3, 4], "lower")
    )
    assert "direction" not in {notice.code for notice in result.warnings}
    doubtful = budget_curve(loss, score="loss", max_budget=4)
    assert "direction" in {notice.code for notice in doubtful.warnings}


def test_budgets_beyond_the_smallest_search_are_refused():
    frame = _two_searches().iloc[:65]
    assert budget_curve(frame).table["budget"].max() == 5
    with pytest.raises(InputError, match="'wild' has 5 trials"):
        budget_curve(frame, max_budget=6)


def test_constant_scores_and_single_trials_have_no_interval():
    constant = budget_curve({"score": [0.5] * 12})
    assert constant.status is Status.NOT_COMPUTABLE and "constant" in constant.warnings[-1].code
    assert constant.table["low"].isna().all()
    single = budget_curve({"score": [0.5]})
    assert single.status is Status.NOT_COMPUTABLE
    assert single.table["expected_best"].tolist() == [0.5]
    assert "[" not in single.headline


def test_improving_rows_are_pointed_out():
    rising = budget_curve({"score": np.linspace(0.1, 0.9, 30)})
    assert "trend" in {notice.code for notice in rising.warnings}


def test_missing_scores_are_refused_or_counted():
    with pytest.raises(InputError, match="missing"):
        budget_curve({"score": [0.1, None, 0.3]})
    assert budget_curve({"score": [0.1, None, 0.3]}, missing="drop").rows_used == 2


def test_example_survives_json_and_draws():
    result = budget_curve.run_example()
    assert result.headline.startswith("With 20 trials, expect 0.9594 [")
    back = BudgetCurve.from_json(result.to_json())
    assert len(back.plot().axes) == 2
    pd.testing.assert_frame_equal(back.differences, result.differences)


@pytest.mark.parametrize("max_budget", [1, None])
def test_figure_of_one_search(max_budget):
    figure = budget_curve({"score": LSTM}, max_budget=max_budget).plot()
    assert len(figure.axes) == 1 and figure.axes[0].get_ylabel() == "expected best score"
