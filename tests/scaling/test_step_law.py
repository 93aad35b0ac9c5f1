"""Known answers for the laws of learning rate and batch size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import norm

from statlas.core import InputError, OptionError, Status
from statlas.scaling import best_hyperparameters
from statlas.scaling.step_law.cells import find_valleys, make_cells
from statlas.scaling.step_law.fitting import (
    Plan,
    authors_exponents,
    costs,
    fit_law_of,
    held_out_advice,
)
from statlas.scaling.step_law.laws import (
    Optima,
    fit_coefficients,
    fit_power_law,
    law_rows,
    separable_terms,
)
from statlas.scaling.step_law.published import RULES, step_law, step_law_intervals
from statlas.scaling.step_law.surrogate import (
    curvature,
    fit_surrogate,
    minimise_in_box,
    plateau_widths,
    quadratic_terms,
)

FloatArray = NDArray[np.float64]
BOTH = ("parameters", "tokens")


def grid(center: FloatArray, gap: float, shape: tuple[int, int]) -> FloatArray:
    """Log settings of a grid about a centre."""
    rates, batches = (
        center[axis] + gap * (np.arange(n) - (n - 1) / 2) for axis, n in enumerate(shape)
    )
    return np.array([(rate, batch) for rate in rates for batch in batches])


def planted(
    sizes: FloatArray,
    lengths: FloatArray,
    rng: np.random.Generator,
    noise: float = 0.0,
    shift: float = 0.0,
) -> pd.DataFrame:
    """Grids whose optima obey lr = 2 N^-0.5 D^0.2, batch = 3 D^0.6, moved off the grid's middle."""
    parts = []
    for size in sizes:
        for length in lengths:
            best = np.log([2 * size**-0.5 * length**0.2, 3 * length**0.6])
            points = grid(best + rng.uniform(-0.5, 0.5, 2) - [shift, 0], np.log(2), (7, 6))
            u = points - best
            excess = 0.02 * u[:, 0] ** 2 + 0.015 * u[:, 1] ** 2 - 0.012 * u[:, 0] * u[:, 1]
            loss = 2.5 * np.exp(excess + noise * rng.standard_normal(len(u)))
            parts.append(
                pd.DataFrame(
                    {
                        "parameters": size, "tokens": length, "learning_rate": np.exp(points[:, 0]),
                        "batch_size": np.exp(points[:, 1]), "loss": loss,
                    }
                )
            )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def as_cells(table: pd.DataFrame) -> list:
    names = ("parameters", "tokens", "learning_rate", "batch_size", "loss")
    return make_cells(*(table[name].to_numpy(dtype=float) for name in names))


SIZES, LENGTHS = np.geomspace(1e7, 1e9, 3), np.geomspace(1e9, 1e11, 4)


# --- the surrogate -------------------------------------------------------------------------------


def test_an_exact_quadratic_is_recovered_exactly() -> None:
    """Closed form: least squares on data of the model itself."""
    best = np.array([-6.0, 12.0])
    points = grid(best + 0.3, 0.5, (7, 6))
    h = np.array([[0.03, -0.01], [-0.01, 0.02]])
    heights = 0.7 + 0.5 * np.einsum("ni,ij,nj->n", points - best, h, points - best)
    found = fit_surrogate(points, heights, 0.05)
    np.testing.assert_allclose(found.best, best, atol=1e-8)
    np.testing.assert_allclose(curvature(found.coefficients), h, atol=1e-9)
    assert found.best_log_loss == pytest.approx(0.7, abs=1e-10)
    assert found.convex


def test_runs_that_diverged_do_not_move_the_optimum() -> None:
    rng = np.random.default_rng(0)
    points = grid(np.array([-6.0, 12.0]), 0.4, (9, 8))
    heights = 0.01 * np.sum((points - [-6.1, 12.2]) ** 2, axis=1)
    heights += 0.0005 * rng.standard_normal(len(points))
    spoiled = heights.copy()
    spoiled[points[:, 0] > -4.9] += 2.0
    clean, other = (fit_surrogate(points, z, 0.01).best for z in (heights, spoiled))
    np.testing.assert_allclose(other, clean, atol=0.02)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=5, max_size=5))
