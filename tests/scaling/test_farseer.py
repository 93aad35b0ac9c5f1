"""Farseer's law: identities, the staged procedure on planted surfaces, the joint fit, planning."""

from __future__ import annotations

from dataclasses import asdict, astuple, replace

import numpy as np
import pandas as pd
import pytest

from statlas.core import InputError, OptionError, Result, Status
from statlas.core.examples import example_path
from statlas.core.numerics.laws import CHINCHILLA, check_jacobian, fit_law, power_allocation
from statlas.scaling.farseer import (
    PUBLISHED,
    Cells,
    Centre,
    Plan,
    data_exponent,
    farseer_law,
    farseer_loss,
    fit_all,
    fit_staged,
    loss_differences,
    loss_surface,
    optimum,
    size_exponents,
)
from statlas.scaling.farseer.claims import _grid
from statlas.scaling.farseer.joint import chinchilla_start
from statlas.scaling.farseer.law import bent, rounded_constants
from statlas.scaling.farseer.staged import bent_lines

ADDITIVE = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
CENTRE = Centre(1e9, 2e10)


def planted(noise: float = 1e-3, seed: int = 0, every: int = 2) -> pd.DataFrame:
    """The published surface on a part of the authors' grid, as people have such tables."""
    parameters, tokens = _grid(every)
    errors = noise * np.random.default_rng(seed).standard_normal(len(tokens))
    loss = farseer_loss(parameters, tokens) * np.exp(errors)
    return pd.DataFrame({"N": parameters, "D": tokens, "loss": loss})


def cells_of(table: pd.DataFrame) -> Cells:
    n, d, loss = (table[name].to_numpy() for name in ("N", "D", "loss"))
    return Cells(n, d, 6 * n * d, loss, np.ones_like(loss))


@pytest.fixture(scope="module")
def result() -> Result:
    return loss_surface(planted(), rng=0, draws=60, target=1e21)


# --- the law --------------------------------------------------------------------------------------


def test_published_constants_are_those_printed():
    # Eq. (15), by hand at N = 1e9 and D = 1e10: exp(-0.021 x 33.19 - 0.091)
    # + exp(88.01 / 7.943 - 6.287) x 1e10^-exp(-0.124 x 12.79 + 0.424).
    fixed = np.exp(-0.021 * 1e9**0.169 - 0.091)
    exponent = np.exp(-0.124 * 1e9**0.123 + 0.424)
    data = np.exp(88.01 * 1e9**-0.1 - 6.287) * 1e10**-exponent
    assert farseer_loss(1e9, 1e10) == pytest.approx(fixed + data, rel=1e-12)
    assert fixed == pytest.approx(np.exp(-0.021 * 33.189 - 0.091), rel=1e-4)
    assert exponent == pytest.approx(0.3127, abs=1e-4)
    # The paper's residual G(N) stays above 0.21 over its sizes.
    assert np.exp(-0.021 * 2.51e10**0.169 - 0.091) > 0.21


def test_loss_falls_with_size_and_tokens():
    sizes, tokens = np.meshgrid(np.geomspace(2e8, 2.5e10, 20), np.geomspace(1e9, 1e12, 20))
    loss = farseer_loss(sizes, tokens)
    assert np.all(np.diff(loss, axis=0) < 0)
    assert np.all(np.diff(loss, axis=1) < 0)


def test_centred_parameters_are_the_same_law():
    law = farseer_law(CENTRE.size, CENTRE.data)
    natural = CENTRE.natural(PUBLISHED)
    inputs = {"N": np.geomspace(1e8, 1e11, 7), "D": np.geomspace(1e12, 1e9, 7)}
    expected = farseer_loss(inputs["N"], inputs["D"])
    np.testing.assert_allclose(law.values(natural, inputs)[0], expected, rtol=1e-12)
    np.testing.assert_allclose(astuple(CENTRE.constants(natural)), astuple(PUBLISHED), rtol=1e-9)
    found = data_exponent(law, natural, CENTRE, inputs["N"])[0]
    np.testing.assert_allclose(found, np.exp(-0.124 * inputs["N"] ** 0.123 + 0.424), rtol=1e-12)


