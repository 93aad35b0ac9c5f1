"""The l2 calibration error and its interval, against enumeration and the authors' code."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statlas.core import InputError, OptionError, Status
from statlas.core.examples import example_path
from statlas.uncertainty.ece_interval import (
    assign_bins,
    calibration_error,
    error_interval,
    estimate_calibration_error,
    simulated_p_value,
    squared_interval,
    suggested_bins,
    top_probabilities,
)
from statlas.uncertainty.ece_interval.estimation import CalibrationError


def estimate_of(squared: float, spread: float) -> CalibrationError:
    return CalibrationError(squared, squared, spread, 0.1, 100, 10)


# --- the estimate --------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3])
def test_estimate_is_the_mean_over_pairs_of_a_bin(k):
    """The U-statistic by its definition, pair by pair."""
    rng = np.random.default_rng(0)
    z, codes = rng.dirichlet(np.ones(4), 25)[:, :k], rng.integers(0, 6, 25)
    y = rng.integers(0, 2, (25, k)).astype(float)
    total = 0.0
    for b in range(6):
        u = (y - z)[codes == b]
        pairs = [u[i] @ u[j] for i in range(len(u)) for j in range(len(u)) if i != j]
        total += sum(pairs) / max(len(u) - 1, 1)
    assert estimate_calibration_error(z, y, codes).squared == pytest.approx(total / 25, abs=1e-14)


@pytest.mark.parametrize(
    ("k", "bins", "n", "squared", "variance"),
    [
        (1, 10, 40, 0.03994293329667487, 0.050832229514916914),
        (2, 4, 60, 0.07313297686082561, 0.07032280508782725),
        (1, 50, 1000, 0.08212004932763221, 0.07194621685029731),
        (2, 20, 1000, 0.09142295460877171, 0.08709385587438508),
    ],
)
def test_estimate_and_variance_are_those_of_the_authors_code(k, bins, n, squared, variance):
    """Numbers from `T_mn_estimator` of github.com/sylydya/CI-ECE on the same draws and cells."""
    rng = np.random.default_rng(5)
    probabilities, label = rng.dirichlet(np.ones(4), n), rng.integers(4, size=n)
    z, y = top_probabilities(probabilities, label, k)
    found = estimate_calibration_error(z, y, assign_bins(z, bins**k, "width"))
    assert found.squared == pytest.approx(squared, rel=1e-12)
    assert found.spread**2 * n == pytest.approx(variance, rel=1e-12)


@pytest.mark.parametrize("k", [1, 2])
def test_mean_and_variance_for_a_calibrated_model_by_enumeration(k):
    """All outcomes of six rows, each with its probability: mean 0, and the stated variance."""
    rng = np.random.default_rng(1)
    z = rng.dirichlet(np.ones(3), 6)[:, :k]
    codes = np.array([0, 0, 0, 1, 1, 2])
    outcomes = [np.eye(k + 1)[place][:k] for place in range(k + 1)]
    moments = np.zeros(3)
    for chosen in itertools.product(range(k + 1), repeat=6):
        chance = np.prod([[*row, 1 - row.sum()][c] for row, c in zip(z, chosen, strict=True)])
        squared = estimate_calibration_error(z, [outcomes[c] for c in chosen], codes).squared
        moments += chance * np.array([1, squared, squared**2])
    found = estimate_calibration_error(z, [outcomes[0]] * 6, codes)
    np.testing.assert_allclose(moments, [1, 0, found.null_spread**2], atol=1e-14)


def test_plain_estimate_is_that_of_the_bins_means():
    z = np.array([[0.2], [0.4], [0.9], [0.7]])
    found = estimate_calibration_error(z, [[0], [1], [1], [1]], [0, 0, 1, 1])
    assert found.plug_in == pytest.approx(0.5 * 0.2**2 + 0.5 * 0.2**2)


def test_estimate_is_unbiased_for_a_miscalibrated_model():
    """Constant forecast 0.5 of an event of chance 0.8: ECE^2 = 0.09; the mean of 4,000 estimates
    has a standard error of 0.0009, so the bound of 0.005 is passed by chance once in 1e7 runs."""
    rng = np.random.default_rng(2)
    z, codes = np.full((50, 1), 0.5), np.arange(50) // 10
    found = [
        estimate_calibration_error(z, rng.uniform(size=(50, 1)) < 0.8, codes).squared
        for _ in range(4000)
    ]
    assert np.mean(found) == pytest.approx(0.09, abs=0.005)


# --- the interval and the test -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("squared", "low"),
    [
        (10.0, 10 - 1.959963984540054),  # far: two-sided
        (3.5, 1.75),  # between 2 z(a) and 2 z(a / 2): a half
        (2.0, 2 - 1.6448536269514722),  # near: one-sided
        (1.0, 0.0),
        (-2.0, 0.0),
    ],
)
def test_three_pieces_of_the_lower_end(squared, low):
    found = squared_interval(estimate_of(squared, 1.0), 0.95)
    np.testing.assert_allclose(found, [low, max(squared, 0) + 1.959963984540054])


@given(st.floats(0, 10), st.floats(0.01, 2), st.floats(0.5, 0.99))
@settings(max_examples=60, deadline=None)
def test_lower_end_grows_with_the_estimate(squared, spread, level):
    ends = [squared_interval(estimate_of(s, spread), level)[0] for s in (squared, squared + 0.01)]
    assert ends[0] <= ends[1] + 1e-12


def test_interval_begins_at_zero_where_calibration_is_left_in():
    rng = np.random.default_rng(3)
    z = rng.uniform(size=(3000, 1))
    found = error_interval(z, rng.uniform(size=(3000, 1)) < z)
    assert found.calibrated
    assert found.low == 0 < found.high < 0.1


def test_simulated_test_agrees_with_the_normal_one_for_many_bins():
    rng = np.random.default_rng(4)
    z = rng.uniform(size=(2000, 1))
    y = (rng.uniform(size=(2000, 1)) < np.clip(z + 0.04, 0, 1)).astype(float)
    codes = assign_bins(z, 100)
    normal = estimate_calibration_error(z, y, codes).p_value
    assert simulated_p_value(z, y, codes, 400, rng) == pytest.approx(normal, abs=0.08)
    sure = np.ones((20, 1))
    assert simulated_p_value(sure, sure, np.zeros(20, int), 9, rng) == 1.0


# --- bins ----------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.7, 1.0]), min_size=2, max_size=40),
    st.integers(1, 12),
)
@settings(max_examples=80, deadline=None)
def test_equal_predictions_share_a_bin_and_rows_may_come_in_any_order(values, n_bins):
    z = np.array(values)[:, None]
    codes = assign_bins(z, n_bins)
    for value in set(values):
        assert len(set(codes[z[:, 0] == value])) == 1
    np.testing.assert_array_equal(codes[np.argsort(z[:, 0], kind="stable")], np.sort(codes))
    flipped = assign_bins(z[::-1], n_bins)[::-1]
    np.testing.assert_array_equal(codes, flipped)
    assert set(codes) == set(range(codes.max() + 1))


def test_bins_have_equal_mass_in_two_dimensions():
    z = np.random.default_rng(5).uniform(size=(900, 2))
    counts = np.bincount(assign_bins(z, 9))
    np.testing.assert_array_equal(counts, 100)


def test_number_of_bins_lies_between_the_theorys_ends():
    for n in (500, 50_000):
        for d in (1, 2, 3):
            assert n ** (d / 4) < suggested_bins(n, d) <= n / 4
    assert suggested_bins(1000, 6) == 250


def test_top_probabilities_are_the_largest_in_order():
    rng = np.random.default_rng(6)
    p, label = rng.dirichlet(np.ones(6), 50), rng.integers(6, size=50)
    z, y = top_probabilities(p, label, 3)
    np.testing.assert_array_equal(z, np.sort(p, axis=1)[:, ::-1][:, :3])
    own = p[np.arange(50), label]
    np.testing.assert_array_equal(y.sum(axis=1), own >= z[:, 2])
    assert np.all(z[y == 1] == np.repeat(own, y.sum(axis=1).astype(int)))


# --- the recipe ----------------------------------------------------------------------------------


def forecasts(n: int = 600, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    p = rng.uniform(size=n)
    return pd.DataFrame({"p": p, "y": (rng.uniform(size=n) < p**2).astype(int)})


def test_columns_of_classes_and_a_confidence_column_agree():
    frame = pd.read_csv(example_path("active_pool.csv"))
    columns = [f"model_{digit}" for digit in range(10)]
    p = frame[columns].to_numpy()
    short = pd.DataFrame(
        {"confidence": p.max(axis=1), "correct": (p.argmax(axis=1) == frame["label"]).astype(int)}
    )
    long = calibration_error(frame, probabilities=columns, rng=0)
    pd.testing.assert_frame_equal(long.table, calibration_error(short, rng=0).table)


def test_models_are_judged_by_themselves_and_ordered():
    good, bad = forecasts(seed=1), forecasts(seed=2).assign(p=lambda t: 1 - t["p"])
    both = pd.concat([bad.assign(model="bad"), good.assign(model="good")])
    table = calibration_error(both, rng=0).table
    assert table["model"].tolist() == ["good", "bad"]
    alone = calibration_error(good, rng=0).table
    assert table.loc[0, "error"] == alone.loc[0, "error"]


def test_few_different_confidences_are_judged_one_by_one():
    rng = np.random.default_rng(7)
    stated = rng.choice([0.5, 0.7, 0.9], 900)
    table = pd.DataFrame({"confidence": stated, "correct": rng.uniform(size=900) < stated - 0.2})
    result = calibration_error(table.astype({"correct": int}), rng=0)
    assert result.table.loc[0, "bins"] == 3
    value = result.values[0]
    assert value.low < 0.2 < value.high


def test_small_and_constant_tables_say_so():
    few = calibration_error(forecasts(60), rng=0)
    assert few.status is Status.ASSUMPTION_DOUBTFUL
    assert "60 rows" in few.advice
    flat = calibration_error(forecasts().assign(p=0.5), rng=0)
    assert "equal" in flat.advice


def test_what_cannot_be_judged_is_refused():
    table = forecasts()
    with pytest.raises(OptionError, match="'top' is 2"):
        calibration_error(table, top=2)
    with pytest.raises(InputError, match="confidence=COLUMN correct=COLUMN"):
        calibration_error(table[["p"]].rename(columns={"p": "x"}))
    with pytest.raises(InputError, match="column 'p'"):
        calibration_error(table.assign(p=table["p"] * 100))
    groups = table.assign(model=["a"] * 590 + ["b"] * 10)
    with pytest.raises(InputError, match="'b' has 10 rows"):
        calibration_error(groups)