def test_lowest_point_of_a_box_agrees_with_a_search(parts: list[float]) -> None:
    coefficients = np.array([[0.0, *parts]])
    low, high = np.array([-1.0, -0.5]), np.array([0.7, 2.0])
    found = minimise_in_box(coefficients, low, high)
    side = np.linspace(0, 1, 201)
    net = np.stack(np.meshgrid(*(low + side[:, None] * (high - low)).T), axis=-1).reshape(-1, 2)
    heights = quadratic_terms(net) @ coefficients[0]
    assert np.all((found >= low - 1e-12) & (found <= high + 1e-12))
    assert (quadratic_terms(found) @ coefficients[0])[0] <= heights.min() + 1e-12


def test_lowest_point_on_a_line() -> None:
    low, high = np.array([-1.0]), np.array([2.0])
    cases = np.array([[0, -1.0, 2.0], [0, -9.0, 2.0], [0, 0.1, -1.0], [0, 1.0, 0.0]])
    np.testing.assert_allclose(minimise_in_box(cases, low, high)[:, 0], [0.5, 2, 2, -1])


def test_width_of_the_plateau_is_where_the_loss_has_risen() -> None:
    """Identity: at half the width from the optimum the quadratic has risen by the tolerance."""
    coefficients = np.array([[0.0, 0.0, 0.0, 0.03, 0.004, 0.02]])
    rise = float(np.log1p(0.0025))
    width = plateau_widths(coefficients, rise)[0]
    for axis in range(2):
        point = np.zeros((1, 2))
        point[0, axis] = width[axis] / 2
        assert (quadratic_terms(point) @ coefficients[0])[0] == pytest.approx(rise)
    assert np.isinf(plateau_widths(np.array([[0.0, 0.0, -0.1]]), rise)[0, 0])


def test_spread_of_refits_is_that_of_repeated_grids() -> None:
    """Simulation: 300 grids; a ratio of variances outside 0.6 to 1.6 has chance below 1e-6."""
    rng = np.random.default_rng(1)
    points = grid(np.array([0.0, 0.0]), 0.5, (7, 7))
    height = 0.02 * np.sum(points**2, axis=1) + 0.01 * points[:, 0] * points[:, 1]
    fits = [
        fit_surrogate(points, height + 0.002 * rng.standard_normal(len(points)), 0.03)
        for _ in range(300)
    ]
    actual = np.var([fit.best for fit in fits], axis=0)
    drawn = [fit.optima(fit.draw(100, 0.002, np.inf, rng)).var(axis=0) for fit in fits[:40]]
    ratio = np.mean(drawn, axis=0) / actual
    assert np.all((ratio > 0.6) & (ratio < 1.6)), ratio


def test_too_few_settings_are_named() -> None:
    with pytest.raises(InputError, match="2 settings"):
        fit_surrogate(np.array([[0.0], [1.0]] * 4), np.arange(8.0), 0.1)


# --- the laws ------------------------------------------------------------------------------------


def optima_on_law(rng: np.random.Generator, n: int = 12) -> tuple[FloatArray, Optima]:
    sizes = np.log(10 ** np.column_stack([rng.uniform(6, 9, n), rng.uniform(8, 11, n)]))
    value = 0.5 - 0.7 * sizes[:, 0] + 0.3 * sizes[:, 1]
    none, wide = np.zeros(n, dtype=np.int64), np.full(n, 99.0)
    return sizes, Optima(value, rng.uniform(0.05, 0.2, n), none, value - wide, value + wide)


def test_exact_optima_give_the_exact_law() -> None:
    sizes, optima = optima_on_law(np.random.default_rng(2))
    law = fit_power_law(BOTH, sizes, optima, rng=np.random.default_rng(0))
    np.testing.assert_allclose(law.coefficients[1:], [-0.7, 0.3], atol=1e-8)
    assert law.constant[0] == pytest.approx(np.exp(0.5), rel=1e-6)
    np.testing.assert_allclose(law.predict(sizes)[0], optima.value, atol=1e-8)
    assert law.scatter == 0


