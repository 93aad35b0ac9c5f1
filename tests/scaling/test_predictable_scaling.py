"""Known answers of the three-region law, slopes compared, growth of models, and the recipe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from statlas.core import InputError
from statlas.core.learning_curves import LearningCurve
from statlas.core.numerics.laws import (
    POWER_LAW,
    SATURATING_POWER_LAW,
    Objective,
    check_jacobian,
    fit_law,
)
from statlas.core.results import Result, Status
from statlas.scaling.predictable_scaling import (
    FORMS,
    GUESSING_POWER_LAW,
    THREE_REGIONS,
    best_sizes,
    compare_forms,
    compare_with_baseline,
    ends_of_power_region,
    find_regions,
    fit_growth,
    joint_law,
    learning_curve_regions,
    region_of,
)
from statlas.scaling.predictable_scaling import (
    test_shared as one_slope,
)

N = np.geomspace(5, 50_000, 15)
FULL = {"B": 0.9, "E": 0.02, "m0": 40.0, "alpha": 0.5}


def curve_of(
    error: np.ndarray, n: np.ndarray = N, name: str = "a", noise: float = 0.0, seed: int = 0
):
    rng = np.random.default_rng(seed)
    error = error * np.exp(noise * rng.standard_normal(len(n)))
    return LearningCurve(name, {"model": name}, n, error, noise * error, np.full(len(n), 4.0))


# --- the law --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("law", "names"), [(THREE_REGIONS, FULL), (GUESSING_POWER_LAW, FULL)])
def test_derivatives_are_those_of_differences(law, names):
    assert check_jacobian(law, {name: FULL[name] for name in law.names}, {"x": N}) < 1e-7


def test_law_is_the_power_law_far_from_both_ends():
    # Closed form: E + (B - E) (x / m0)^-alpha for x far above m0, B far below.
    law = {"B": 0.9, "E": 0.0 + 1e-12, "m0": 1.0, "alpha": 0.5}
    np.testing.assert_allclose(
        THREE_REGIONS(law, {"x": [1e4, 1e6]}), 0.9 * np.array([1e-2, 1e-3]), rtol=1e-6
    )
    np.testing.assert_allclose(THREE_REGIONS(law | {"m0": 1e6}, {"x": [1.0]}), [0.9], rtol=1e-9)
    np.testing.assert_allclose(THREE_REGIONS(FULL, {"x": [1e15]}), [0.02], rtol=1e-3)


def test_halfway_value_by_hand():
    # At x = m0 the excess is 2^(-alpha / 4) of what it was.
    expected = 0.02 + 0.88 * 2 ** (-0.5 / 4)
    np.testing.assert_allclose(THREE_REGIONS(FULL, {"x": [40.0]}), [expected])


def test_joint_law_is_the_laws_of_its_curves():
    law = joint_law(THREE_REGIONS, 2, ("alpha",))
    own = {f"{name}_{k}": FULL[name] * (1 + k) for name in ("B", "E", "m0") for k in (0, 1)}
    x, curve = np.tile(N, 2), np.repeat([0.0, 1.0], len(N))
    values = law({**own, "alpha": 0.5}, {"x": x, "curve": curve})
    np.testing.assert_allclose(values[: len(N)], THREE_REGIONS(FULL, {"x": N}))
    second = {"B": 1.8, "E": 0.04, "m0": 80.0, "alpha": 0.5}
    np.testing.assert_allclose(values[len(N) :], THREE_REGIONS(second, {"x": N}))
    assert check_jacobian(law, {**own, "alpha": 0.5}, {"x": x, "curve": curve}) < 1e-7


def test_ends_of_the_power_region():
    begin, end = ends_of_power_region(FORMS[3], np.array([[0.9, 0.1, 20.0, 0.5]]))
    assert begin is not None
    assert end is not None
    np.testing.assert_allclose([begin[0], end[0]], [20, 20 * 8**2])
    _, end = ends_of_power_region(FORMS[1], np.array([[0.1, 10.0, 0.5]]))
    assert end is not None
    np.testing.assert_allclose(end, [1e4])
    assert ends_of_power_region(FORMS[0], np.ones((1, 2))) == (None, None)
    assert region_of(np.array([1, 50, 5000]), 20, 1280) == [
        "small data", "power law", "irreducible"
    ]  # fmt: skip


# --- regions --------------------------------------------------------------------------------------


def test_planted_regions_are_found_without_noise():
    found = find_regions(
        curve_of(THREE_REGIONS(FULL, {"x": N})), np.random.default_rng(0), n_draws=4
    )
    assert found.chosen.form.law is THREE_REGIONS
    for name, value in FULL.items():
        assert found.chosen.fit.parameters[name] == pytest.approx(value, rel=1e-4)
    begin, end = found.ends()
    assert begin is not None
    assert end is not None
    assert begin[0] == pytest.approx(40, rel=1e-3)
    assert end[0] == pytest.approx(40 * 44**2, rel=1e-3)  # (B - E) / E = 44


@pytest.mark.parametrize(
    ("law", "parameters"),
    [
        (POWER_LAW, {"A": 2.0, "alpha": 0.4}),
        (SATURATING_POWER_LAW, {"E": 0.05, "A": 2.0, "alpha": 0.5}),
        (GUESSING_POWER_LAW, {"B": 0.9, "m0": 80.0, "alpha": 0.4}),
    ],
)
def test_simplest_form_that_fits_is_chosen(law, parameters):
    curve = curve_of(law(parameters, {"x": N}), noise=0.02, seed=3)
    found = find_regions(curve, np.random.default_rng(0), n_draws=60)
    assert found.chosen.form.law is law
    assert sum(candidate.weight for candidate in found.candidates) == pytest.approx(1)
    low, high = np.quantile(found.exponents, [0.005, 0.995])
    assert low < parameters["alpha"] < high


def test_known_best_guess_is_held():
    curve = curve_of(GUESSING_POWER_LAW({"B": 0.9, "m0": 80.0, "alpha": 0.4}, {"x": N}), noise=0.02)
    found = find_regions(curve, np.random.default_rng(0), guess=0.9, law=GUESSING_POWER_LAW.name)
    assert found.chosen.fit.parameters["B"] == pytest.approx(0.9, rel=1e-12)
    assert not found.chosen.fit.free[0]


def test_short_curve_is_refused():
    with pytest.raises(InputError, match="has 3 sizes"):
        compare_forms(curve_of(N[:3] ** -0.5, N[:3]), None, np.random.default_rng(0))


# --- slopes ---------------------------------------------------------------------------------------


def shifted(steeper: float) -> list[LearningCurve]:
    first = curve_of(2 * N**-0.4, name="base", noise=0.02, seed=1)
    return [first, curve_of(1.3 * N ** -(0.4 + steeper), name="better", noise=0.02, seed=2)]


def test_joint_fit_of_power_laws_is_the_regression_with_a_common_slope():
    # Equal weights, plain power laws: within-curve regression of logarithms.
    curves = shifted(0.0)
    held = [
        LearningCurve(c.name, c.labels, c.n, c.error, np.full(len(c), np.nan), c.repeats)
        for c in curves
    ]
    rng = np.random.default_rng(0)
    candidates = [
        [c for c in compare_forms(curve, None, rng) if c.form.law is POWER_LAW] for curve in held
    ]
    test = one_slope(held, candidates)
    noise = [np.sum(np.polyfit(c.x, c.y, 1, full=True)[1]) / (len(c) - 2) for c in held]
    top = sum(((c.x - c.x.mean()) * c.y).sum() / s for c, s in zip(held, noise, strict=True))
    bottom = sum(((c.x - c.x.mean()) ** 2).sum() / s for c, s in zip(held, noise, strict=True))
    assert test.exponent == pytest.approx(-top / bottom, rel=1e-6)
    # F of one slope against two, by hand.
    slopes = [np.polyfit(c.x, c.y, 1)[0] for c in held]
    weights = [((c.x - c.x.mean()) ** 2).sum() / s for c, s in zip(held, noise, strict=True)]
    expected = (slopes[0] - slopes[1]) ** 2 * weights[0] * weights[1] / sum(weights)
    assert test.statistic == pytest.approx(expected, rel=1e-5)


def test_shift_is_told_from_slope():
    rng = np.random.default_rng(0)
    for steeper, same in ((0.0, True), (0.15, False)):
        curves = shifted(steeper)
        candidates = [compare_forms(curve, None, rng) for curve in curves]
        test = one_slope(curves, candidates)
        assert (test.p_value > 0.01) is same
        assert (test.bic_gain > 0) is same
        regions = [find_regions(curve, rng, n_draws=60) for curve in curves]
        (found,) = compare_with_baseline(regions, 0, 0.1, 0.95)
        assert found.verdict == ("same slope" if same else "other slope")
        assert found.steeper == pytest.approx(steeper, abs=0.04)
        assert found.shift > 0.3


def test_curves_may_have_different_numbers_of_draws():
    # Refits that do not converge are left out, so that draws differ in number.
    rng = np.random.default_rng(0)
    first, second = (find_regions(curve, rng, n_draws=60) for curve in shifted(0.0))
    fewer = replace(second, draws=replace(second.draws, values=second.draws.values[:50]))
    (found,) = compare_with_baseline([first, fewer], 0, 0.1, 0.95)
    assert found.shift_low < found.shift < found.shift_high


def test_order_of_curves_does_not_matter():
    rng = np.random.default_rng(0)
    curves = shifted(0.1)
    candidates = [compare_forms(curve, None, rng) for curve in curves]
    first, second = one_slope(curves, candidates), one_slope(curves[::-1], candidates[::-1])
    assert first.statistic == pytest.approx(second.statistic, rel=1e-5)


# --- growth ---------------------------------------------------------------------------------------


def sized_curves(power: float, sizes: np.ndarray) -> list[LearningCurve]:
    n = np.geomspace(50, 3200, 7)
    best = 100 * (n / 50) ** power
    return [
        curve_of(n**-0.3 * np.exp(0.1 * np.log(size / best) ** 2), n, f"{size:g}") for size in sizes
    ]


@pytest.mark.parametrize("power", [0.4, 0.8])
def test_planted_growth_is_found(power):
    # Log error is a parabola in log size, so its vertex is exact.
    sizes = np.geomspace(10, 20_000, 12)
    best = best_sizes(sized_curves(power, sizes), sizes, np.random.default_rng(0))
    np.testing.assert_allclose(best.size, 100 * (best.n / 50) ** power, rtol=1e-6)
    growth = fit_growth(best, np.random.default_rng(0))
    assert growth is not None
    assert growth.exponent == pytest.approx(power, abs=1e-5)


def test_best_size_at_an_end_is_not_used():
    sizes = np.geomspace(1000, 20_000, 6)
    best = best_sizes(sized_curves(0.4, sizes), sizes, np.random.default_rng(0))
    assert np.isnan(best.size[:2]).all()


# --- the recipe -----------------------------------------------------------------------------------


def table(steeper: float = 0.0) -> pd.DataFrame:
    rows = [
        {"net": curve.name, "images": n, "top1": 100 * (1 - min(error, 1))}
        for curve in shifted(steeper) for n, error in zip(curve.n, 0.5 * curve.error, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_users_names_and_units():
    result = learning_curve_regions(
        table(), examples="images", score="top1", model="net", perfect=100.0, rng=0, target=2.0
    )
    assert result.value("exponent, better").estimate == pytest.approx(0.4, abs=0.03)
    assert "is not rejected" in result.headline
    assert "same slope within 0.1" in result.headline
    # 0.65 n^-0.4 = 0.02 at n = 6,027.
    assert result.value("examples for an error of 2, better").estimate == pytest.approx(
        6027, rel=0.2
    )
    assert Result.from_json(result.to_json()).headline == result.headline


def test_multiplying_sizes_and_errors_changes_no_exponent():
    frame = table(0.15).assign(error=lambda t: 1 - t["top1"] / 100)
    frame = frame[["net", "images", "error"]]
    scaled = frame.assign(images=7 * frame["images"], error=30 * frame["error"])
    plain, other = (
        learning_curve_regions(one, examples="images", model="net", law="power law", rng=0)
        for one in (frame, scaled)
    )
    assert plain.value("shared exponent").estimate == pytest.approx(
        other.value("shared exponent").estimate, rel=1e-5
    )


def test_families_of_sizes_give_growth_and_one_curve():
    sizes = np.geomspace(10, 20_000, 12)
    rows = [
        {"n": n, "loss": error, "params": size, "architecture": "net"}
        for size, curve in zip(sizes, sized_curves(0.5, sizes), strict=True)
        for n, error in zip(curve.n, curve.error, strict=True)
    ]
    result = learning_curve_regions(pd.DataFrame(rows), parameters="params", rng=0)
    assert result.value("growth of the best size, net").estimate == pytest.approx(0.5, abs=0.02)
    assert len(result.table) == 1


def test_one_curve_over_a_short_range_is_doubtful():
    frame = pd.DataFrame({"n": [100, 150, 200, 300, 400], "error": [0.3, 0.26, 0.24, 0.2, 0.18]})
    result = learning_curve_regions(frame, rng=0)
    assert result.status is Status.ASSUMPTION_DOUBTFUL
    assert "factor of ten" in result.advice


def test_unknown_names_are_refused():
    frame = table().rename(columns={"images": "n", "net": "model", "top1": "accuracy"})
    with pytest.raises(InputError, match="no model is named 'x'"):
        learning_curve_regions(frame, baseline="x", perfect=100.0)
    with pytest.raises(InputError, match="no data set and task is named 'x'"):
        learning_curve_regions(frame, focus="x", perfect=100.0)
    with pytest.raises(InputError, match="4 training set sizes"):
        learning_curve_regions({"n": [1, 2, 3, 3], "error": [0.5, 0.4, 0.3, 0.3]})


def test_fit_agrees_with_the_engine_at_its_own_optimum():
    # Same objective, 200 starts: the few starts of a curve lose nothing.
    curve = curve_of(THREE_REGIONS(FULL, {"x": N}), noise=0.03, seed=5)
    candidates = compare_forms(curve, None, np.random.default_rng(0))
    ours = next(c.fit for c in candidates if c.form.law is THREE_REGIONS)
    more = fit_law(THREE_REGIONS, {"x": N}, curve.error, Objective("log"),
                   weights=ours.problem.weights, n_starts=200, rng=1)  # fmt: skip
    assert ours.value == pytest.approx(more.value, rel=1e-5)
