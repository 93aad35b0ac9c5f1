"""Decisions between corpora: accuracy, noise, laws, forecasts and the recipe."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from statlas.core import Category, Columns, InputError, Number, OptionError, Result, Roles, Status
from statlas.core.numerics.laws import check_jacobian
from statlas.core.tables import build_table
from statlas.scaling.datadecide import (
    LINK,
    SINGLE_BY_COMPUTE,
    SINGLE_BY_SIZE_AND_TOKENS,
    Ladder,
    Resamples,
    accuracy,
    choose_corpus,
    compute_needed,
    corrected_accuracy,
    decision_accuracy,
    extrapolate_all,
    forecast_from,
    lower_is_better,
    measure_noise,
    order_of,
    probability_best,
    proxy_metrics,
    read_runs,
    rising_curve,
    run_signs,
    spread_and_noise,
    surety_of_order,
)
from statlas.scaling.datadecide.decisions import centred_interval, resampled_means

ROLES = Roles(
    recipe=Category(), parameters=Number(optional=True), size=Category(optional=True),
    tokens=Number(optional=True), compute=Number(optional=True), repeat=Category(optional=True),
    task=Category(optional=True), metrics=Columns(),
)  # fmt: skip


def planted(
    recipes: int = 6, seeds: int = 3, sizes: int = 5, noise: float = 0.004, seed: int = 0
) -> pd.DataFrame:
    """Runs whose task loss follows a law of size and tokens, with accuracy by a link."""
    rng = np.random.default_rng(seed)
    rows = []
    quality = np.linspace(0, 0.5, recipes)
    for r, k, s in itertools.product(range(recipes), range(sizes), range(seeds)):
        n = 1e6 * 4.0**k
        for share in (0.25, 0.5, 1.0):
            d = 20 * n * share
            loss = 1.2 + 40 * n**-0.28 + 60 * d**-0.3 - 0.6 * quality[r]
            loss += noise * rng.standard_normal()
            right = 0.25 + 0.7 / (1 + np.exp(3 * (loss - 1.9)))
            rows.append(
                {
                    "recipe": f"r{r}", "parameters": n, "tokens": d, "seed": f"s{s}",
                    "loss": loss, "accuracy": right + noise * rng.standard_normal(),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


# --- decisions ------------------------------------------------------------------------------------


def official_rule(small: np.ndarray, target: np.ndarray) -> float:
    """The authors' evaluator, in loops: each seed by itself, ties wrong, target's mean as truth."""
    right = total = 0
    truth = target.mean(axis=1)
    for s in range(small.shape[1]):
        for a, b in itertools.combinations(range(len(small)), 2):
            decided = (small[a, s] > small[b, s], small[a, s] < small[b, s])
            right += decided[0] != decided[1] and decided == (
                truth[a] > truth[b],
                truth[a] < truth[b],
            )
            total += 1
    return right / total


def test_decision_accuracy_is_that_of_the_authors_evaluator():
    rng = np.random.default_rng(0)
    for _ in range(20):
        small = rng.integers(0, 6, (7, 3)).astype(float)  # with ties
        target = rng.normal(size=(7, 4))
        assert decision_accuracy(small, target) == pytest.approx(official_rule(small, target))


def test_an_order_turned_round_is_wrong_everywhere():
    values = np.arange(5.0)[:, None]
    assert decision_accuracy(values, values) == 1.0
    assert decision_accuracy(-values, values) == 0.0
    assert decision_accuracy(np.ones((5, 1)), values) == 0.0


def test_missing_runs_leave_their_pairs_out():
    small = np.array([[1.0, np.nan], [2.0, 2.0], [3.0, 1.0]])
    target = np.array([[1.0], [2.0], [3.0]])
    # First seed: three right pairs. Second: only the pair of the last two, wrong.
    assert decision_accuracy(small, target) == pytest.approx(3 / 4)


def test_drawing_a_recipe_twice_weighs_its_pairs_by_hand():
    recipes = np.array([[1.0, 1, 1], [2.0, 0, 1]])
    resamples = Resamples._of(recipes, np.ones((2, 1)))
    small = np.array([[[1.0], [2.0], [0.0]]])
    order = order_of(np.array([[1.0, 2.0, 3.0]] * 2))
    found = accuracy(run_signs(small), resamples, order)[:, 0]
    # Pairs (0,1) right, (0,2) wrong, (1,2) wrong; then only (0,2) with weight 2.
    assert found.tolist() == pytest.approx([1 / 3, 0.0])


def test_bivariate_normal_signs_agree_as_the_correction_takes_them():
    """Sheppard's formula against scipy's normal orthant, and its first order against simulation."""
    r = 0.6
    orthant = multivariate_normal([0, 0], [[1, r], [r, 1]]).cdf([0, 0])
    assert 2 * orthant == pytest.approx(0.5 + np.arcsin(r) / np.pi, abs=1e-4)
    assert corrected_accuracy([0.7], 1.0) == pytest.approx([0.7])
    assert corrected_accuracy([0.7], 0.5)[0] > 0.7
    assert corrected_accuracy([0.3], 0.5)[0] < 0.3
    assert np.isnan(corrected_accuracy([0.7], 0.0)).all()


# --- noise ----------------------------------------------------------------------------------------


def test_noise_is_one_way_analysis_of_variance():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(6, 1)) * 2 + rng.normal(size=(6, 4))
    noise = measure_noise(values)
    within = values.var(axis=1, ddof=1).mean()
    between = values.mean(axis=1).var(ddof=1) - within / 4
    assert noise.within == pytest.approx(within)
    assert noise.between == pytest.approx(between)
    assert noise.reliability == pytest.approx(between / (between + within / 4))
    values[0, 1:] = np.nan  # unbalanced: the lone run has no part in the variance within
    assert measure_noise(values).within == pytest.approx(values[1:].var(axis=1, ddof=1).mean())


def test_one_seed_says_nothing_of_noise():
    noise = measure_noise(np.arange(4.0)[:, None])
    assert np.isnan(noise.within)
    assert noise.reliability == 1.0
    assert np.isnan(probability_best(noise, 100, np.random.default_rng(0))).all()
    assert (surety_of_order(noise.means[None], noise) == 1).all()


def test_surety_is_a_calibrated_probability():
    """Over planted recipes, pairs said to be right with some probability are so that often."""
    rng = np.random.default_rng(0)
    said, true = [], []
    for _ in range(300):
        truth = rng.normal(size=12)
        noise = measure_noise(truth[:, None] + rng.normal(size=(12, 3)))
        said.append(surety_of_order(noise.means[None], noise)[0])
        true.append(order_of(noise.means[None])[0] == order_of(truth[None])[0])
    said, true = np.concatenate(said), np.concatenate(true)
    # Pairs of one table are dependent: 300 tables give errors of about 0.01 a bin (four of these).
    for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 1.0)):
        bin_ = (said >= low) & (said < high)
        assert true[bin_].mean() == pytest.approx(said[bin_].mean(), abs=0.04)


def test_probability_to_be_best_of_two_is_normal():
    """With very many seeds of known noise: P(best) of two is Phi(shrunk gap / its error)."""
    rng = np.random.default_rng(0)
    values = np.array([[0.0], [0.12]]) + rng.normal(size=(2, 400))
    values += np.array([[0.0], [0.12]]) - (values.mean(axis=1, keepdims=True))
    noise = measure_noise(values)
    chance = probability_best(noise, 200_000, rng)
    assert chance.sum() == pytest.approx(1.0)
    assert chance[1] == pytest.approx(surety_of_order(noise.means[None], noise)[0, 0], abs=0.01)


def test_recipes_without_difference_are_equally_likely():
    values = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    chance = probability_best(measure_noise(values), 30_000, np.random.default_rng(0))
    np.testing.assert_allclose(chance, 1 / 3, atol=0.015)


def test_spread_and_noise_by_hand():
    values = np.array([[[1.0, 3.0], [4.0, 4.0], [9.0, 5.0]]])
    spread, noise = spread_and_noise(values, Resamples.none((3, 2)))
    assert spread[0, 0] == pytest.approx(np.std([2, 4, 7], ddof=1))
    assert noise[0, 0] == pytest.approx(np.mean([np.sqrt(2), 0, np.sqrt(8)]))


def test_resampled_means_keep_the_first_and_the_missing():
    target = np.array([[1.0, 2.0], [np.nan, np.nan], [5.0, np.nan]])
    means = resampled_means(target, 50, np.random.default_rng(0))
    assert means[0, [0, 2]].tolist() == [1.5, 5.0]
    assert np.isnan(means[:, 1]).all()
    assert set(np.unique(means[1:, 0])) <= {1.0, 1.5, 2.0}


def test_intervals_are_moved_to_the_estimate():
    draws = np.concatenate([[0.8], np.linspace(0.5, 0.7, 201)])
    value, low, high = centred_interval(draws, 0.9)
    assert (value, low, high) == pytest.approx((0.8, 0.71, 0.89))


# --- compute and forecasts ------------------------------------------------------------------------


def test_compute_for_a_goal_uses_the_rising_fit():
    compute = np.array([1.0, 2.0, 4.0, 8.0])
    curves = np.array([[0.6, 0.9, 0.7, 0.9], [0.5, 0.5, 0.6, 0.6]])
    np.testing.assert_allclose(rising_curve(curves)[0], [0.6, 0.8, 0.8, 0.9])
    assert compute_needed(curves, compute, 0.8).tolist() == [2.0, np.inf]


def test_forecast_is_least_squares_with_prediction_error():
    rng = np.random.default_rng(0)
    small = np.append(rng.normal(size=8), 0.3)
    target = np.append(2 + 0.5 * small[:8] + 0.1 * rng.normal(size=8), np.nan)
    found = forecast_from(small, target, 20_000, rng)
    assert found is not None
    slope, intercept = np.polyfit(small[:8], target[:8], 1)
    np.testing.assert_allclose(found.predicted, intercept + slope * small)
    residual = target[:8] - intercept - slope * small[:8]
    variance = np.sum(residual**2) / 6
    centred = small[8] - small[:8].mean()
    spread = np.sum((small[:8] - small[:8].mean()) ** 2)
    assert found.error[8] == pytest.approx(np.sqrt(variance * (1 + 1 / 8 + centred**2 / spread)))
    assert found.best.sum() == pytest.approx(1.0)
    assert found.best.argmax() == found.predicted.argmax()
    assert forecast_from(small[:3], target[:3], 10, rng) is None


# --- proxies --------------------------------------------------------------------------------------


def test_proxy_metrics_by_hand():
    probability = np.array([[0.2, 0.1, 0.1], [0.1, 0.3, 0.2]])
    found = proxy_metrics(np.log(probability), [0, 2])
    assert found["accuracy"] == 0.5
    assert found["correct_prob"] == pytest.approx(0.2)
    assert found["margin"] == pytest.approx((0.1 - 0.1) / 2)
    assert found["total_prob"] == pytest.approx((0.4 + 0.6) / 2)
    assert found["norm_correct_prob"] == pytest.approx((0.5 + 1 / 3) / 2)
    assert found["task_loss"] == pytest.approx(-np.log(0.2))
    halved = proxy_metrics(np.log(probability), [0, 2], np.full((2, 3), 2.0))
    assert halved["correct_prob"] == pytest.approx(np.mean(np.sqrt([0.2, 0.2])))
    with pytest.raises(ValueError, match="among"):
        proxy_metrics(np.log(probability), [0, 3])


def test_names_say_which_way_is_better():
    assert all(map(lower_is_better, ("val_loss", "bits-per-byte", "Perplexity", "c4 loss")))
    assert not any(map(lower_is_better, ("accuracy", "correct_prob_per_char", "margin")))


# --- laws -----------------------------------------------------------------------------------------


def test_derivatives_of_the_laws():
    link = {"a": -0.6, "b": 0.9, "k": 3.0, "L0": 1.8}
    assert check_jacobian(LINK, link, {"L": np.linspace(0.5, 3, 9)}) < 1e-6
    single = {"A": 30.0, "alpha": 0.1, "L0": 1.0, "a": -0.6, "b": 0.9}
    assert check_jacobian(SINGLE_BY_COMPUTE, single, {"C": np.geomspace(1e8, 1e13, 9)}) < 1e-6
    both = single | {"B": 20.0, "beta": 0.2}
    at = {"N": np.geomspace(1e4, 1e7, 9), "D": np.geomspace(1e5, 1e9, 9)}
    assert check_jacobian(SINGLE_BY_SIZE_AND_TOKENS, both, at) < 1e-6


def ladder_of(table: pd.DataFrame) -> tuple[Ladder, np.ndarray]:
    runs = read_runs(build_table(table, ROLES, {"repeat": "seed"}), (), (), (1, 1, 1))
    answer = runs.series["", "accuracy"]
    target = runs.n_scales - 1
    ladder = Ladder(
        runs.compute, runs.parameters, runs.tokens, runs.size, -runs.series["", "loss"], answer,
        target, False,
    )  # fmt: skip
    return ladder, answer[target].mean(axis=1)


def test_laws_without_noise_predict_the_target():
    """Tokens grow with size, so that all forms but the one without E and those by compute hold."""
    ladder, truth = ladder_of(planted(noise=0.0))
    found = {(law.variant, law.sizes): law for law in extrapolate_all(ladder)}
    assert {sizes for _, sizes in found} == {3, 4}
    for name in ("3-parameter", "5-parameter"):
        error = np.abs(found[name, 4].predicted - truth[:, None]).max()
        assert error < 0.002, name
    worst = np.abs(found["2-parameter", 4].predicted - truth[:, None]).max()
    assert worst > np.abs(found["3-parameter", 4].predicted - truth[:, None]).max()


def test_fits_of_a_recipe_do_not_depend_on_the_others():
    table = planted(recipes=4, noise=0.002)
    ladder, _ = ladder_of(table)
    fewer, _ = ladder_of(table[table["recipe"] != "r3"])
    for law, other in zip(extrapolate_all(ladder), extrapolate_all(fewer), strict=True):
        if law.variant in ("3-parameter", "5-parameter", "3-parameter, later half"):
            np.testing.assert_allclose(law.predicted[:3], other.predicted, atol=0.01)


def test_compute_of_a_law_is_the_sum_over_its_sizes():
    ladder, _ = ladder_of(planted(noise=0.002))
    law = next(law for law in extrapolate_all(ladder) if law.sizes == 3)
    n = 1e6 * 4.0 ** np.arange(3)
    assert law.compute == pytest.approx(np.sum(6 * n * 20 * n))
    assert ladder.parameters[law.largest] == n[-1]


def test_checkpoints_for_the_second_step():
    ladder, _ = ladder_of(planted(noise=0.0))
    scales = ladder.cuts()[0]
    assert len(ladder.late_checkpoints(scales, 0.5)) == 3 * 1
    assert len(ladder.late_checkpoints(scales, 0.0)) == 3 * 3
    np.testing.assert_allclose(
        ladder.tokens[ladder.last_checkpoints(scales)], 20 * 1e6 * 4.0 ** np.arange(3)
    )


# --- reading --------------------------------------------------------------------------------------


def test_scales_within_two_percent_are_one():
    table = planted(recipes=2, seeds=1, sizes=2)
    table["tokens"] *= np.where(table["recipe"] == "r1", 1.01, 1.0)
    runs = read_runs(build_table(table, ROLES, {"repeat": "seed"}), (), (), (1, 1, 1))
    assert runs.n_scales == 6
    assert np.isfinite(runs.series["", "accuracy"]).all()


def test_tasks_in_columns_and_in_rows_are_the_same():
    table = planted(recipes=3, sizes=2)
    wide = table.rename(columns={"accuracy": "qa_accuracy", "loss": "qa_loss"})
    wide["cloze_accuracy"], wide["cloze_loss"] = wide["qa_accuracy"] ** 2, 2 * wide["qa_loss"]
    base = ["recipe", "parameters", "tokens", "seed"]
    parts = []
    for task in ("qa", "cloze"):
        part = wide[[*base, f"{task}_accuracy", f"{task}_loss"]].set_axis(
            [*base, "accuracy", "loss"], axis=1
        )
        parts.append(part.assign(task=task))
    by_columns = read_runs(
        build_table(wide, ROLES, {"repeat": "seed"}), ("qa", "cloze"), (), (1, 1, 1)
    )
    by_rows = read_runs(build_table(pd.concat(parts), ROLES, {"repeat": "seed"}), (), (), (1, 1, 1))
    assert set(by_columns.series) == set(by_rows.series)
    for key, values in by_columns.series.items():
        np.testing.assert_allclose(values, by_rows.series[key])
    mean = by_rows.series["all tasks", "loss"]
    np.testing.assert_allclose(
        mean, 0.5 * (by_rows.series["qa", "loss"] + by_rows.series["cloze", "loss"])
    )
    assert mean.max() < 0  # losses are negated


def test_sizes_by_name():
    table = planted(recipes=3, sizes=2)
    named = table.assign(params=np.where(table["parameters"] > 2e6, "4M", "1000K"))
    runs = read_runs(
        build_table(
            named.drop(columns="parameters"), ROLES, {"repeat": "seed", "size": "params"}
        ),
        (), (), (1, 1, 1),
    )  # fmt: skip
    assert set(runs.parameters) == {1e6, 4e6}


# --- the recipe -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def example() -> Result:
    return choose_corpus.run_example()


def test_recorded_corpora_are_decided_better_by_likelihood_than_by_accuracy(example):
    rows = example.proxies.set_index("proxy")
    assert rows.loc["task_loss (all tasks)", "gain"] > 0
    assert rows.loc["loss_foreign", "accuracy"] < rows.loc["task_loss (all tasks)", "accuracy"]
    assert example.recipes["probability_best"].sum() == pytest.approx(1.0)
    assert example.value("spread over noise at the target").estimate > 1


def test_planted_order_is_found_with_certainty():
    result = choose_corpus(planted(), draws=100, rng=0)
    assert result.table["recipe"].tolist() == ["r5", "r4", "r3", "r2", "r1", "r0"]
    assert result.table["probability_best"].iloc[0] > 0.9
    assert result.value("decision accuracy, best proxy").estimate > 0.95
    assert result.status is Status.OK


def test_a_loss_can_decide():
    table = planted().drop(columns="accuracy")
    result = choose_corpus(table, draws=100, rng=0)
    assert result.table["recipe"].iloc[0] == "r5"
    assert result.table["target"].is_monotonic_increasing
    assert set(result.laws["law"]) == {"2-parameter", "3-parameter", "5-parameter"}


def test_units_and_names_do_not_change_decisions():
    table = planted(recipes=4, sizes=3)
    other = table.rename(
        columns={"recipe": "Data Mix", "parameters": "size", "tokens": "D", "seed": "random_seed"}
    )
    other["size"] /= 1e6
    other["D"] /= 1e9
    one = choose_corpus(table, draws=60, laws=False, rng=0)
    two = choose_corpus(
        other, draws=60, laws=False, recipe="Data Mix", parameters_unit=1e6, tokens_unit=1e9, rng=0
    )
    pd.testing.assert_frame_equal(one.table, two.table)
    np.testing.assert_allclose(two.decisions["compute"], one.decisions["compute"])


def test_a_recipe_without_target_is_predicted():
    table = planted()
    lacking = table[(table["recipe"] != "r4") | (table["parameters"] < 2e8)]
    result = choose_corpus(lacking, draws=100, laws=False, rng=0)
    row = result.table.set_index("recipe").loc["r4"]
    assert np.isnan(row["target"])
    full = choose_corpus(table, draws=100, laws=False, rng=0).table.set_index("recipe")
    assert row["predicted"] == pytest.approx(full.loc["r4", "target"], abs=0.02)
    assert any(notice.code == "without-target" for notice in result.warnings)


def test_noise_without_difference_is_doubtful():
    rng = np.random.default_rng(3)
    table = planted(recipes=5)
    table["accuracy"] = 0.5 + 0.01 * rng.standard_normal(len(table))
    result = choose_corpus(table, draws=100, laws=False, rng=0)
    assert result.value("order that the target's noise leaves").estimate < 0.9
    best = result.table["probability_best"].max()
    assert best < 0.9


def test_one_seed_is_told():
    table = planted(seeds=1)
    result = choose_corpus(table, draws=60, laws=False, rng=0)
    assert any(notice.code == "one-seed" for notice in result.warnings)
    assert "one seed" in result.headline
    result.plot()


def test_the_table_shown_can_be_chosen():
    table = planted(recipes=4, sizes=4)
    for shown, column in (("decisions", "share"), ("proxies", "gain"), ("laws", "law")):
        assert column in choose_corpus(table, draws=60, table=shown, rng=0).table
    two = table[table["parameters"] < 1e7]
    with pytest.raises(InputError, match="three sizes"):
        choose_corpus(two, draws=60, table="laws", rng=0)


def test_bad_input_names_what_is_wrong():
    table = planted(recipes=3, sizes=2)
    with pytest.raises(OptionError, match="'metric'"):
        choose_corpus(table, metric="f1")
    with pytest.raises(OptionError, match="'focus'"):
        choose_corpus(table, focus="qa")
    with pytest.raises(InputError, match="2 different labels"):
        choose_corpus(table.assign(recipe="one"))
    with pytest.raises(InputError, match="two are needed"):
        choose_corpus(table[table["tokens"] == table["tokens"].max()])
    with pytest.raises(InputError, match="cheaper"):
        choose_corpus(table, target_compute=1.0)
    with pytest.raises(InputError, match="no column of metrics"):
        choose_corpus(table.drop(columns=["accuracy", "loss"]).assign(note="x"))
    with pytest.raises(InputError, match=r"'accuracy'.*numbers"):
        choose_corpus(table.assign(accuracy=table["accuracy"].astype(str)), metric="accuracy")
    words = table.assign(params="huge").drop(columns="parameters")
    with pytest.raises(InputError, match="'huge'"):
        choose_corpus(words)