def test_weighted_law_is_weighted_least_squares() -> None:
    """Peer: numpy's least squares with the square roots of the weights."""
    rng = np.random.default_rng(3)
    sizes, optima = optima_on_law(rng)
    noisy = Optima(
        optima.value + 0.3 * rng.standard_normal(12),
        *(optima.spread, optima.side, optima.low, optima.high),
    )
    found, centre, scatter = fit_coefficients(BOTH, sizes, noisy)
    rows = law_rows(BOTH, sizes, centre)
    root = 1 / np.hypot(noisy.spread, scatter)
    peer = np.linalg.lstsq(rows * root[:, None], noisy.value * root, rcond=None)[0]
    np.testing.assert_allclose(found, peer, rtol=1e-8)
    # Paule and Mandel: the weighted squares sum to their degrees of freedom.
    assert scatter > 0
    assert np.sum((root * (noisy.value - rows @ found)) ** 2) == pytest.approx(9, rel=1e-6)


def test_bounds_enter_by_their_probability() -> None:
    """Peer: the likelihood with bounds, maximised by scipy."""
    rng = np.random.default_rng(4)
    sizes, optima = optima_on_law(rng)
    value = optima.value + optima.spread * rng.standard_normal(12)
    high = np.where(np.arange(12) % 3 == 0, value - 0.1, np.inf)
    side = np.isfinite(high).astype(np.int64)
    bounded = Optima(
        np.minimum(value, high), optima.spread, side, np.full(12, -np.inf), np.minimum(high, 99.0)
    )
    found, centre, scatter = fit_coefficients(BOTH, sizes, bounded)
    rows = law_rows(BOTH, sizes, centre)
    total = np.hypot(optima.spread, scatter)

    def cost(coefficients: FloatArray) -> float:
        z = (bounded.value - rows @ coefficients) / total
        return -float(np.sum(np.where(side == 0, norm.logpdf(z), norm.logsf(z))))

    peer = minimize(cost, found + 0.05, method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose(found, peer, atol=1e-4)


def test_a_bound_pulls_the_law_only_towards_its_side() -> None:
    sizes, optima = optima_on_law(np.random.default_rng(5))
    place = int(np.argmax(sizes[:, 1]))
    for gap, moves in ((-0.5, 0.0), (0.5, 1.0)):  # a bound the law respects, and one it violates
        side = optima.side.copy()
        side[place] = 1
        value = optima.value.copy()
        value[place] += gap
        bounded = Optima(value, optima.spread, side, optima.low, value)
        found, centre, _ = fit_coefficients(BOTH, sizes, bounded)
        fitted = law_rows(BOTH, sizes, centre) @ found
        shift = fitted[place] - optima.value[place]
        assert (shift > 0.01) == bool(moves), shift


def test_what_cells_cannot_tell_apart_is_left_out() -> None:
    line = np.column_stack([np.arange(5.0), 2 * np.arange(5.0)])
    assert separable_terms(BOTH, line)[0] == ("tokens",)
    assert separable_terms(BOTH, np.column_stack([np.arange(5.0), np.ones(5)]))[0] == (
        "parameters",
    )
    assert separable_terms(BOTH, line[:1])[0] == ()


def test_pooled_procedure_is_exact_where_the_near_best_runs_lie_on_the_law() -> None:
    table = planted(SIZES, LENGTHS, np.random.default_rng(6))
    on_law = table.groupby(["parameters", "tokens"]).head(1).copy()
    on_law["learning_rate"] = 2 * on_law["parameters"] ** -0.5 * on_law["tokens"] ** 0.2
    on_law["batch_size"] = 3 * on_law["tokens"] ** 0.6
    on_law["loss"] = 2.0
    found = authors_exponents(as_cells(on_law), 0.0025, "tokens")
    assert found["learning rate"]["parameters"] == pytest.approx(-0.5, abs=1e-9)
    assert found["learning rate"]["tokens"] == pytest.approx(0.2, abs=1e-9)
    assert found["batch size"]["constant"] == pytest.approx(3, rel=1e-6)


# --- cells ---------------------------------------------------------------------------------------


def test_lengths_that_differ_by_rounding_are_one_cell() -> None:
    table = planted(SIZES[:1], LENGTHS[:2], np.random.default_rng(7))
    table["tokens"] *= 1 + 0.004 * (np.arange(len(table)) % 3)
    assert [len(cell.log_loss) for cell in as_cells(table)] == [42, 42]


@pytest.mark.parametrize(("shift", "side"), [(3.0, 1), (-3.0, -1), (0.0, 0)])
def test_an_optimum_beyond_the_grid_is_a_bound_on_that_side(shift: float, side: int) -> None:
    table = planted(SIZES[:1], LENGTHS[:1], np.random.default_rng(8), 0.0005, shift)
    (valley,), _ = find_valleys(as_cells(table), None, 100, np.random.default_rng(0))
    assert valley.side[0] == side
    assert valley.sides[0] == side


def test_cost_of_the_best_settings_is_nothing_and_that_of_untried_ones_unknown() -> None:
    table = planted(SIZES[:1], LENGTHS[:1], np.random.default_rng(9))
    (valley,), _ = find_valleys(as_cells(table), 0.05, 10, np.random.default_rng(0))
    best = valley.surrogate.best
    assert valley.cost(best) == pytest.approx(0, abs=1e-9)
    assert valley.cost(best + np.array([0.5, 0.0])) == pytest.approx(0.02 * 0.25, rel=1e-3)
    assert np.isnan(valley.cost(best + np.array([9.0, 0.0])))
    far = valley.cost(np.array([valley.surrogate.low[0], best[1]]))
    assert far == pytest.approx(0.02 * (valley.surrogate.low[0] - best[0]) ** 2, rel=0.15)


def test_laws_of_other_cells_advise_the_held_out_one() -> None:
    table = planted(SIZES, LENGTHS, np.random.default_rng(10))
    valleys, _ = find_valleys(as_cells(table), 0.05, 10, np.random.default_rng(0))
    advice = held_out_advice(valleys, Plan())
    truth = [
        np.log([2 * v.cell.parameters**-0.5 * v.cell.tokens**0.2, 3 * v.cell.tokens**0.6])
        for v in valleys
    ]
    np.testing.assert_allclose(advice, truth, atol=1e-5)
    assert np.all(costs(valleys, advice) < 1e-6)
    constant = costs(valleys, held_out_advice(valleys, Plan(), constant=True))
    assert np.nanmean(constant) > 0.005


def test_leaving_bounds_out_uses_fewer_cells() -> None:
    rng = np.random.default_rng(11)
    table = pd.concat(
        [planted(SIZES, LENGTHS[:3], rng, 0.001), planted(SIZES, LENGTHS[3:], rng, 0.001, 3.0)]
    )
    valleys, _ = find_valleys(as_cells(table), None, 60, rng)
    bound, without = (
        fit_law_of(valleys, 0, Plan(edges=edge), rng) for edge in ("bound", "exclude")
    )
    assert bound is not None
    assert without is not None
    assert (bound.inside, bound.bounded, without.bounded) == (9, 3, 0)
    assert bound.power.exponent("tokens")[0] == pytest.approx(0.2, abs=0.05)


# --- published rules -----------------------------------------------------------------------------


def test_published_law_is_its_formula() -> None:
    """The printed constants."""
    rate, batch = step_law(7e9, 1.4e12)
    assert rate == pytest.approx(1.79 * 7e9**-0.713 * 1.4e12**0.307)
    assert batch == pytest.approx(0.58 * 1.4e12**0.571)
    (low, high), (fewer, more) = step_law_intervals(7e9, 1.4e12)
    assert low < rate < high
    assert fewer < batch < more
    narrow = step_law_intervals(7e9, 1.4e12, 0.5)[0]
    assert low < narrow[0] < narrow[1] < high


def test_other_rules_at_a_known_point() -> None:
    """DeepSeek, C = 6e20: 0.3118 C^-0.125 and 0.292 C^0.3271; Kaplan's rate turns negative."""
    by_name = {rule.name: rule.advise(1e9, 1e11, 2.0) for rule in RULES}
    assert by_name["DeepSeek"].learning_rate == pytest.approx(0.3118 * 6e20**-0.125)
    assert by_name["DeepSeek"].batch_size == pytest.approx(0.292 * 6e20**0.3271)
    assert by_name["Kaplan"].batch_size == pytest.approx(2e8 * 2 ** (-1 / 0.21))
    kaplan = next(rule for rule in RULES if rule.name == "Kaplan")
    assert np.isnan(kaplan.advise(1e12, 1e13, 2.0).learning_rate)


# --- the recipe ----------------------------------------------------------------------------------


def test_recipe_recovers_a_planted_law_in_the_users_names_and_units() -> None:
    table = planted(SIZES, LENGTHS, np.random.default_rng(12), 0.001)
    users = pd.DataFrame(
        {
            "size (M)": table["parameters"] / 1e6,
            "D": table["tokens"] / 1e9,
            "lr": table["learning_rate"],
            "sequences": table["batch_size"] / 2048,
            "val_loss": table["loss"],
        }
    )
    given = {
        "parameters": "size (M)", "batch_size": "sequences", "batch_unit": 2048.0,
        "parameters_unit": 1e6, "tokens_unit": 1e9, "target_parameters": 1e10,
        "target_tokens": 1e12,
    }  # fmt: skip
    result = best_hyperparameters(users, **given, rng=0)
    assert result.status is Status.OK
    for name, truth in (
        ("learning rate, exponent of parameters", -0.5),
        ("learning rate, exponent of tokens", 0.2),
        ("batch size, exponent of tokens", 0.6),
        ("learning rate at target", 2 * 1e10**-0.5 * 1e12**0.2),
        ("batch size at target", 3 * 1e12**0.6),
        ("plateau of the learning rate", np.exp(2 * np.sqrt(np.log(1.0025) / 0.02))),
    ):
        value = result.value(name)
        assert value.low < truth < value.high, name
    assert result.table["held_out_cost_%"].max() < 0.1
    same = best_hyperparameters(users, **given, rng=0)
    assert same.headline == result.headline


def test_one_cell_borrows_the_published_exponents_and_says_so() -> None:
    table = planted(SIZES[:1], LENGTHS[:1], np.random.default_rng(13), 0.001)
    result = best_hyperparameters(table, rng=0)
    assert result.status is Status.ASSUMPTION_DOUBTFUL
    assert "borrowed" in result.advice
    here = 2 * SIZES[0] ** -0.5 * LENGTHS[0] ** 0.2
    moved = here * 10**-0.713 * 10**0.307
    assert result.value("learning rate at target").estimate == pytest.approx(moved, rel=0.1)


def test_learning_rate_alone_will_do() -> None:
    table = planted(SIZES, LENGTHS, np.random.default_rng(14), 0.0005)
    middle = table.groupby(["parameters", "tokens"])["batch_size"].transform(
        lambda batch: sorted(set(batch))[2]
    )
    line = table[table["batch_size"] == middle]
    for part in (line, line.drop(columns="batch_size")):
        result = best_hyperparameters(part, rng=0)
        assert result.value("learning rate, exponent of parameters").estimate == pytest.approx(
            -0.5, abs=0.1
        )
        with pytest.raises(KeyError):
            result.value("batch size at target")
        result.plot()


def test_calculator_needs_no_table_but_a_target() -> None:
    result = best_hyperparameters(target_parameters=1e9, target_tokens=1e11)
    assert result.value("batch size, Step Law").estimate == pytest.approx(0.58 * 1e11**0.571)
    assert list(result.table["rule"]) == [rule.name for rule in RULES]
    result.plot()
    with pytest.raises(OptionError, match="target_tokens"):
        best_hyperparameters(target_parameters=1e9)


def test_a_table_without_grids_is_refused_with_a_remedy() -> None:
    table = planted(SIZES, LENGTHS, np.random.default_rng(15))
    single = table.groupby(["parameters", "tokens"]).head(2)
    with pytest.raises(InputError, match="at least 3 learning rates"):
        best_hyperparameters(single, rng=0)


def test_a_grid_off_the_optimum_everywhere_is_not_computable() -> None:
    table = planted(SIZES, LENGTHS, np.random.default_rng(16), 0.0005, 4.0)
    result = best_hyperparameters(table, rng=0)
    assert result.status is not Status.OK
    assert any(notice.code == "optimum-beyond-grid" for notice in result.warnings)
    assert (result.table["learning_rate_optimum"] == "above those tried").all()
