"""The engine of laws: derivatives, optima, intervals and allocations, against known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit, minimize
from scipy.stats import norm

from statlas.core import ConvergenceError, InputError
from statlas.core.numerics.laws import (
    CHINCHILLA,
    KAPLAN,
    POWER_LAW,
    SATURATING_POWER_LAW,
    SHIFTED_POWER_LAW,
    Law,
    Objective,
    Parameter,
    bootstrap,
    check_jacobian,
    compare_laws,
    compute_optimal,
    extrapolation_check,
    fit_law,
    held_out_residuals,
    information,
    power_allocation,
    profile_interval,
)
from statlas.core.numerics.laws.problem import Problem

# Parameters published for the large run table of Hoffmann et al. by its re-analysis.
PUBLISHED = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}


def many_runs(n: int, rng: np.random.Generator, noise: float) -> tuple[dict, np.ndarray]:
    """Runs at nine budgets like those of the published table, losses with relative noise."""
    compute = rng.choice(6e18 * 2.2 ** np.arange(9), n)
    size = np.sqrt(compute / 120) * np.exp(rng.uniform(-1.6, 1.6, n))
    inputs = {"N": size, "D": compute / 6 / size}
    return inputs, CHINCHILLA(PUBLISHED, inputs) * np.exp(noise * rng.standard_t(4, n))


def log_huber(coordinates, size, data, loss, delta):
    """The objective of Hoffmann et al., written anew, with its gradient for scipy."""
    e, a, b, alpha, beta = coordinates
    terms = np.array([np.full(len(loss), e), a - alpha * np.log(size), b - beta * np.log(data)])
    top = terms.max(axis=0)
    fitted = top + np.log(np.exp(terms - top).sum(axis=0))
    share = np.exp(terms - fitted)
    r = fitted - np.log(loss)
    psi = np.clip(r, -delta, delta)
    gradient = [share[0] @ psi, share[1] @ psi, share[2] @ psi,
                -(share[1] * np.log(size)) @ psi, -(share[2] * np.log(data)) @ psi]  # fmt: skip
    return float(np.sum(psi * (r - psi / 2))), np.array(gradient)


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "parameters", "inputs"),
    [
        (CHINCHILLA, PUBLISHED, {"N": [1e7, 1e9], "D": [1e9, 1e12]}),
        (KAPLAN, {"N_c": 8.8e13, "D_c": 5.4e13, "alpha_N": 0.076, "alpha_D": 0.095},
         {"N": [1e6, 1e9], "D": [1e9, 1e11]}),
        (POWER_LAW, {"A": 3.0, "alpha": 0.4}, {"x": [1.0, 10.0, 1e4]}),
        (SATURATING_POWER_LAW, {"E": 1.5, "A": 3.0, "alpha": 0.4}, {"x": [1.0, 10.0, 1e4]}),
        (SHIFTED_POWER_LAW, {"K": 1.2, "kappa": 0.9, "E0": 1.4, "E1": 0.3}, {"x": [2.0, 5.0]}),
    ],
)  # fmt: skip
def test_derivatives_are_those_of_differences(law, parameters, inputs):
    assert check_jacobian(law, parameters, inputs) < 1e-7


def test_the_kaplan_form_is_the_published_one():
    value = KAPLAN({"N_c": 8.8e13, "D_c": 5.4e13, "alpha_N": 0.076, "alpha_D": 0.095},
                   {"N": [1.5e9], "D": [2.2e10]})  # fmt: skip
    expected = ((8.8e13 / 1.5e9) ** (0.076 / 0.095) + 5.4e13 / 2.2e10) ** 0.095
    assert value[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"N": [1.0]}, "needs the input 'D'"),
        ({"N": [1.0, 2.0], "D": [1.0, 2.0, 3.0]}, "different lengths"),
        ({"N": [0.0], "D": [1.0]}, "above 0"),
        ({"N": [np.inf], "D": [1.0]}, "finite"),
    ],
)
def test_bad_inputs_are_named(inputs, words):
    with pytest.raises(InputError, match=words):
        CHINCHILLA.prepare(inputs)


# --- optima ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("delta", [1e-3, 1e-2])
def test_the_optimum_is_that_of_many_separate_descents(delta):
    # Known answer: the lowest of 60 descents of scipy on the objective written anew. False alarms:
    # none, the engine's objective may only be lower.
    inputs, loss = many_runs(120, np.random.default_rng(3), 0.008)
    fit = fit_law(CHINCHILLA, inputs, loss, Objective("log", delta), n_starts=100)
    rng = np.random.default_rng(0)
    arguments = (inputs["N"], inputs["D"], loss, delta)
    lowest = min(
        minimize(
            log_huber, rng.uniform([-1, 0, 0, 0, 0], [1, 15, 15, 1, 1]), arguments, jac=True,
            method="BFGS", options={"gtol": 1e-10},
        ).fun
        for _ in range(60)
    )  # fmt: skip
    assert fit.value <= lowest * (1 + 1e-9)
    assert log_huber(fit.coordinates, *arguments)[0] == pytest.approx(fit.value, rel=1e-10)
    assert fit.converged


def test_absolute_errors_interpolate_as_many_rows_as_there_are_parameters():
    # Linear-programming theory: with a threshold near 0 five residuals of five parameters vanish.
    inputs, loss = many_runs(80, np.random.default_rng(1), 0.01)
    fit = fit_law(CHINCHILLA, inputs, loss, Objective("log", 4.7e-9))
    assert np.sum(np.abs(fit.residuals) < 1e-7) == 5


def test_squares_are_those_of_scipy():
    inputs, loss = many_runs(60, np.random.default_rng(5), 0.01)
    fit = fit_law(CHINCHILLA, inputs, loss, Objective("linear"))

    def function(_, e, a, b, alpha, beta):
        return e + np.exp(a) * inputs["N"] ** -alpha + np.exp(b) * inputs["D"] ** -beta

    start = [1.8, np.log(482), np.log(2085), 0.35, 0.37]
    scipys, covariance = curve_fit(function, None, loss, start, ftol=1e-15, xtol=1e-15)
    ours = np.array([fit.natural[0], *fit.coordinates[1:]])
    np.testing.assert_allclose(ours, scipys, rtol=1e-4)
    scale = np.array([fit.natural[0], 1, 1, 1, 1])  # E is fitted as its logarithm here
    np.testing.assert_allclose(fit.covariance * np.outer(scale, scale), covariance, rtol=2e-3)


@settings(max_examples=15, deadline=None)
@given(e=st.floats(0.5, 3), a=st.floats(1, 1e4), alpha=st.floats(0.2, 1.0), seed=st.integers(0, 99))
def test_exact_data_give_the_law_back(e, a, alpha, seed):
    x = np.geomspace(5, 1e6, 14)
    truth = {"E": e, "A": a, "alpha": alpha}
    fit = fit_law(SATURATING_POWER_LAW, {"x": x}, SATURATING_POWER_LAW(truth, {"x": x}), rng=seed)
    for name, value in truth.items():
        assert fit.parameters[name] == pytest.approx(value, rel=1e-3)


def test_the_fit_does_not_depend_on_the_order_or_units_of_rows():
    inputs, loss = many_runs(60, np.random.default_rng(2), 0.01)
    fit = fit_law(CHINCHILLA, inputs, loss)
    turned = {name: values[::-1] for name, values in inputs.items()}
    again = fit_law(CHINCHILLA, turned, loss[::-1])
    millions = fit_law(CHINCHILLA, {**inputs, "N": inputs["N"] / 1e6}, loss)
    np.testing.assert_allclose(again.coordinates, fit.coordinates, rtol=1e-5)
    assert millions.value == pytest.approx(fit.value, rel=1e-8)
    shift = fit.parameters["alpha"] * np.log(1e6)
    assert np.log(millions.parameters["A"]) == pytest.approx(
        np.log(fit.parameters["A"]) - shift, abs=1e-4
    )


def test_weights_count_rows():
    inputs, loss = many_runs(40, np.random.default_rng(4), 0.01)
    counts = np.random.default_rng(0).integers(0, 3, 40)
    twice = {name: np.repeat(values, counts) for name, values in inputs.items()}
    weighted = fit_law(CHINCHILLA, inputs, loss, weights=counts)
    repeated = fit_law(CHINCHILLA, twice, np.repeat(loss, counts))
    assert weighted.value == pytest.approx(repeated.value, rel=1e-8)
    np.testing.assert_allclose(weighted.coordinates, repeated.coordinates, rtol=1e-4)


def test_fixed_parameters_stay():
    inputs, loss = many_runs(40, np.random.default_rng(4), 0.01)
    fit = fit_law(CHINCHILLA, inputs, loss, fixed={"alpha": 0.34, "E": 1.7})
    assert (fit.parameters["alpha"], fit.n_free) == (pytest.approx(0.34, rel=1e-12), 3)
    assert fit.parameters["E"] == pytest.approx(1.7, rel=1e-12)
    assert fit.value >= fit_law(CHINCHILLA, inputs, loss).value
    with pytest.raises(InputError, match="no parameter 'gamma'"):
        fit_law(CHINCHILLA, inputs, loss, fixed={"gamma": 1.0})


def test_projection_solves_the_linear_parameters_exactly():
    inputs, loss = many_runs(30, np.random.default_rng(6), 0.01)
    problem = Problem(
        CHINCHILLA, CHINCHILLA.prepare(inputs), loss, np.ones(30), Objective("linear")
    )
    start = CHINCHILLA.to_coordinates([[1.0, 1.0, 1.0, 0.35, 0.37]])
    solved = CHINCHILLA.to_natural(problem.project(start))[0, :3]
    basis = np.column_stack([np.ones(30), inputs["N"] ** -0.35, inputs["D"] ** -0.37])
    np.testing.assert_allclose(solved, np.linalg.lstsq(basis, loss)[0], rtol=1e-6)


def test_bad_fits_are_refused():
    inputs, loss = many_runs(30, np.random.default_rng(6), 0.01)
    with pytest.raises(InputError, match="above 0"):
        fit_law(CHINCHILLA, inputs, -loss)
    with pytest.raises(InputError, match="4 rows cannot determine the 5 parameters"):
        fit_law(CHINCHILLA, {k: v[:4] for k, v in inputs.items()}, loss[:4])
    nowhere = Law(
        "nowhere", "-exp(a) x", ("x",), (Parameter("a", (0.0, 1.0)),),
        lambda p, x: (-np.exp(p["a"]) * x["x"], {"a": -np.exp(p["a"]) * x["x"]}),
    )  # fmt: skip
    with pytest.raises(ConvergenceError, match="no usable value"):
        fit_law(nowhere, {"x": [1.0, 2.0]}, [1.0, 2.0])


# --- what is determined ---------------------------------------------------------------------------


def test_one_amount_of_data_leaves_its_term_and_the_floor_open():
    inputs, _ = many_runs(60, np.random.default_rng(2), 0.0)
    inputs["D"] = np.full(60, 1e10)
    loss = CHINCHILLA(PUBLISHED, inputs) * np.exp(
        0.005 * np.random.default_rng(0).standard_normal(60)
    )
    found = fit_law(CHINCHILLA, inputs, loss).identification()
    assert set(found.undetermined) == {"E", "B", "beta"}
    assert "do not determine E, B, beta" in found.sentences(CHINCHILLA)[0]


def test_coefficients_and_exponents_are_called_a_flat_valley():
    inputs, loss = many_runs(240, np.random.default_rng(2), 0.005)
    found = fit_law(CHINCHILLA, inputs, loss).identification()
    assert found.undetermined == ()
    assert {(first, second) for first, second, *_ in found.valleys} == {
        ("A", "alpha"), ("B", "beta")
    }  # fmt: skip
    # Identity: with alpha held a little off, the best log A moves by the valley's slope.
    fit = fit_law(CHINCHILLA, inputs, loss, Objective("log"))
    slope = next(v[3] for v in fit.identification().valleys if v[0] == "A")
    held = fit.parameters["alpha"] + 0.003
    moved = fit_law(CHINCHILLA, inputs, loss, Objective("log"), fixed={"alpha": held})
    assert np.log(moved.parameters["A"] / fit.parameters["A"]) == pytest.approx(
        0.003 * slope, rel=0.05
    )


def test_an_exponent_on_the_edge_is_told():
    x = np.geomspace(1, 100, 20)
    fit = fit_law(POWER_LAW, {"x": x}, x**-7.0, Objective("log"))
    assert fit.identification().at_edge == ("alpha",)


# --- intervals ------------------------------------------------------------------------------------


def test_bootstrap_refits_are_those_of_separate_fits():
    inputs, loss = many_runs(60, np.random.default_rng(8), 0.01)
    fit = fit_law(CHINCHILLA, inputs, loss)
    draws = bootstrap(fit, 12, kind="runs", rng=5)
    counts = np.random.default_rng(5).multinomial(60, np.full(60, 1 / 60), 12)
    for place in range(12):
        alone = fit_law(CHINCHILLA, inputs, loss, weights=counts[place].astype(float))
        problem = alone.problem
        at_draw = problem.evaluate(CHINCHILLA.to_coordinates(draws.values[[place]])).value[0]
        assert at_draw <= alone.value * (1 + 1e-6)


def test_a_line_has_the_intervals_of_regression():
    # log-log line: the profile interval of the slope is the textbook one with a normal quantile.
    rng = np.random.default_rng(0)
    x = np.geomspace(1, 1e4, 40)
    loss = 3 * x**-0.3 * np.exp(0.05 * rng.standard_normal(40))
    fit = fit_law(POWER_LAW, {"x": x}, loss, Objective("log"))
    design = np.column_stack([np.ones(40), np.log(x)])
    coefficients, squares, *_ = np.linalg.lstsq(design, np.log(loss))
    error = np.sqrt(squares[0] / 38 * np.linalg.inv(design.T @ design)[1, 1])
    assert fit.parameters["alpha"] == pytest.approx(-coefficients[1], rel=1e-6)
    profile = profile_interval(fit, "alpha", 0.95)
    margin = norm.ppf(0.975) * error
    assert profile.low == pytest.approx(-coefficients[1] - margin, rel=1e-3)
    assert profile.high == pytest.approx(-coefficients[1] + margin, rel=1e-3)
    for kind, slack in (("residual", 0.12), ("parametric", 0.12), ("runs", 0.3)):
        low, high = bootstrap(fit, 2000, kind=kind, rng=1).interval("alpha")
        assert high - low == pytest.approx(2 * margin, rel=slack)


def test_profile_intervals_are_open_where_nothing_is_known():
    inputs, loss = many_runs(60, np.random.default_rng(2), 0.005)
    inputs["D"] = np.full(60, 1e10)
    profile = profile_interval(fit_law(CHINCHILLA, inputs, loss), "beta")
    assert profile.open_low or profile.open_high


def test_parametric_intervals_cover():
    # 40 data sets: the count of covering 95 % intervals is at least 32 with probability above
    # 1 - 1e-4 if they cover with 94 %.
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng([7, seed])
        x = np.geomspace(10, 1e5, 25)
        truth = {"E": 1.7, "A": 20.0, "alpha": 0.5}
        loss = SATURATING_POWER_LAW(truth, {"x": x}) * np.exp(0.01 * rng.standard_normal(25))
        fit = fit_law(SATURATING_POWER_LAW, {"x": x}, loss, Objective("log"), n_starts=40)
        low, high = bootstrap(fit, 200, kind="parametric", rng=rng).interval("alpha")
        covered += low <= 0.5 <= high
    assert covered >= 32


def test_groups_are_drawn_whole():
    inputs, loss = many_runs(40, np.random.default_rng(8), 0.01)
    fit = fit_law(CHINCHILLA, inputs, loss)
    groups = np.repeat(["a", "b", "c", "d", "e", "f", "g", "h"], 5)
    draws = bootstrap(fit, 50, groups=groups, rng=0)
    assert draws.values.shape[1] == 5
    with pytest.raises(InputError, match="two groups"):
        bootstrap(fit, 50, groups=["a"] * 40)
    with pytest.raises(InputError, match="kind 'runs'"):
        bootstrap(fit, 50, groups=groups, kind="residual")


def test_intervals_for_a_new_run_are_wider():
    inputs, loss = many_runs(60, np.random.default_rng(8), 0.02)
    draws = bootstrap(fit_law(CHINCHILLA, inputs, loss), 300, kind="residual")
    at = {"N": [1e9], "D": [1e11]}
    value, low, high = draws.predict(at)
    _, low_run, high_run = draws.predict(at, new_run=True)
    assert low_run < low < value < high < high_run


# --- comparison -----------------------------------------------------------------------------------


def test_the_criteria_of_squares_are_those_of_the_normal_model():
    inputs, loss = many_runs(50, np.random.default_rng(8), 0.02)
    fit = fit_law(CHINCHILLA, inputs, loss, Objective("log"))
    deviation = np.sqrt(np.mean(fit.residuals**2))
    found = information(fit)
    assert found.log_likelihood == pytest.approx(norm.logpdf(fit.residuals, 0, deviation).sum())
    assert found.aic == pytest.approx(12 - 2 * found.log_likelihood)
    wide = fit_law(CHINCHILLA, inputs, loss, Objective("log", huber=50.0))
    assert information(wide).log_likelihood == pytest.approx(found.log_likelihood, rel=1e-6)


def test_the_true_law_is_preferred():
    inputs, loss = many_runs(120, np.random.default_rng(8), 0.005)
    chinchilla, kaplan = compare_laws([CHINCHILLA, KAPLAN], inputs, loss, n_starts=60)
    assert chinchilla.information.bic < kaplan.information.bic
    assert chinchilla.held_out < kaplan.held_out
    by_size = compare_laws([CHINCHILLA], inputs, loss, folds=inputs["N"] > 1e9, n_starts=60)
    assert np.isfinite(by_size[0].held_out)


def test_held_out_residuals_are_those_of_fits_without_the_fold():
    rng = np.random.default_rng(3)
    inputs = {"N": 10 ** rng.uniform(7, 10, 40), "D": 10 ** rng.uniform(9, 12, 40)}
    loss = CHINCHILLA(PUBLISHED, inputs) * np.exp(0.01 * rng.standard_normal(40))
    fit = fit_law(CHINCHILLA, inputs, loss, Objective("log"), n_starts=40)
    fold = np.arange(40) % 5 - 1  # every fifth row is in all fits
    found = held_out_residuals(fit, fold)
    assert np.isnan(found[fold < 0]).all()
    for number in range(4):
        out = fold == number
        alone = fit_law(CHINCHILLA, inputs, loss, Objective("log"), weights=~out * 1.0, n_starts=40)
        np.testing.assert_allclose(found[out], alone.residuals[out], atol=1e-6)
    with pytest.raises(InputError, match="folds are needed"):
        held_out_residuals(fit, np.full(40, -1))


def test_extrapolation_is_scored_above_the_cut_only():
    inputs, loss = many_runs(150, np.random.default_rng(8), 0.005)
    compute = 6 * inputs["N"] * inputs["D"]
    found = extrapolation_check(CHINCHILLA, inputs, loss, compute, cut=3e20)
    assert found.above.tolist() == (compute > 3e20).tolist()
    assert found.root_mean_square < 0.03
    assert 0.5 <= found.coverage <= 1
    with pytest.raises(InputError, match="no run costs more"):
        extrapolation_check(CHINCHILLA, inputs, loss, compute, cut=1e30)


# --- allocation -----------------------------------------------------------------------------------


def test_the_searched_allocation_is_the_closed_form():
    rng = np.random.default_rng(0)
    natural = np.column_stack(
        [np.full(20, 1.8), rng.uniform(100, 1000, 20), rng.uniform(100, 5000, 20),
         rng.uniform(0.25, 0.45, 20), rng.uniform(0.25, 0.45, 20)]
    )  # fmt: skip
    budgets = [1e20, 1e24]
    size, _, exponent = power_allocation(natural, budgets)
    found = compute_optimal(CHINCHILLA, natural, budgets)
    np.testing.assert_allclose(found.size, size, rtol=1e-5)
    np.testing.assert_allclose(6 * found.size * found.data, np.broadcast_to(budgets, (20, 2)))
    np.testing.assert_allclose(np.log(size[:, 1] / size[:, 0]) / np.log(1e4), exponent)
    assert found.inside.all()


def test_another_cost_moves_the_optimum():
    natural = [list(PUBLISHED.values())]
    plain = compute_optimal(CHINCHILLA, natural, [1e21])
    dear = compute_optimal(CHINCHILLA, natural, [1e21], flops_per_token=lambda n: 6 * n + 1e9)
    assert dear.loss[0, 0] > plain.loss[0, 0]
    cornered = compute_optimal(CHINCHILLA, natural, [1e21], sizes=(1e3, 1e6))
    assert not cornered.inside[0, 0]
    assert cornered.size[0, 0] == pytest.approx(1e6)
