"""Known answers of conformalized selective regression; each says where it comes from."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression, QuantileRegressor, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from statlas.core.errors import InputError
from statlas.core.numerics.conformal import conformal_quantile
from statlas.core.results import Result
from statlas.uncertainty.conformal_selective import (
    ConformalSelectiveRegressor,
    QuantileForest,
    coverage_risk_curve,
    distance_score,
    distance_to_ideal,
    ensemble_score,
    keep_rule,
    normalised_area,
    selective_regression,
    variance_score,
)

FloatArray = NDArray[np.float64]


# --- the rule ------------------------------------------------------------------------------------


@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=2, max_size=14),
    keep=st.sampled_from([0.1, 0.3, 0.5, 0.75, 1.0]),
    level=st.sampled_from([0.3, 0.5, 0.8]),
)
@settings(max_examples=300, deadline=None)
def test_both_promises_hold_by_enumeration_with_ties(
    rows: list[tuple[int, int]], keep: float, level: float
) -> None:
    """Exchangeability: each of n + 1 rows is equally often the new one, so enumerate them."""
    score, conformity = np.array(rows, dtype=float).T
    kept = covered = covered_all = 0
    for new in range(len(rows)):
        held = np.arange(len(rows)) != new
        rule = keep_rule(conformity[held], score[held], keep, level)
        is_kept = bool(rule.kept(score[new]))
        kept += is_kept
        covered += is_kept and bool(conformity[new] <= rule.quantiles(score[new]))
        covered_all += bool(conformity[new] <= rule.quantile_all)
    assert kept >= keep * len(rows) - 1e-9
    assert covered >= level * kept - 1e-9
    assert covered_all >= level * len(rows) - 1e-9


def test_without_ties_the_shares_are_exact() -> None:
    # K of n + 1 rows are kept, ceil(K level) of them covered: 14 of 19 and 12 of 14 here.
    rng = np.random.default_rng(0)
    score, conformity = rng.random(19), rng.random(19)
    outcome = []
    for new in range(19):
        held = np.arange(19) != new
        rule = keep_rule(conformity[held], score[held], 0.7, 0.8)
        outcome.append((rule.kept(score[new]), conformity[new] <= rule.quantiles(score[new])))
    kept, covered = np.array(outcome).T
    assert kept.sum() == 14
    assert (kept & covered).sum() == 12


def test_where_all_rows_are_kept_it_is_plain_split_conformal_prediction() -> None:
    rng = np.random.default_rng(1)
    score, conformity = rng.random(30), rng.random(30)
    rule = keep_rule(conformity, score, 1.0, 0.9)
    assert rule.limit == np.inf
    assert rule.quantile == rule.quantile_all == conformal_quantile(conformity, 0.9)


# --- the protocol --------------------------------------------------------------------------------


def test_curve_is_the_mean_over_the_rows_of_smallest_score() -> None:
    rng = np.random.default_rng(2)
    errors, scores = rng.random(50), rng.random(50)
    order = np.argsort(scores)
    expected = [errors[order[:k]].mean() for k in range(1, 51)]
    np.testing.assert_allclose(coverage_risk_curve(errors, scores), expected)


def test_tied_rows_share_the_mean_over_their_orders() -> None:
    # Enumeration of the two orders of the tied pair.
    errors = np.array([1.0, 5.0, 2.0])
    ways = [coverage_risk_curve(errors, scores) for scores in ([0, 1, 2], [1, 0, 2])]
    np.testing.assert_allclose(coverage_risk_curve(errors, [0, 0, 2]), np.mean(ways, axis=0))


@given(st.lists(st.floats(0, 100), min_size=3, max_size=30), st.integers(0, 1000))
@settings(max_examples=100, deadline=None)
def test_no_score_beats_the_true_error_and_any_increasing_map_keeps_the_area(
    values: list[float], seed: int
) -> None:
    errors = np.array(values)
    score = np.random.default_rng(seed).random(len(errors))
    area = normalised_area(errors, score)
    if np.isnan(area):
        assert np.ptp(errors) < 1e-9 * max(1.0, errors.max())
        return
    assert area >= -1e-9
    assert normalised_area(errors, np.exp(3 * score)) == pytest.approx(area)


def test_the_area_of_a_random_score_is_one_on_average() -> None:
    """Exact in expectation; 4.4 standard errors, false alarms 1e-5."""
    rng = np.random.default_rng(3)
    errors = rng.exponential(size=60)
    areas = [normalised_area(errors, rng.random(60)) for _ in range(800)]
    assert abs(np.mean(areas) - 1) < 4.4 * np.std(areas) / np.sqrt(800)


def test_distance_to_the_ideal_point_by_hand() -> None:
    found = distance_to_ideal([[3.0, 2.0], [4.0, 1.0]], [0.5, 0.8])
    expected = [[np.hypot(0.75, 0.5), np.hypot(1, 0.2)], [np.hypot(1, 0.5), np.hypot(0.5, 0.2)]]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(distance_to_ideal([[0.0], [0.0]], [0.6]), [[0.4], [0.4]])


# --- the quantile forest -------------------------------------------------------------------------


def test_quantile_forest_is_meinshausens_by_its_definition() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(80, 3)), rng.normal(size=80)
    new = rng.normal(size=(15, 3))
    fit = QuantileForest(0.3, n_estimators=7, min_samples_leaf=4, random_state=0).fit(x, y)
    peer = RandomForestRegressor(7, min_samples_leaf=4, random_state=0).fit(x, y)
    own, leaves = peer.apply(x), peer.apply(new)
    for row, found in enumerate(fit.predict(new)):
        same = own == leaves[row]
        weight = (same / same.sum(axis=0)).mean(axis=1)
        order = np.argsort(y)
        place = np.flatnonzero(np.cumsum(weight[order]) >= 0.3 - 1e-12)[0]
        assert found == y[order][place]


def test_quantiles_do_not_cross_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(120, 2)), rng.normal(size=120)
    fits = [QuantileForest(q, 20, random_state=1).fit(x, y) for q in (0.05, 0.5, 0.95)]
    found = [fit.predict(x) for fit in fits]
    assert np.all(np.diff(found, axis=0) >= 0)
    monkeypatch.setattr("statlas.uncertainty.conformal_selective.regressor._CELLS", 500)
    np.testing.assert_array_equal(fits[1].predict(x), found[1])


# --- the estimator -------------------------------------------------------------------------------


def _problem(n: int = 300, seed: int = 6) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, 3))
    return x, x[:, 1] + np.exp(1.5 * x[:, 0]) * rng.normal(size=n)


def _linear(**options: Any) -> ConformalSelectiveRegressor:
    lower, upper = (QuantileRegressor(quantile=q, alpha=0) for q in (0.05, 0.95))
    return ConformalSelectiveRegressor(
        LinearRegression(), lower=lower, upper=upper, random_state=0, **options
    )


def test_it_is_conformalized_quantile_regression_by_its_equations() -> None:
    """Equations (3) to (5) with the same split: intervals, width and rejection."""
    x, y = _problem()
    fit = _linear(promise="all", keep=0.7).fit(x, y)
    order = np.random.default_rng(0).permutation(300)
    held, own = order[:100], order[100:]
    low, high = (
        QuantileRegressor(quantile=q, alpha=0).fit(x[own], y[own]).predict(x) for q in (0.05, 0.95)
    )
    conformity = np.maximum(low - y, y - high)[held]
    q = np.sort(conformity)[int(np.ceil(101 * 0.9)) - 1]
    interval = np.column_stack([low - q, high + q])
    some = interval[:, 0] <= interval[:, 1]  # the others are empty
    assert some.mean() > 0.95
    np.testing.assert_allclose(fit.predict_interval(x)[some], interval[some])
    np.testing.assert_allclose(
        fit.predict_interval(x)[~some], interval[~some].mean(axis=1)[:, None] @ [[1, 1]]
    )
    width = (high - low + 2 * q)[held]
    limit = np.sort(width)[int(np.ceil(0.7 * 101)) - 1]
    np.testing.assert_array_equal(fit.kept(x), high - low + 2 * q <= limit + 1e-12)


def test_the_conformal_step_changes_no_rank() -> None:
    x, y = _problem()
    fit = _linear(promise="all").fit(x, y)
    width, score = np.diff(fit.predict_interval(x), axis=1)[:, 0], fit.rejection_score(x)
    assert np.all(np.diff(width[np.argsort(score)]) >= -1e-12)


@pytest.mark.parametrize("width", ["quantiles", "errors"])
def test_any_regressor_serves_and_noisy_rows_are_declined(width: Any) -> None:
    x, y = _problem(500)
    given: dict[str, Any] = {
        "lower": GradientBoostingRegressor(
            loss="quantile", alpha=0.1, n_estimators=30, random_state=0
        ),
        "upper": GradientBoostingRegressor(
            loss="quantile", alpha=0.9, n_estimators=30, random_state=0
        ),
        "residual_estimator": Ridge(),
    }
    fit = ConformalSelectiveRegressor(
        make_pipeline(StandardScaler(), Ridge()), width, keep=0.6, random_state=0, **given
    ).fit(x, y)
    new, _ = _problem(2000, 7)
    kept = fit.kept(new)
    # Noise grows with the first feature: kept rows have smaller values of it.
    assert new[kept, 0].mean() < new[~kept, 0].mean() - 0.3
    low, high = fit.predict_interval(new).T
    assert np.all(low <= high)


def test_an_interval_is_never_turned_round() -> None:
    # Twelve coefficients for 16 rows: fitted quantiles cross on new rows.
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(24, 11)), rng.normal(size=24)
    fit = _linear(level=0.5, promise="all").fit(x, y)
    new = rng.normal(size=(500, 11))
    assert (fit.rejection_score(new) + 2 * fit.rule_.quantile_all < 0).any()
    low, high = fit.predict_interval(new).T
    assert np.all(low <= high)


def test_residual_ratios_are_covered_as_stated() -> None:
    x, y = _problem()
    fit = ConformalSelectiveRegressor(
        Ridge(), "errors", residual_estimator=Ridge(), random_state=1, promise="all"
    ).fit(x, y)
    held = np.random.default_rng(1).permutation(300)[:100]
    low, high = fit.predict_interval(x[held]).T
    # ceil(0.9 * 101) of the 100 calibration rows are at most the quantile.
    assert ((low <= y[held] + 1e-12) & (y[held] <= high + 1e-12)).sum() == 91


@pytest.mark.parametrize(
    "estimator",
    [
        QuantileForest(n_estimators=5),
        ConformalSelectiveRegressor(
            Ridge(), lower=QuantileForest(0.05, 3), upper=QuantileForest(0.95, 3)
        ),
        pytest.param(ConformalSelectiveRegressor(), marks=pytest.mark.slow),
        ConformalSelectiveRegressor(Ridge(), "errors", residual_estimator=Ridge(), folds=3),
    ],
    ids=["forest", "quantiles", "defaults", "errors"],
)
def test_estimators_pass_scikit_learns_checks(estimator: Any) -> None:
    state = np.random.get_state()  # noqa: NPY002 - the checks draw from it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_estimator(estimator, on_skip=None)
    finally:
        np.random.set_state(state)  # noqa: NPY002


def test_in_a_pipeline_and_a_grid_search() -> None:
    x, y = _problem()
    pipe = make_pipeline(StandardScaler(), _linear())
    grid = {"conformalselectiveregressor__estimator": [Ridge(1e6), Ridge(1.0)]}
    search = GridSearchCV(pipe, grid, cv=3).fit(x, y)
    assert search.best_params_["conformalselectiveregressor__estimator"].alpha == 1.0
    assert search.best_estimator_[-1].kept(x).any()


@pytest.mark.parametrize(
    ("options", "named"),
    [({"width": "score"}, "width"), ({"promise": "some"}, "promise"), ({"keep": 0.0}, "keep"),
     ({"level": 1.0}, "level"), ({"calibration": 1.0}, "calibration"), ({"folds": 1}, "folds")],
)  # fmt: skip
def test_bad_options_are_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ConformalSelectiveRegressor(**options).fit(*_problem(40))
    with pytest.raises(ValueError, match="quantile"):
        QuantileForest(1.5).fit(*_problem(40))


# --- the baselines -------------------------------------------------------------------------------


def test_baselines_by_their_definitions() -> None:
    rng = np.random.default_rng(9)
    x, y, new = rng.normal(size=(60, 2)), rng.normal(size=60), rng.normal(size=(8, 2))
    spread = x.std(axis=0)
    distance = np.sqrt((((new[:, None] - x) / spread) ** 2).sum(axis=-1))
    nearest = np.argsort(distance, axis=1)[:, :10]
    np.testing.assert_allclose(variance_score(x, y, new), y[nearest].var(axis=1))
    np.testing.assert_allclose(
        distance_score(x, y, new), np.take_along_axis(distance, nearest, axis=1).mean(axis=1)
    )
    forest = RandomForestRegressor(6, random_state=0).fit(x, y)
    trees = [tree.predict(new) for tree in forest.estimators_]
    np.testing.assert_allclose(ensemble_score(forest, new), np.var(trees, axis=0))


# --- the recipe ----------------------------------------------------------------------------------


def _user_table(n: int = 200) -> pd.DataFrame:
    x, y = _problem(n)
    return pd.DataFrame(x, columns=["Höhe", "b", "c"]).assign(price=y)


@pytest.mark.parametrize("model", ["forest", "linear", "boosting"])
@pytest.mark.parametrize("width", ["quantiles", "errors"])
def test_each_model_and_score_runs_on_a_users_table(model: str, width: str) -> None:
    frame = _user_table(120)
    result = selective_regression(frame, target="price", model=model, width=width, rng=0)
    assert len(result.table) == 120
    assert result.table["actual"].tolist() == frame["price"].tolist()
    assert np.all(result.table["low"] <= result.table["high"])
    assert 0.5 < result.table["kept"].mean() < 0.95


def test_noise_that_can_be_seen_is_found() -> None:
    result = selective_regression(_user_table(400), target="price", model="linear", rng=0)
    high = result.value("normalised area, width of conformal intervals").high
    assert high is not None
    assert high < 1
    kept = result.table["kept"].to_numpy(bool)
    errors = (result.table["actual"] - result.table["predicted"]) ** 2
    assert errors[kept].mean() < 0.7 * errors.mean()
    assert result.details["protocol"]["best"][0] in ("conformal", "variance", "ensemble")
    assert f"{int(kept.sum())} of 400" in result.headline


def test_noise_that_cannot_be_seen_is_noticed() -> None:
    rng = np.random.default_rng(10)
    frame = pd.DataFrame(rng.normal(size=(200, 3)), columns=list("abc")).assign(
        y=rng.normal(size=200)
    )
    result = selective_regression(frame, model="linear", rng=1)
    assert "like-chance" in [notice.code for notice in result.warnings]


def test_too_few_rows_for_an_interval_are_told() -> None:
    result = selective_regression(
        _user_table(40), target="price", model="linear", level=0.99, rng=0
    )
    assert "no-interval" in [notice.code for notice in result.warnings]
    assert "too few rows for intervals of 99 %" in result.headline
    assert "coverage of kept" not in [value.name for value in result.values]
    again = Result.from_json(result.to_json())
    assert again.to_html()


def test_a_target_without_error_is_answered() -> None:
    frame = pd.DataFrame({"a": np.arange(80.0), "y": 2 * np.arange(80.0)})
    result = selective_regression(frame, model="linear", rng=0)
    assert result.table["kept"].mean() >= 0.5
    result.to_html()


def test_what_cannot_be_done_is_refused_with_a_remedy() -> None:
    with pytest.raises(InputError, match="constant"):
        selective_regression(_user_table().assign(Höhe=1.0, b=1.0, c=2.0), target="price")
    with pytest.raises(InputError, match="40"):
        selective_regression(_user_table(39), target="price")