@pytest.mark.parametrize("term", ["stretched", "power"])
@pytest.mark.parametrize("bend", [-0.4, 0.0, 1e-7, 0.3])
def test_derivatives_agree_with_differences(term, bend):
    law = farseer_law(1e9, 2e10, 1.0, term)
    values = {p.name: np.mean(p.start) for p in law.parameters}
    values |= {"alpha": bend, "beta": -bend, "tilt_A": -0.2, "tilt_T": 0.15}
    if term == "stretched":
        values["gamma"] = bend
    inputs = {"N": np.array([1e8, 0.999e9, 1e9, 3e10]), "D": np.array([1e9, 4e11, 2e10, 5e10])}
    assert check_jacobian(law, values, inputs) < 1e-6


def test_bent_line_is_a_logarithm_where_it_does_not_bend():
    u = np.linspace(-3, 3, 11)
    np.testing.assert_allclose(bent(u, np.array([0.0]))[0], u, rtol=1e-15)
    for size in (1e-12, 1e-3, 0.999e-3, 1.001e-3, 0.5):
        value, change = bent(u, np.array([size]))
        np.testing.assert_allclose(value, np.expm1(size * u) / size, rtol=1e-9, atol=1e-12)
        step = 1e-4
        numeric = (bent(u, np.array([size + step]))[0] - bent(u, np.array([size - step]))[0]) / (
            2 * step
        )
        np.testing.assert_allclose(change, numeric, rtol=1e-5, atol=1e-7)


def test_chinchilla_is_a_special_case_of_the_power_term():
    cells = cells_of(planted(every=3))
    fit = fit_law(CHINCHILLA, cells.inputs, cells.loss, n_starts=30, rng=0)
    law = farseer_law(CENTRE.size, CENTRE.data, 0.5, "power")
    start = chinchilla_start(law, CENTRE, fit, cells.parameters)
    np.testing.assert_allclose(
        law.values(start, cells.inputs)[0], fit.predict(cells.inputs), rtol=1e-12
    )


def test_stretched_term_takes_the_nearest_curve_to_chinchilla():
    cells = cells_of(planted(every=3))
    fit = fit_law(CHINCHILLA, cells.inputs, cells.loss, n_starts=30, rng=0)
    law = farseer_law(CENTRE.size, CENTRE.data, 0.5)
    start = chinchilla_start(law, CENTRE, fit, cells.parameters)
    values = law.values(start, cells.inputs)[0]
    np.testing.assert_allclose(values, fit.predict(cells.inputs), rtol=2e-3)


# --- the staged procedure -------------------------------------------------------------------------


def test_differences_pair_the_next_tokens_of_the_same_size():
    n = np.array([2.0, 1.0, 1.0, 1.0, 2.0, 1.0])
    d = np.array([10.0, 10.0, 12.0, 20.0, 40.0, 21.0])
    found = loss_differences(n, d, np.array([5.0, 3.0, 2.9, 2.0, 4.0, 1.9]), least=1.35)
    # Size 1: 10 -> 20 (12 is too near), 12 -> 20; 20 and 21 have no partner. Size 2: 10 -> 40.
    assert found.sizes[found.size].tolist() == [1.0, 1.0, 2.0]
    np.testing.assert_allclose(found.tokens, [10, 12, 10])
    np.testing.assert_allclose(found.factor, [2, 20 / 12, 4])
    np.testing.assert_allclose(found.fall, [1.0, 0.9, 1.0])


@pytest.mark.parametrize("ratios", ["even", "uneven"])
def test_exponents_of_each_size_are_exact_without_noise(ratios):
    rng = np.random.default_rng(1)
    steps = np.full(9, 2.0) if ratios == "even" else rng.uniform(1.4, 5.0, 9)
    tokens = 1e9 * np.cumprod(steps)
    exponent, coefficient = np.array([0.2, 0.5, 0.9]), np.array([3.0, 40.0, 1e4])
    n = np.repeat([1e7, 1e8, 1e9], 9)
    d = np.tile(tokens, 3)
    loss = np.repeat([2.0, 1.5, 1.2], 9) + np.repeat(coefficient, 9) * d ** -np.repeat(exponent, 9)
    found = size_exponents(loss_differences(n, d, loss))
    np.testing.assert_allclose(found.exponent, exponent, rtol=1e-6)
    np.testing.assert_allclose(found.coefficient, coefficient, rtol=1e-5)


