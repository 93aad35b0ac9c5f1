"""Model collapse: formulas against closed forms, identities, simulation and scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

from statlas.core import AssumptionError, InputError, Result
from statlas.scaling.model_collapse import (
    Chain,
    adaptive_ridge_exponent,
    collapse_curve,
    degrees_of_freedom,
    error_exponent,
    expected_test_error,
    isotropic_chain_error,
    optimal_ridge,
    power_law_coefficients,
    power_law_spectrum,
    simulate_chain,
    solve_kappa,
)
from statlas.scaling.model_collapse.curve import _default_replicates, _Plan
from statlas.scaling.model_collapse.simulation import _ridge_fits


def power_law_chain(n_features: int, capacity: float = 1.3, source: float = 0.6, **rest) -> Chain:
    return Chain(
        spectrum=power_law_spectrum(n_features, capacity),
        coefficients=power_law_coefficients(n_features, capacity, source),
        **rest,
    )


def isotropic_chain(n_features: int, **rest) -> Chain:
    true = np.full(n_features, n_features**-0.5)
    return Chain(spectrum=np.ones(n_features), coefficients=true, **rest)


# --- spectra and kappa ----------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    n_features=st.integers(1, 60),
    n_samples=st.integers(1, 60),
    log_ridge=st.floats(-12, 4),
    capacity=st.floats(0, 4),
)
def test_kappa_solves_its_equation(n_features, n_samples, log_ridge, capacity):
    spectrum, ridge = power_law_spectrum(n_features, capacity), 10.0**log_ridge
    kappa = solve_kappa(spectrum, n_samples, ridge)
    freedom = degrees_of_freedom(spectrum, kappa, 1)
    assert kappa >= ridge
    assert kappa - ridge == pytest.approx(kappa * freedom / n_samples, rel=1e-6, abs=1e-9 * kappa)


@pytest.mark.parametrize(("n", "d", "ridge"), [(50, 20, 0.3), (20, 50, 0.3), (30, 30, 1e-6)])
def test_kappa_of_isotropic_features_is_the_root_of_a_quadratic(n, d, ridge):
    # kappa^2 + kappa (1 - ridge - d / n) - ridge = 0
    middle = 1 - ridge - d / n
    root = (-middle + np.sqrt(middle**2 + 4 * ridge)) / 2
    assert solve_kappa(np.ones(d), n, ridge) == pytest.approx(root, rel=1e-9)


def test_ridgeless_kappa_spends_as_many_degrees_of_freedom_as_rows():
    spectrum = power_law_spectrum(200, 1.5)
    kappa = solve_kappa(spectrum, 40, 0.0)
    assert degrees_of_freedom(spectrum, kappa, 1) == pytest.approx(40, rel=1e-9)
    assert solve_kappa(spectrum, 200, 0.0) == 0


def test_power_laws_are_at_the_edge_of_their_conditions():
    # spectrum^(1 - 2 r) * coefficients^2 = 1 / j, whose sum just diverges.
    spectrum, coefficients = power_law_spectrum(50, 1.7), power_law_coefficients(50, 1.7, 0.8)
    np.testing.assert_allclose(
        spectrum ** (1 - 1.6) * coefficients**2, 1 / np.arange(1, 51), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("spectrum", "n", "ridge"),
    [([1.0, 0.0], 5, 0.1), ([], 5, 0.1), ([1.0], 0, 0.1), ([1.0], 5, -1.0), ([1.0], 5, np.nan)],
)
def test_bad_spectra_rows_and_ridges_are_refused(spectrum, n, ridge):
    with pytest.raises(InputError):
        solve_kappa(spectrum, n, ridge)


# --- the expected error: closed forms and identities ----------------------------------------------


def test_no_generation_is_ordinary_ridge():
    chain = power_law_chain(60, noise_var=0.4, n_train=80)
    parts = expected_test_error(chain, 0.03)
    kappa = solve_kappa(chain.eigenvalues, 80, 0.03)
    df2 = degrees_of_freedom(chain.eigenvalues, kappa, 2)
    bias = np.sum(chain.eigenvalues * (kappa * chain.true / (chain.eigenvalues + kappa)) ** 2)
    assert parts.bias[0] == pytest.approx(bias / (1 - df2 / 80), rel=1e-9)
    assert parts.variance[0] == pytest.approx(0.4 * df2 / (80 - df2), rel=1e-9)
    assert parts.signal_loss[0] == pytest.approx(0, abs=1e-12)
    assert parts.generator_noise[0] == 0


def test_isotropic_optimum_has_the_known_ridge_and_risk():
    # lambda = d sigma^2 / (T |w|^2); there the risk is |w|^2 kappa / (1 + kappa).
    chain = isotropic_chain(30, noise_var=0.7, n_train=45)
    best = 30 * 0.7 / 45
    assert optimal_ridge(chain)[0] == pytest.approx(best, rel=1e-6)
    kappa = solve_kappa(chain.eigenvalues, 45, best)
    assert expected_test_error(chain, best).total[0] == pytest.approx(kappa / (1 + kappa), rel=1e-9)


def test_least_squares_chain_is_exact_for_any_spectrum():
    # Sigma cancels: each generation adds sigma_0^2 d / (T_0 - d - 1).
    chain = power_law_chain(
        12, noise_var=0.5, n_train=40, generations=3, n_generator=30, generator_noise_var=2.0
    )
    expected = 0.5 * 12 / 27 + np.arange(4) * 2.0 * 12 / 17
    np.testing.assert_allclose(expected_test_error(chain).total, expected, rtol=1e-9)


def test_map_reduces_to_the_term_linear_in_generations():
    chain = power_law_chain(
        60, noise_var=0.2, n_train=80, generations=5, n_generator=120, generator_noise_var=0.3
    )
    kappa = solve_kappa(chain.eigenvalues, 80, 0.02)
    df2 = degrees_of_freedom(chain.eigenvalues, kappa, 2)
    leak = df2 * kappa**2 * np.sum((chain.eigenvalues + kappa) ** -2.0) / (80 - df2)
    slope = 0.3 * (df2 + leak) / (120 - 60 - 1)
    parts = expected_test_error(chain, 0.02)
    np.testing.assert_allclose(parts.generator_noise, slope * np.arange(6), rtol=1e-9)
    np.testing.assert_allclose(parts.signal_loss, 0, atol=1e-12)


def test_least_squares_on_bare_predictions_loses_nothing():
    chain = power_law_chain(10, noise_var=1.0, n_train=30, generations=4, generator_noise_var=0.0)
    total = expected_test_error(chain, 0.1).total
    np.testing.assert_allclose(total, total[0], rtol=1e-12)


def test_uneven_label_noise_counts_once_for_each_generator():
    chain = isotropic_chain(
        10, noise_var=0.0, n_train=50, generations=3, n_generator=31, generator_noise_var=[1, 0, 2]
    )
    np.testing.assert_allclose(expected_test_error(chain).total, [0, 0.5, 0.5, 1.5], atol=1e-12)


def test_by_default_generators_see_the_labels_of_the_fit_they_replace():
    chain = isotropic_chain(5, noise_var=[1.0, 2.0, 3.0], n_train=20, generations=2)
    assert chain.generator_noises.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("n_train", "n_generator"), [(800, 200), (800, 600), (200, 200), (200, 600)]
)
def test_ridgeless_isotropic_chains_agree_with_the_exact_formula(n_train, n_generator):
    chain = isotropic_chain(
        400, noise_var=0.2, n_train=n_train, generations=4, n_generator=n_generator,
        generator_noise_var=0.5,
    )  # fmt: skip
    exact = [
        isotropic_chain_error(
            400, n, signal=1.0, noise_var=0.2, n_train=n_train, n_generator=n_generator,
            generator_noise_var=0.5,
        )
        for n in range(5)
    ]  # fmt: skip
    np.testing.assert_allclose(expected_test_error(chain).total, exact, rtol=0.01)


def test_few_rows_lose_the_signal_exponentially_fast():
    # Without noise the last of n + 1 fits keeps (T / d)^(n + 1) of the squared length.
    chain = isotropic_chain(40, noise_var=0.0, n_train=20, generations=5)
    expected = 1 - 0.5 ** np.arange(1, 7)
    np.testing.assert_allclose(expected_test_error(chain).total, expected, rtol=1e-9)


def test_errors_are_infinite_at_interpolation():
    exact = isotropic_chain_error(
        10, 1, signal=1.0, noise_var=1.0, n_train=50, n_generator=11, generator_noise_var=1.0
    )
    chain = isotropic_chain(10, noise_var=1.0, n_train=50, generations=1, n_generator=11)
    assert exact == np.inf
    assert expected_test_error(chain).total[1] == np.inf


@pytest.mark.parametrize(("n_features", "n_train"), [(20, 50), (50, 20)])
def test_one_design_for_all_fits_only_adds_label_noise(n_features, n_train):
    chain = power_law_chain(
        n_features, noise_var=0.2, n_train=n_train, generations=3, generator_noise_var=0.5,
        design="same",
    )  # fmt: skip
    total = expected_test_error(chain, 0.05).total
    for n in range(4):
        clean = power_law_chain(n_features, noise_var=0.2 + 0.5 * n, n_train=n_train)
        assert total[n] == pytest.approx(expected_test_error(clean, 0.05).total[0], rel=1e-9)


def test_one_design_hands_noiseless_fits_on_unchanged():
    chain = power_law_chain(30, noise_var=0.0, n_train=12, generations=3, design="same")
    errors = simulate_chain(np.random.default_rng(0), chain, 0.1, replicates=5)[0]
    np.testing.assert_allclose(errors, errors[:, :1] * np.ones(4), rtol=1e-6)


@pytest.mark.parametrize(
    "setting",
    [
        {"generations": -1},
        {"noise_var": -1.0},
        {"noise_var": [1.0, 2.0, 3.0], "generations": 1},
        {"generations": 2, "generator_noise_var": [1.0]},
        {"coefficients": [1.0]},
        {"design": "same", "n_generator": 9},
        {"design": "same", "generator_ridge": 0.1},
    ],
)
def test_chains_that_make_no_sense_are_refused(setting):
    sound = {"spectrum": [1.0, 1.0], "coefficients": [1.0, 1.0], "noise_var": 1.0, "n_train": 10}
    with pytest.raises(InputError):
        Chain(**{**sound, **setting})


# --- the expected error: simulation ---------------------------------------------------------------

SETTINGS = {
    "least squares": (isotropic_chain, 8, 0.0, {"n_train": 50, "n_generator": 30}),
    "one feature": (isotropic_chain, 1, 0.0, {"n_train": 20, "n_generator": 12}),
    "power law and ridge": (power_law_chain, 60, 0.02, {"n_train": 80, "n_generator": 120}),
    "last fit with few rows": (power_law_chain, 90, 0.02, {"n_train": 60, "n_generator": 180}),
    "generators with few rows": (power_law_chain, 90, 0.05, {"n_train": 120, "n_generator": 60}),
    "generators with ridge": (
        power_law_chain, 60, 0.02, {"n_train": 90, "n_generator": 50, "generator_ridge": 0.05},
    ),
    "same design": (power_law_chain, 40, 0.05, {"n_train": 60, "design": "same"}),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_theory_equals_simulation(name):
    make, n_features, ridge, rest = SETTINGS[name]
    chain = make(n_features, noise_var=0.2, generations=3, generator_noise_var=0.3, **rest)
    expected = expected_test_error(chain, ridge).total
    replicates = 4000 if n_features < 10 else 400
    errors = simulate_chain(np.random.default_rng(5), chain, ridge, replicates=replicates)[0]
    standard_error = errors.std(axis=0, ddof=1) / np.sqrt(replicates)
    # Exact without ridge; otherwise the deterministic equivalent is off by the order of 1 / T.
    bias = 0.0 if ridge == 0 else 0.03 * expected
    assert np.all(np.abs(errors.mean(axis=0) - expected) < 4 * standard_error + bias)
    assert np.all(standard_error < 0.05 * expected)


def test_deterministic_equivalent_improves_with_size():
    # The exact isotropic formula shows the order-1 / T error of a fit with few rows.
    gaps = []
    for scale in (1, 4, 16):
        chain = isotropic_chain(
            20 * scale, noise_var=0.1, n_train=40 * scale, generations=2, n_generator=10 * scale,
            generator_noise_var=0.4,
        )  # fmt: skip
        exact = isotropic_chain_error(
            20 * scale, 2, signal=1.0, noise_var=0.1, n_train=40 * scale,
            n_generator=10 * scale, generator_noise_var=0.4,
        )  # fmt: skip
        gaps.append(abs(expected_test_error(chain).total[-1] / exact - 1))
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2]


@pytest.mark.parametrize(("n_rows", "ridge"), [(30, 0.2), (8, 0.2), (30, 0.0)])
def test_fits_equal_those_of_scikit_learn(n_rows, ridge):
    rng = np.random.default_rng(3)
    design, labels = rng.standard_normal((2, n_rows, 12)), rng.standard_normal((2, n_rows, 1))
    ours = _ridge_fits(design, labels, ridge, singular=False)
    for one, x, y in zip(ours, design, labels, strict=True):
        theirs = Ridge(alpha=ridge * n_rows, fit_intercept=False, solver="svd").fit(x, y.ravel())
        np.testing.assert_allclose(one, theirs.coef_, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("n_rows", [30, 8])
def test_repeated_rows_get_the_fit_of_least_norm(n_rows):
    rng = np.random.default_rng(4)
    design = np.repeat(rng.standard_normal((1, n_rows // 2, 12)), 2, axis=1)
    labels = rng.standard_normal((1, n_rows, 1))
    ours = _ridge_fits(design, labels, 0.0, singular=True)[0]
    theirs = np.linalg.lstsq(design[0], labels[0, :, 0], rcond=None)[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


def test_batches_of_chains_and_rules_share_their_draws():
    chain = power_law_chain(5, noise_var=0.1, n_train=15, generations=2)
    rules = [[0.1, 0.1, 0.1], [0.1, 0.1, 0.5]]
    errors = simulate_chain(np.random.default_rng(0), chain, rules, replicates=7)
    assert errors.shape == (2, 7, 3)
    np.testing.assert_array_equal(errors[0, :, :2], errors[1, :, :2])
    assert not np.any(errors[0, :, 2] == errors[1, :, 2])


# --- the best ridge and exponents -----------------------------------------------------------------


@pytest.mark.parametrize("n_train", [40, 150])
def test_no_other_ridge_beats_the_optimum(n_train):
    chain = power_law_chain(
        80, noise_var=0.1, n_train=n_train, generations=3, n_generator=100, generator_noise_var=0.5
    )
    best = optimal_ridge(chain)
    least = expected_test_error(chain, best).total
    for ridge in np.geomspace(1e-4, 10, 40):
        assert np.all(expected_test_error(chain, ridge).total >= least * (1 - 1e-9))
    assert np.all(np.diff(best) > 0)


def test_without_noise_and_with_rows_enough_no_ridge_is_best():
    chain = power_law_chain(10, noise_var=0.0, n_train=30)
    assert optimal_ridge(chain)[0] == 0


@pytest.mark.parametrize("rows", [None, 0.5, 0.8, 1.0, 1.4])
@pytest.mark.parametrize(("capacity", "source"), [(1.5, 0.5), (2.0, 0.3), (1.2, 1.6)])
def test_adaptive_exponent_is_where_the_error_decays_fastest(capacity, source, rows):
    adaptive = adaptive_ridge_exponent(capacity, source, 1.0 if rows is None else rows)
    reached = error_exponent(adaptive, capacity, source, rows)
    rates = [error_exponent(x, capacity, source, rows) for x in np.linspace(0, capacity, 501)]
    assert max(rates) <= reached + 1e-12
    # In closed form 2 beta r c / (2 beta r + 1), with r and c capped at 1.
    both = 2 * capacity * min(source, 1.0)
    assert reached == pytest.approx(both * min(rows or 1.0, 1.0) / (both + 1))


@pytest.mark.parametrize("rows", [None, 0.7])
@pytest.mark.parametrize("exponent", [0.42, 0.6])
def test_exponents_are_those_of_the_formula(exponent, rows):
    def error(n_train: float) -> float:
        n_generator = round(n_train ** (rows or 1.0))
        chain = power_law_chain(
            min(n_generator // 2, 100_000), 1.5, 0.5, noise_var=0.5, n_train=round(n_train),
            generations=1, n_generator=n_generator,
        )  # fmt: skip
        return expected_test_error(chain, n_train**-exponent).total[1 if rows else 0]

    slope = np.log(error(1e5) / error(1e7)) / np.log(100)
    assert slope == pytest.approx(error_exponent(exponent, 1.5, 0.5, rows), abs=0.02)


def test_optimal_ridge_follows_the_adaptive_exponent():
    best = [
        optimal_ridge(
            power_law_chain(
                n_generator // 2, 1.5, 0.5, noise_var=0.5, n_train=n_train, generations=1,
                n_generator=n_generator,
            )
        )
        for n_train, n_generator in ((10**4, round(1e4**0.7)), (10**6, round(1e6**0.7)))
    ]  # fmt: skip
    exponents = np.log(best[0] / best[1]) / np.log(100)
    assert exponents == pytest.approx([0.6, 0.42], abs=0.02)


# --- the recipe -----------------------------------------------------------------------------------


def diabetes() -> pd.DataFrame:
    return load_diabetes(as_frame=True).frame


def last(result: Result, column: str, rule: int) -> float:
    return float(result.table.groupby("ridge_rule", sort=False)[column].last().iloc[rule])


def test_noise_and_bare_predictions_have_their_closed_form():
    # Least squares on 442 rows and 10 features: every error is s^2 10 / (442 - 10 - 1), with
    # bare predictions as labels at all generations, and n + 1 times that with noisy ones.
    frame = diabetes()
    design = np.column_stack([np.ones(len(frame)), frame.drop(columns="target")])
    rss = np.linalg.lstsq(design, frame.target, rcond=None)[1][0]
    unit = rss / (442 - 11) * 10 / 431
    bare = collapse_curve(
        frame, ridge=0.0, generator_noise=0.0, generations=3, replicates=20, rng=0
    )
    np.testing.assert_allclose(bare.table.error[:4], unit, rtol=1e-9)
    noisy = collapse_curve(frame, ridge=0.0, generations=3, replicates=20, rng=0)
    np.testing.assert_allclose(noisy.table.error[:4], unit * np.arange(1, 5), rtol=1e-9)
    assert noisy.details["noise_sd"] == pytest.approx(np.sqrt(rss / 431), rel=1e-9)


def test_example_growth_is_mended_by_the_adapted_ridge_in_theory_and_simulation():
    result = collapse_curve.run_example(generations=6, replicates=60)
    assert last(result, "error", 1) < last(result, "error", 0)
    assert last(result, "gaussian", 1) < last(result, "gaussian", 0)
    assert last(result, "resampled", 1) < last(result, "resampled", 0)
    assert result.status.value == "ok"
    assert result.value("growth, ridge as on true labels").estimate == pytest.approx(
        last(result, "error", 0) / result.table.error[0]
    )
    parts = ["bias", "variance", "signal_loss", "generator_noise"]
    np.testing.assert_allclose(result.table[parts].sum(axis=1), result.table.error, rtol=1e-9)


def test_units_of_target_and_features_do_not_matter():
    frame = diabetes()[["bmi", "bp", "target"]]
    one = collapse_curve(frame, generations=2, replicates=20, rng=1)
    scaled = frame.assign(bmi=frame.bmi * 1000 - 7, target=frame.target * 10 + 5)
    other = collapse_curve(scaled, generations=2, replicates=20, rng=1)
    for column in ("error", "gaussian", "resampled", "high"):
        np.testing.assert_allclose(other.table[column], 100 * one.table[column], rtol=1e-6)
    np.testing.assert_allclose(other.table.ridge, one.table.ridge, rtol=1e-6)


def test_features_that_follow_from_others_change_nothing_but_a_notice():
    frame = diabetes()[["bmi", "bp", "target"]]
    plain = collapse_curve(frame, ridge=0.0, generations=2, replicates=20, rng=1)
    more = frame.assign(both=frame.bmi + frame.bp)
    result = collapse_curve(more, ridge=0.0, generations=2, replicates=20, rng=1)
    np.testing.assert_allclose(result.table.error[:3], plain.table.error[:3], rtol=1e-9)
    assert [notice.code for notice in result.warnings] == ["collinear-features"]


def test_heavy_tailed_features_and_few_rows_are_called_doubtful():
    rng = np.random.default_rng(0)
    x = rng.standard_t(2, size=(300, 4)) ** 3
    frame = pd.DataFrame(x, columns=list("abcd")).assign(y=x @ np.ones(4) + rng.normal(size=300))
    result = collapse_curve(frame, n_train=12, ridge=0.0, generations=2, replicates=200, rng=0)
    assert result.status.value == "assumption doubtful"


def test_few_generator_rows_lose_signal():
    frame = diabetes()
    result = collapse_curve(frame, n_train=60, n_generator=5, generations=3, replicates=40, rng=0)
    lost = result.table.signal_loss[:4]
    assert lost[0] == pytest.approx(0, abs=1e-6)
    assert np.all(np.diff(lost) > 0)


@pytest.mark.parametrize(("n_rows", "chains"), [(442, 200), (200_000, 23), (10**7, 20)])
def test_large_tables_get_fewer_chains(n_rows, chains):
    # 10^9 values over 2 kinds of chain, 2 * 10 + 1 fits each, of n_rows * 5 values.
    plan = _Plan(n_rows, n_rows, generations=10, ridge=None, generator_noise=None)
    assert _default_replicates(plan, n_features=5) == chains


def test_result_survives_json_and_repeats_with_its_seed():
    frame = diabetes()
    one = collapse_curve(frame, generations=2, replicates=20, rng=3)
    again = collapse_curve(frame, generations=2, replicates=20, rng=3)
    pd.testing.assert_frame_equal(one.table, again.table)
    back = Result.from_json(one.to_json())
    assert back.headline == one.headline
    assert len(back.plot().axes) == 2


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda f: f.assign(bmi=1.0), InputError),
        (lambda f: f.head(14), InputError),
        (lambda f: f.assign(target=f.bmi - 2 * f.bp), AssumptionError),
    ],
)
def test_tables_without_an_answer_are_refused(change, error):
    with pytest.raises(error):
        collapse_curve(change(diabetes()), generations=1, replicates=20, rng=0)


@pytest.mark.parametrize(
    "options", [{"n_generator": 12}, {"n_train": 8, "n_generator": 30, "ridge": 0.0}]
)
def test_fits_at_interpolation_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        collapse_curve(diabetes(), generations=1, replicates=20, rng=0, **options)
