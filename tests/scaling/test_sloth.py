"""Sloth: recovery, identities of the axes, missing scores, held-out families kept out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import approx_fprime

from statlas.core import AssumptionError, InputError, OptionError, Status
from statlas.scaling.sloth import (
    Features,
    Links,
    ModelScores,
    Settings,
    SkillLaw,
    determined_rank,
    fit_law,
    forecast_scores,
    geomin,
    hold_out_families,
    place_families,
    skill_axes,
    varimax,
)
from statlas.scaling.sloth.axes import geomin_value
from statlas.scaling.sloth.claims import simulate
from statlas.scaling.sloth.forecast import family_squares, held_out_coverage, margins
from statlas.scaling.sloth.links import best_links
from statlas.scaling.sloth.problem import Problem

FLOOR = np.zeros(6)


def table(n_families: int = 6) -> pd.DataFrame:
    data, _ = simulate(np.random.default_rng(0), n_families, 3, 0.0)
    names = [f"task-{j}" for j in range(6)]
    frame = pd.DataFrame(data.scores, columns=names)
    frame.insert(0, "model", [f"m{i}" for i in range(len(frame))])
    frame.insert(1, "family", [f"f{f}" for f in data.family])
    return frame.assign(size=data.size, tokens=data.tokens)


def run(frame: Any, **options: Any) -> Any:
    """The recipe with a fixed link, few folds and gaps left to the model."""
    given = {"missing": "drop", "link": "sigmoid", "folds": 5, "rng": 0}
    return forecast_scores(frame, **{**given, **options})


# --- the fit --------------------------------------------------------------------------------------


def _flat(law: SkillLaw) -> np.ndarray:
    parts = (law.slopes, law.loadings, law.intercept, law.efficiency)
    return np.concatenate([part.ravel() for part in parts])


def _unflat(law: SkillLaw, values: np.ndarray) -> SkillLaw:
    sizes = np.cumsum([law.slopes.size, law.loadings.size, law.intercept.size])
    slopes, loadings, intercept, efficiency = np.split(values, sizes)
    return replace(
        law, slopes=slopes.reshape(law.slopes.shape), intercept=intercept,
        loadings=loadings.reshape(law.loadings.shape),
        efficiency=efficiency.reshape(law.efficiency.shape),
    )  # fmt: skip


@pytest.mark.parametrize("huber", [0.01, np.inf])
def test_the_gradient_is_that_of_the_objective(huber: float) -> None:
    data, _ = simulate(np.random.default_rng(5), 5, 3)
    law = fit_law(data, FLOOR, max_iterations=1, n_starts=1)
    law = _unflat(law, _flat(law) + 0.05 * np.random.default_rng(6).normal(size=_flat(law).size))
    problem = Problem.of(data, law.features, huber, 0.3)
    system = problem.system(law)
    gradient = np.concatenate([system.gradient, system.family_gradient.ravel()])
    numeric = approx_fprime(_flat(law), lambda p: problem.objective(_unflat(law, p)), 1e-7)
    np.testing.assert_allclose(gradient, numeric, atol=3e-5 * np.abs(numeric).max())
    alone = problem.family_system(law)
    np.testing.assert_allclose(alone[0], system.family, rtol=1e-12)
    np.testing.assert_allclose(alone[1], system.family_gradient, rtol=1e-12)


def test_the_matrix_is_that_of_the_jacobian() -> None:
    # With least squares the matrix is J'J of residuals and penalties, J taken by differences.
    data, _ = simulate(np.random.default_rng(7), 4, 3)
    law = fit_law(data, FLOOR, max_iterations=2, n_starts=1)
    problem = Problem.of(data, law.features, np.inf, 0.2)

    def residuals(point: np.ndarray) -> np.ndarray:
        one = _unflat(law, point)
        value = one.links.value(problem.linear(one)[1])
        shift = np.sqrt(0.2) * one.efficiency @ one.loadings
        return np.concatenate(
            [((value - problem.scores) * problem.observed).ravel(), shift.ravel()]
        )

    at = _flat(law)
    steps = 1e-6 * np.eye(at.size)
    jacobian = np.array([(residuals(at + s) - residuals(at - s)) / 2e-6 for s in steps]).T
    whole = jacobian.T @ jacobian
    system, n = problem.system(law), len(problem.system(law).gradient)
    np.testing.assert_allclose(system.shared, whole[:n, :n], atol=1e-6)
    np.testing.assert_allclose(system.cross.reshape(-1, n), whole[n:, :n], atol=1e-6)
    for family in range(4):
        own = slice(n + 2 * family, n + 2 * family + 2)
        np.testing.assert_allclose(system.family[family], whole[own, own], atol=1e-6)


def test_least_squares_of_one_family_free_benchmark_is_a_logistic_curve() -> None:
    # One skill, one benchmark, no noise: eta is the planted line in the three features.
    rng = np.random.default_rng(8)
    size, tokens = np.exp(rng.uniform(-1, 3, 40)), np.exp(rng.uniform(-1, 2, 40))
    eta = -1 + 0.5 * np.log(size) + 0.3 * np.log(tokens) - 0.05 * np.log(size) * np.log(tokens)
    data = ModelScores(
        size, tokens, np.zeros(40, dtype=np.int64), 1, 1 / (1 + np.exp(-eta[:, None]))
    )
    law = fit_law(data, np.zeros(1), n_skills=1, shrinkage=1e-12, huber=np.inf, tolerance=1e-12)
    new = law.predict([50.0], [9.0], law.efficiency[0])[0, 0]
    line = -1 + 0.5 * np.log(50) + 0.3 * np.log(9) - 0.05 * np.log(50) * np.log(9)
    assert new == pytest.approx(1 / (1 + np.exp(-line)), abs=1e-4)
    assert Features((0.0, 0.0))([np.e], [np.e]).tolist() == [[1.0, 1.0, 1.0]]


def test_the_unit_of_sizes_and_the_order_of_models_do_not_matter() -> None:
    data, _ = simulate(np.random.default_rng(9), 8, 4)
    one = fit_law(data, FLOOR, tolerance=1e-9)
    order = np.random.default_rng(1).permutation(len(data.size))
    other = replace(data, size=1e9 * data.size, tokens=1e12 * data.tokens).rows(order)
    two = fit_law(other, FLOOR, tolerance=1e-9)
    assert two.objective == pytest.approx(one.objective, rel=1e-4)


def test_placed_families_have_their_least_objective() -> None:
    data, _ = simulate(np.random.default_rng(10), 8, 4)
    law = fit_law(data, FLOOR)
    placed = place_families(law, data)
    problem = Problem.of(data, law.features, 0.01, 1e-3)
    np.testing.assert_allclose(problem.per_family(placed), problem.per_family(law), rtol=1e-2)
    best = problem.per_family(placed)
    for step in (0.01, -0.01):
        for skill in range(2):
            moved = placed.efficiency + step * np.eye(2)[skill]
            assert (problem.per_family(replace(placed, efficiency=moved)) > best - 1e-9).all()
    absent = place_families(law, data.rows(data.family != 3))
    assert (absent.efficiency[3] == 0).all()


def test_a_trained_link_is_the_best_of_its_kind_and_stays_within_0_and_1() -> None:
    rng = np.random.default_rng(11)
    eta = np.sort(rng.normal(0, 2, 400))[:, None]
    score = 0.3 + 0.5 / (1 + np.exp(-(eta - 1) / 0.4))
    found = best_links(Links.sigmoid([0.0]), eta, score, np.ones_like(eta))
    assert np.abs(found.value(eta) - score).max() < 0.06
    grid = np.linspace(-20, 20, 400)[:, None]
    curve = found.value(grid)[:, 0]
    assert (np.diff(curve) >= 0).all()
    assert curve[0] >= 0
    assert curve[-1] <= 1 + 1e-9
    before = np.mean((Links.sigmoid([0.0]).value(eta) - score) ** 2)
    assert np.mean((found.value(eta) - score) ** 2) < 0.02 * before


def test_scores_are_recovered_where_half_are_missing():
    data, truth = simulate(np.random.default_rng(1), 30, 6, 0.5)
    law = fit_law(data, FLOOR)
    guess = law.predict(data.size, data.tokens, law.efficiency[data.family])
    absent = np.isnan(data.scores)
    assert law.converged
    assert np.abs(guess - truth)[absent].mean() < 0.02  # the noise of one score


@pytest.mark.parametrize("rotation", ["geomin", "varimax", "none"])
def test_axes_leave_predictions_alone_and_have_unit_variance(rotation):
    data, _ = simulate(np.random.default_rng(2))
    law = fit_law(data, FLOOR)
    axes = skill_axes(law, data, rotation)
    eta = law.skills(data.size, data.tokens, law.efficiency[data.family]) @ law.loadings
    np.testing.assert_allclose(axes.skills @ axes.loadings, eta - eta.mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(axes.skills.var(axis=0, ddof=1), 1, atol=1e-6)
    if rotation != "geomin":
        np.testing.assert_allclose(axes.correlation, np.eye(2), atol=1e-6)


def test_rotations_find_simple_structure():
    simple = np.array([[1, 0], [0.8, 0], [0.9, 0], [0, 1], [0, 0.7], [0, 0.6]], float)
    turn = np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
    for found in (varimax(simple @ turn), geomin(simple @ turn)):
        assert np.sort(np.abs(found), axis=1)[:, 0].max() < 0.02
    assert geomin_value(geomin(simple @ turn), 0.01)[0] <= geomin_value(simple, 0.01)[0] + 1e-9


def test_directions_that_are_not_determined_are_counted() -> None:
    data, _ = simulate(np.random.default_rng(12), 10, 4)
    rank, possible = determined_rank(data, fit_law(data, FLOOR))
    # 3 x 2 slopes + 2 x 6 loadings + 6 intercepts - 2^2 of the axes - 2 of their origin.
    assert rank == possible == 18
    # Tokens that are equal within families: their two slopes are lost to the efficiencies.
    same = replace(data, tokens=np.exp(data.family / 5.0))
    assert determined_rank(same, fit_law(same, FLOOR)) == (16, 18)


# --- families held out ----------------------------------------------------------------------------


def test_margins_are_students_and_leave_a_family_out() -> None:
    squares = np.array([[4.0, 1.0], [1.0, np.nan], [1.0, 1.0], [np.nan, 1.0]])
    half = margins(squares, 0.9)
    expected = stats.t.ppf(0.95, 2) * np.sqrt(np.array([2.0, 1.0]) * (1 + 1 / 3))
    np.testing.assert_allclose(half, expected)
    without = margins(np.vstack([squares, [[9.0, 9.0]]]), 0.9, without_own=True)
    np.testing.assert_allclose(without[-1], expected)
    # Two families only: the scale of all benchmarks and families.
    few = margins(squares[:2], 0.9)
    np.testing.assert_allclose(few, stats.t.ppf(0.95, 1) * np.sqrt(2.0 * 1.5))


def test_coverage_of_exchangeable_errors_is_near_the_level() -> None:
    rng = np.random.default_rng(13)
    data = ModelScores(np.ones(2000), np.ones(2000), np.repeat(np.arange(500), 4), 500,
                       np.zeros((2000, 3)))  # fmt: skip
    errors = rng.normal(size=(2000, 3))
    assert np.isfinite(family_squares(errors, data)).all()
    # 6,000 normal errors: four standard errors of a share of 0.9 are 0.016.
    assert np.nanmean(held_out_coverage(errors, data, 0.9)) == pytest.approx(0.9, abs=0.016)


def test_errors_of_each_kind_are_of_the_models_that_it_says() -> None:
    data, _ = simulate(np.random.default_rng(14), 12, 4, 0.0)
    held = hold_out_families(
        data, Settings(FLOOR, trained_link=False, n_starts=1), folds=4, rng=np.random.default_rng(0)
    )
    there = {kind: np.isfinite(errors).all(axis=1) for kind, errors in held.errors.items()}
    for family in range(12):
        own = data.family == family
        order = np.argsort(data.size[own])
        assert there["none"][own].all()
        assert there["one member"][own][order].tolist() == [False, True, True, True]
        assert there["all smaller"][own][order].tolist() == [False, False, False, True]
    size = {kind: np.nanmean(np.abs(errors)) for kind, errors in held.errors.items()}
    assert size["all smaller"] < size["one member"] < size["none"]


@pytest.mark.parametrize("trained", [False, True])
def test_a_family_held_out_leaves_no_trace_in_its_fold(trained):
    """Other scores of held-out larger models must not change their forecasts."""
    data, _ = simulate(np.random.default_rng(3), 14, 4, 0.0)  # halves of 7: folds start warm
    settings = Settings(FLOOR, trained_link=trained, n_starts=1)
    held = hold_out_families(data, settings, folds=6, rng=np.random.default_rng(0)).errors
    later = np.isfinite(held["one member"]).all(axis=1) & (data.family == 2)
    changed = data.scores.copy()
    changed[later] = 1 - changed[later]
    other = replace(data, scores=changed)
    again = hold_out_families(other, settings, folds=6, rng=np.random.default_rng(0)).errors
    np.testing.assert_allclose(
        (held["one member"] + data.scores)[later], (again["one member"] + changed)[later], atol=1e-9
    )
    own = data.family == 2
    np.testing.assert_allclose(
        (held["none"] + data.scores)[own], (again["none"] + changed)[own], atol=1e-9
    )


def test_trained_links_lower_the_objective():
    data, _ = simulate(np.random.default_rng(4))
    plain = fit_law(data, FLOOR, n_starts=1)
    assert fit_law(data, FLOOR, n_starts=1, trained_link=True).objective < plain.objective


# --- the recipe -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        ({}, {"target_family": "f99"}, OptionError, "there is no family 'f99'"),
        ({}, {"skills": 3, "score": ("task-0", "task-1")}, OptionError, "2 benchmark"),
        ({"family": "one"}, {}, AssumptionError, "at least 5 families"),
        ({"model": "one"}, {}, InputError, "'one' has 18 scores"),
        ({"size": 7.0}, {}, AssumptionError, "all models have the same size"),
        ({"task-1": 0.5}, {}, AssumptionError, "'task-1' has fewer than 3"),
        ({"task-1": 44.0}, {}, InputError, "'task-1' must lie between 0 and 1; found 44"),
        ({}, {"guess_rates": ("task=0.2",)}, OptionError, "no benchmark 'task'; did you mean"),
        ({}, {"guess_rates": ("task-1=2",)}, OptionError, "of 'task-1' must be"),
        ({}, {"guess_rates": ("task-1",)}, OptionError, "write BENCHMARK=RATE"),
        ({"date": "May"}, {}, InputError, "list those that count: score=COLUMN"),
        ({"tokens": -1.0}, {}, InputError, "'tokens': values must be above 0"),
    ],
)
def test_what_cannot_be_used_is_said(
    change: dict[str, Any], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        run(table().assign(**change), **options)


def test_missing_cells_keep_their_model():
    frame = table()
    frame.loc[0, "task-0"] = np.nan
    with pytest.raises(InputError, match="missing"):
        forecast_scores(frame, rng=0)
    result = run(frame, target_family="new family")
    assert result.rows_used == result.rows_read - 1
    assert result.table[["prediction", "low", "high"]].notna().all(axis=None)


def test_percent_long_tables_and_listed_columns_agree() -> None:
    frame = table()
    first = run(frame).table
    percent = frame.assign(**{f"task-{j}": 100 * frame[f"task-{j}"] for j in range(6)})
    np.testing.assert_allclose(
        run(percent, perfect=100.0).table["prediction"], 100 * first["prediction"], rtol=1e-6
    )
    long = frame.melt(["model", "family", "size", "tokens"], var_name="task", value_name="score")
    pd.testing.assert_frame_equal(run(long).table, first)
    listed = run(frame.assign(rank=3), score=tuple(f"task-{j}" for j in range(6)))
    pd.testing.assert_frame_equal(listed.table, first)


def test_tokens_follow_from_compute_or_the_family_or_are_left_out() -> None:
    frame = table()
    first = run(frame)
    compute = 6 * frame["size"] * frame["tokens"]
    from_compute = run(frame.drop(columns="tokens").assign(flops=compute))
    np.testing.assert_allclose(
        from_compute.table["prediction"], first.table["prediction"], atol=1e-6
    )
    assert "tokens-from-compute" in {notice.code for notice in from_compute.warnings}
    gaps = frame.assign(tokens=frame["tokens"].where(frame["family"] != "f1"))
    gaps.loc[0, "tokens"] = np.nan
    result = run(gaps)
    said = {notice.code: notice.message for notice in result.warnings}
    assert "3 models of 1 family are not known" in said["unknown-tokens"]
    assert said["tokens-from-family"].startswith("tokens of 1 of 18")
    assert result.table["tokens"][result.table["family"] == "f1"].isna().all()
    assert result.table["prediction"].notna().all()
    result.to_json()
    without = run(frame.drop(columns="tokens"))
    assert without.details["features"] == ["log size"]
    assert "no-tokens" in {notice.code for notice in without.warnings}


def test_an_unknown_amount_of_one_family_leaves_its_forecasts_nearly_as_they_were() -> None:
    # Without noise and with no interaction, the efficiency holds what is not known of tokens.
    rng = np.random.default_rng(15)
    family = np.repeat(np.arange(10), 4)
    size, tokens = np.exp(rng.uniform(-1, 3, 40)), np.exp(rng.uniform(-1, 2, 10))[family]
    skill = 0.6 * np.log(size) + 0.4 * np.log(tokens) + rng.normal(0, 0.5, 10)[family]
    scores = 1 / (1 + np.exp(1 - skill[:, None] * [0.5, 0.8, 1.1]))
    law = fit_law(
        ModelScores(size, np.where(family == 4, np.nan, tokens), family, 10, scores), np.zeros(3),
        n_skills=1,
    )  # fmt: skip
    guess = law.predict(size, np.where(family == 4, np.nan, tokens), law.efficiency[family])
    assert np.abs(guess - scores)[family == 4].max() < 0.02


def test_tokens_that_do_not_vary_within_families_are_said() -> None:
    frame = table(8)
    frame["tokens"] = np.exp(pd.factorize(frame["family"])[0] / 4.0)
    result = run(frame)
    assert "tokens-or-family" in {notice.code for notice in result.warnings}
    assert result.status is Status.OK


def test_guess_rates_are_floors() -> None:
    frame = table()
    frame[[f"task-{j}" for j in range(6)]] = 0.25 + 0.75 * frame[[f"task-{j}" for j in range(6)]]
    given = run(frame, guess_rate=0.25, at_parameters=1e-9)
    one = run(frame, guess_rates=tuple(f"task-{j}=0.25" for j in range(6)), at_parameters=1e-9)
    assert given.table["prediction"].min() >= 0.25
    np.testing.assert_allclose(given.table["prediction"], one.table["prediction"])


def test_forecasts_lie_near_the_planted_law() -> None:
    # Two-skill families without missing scores; the largest member of each is not shown.
    data, truth = simulate(np.random.default_rng(16), 16, 4, 0.0)
    frame = pd.DataFrame(data.scores, columns=[f"task-{j}" for j in range(6)])
    frame.insert(0, "model", [f"m{i}" for i in range(64)])
    frame.insert(1, "family", [f"f{f:02d}" for f in data.family])
    frame = frame.assign(size=data.size, tokens=data.tokens)
    last = frame.groupby("family")["size"].idxmax().to_numpy()
    row = last[3]
    result = run(
        frame.drop(index=last), target_family="f03", at_parameters=float(data.size[row]),
        at_tokens=float(data.tokens[row]),
    )  # fmt: skip
    np.testing.assert_allclose(result.table["prediction"], truth[row], atol=0.08)
    assert ((result.table["low"] <= truth[row]) & (truth[row] <= result.table["high"])).all()


def test_public_tables_if_they_are_there() -> None:
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not (folder / "base_llm_benchmark_eval.csv").is_file():
        example = Path(__file__).parents[2] / "examples" / "skill_families.csv"
        result = run(example, tokens="images")
        assert len(result.table) == 21 * 10
        return
    result = run(folder / "base_llm_benchmark_eval.csv", target_family="new family")
    assert result.value("held-out error of a new family").estimate < 0.15
    listed = ("IFEval", "BBH", "MATH Lvl 5", "GPQA", "MUSR", "MMLU-PRO")
    result = run(folder / "sloth_data_v2.csv", family="Family2", score=listed)
    # Table of the official results: 2.9 to 4.3 points for one member shown; four points more.
    assert result.value("held-out error from the smallest member").estimate < 0.08