def test_one_factor_is_the_papers_regression():
    table = planted(every=2)
    one = table[table["N"] == table["N"].min()]
    fall = -np.diff(one["loss"])
    slope, intercept = np.polyfit(np.log(one["D"][:-1]), np.log(fall), 1)
    found = size_exponents(loss_differences(*(one[c].to_numpy() for c in ("N", "D", "loss"))))
    assert found.exponent[0] == pytest.approx(-slope, rel=1e-9)
    expected = np.exp(intercept) / (1 - 2.0**slope)  # Eq. (7), lambda = 2
    assert found.coefficient[0] == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("criterion", ["relative", "squares"])
def test_stages_return_the_published_constants_without_noise(criterion):
    n, d = _grid()
    found = fit_staged(n, d, farseer_loss(n, d), criterion=criterion)
    np.testing.assert_allclose(astuple(found.constants), astuple(PUBLISHED), rtol=1e-6)
    assert found.constrained
    assert not len(found.exponents.left_out)


def test_stages_are_close_with_noise():
    n, d = _grid()
    loss = farseer_loss(n, d) * np.exp(1e-3 * np.random.default_rng(0).standard_normal(len(n)))
    found = fit_staged(n, d, loss)
    assert np.mean(np.abs(found.loss(n, d) / farseer_loss(n, d) - 1)) < 2e-3


def test_bent_lines_are_least_squares():
    u, logs = np.linspace(-1, 1, 6), np.random.default_rng(0).standard_normal(6)
    line = bent_lines(u, logs, np.array([0.3]))
    slope, intercept = np.polyfit(np.expm1(0.3 * u) / 0.3, logs, 1)
    np.testing.assert_allclose([line.slope[0], line.intercept[0]], [slope, intercept])


def test_sizes_without_a_falling_loss_are_left_out():
    table = planted(0.0)
    smallest = table["N"] == table["N"].min()
    table.loc[smallest, "loss"] = np.linspace(0.6, 0.9, smallest.sum())
    found = fit_staged(*(table[c].to_numpy() for c in ("N", "D", "loss")))
    assert found.exponents.left_out.tolist() == [table["N"].min()]
    assert found.exponents.n_not_positive == smallest.sum() - 1


def test_stages_need_three_sizes():
    n, d = np.repeat([1e8, 1e9], 5), np.tile(np.geomspace(1e9, 1e11, 5), 2)
    with pytest.raises(InputError, match="sizes have"):
        fit_staged(n, d, farseer_loss(n, d))


# --- the joint fit --------------------------------------------------------------------------------


def test_joint_fit_is_below_the_stages_and_far_below_chinchilla():
    fits = fit_all(cells_of(planted()), Plan(), np.random.default_rng(0))
    cells = fits.cells
    errors = {
        name: np.sqrt(np.mean(np.log(fits.predict(name, cells.inputs) / cells.loss) ** 2))
        for name in fits.names
    }
    assert errors["farseer, joint"] <= errors["farseer, staged"] * 1.001
    assert errors["farseer, joint"] < 0.3 * errors["chinchilla"] < errors["kaplan"]
    assert fits.joint.n_at_best > 0.8 * fits.joint.n_refined
    assert fits.size_term == "stretched"


def test_joint_fit_falls_back_on_the_term_that_holds_chinchilla():
    n, d = np.repeat(np.geomspace(1e7, 3e10, 8), 8), np.tile(np.geomspace(1e9, 1e12, 8), 8)
    loss = CHINCHILLA(ADDITIVE, {"N": n, "D": d})
    loss = loss * np.exp(1e-6 * np.random.default_rng(0).standard_normal(64))
    cells = Cells(n, d, 6 * n * d, loss, np.ones(64))
    auto = fit_all(cells, Plan(), np.random.default_rng(0))
    alone = fit_all(cells, Plan(size_term="stretched"), np.random.default_rng(0))
    assert auto.size_term == "power"
    assert auto.joint.value <= auto.chinchilla.value < alone.joint.value


def test_staged_constants_count_as_nine():
    fits = fit_all(cells_of(planted()), Plan(), np.random.default_rng(0))
    staged, joint = (fits.information(f"farseer, {kind}") for kind in ("staged", "joint"))
    assert staged.n_parameters == joint.n_parameters == 10
    assert staged.bic >= joint.bic


# --- planning -------------------------------------------------------------------------------------


def test_best_size_of_an_additive_surface_is_the_closed_form():
    law = farseer_law(CENTRE.size, CENTRE.data, 2.0, "power")
    natural = np.array([
        {"E": ADDITIVE["E"], "K": ADDITIVE["A"] * CENTRE.size ** -ADDITIVE["alpha"],
         "gamma": ADDITIVE["alpha"], "T0": ADDITIVE["B"] * CENTRE.data ** -ADDITIVE["beta"],
         "A0": ADDITIVE["beta"]}.get(name, 0.0)
        for name in law.names
    ])  # fmt: skip
    budgets = np.geomspace(1e19, 1e23, 5)
    found = optimum(law, natural, natural[None], budgets, (1e-2, 1e5))
    size, data, exponent = power_allocation([list(ADDITIVE.values())], budgets)
    np.testing.assert_allclose(found.size, size[0], rtol=2e-3)
    np.testing.assert_allclose(found.tokens, data[0], rtol=2e-3)
    growth = found.growth(0.95)
    assert growth[0] == pytest.approx(1 - 2 * exponent[0], abs=1e-4)
    assert growth[1] == growth[2] == pytest.approx(growth[0])


def test_published_law_has_no_best_size_at_large_budgets():
    law, natural = farseer_law(CENTRE.size, CENTRE.data), CENTRE.natural(PUBLISHED)
    found = optimum(law, natural, natural[None], np.array([1e20, 1e21, 1e24]), (0.1, 1e4))
    assert np.isfinite(found.size).tolist() == [True, True, False]
    ratio = found.tokens[:2] / found.size[:2]
    assert np.all((ratio > 5) & (ratio < 20))
    # Enumeration of the same budget.
    grid = np.geomspace(1e8, 1e11, 20_001)
    loss = farseer_loss(grid, 1e21 / 6 / grid)
    assert found.size[1] == pytest.approx(grid[np.argmin(loss)], rel=2e-3)


def test_rounded_constants_print_alike():
    drawn = rounded_constants(500, np.random.default_rng(0))
    for printed, digits, values in zip(
        astuple(PUBLISHED), (3, 3, 3, 2, 3, 3, 3, 3, 3), astuple(drawn), strict=True
    ):
        assert np.all(np.round(values, digits) == printed)


# --- the recipe -----------------------------------------------------------------------------------


def test_planted_surface_is_found(result):
    assert result.status is Status.OK
    for name, size in (("smallest", 201228288), ("largest", 6369572352)):
        found = result.value(f"data exponent at the {name} size")
        truth = np.exp(-0.124 * size**0.123 + 0.424)
        assert found.estimate == pytest.approx(truth, abs=0.03)
    assert result.value("data exponent, largest size over smallest").high < 1
    # Nine intervals at 95 %: fewer than six hits has a chance below 0.1 %.
    found = {name: result.value(f"{name}, joint") for name in asdict(PUBLISHED)}
    hits = [found[name].low < value < found[name].high for name, value in asdict(PUBLISHED).items()]
    assert sum(hits) >= 6


def test_table_sets_farseer_before_chinchilla(result):
    table = result.table.set_index("law")
    assert table["constants"].to_dict() == {
        "kaplan": 4, "chinchilla": 5, "farseer, staged": 9, "farseer, joint": 9
    }  # fmt: skip
    for column in ("bic", "aicc", "held_out_error", "error_beyond"):
        assert table.loc["farseer, joint", column] < table.loc["chinchilla", column]
    assert table.loc["farseer, joint", "coverage_beyond"] > 0.6
    assert "falls with size" in result.headline


def test_prediction_of_a_run_covers_the_truth():
    result = loss_surface(
        planted(every=3), rng=0, draws=60, target_parameters=1e10, target_tokens=1e11
    )
    found = result.value("loss of the run asked for")
    assert found.low < farseer_loss(1e10, 1e11) < found.high
    assert found.high / found.low < 1.05


def test_other_names_and_units_give_the_same_answer(result):
    table = planted()
    renamed = pd.DataFrame(
        {"billions": table["N"] / 1e9, "tokens_b": table["D"] / 1e9, "final_loss": table["loss"]}
    )
    again = loss_surface(
        renamed, target=1e21, parameters="billions", tokens="tokens_b", parameters_unit=1e9,
        tokens_unit=1e9, rng=0, draws=60,
    )  # fmt: skip
    name = "data exponent at the largest size"
    assert again.value(name).estimate == pytest.approx(result.value(name).estimate, rel=1e-4)


def test_repeats_are_averaged_and_the_best_tuning_kept():
    table = planted(0.0, every=3)
    worse = table.assign(loss=table["loss"] * 1.02, lr=1e-3)
    twice = pd.concat(
        [table.assign(lr=3e-4, loss=table["loss"] * factor) for factor in (0.999, 1 / 0.999)]
    )
    result = loss_surface(pd.concat([twice, worse]), rng=0, draws=50)
    assert [(item.rows, "tuning" in item.reason) for item in result.set_aside] == [
        (len(table), True)
    ]
    assert result.table.set_index("law").loc["farseer, joint", "fit_error"] < 1e-6


def test_without_a_table_it_is_a_calculator():
    result = loss_surface(target_parameters=1e9, target_tokens=1e10, rng=0)
    found = result.value("loss of the run asked for")
    assert found.estimate == pytest.approx(float(farseer_loss(1e9, 1e10)))
    assert found.low < found.estimate < found.high
    assert found.unit == "bits a character"
    far = loss_surface(target=1e24, rng=0)
    assert far.value("best size at target").estimate is None
    assert "no best size" in far.headline


def test_recorded_runs_bend():
    table = pd.read_csv(example_path("surface_runs.csv"))
    result = loss_surface(table, rng=0, draws=60)
    errors = result.table.set_index("law")["fit_error"]
    assert errors["farseer, joint"] < errors["chinchilla"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"target_parameters": 1e9}, "together"),
        ({"cut": 1e30}, "leaves"),
        ({"focus": "x"}, "no column of settings"),
    ],
)
def test_options_that_do_not_fit_are_refused(given, words):
    with pytest.raises(OptionError, match=words):
        loss_surface(planted(), rng=0, **given)


def test_a_table_along_one_line_is_refused():
    table = planted()
    table = table[table["N"] == table["N"].min()]
    table = pd.concat([table.assign(D=table["D"] * factor) for factor in (1, 1.1)])
    with pytest.raises(InputError, match="1 sizes"):
        loss_surface(table, rng=0)


def test_sizes_and_tokens_along_one_line_are_refused():
    n = 1e7 * 2.0 ** np.arange(16)
    table = pd.DataFrame({"N": n, "D": 20 * n, "loss": farseer_loss(n, 20 * n)})
    with pytest.raises(InputError, match="along one line"):
        loss_surface(table, rng=0)


def test_wrong_units_are_noticed():
    table = planted(every=3)
    result = loss_surface(table.assign(C=table["N"] * table["D"]), rng=0, draws=50)
    assert "units" in {notice.code for notice in result.warnings}


def test_the_constants_are_not_changed_by_the_floor():
    other = replace(PUBLISHED, b3=0.2)
    n, d = _grid(2)
    one, two = (fit_staged(n, d, farseer_loss(n, d, c)).constants for c in (PUBLISHED, other))
    np.testing.assert_allclose(astuple(one)[:6], astuple(two)[:6], rtol=1e-6)
