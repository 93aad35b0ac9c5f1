"""Small proportions in small domains: closed forms, published numbers, planted truth, bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from statlas.core.errors import InputError
from statlas.core.examples import example_path
from statlas.core.results import Status
from statlas.statistics import small_domain_proportions
from statlas.statistics.composite_small_area.claims import simulate
from statlas.statistics.composite_small_area.estimators import (
    adaptive_delta,
    components,
    composite,
    composite_mse,
    direct_estimates,
    optimal_weight,
    size_weight,
)
from statlas.statistics.composite_small_area.fay_herriot import (
    fit_fay_herriot,
    restricted_log_likelihood,
    weighted_regression,
)

# Average expenditure on milk in 43 areas of four major areas (US Consumer Expenditure Survey 1989,
# Arora and Lahiri 1997), as samplics 0.6.1 (MIT) ships them: thousandths of estimate and error.
MILK_ESTIMATE = (
    "1099 1075 1105 628 753 981 1257 1095 1405 1356 615 1460 1338 854 1176 1111 1257 1430 1278 "
    "1292 1002 1183 1044 1267 1193 791 795 759 796 565 886 952 807 582 684 787 440 759 770 800 "
    "756 865 640"
)
MILK_ERROR = (
    "163 80 83 109 119 141 202 127 168 178 100 201 148 143 149 145 135 172 137 163 125 247 140 171 "
    "106 121 121 259 106 89 225 205 119 67 106 126 92 132 100 113 83 121 129"
)
MILK_AREAS = np.repeat([0, 1, 2, 3], [7, 7, 11, 18])


def milk() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    estimate = np.array(MILK_ESTIMATE.split(), dtype=float) / 1000
    error = np.array(MILK_ERROR.split(), dtype=float) / 1000
    return estimate, error**2, np.eye(4)[MILK_AREAS]


# --- Fay-Herriot -------------------------------------------------------------------------------


def test_milk_variance_is_the_published_one() -> None:
    """0.01855022 is quoted for the R package sae (stops at 1e-4), 0.01855033 is samplics'."""
    fit = fit_fay_herriot(*milk())
    assert float(fit.between) == pytest.approx(0.01855022, abs=2e-7)
    assert float(fit.between) == pytest.approx(0.01855033, abs=1e-8)


def test_the_fitted_variance_is_the_top_of_the_restricted_likelihood() -> None:
    y, psi, x = milk()
    top = optimize.minimize_scalar(
        lambda s: -float(restricted_log_likelihood(s, y, psi, x)),
        bounds=(0, 0.1),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert float(fit_fay_herriot(y, psi, x).between) == pytest.approx(top.x, abs=1e-7)


def test_equal_variances_give_the_closed_form() -> None:
    """REML is then max(0, residual mean square - psi), and EBLUP shrinks by psi over the total."""
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(30), rng.normal(size=30)])
    y = x @ [1.0, -0.5] + rng.normal(0, 1.2, 30)
    beta = np.linalg.lstsq(x, y, rcond=None)[0]
    mean_square = ((y - x @ beta) ** 2).sum() / 28
    fit = fit_fay_herriot(y, np.full(30, 0.4), x)
    assert float(fit.between) == pytest.approx(mean_square - 0.4, rel=1e-9)
    np.testing.assert_allclose(fit.estimate, x @ beta + (1 - 0.4 / mean_square) * (y - x @ beta))
    # Prasad and Rao's terms in the balanced case.
    hat = np.diag(x @ np.linalg.inv(x.T @ x) @ x.T)
    shrink = 0.4 / mean_square
    g3 = 0.4**2 / mean_square**3 * 2 * mean_square**2 / 30
    expected = (1 - shrink) * 0.4 + shrink**2 * hat * mean_square + 2 * g3
    np.testing.assert_allclose(fit.mse, expected, rtol=1e-9)


def test_no_spread_gives_variance_zero_and_the_regression() -> None:
    fit = fit_fay_herriot([1.0, 1.1, 0.9, 1.0], np.ones(4), np.ones((4, 1)))
    assert float(fit.between) == 0
    np.testing.assert_allclose(fit.estimate, 1.0)


def test_areas_without_a_sample_change_nothing_and_get_the_synthetic() -> None:
    y, psi, x = milk()
    fit = fit_fay_herriot(y, psi, x)
    more = fit_fay_herriot(np.append(y, 9.0), np.append(psi, np.inf), np.vstack([x, x[:1]]))
    assert float(more.between) == pytest.approx(float(fit.between), rel=1e-9)
    np.testing.assert_allclose(more.estimate[:-1], fit.estimate, rtol=1e-9)
    assert more.estimate[-1] == pytest.approx(float(fit.coefficients[0]))
    assert more.mse[-1] > more.mse[:7].max()


def test_many_tables_at_once_equal_one_by_one() -> None:
    surveys = simulate(np.random.default_rng(2))
    parts = surveys.parts()
    batch = fit_fay_herriot(parts.direct, parts.variance, surveys.covariates)
    for row in (0, 7):
        one = fit_fay_herriot(parts.direct[row], parts.variance[row], surveys.covariates)
        np.testing.assert_allclose(batch.estimate[row], one.estimate, rtol=1e-6)
        np.testing.assert_allclose(batch.mse[row], one.mse, rtol=1e-5)


def test_bad_variances_are_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        fit_fay_herriot([1.0, 2.0, 3.0], [1.0, 0.0, 1.0], np.ones((3, 1)))
    with pytest.raises(ValueError, match="more areas"):
        fit_fay_herriot([1.0, 2.0], [1.0, 1.0], np.eye(2))


# --- direct and synthetic ----------------------------------------------------------------------


def test_direct_estimates_by_hand() -> None:
    """Simple random sample of n from N: p, and (1 - n / N) p (1 - p) / (n - 1)."""
    y, domain = np.array([1, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 0, 1, 1])
    weight = np.array([5.0] * 4 + [3.0] * 2)
    estimate, variance = direct_estimates(y, weight, domain, 3)
    np.testing.assert_allclose(estimate, [0.25, 1.0, np.nan])
    np.testing.assert_allclose(variance, [(1 - 4 / 20) * 0.25 * 0.75 / 3, 0.0, np.nan])
    estimate, variance = direct_estimates(y, weight, domain, 3, sizes=[25, 5, 7])
    np.testing.assert_allclose(estimate, [0.2, 6 / 5, np.nan])
    np.testing.assert_allclose(variance, [5 * 4 / 25**2, 2 * 3 * 2 / 5**2, np.nan])


def test_horvitz_thompson_is_unbiased_under_poisson_sampling() -> None:
    """Four standard errors of 4,000 samples: false alarm rate 6e-5 for each of the two checks."""
    rng = np.random.default_rng(3)
    y = (rng.random(60) < 0.2).astype(float)
    chance = rng.uniform(0.2, 0.8, 60)
    drawn = rng.random((4_000, 60)) < chance
    results = [
        direct_estimates(y[s], 1 / chance[s], np.zeros(s.sum(), dtype=int), 1, [60]) for s in drawn
    ]
    estimate, variance = np.array(results)[:, :, 0].T
    assert abs(estimate.mean() - y.mean()) < 4 * estimate.std() / np.sqrt(4_000)
    exact = ((1 / chance - 1) * y).sum() / 60**2
    assert abs(variance.mean() - exact) < 4 * variance.std() / np.sqrt(4_000)


def test_weighted_regression_equals_numpy() -> None:
    rng = np.random.default_rng(4)
    x = np.column_stack([np.ones(12), rng.normal(size=(12, 2))])
    y, w = rng.normal(size=12), rng.uniform(0.5, 2, 12)
    fitted, spread, beta = weighted_regression(y, w, x)
    root = np.sqrt(w)
    expected = np.linalg.lstsq(x * root[:, None], y * root, rcond=None)[0]
    np.testing.assert_allclose(beta, expected)
    np.testing.assert_allclose(fitted, x @ expected)
    np.testing.assert_allclose(spread, np.diag(x @ np.linalg.inv(x.T * w @ x) @ x.T))


# --- the composition ---------------------------------------------------------------------------


def _parts(rng: np.random.Generator):
    n = rng.integers(0, 40, 30)
    n[:2] = 0, 25
    rate = rng.beta(1.5, 12, 30)
    direct = np.where(n > 0, rng.binomial(n, rate) / np.maximum(n, 1), np.nan)
    return components(direct, None, n, np.column_stack([np.ones(30), rng.normal(size=30)]))


def test_optimal_weight_minimises_the_mean_squared_error() -> None:
    parts = _parts(np.random.default_rng(5))
    weight = optimal_weight(parts)
    least = composite_mse(parts, weight)
    assert weight[0] == 0
    assert 0 < weight[1] < 1
    for shift in (-0.01, 0.01):
        other = composite_mse(parts, weight + shift)
        assert np.all(other[parts.sample > 0] > least[parts.sample > 0])


def test_mean_squared_error_at_the_ends() -> None:
    parts = _parts(np.random.default_rng(6))
    seen = parts.sample > 0
    np.testing.assert_allclose(composite_mse(parts, 1.0)[seen], parts.variance[seen])
    np.testing.assert_allclose(composite_mse(parts, 0.0), parts.synthetic_mse)
    np.testing.assert_allclose(composite(parts, 1.0)[seen], parts.direct[seen])
    np.testing.assert_allclose(composite(parts, 1.0)[~seen], parts.synthetic[~seen])


def test_size_weight_by_hand_and_adaptive_delta_by_search() -> None:
    np.testing.assert_allclose(size_weight([0.2, 0.9, 1.0, 2.0]), [0.2, 0.9, 1.0, 1.0])
    np.testing.assert_allclose(size_weight([0.2, 3.0], 2.0), [0.1, 1.0])
    parts = _parts(np.random.default_rng(7))
    ratio = parts.sample / parts.sample.mean()
    found = optimize.minimize_scalar(
        lambda log: composite_mse(parts, size_weight(ratio, np.exp(log))).sum(),
        bounds=(-4, 9),
        method="bounded",
    )
    ours = composite_mse(parts, size_weight(ratio, adaptive_delta(parts, ratio))).sum()
    assert ours <= found.fun * 1.001


def test_design_effect_and_bias_are_recovered() -> None:
    """Planted: design effect 2, bias b = 0.02, 4,000 domains of 10 to 200; within a tenth."""
    rng = np.random.default_rng(8)
    n = rng.integers(10, 200, 4_000)
    rate = np.clip(0.2 + rng.normal(0, np.sqrt(0.02 * 0.16), 4_000), 0.001, 0.999)
    variance = 2 * rate * (1 - rate) / n
    direct = rate + rng.normal(size=4_000) * np.sqrt(variance)
    parts = components(np.clip(direct, 0, 1), variance, n, np.ones((4_000, 1)))
    assert float(parts.design_effect) == pytest.approx(2, rel=0.1)
    assert float((parts.bias / (parts.synthetic * (1 - parts.synthetic))).mean()) == pytest.approx(
        0.02, rel=0.1
    )


def test_a_domain_without_a_case_is_not_zero_and_one_without_sample_is_synthetic() -> None:
    parts = components([0.0, 0.1, 0.3, 0.2, np.nan], None, [20, 20, 20, 20, 0], np.ones((5, 1)))
    estimate = composite(parts, optimal_weight(parts))
    assert 0 < estimate[0] < 0.1
    assert estimate[4] == pytest.approx(0.15, abs=0.01)


# --- the recipe --------------------------------------------------------------------------------


def example() -> pd.DataFrame:
    return pd.read_csv(example_path("domain_audit.csv"))


def test_the_example_is_nearer_to_the_recorded_truth_than_direct_estimates() -> None:
    scores = pd.read_csv(example_path("digits_scores.csv"))
    forest = scores[scores["model"] == "random-forest"]
    half = np.where(forest["digit"] <= 4, "0-4", "5-9")
    truth = 1 - forest["score"].groupby((forest["writer"] + " " + half).to_numpy()).mean()
    result = small_domain_proportions.run_example()
    table = result.table.set_index("domain").sort_index()
    truth = truth.sort_index()
    assert list(table.index) == list(truth.index)
    ours = np.sqrt(((table["composite"] - truth) ** 2).mean())
    direct = np.sqrt(((table["direct"] - truth) ** 2).mean())
    assert ours < 0.8 * direct
    covered = ((table["low"] <= truth) & (truth <= table["high"])).mean()
    assert covered >= 0.8


def test_units_and_domains_give_the_same() -> None:
    rng = np.random.default_rng(9)
    area = rng.integers(0, 20, 400)
    units = pd.DataFrame({"area": area, "y": (rng.random(400) < area / 60).astype(int)})
    table = units.groupby("area")["y"].agg(["mean", "size"]).reset_index()
    share = table["mean"]
    table["variance"] = share * (1 - share) / (table["size"] - 1)
    table = table.rename(columns={"mean": "estimate", "size": "n"})
    one = small_domain_proportions(units)
    two = small_domain_proportions(table)
    assert one.table["weight"].max() > 0
    first, second = (result.table.sort_values("domain", ignore_index=True) for result in (one, two))
    pd.testing.assert_frame_equal(first, second, rtol=1e-6)


def test_other_names_weights_that_are_relative_groups_and_unsampled_domains() -> None:
    frame = example().rename(columns={"domain": "Kreis", "error": "arbeitslos"})
    frame["weight"] /= frame["weight"].mean()
    frame["stratum"] = np.where(np.arange(len(frame)) % 2, "a", "b")
    extra = frame.iloc[:1].assign(Kreis="nowhere", weight=0.0, arbeitslos=0)
    frame = pd.concat([frame, extra], ignore_index=True)
    result = small_domain_proportions(
        frame, domain="Kreis", outcome="arbeitslos", covariates="centroid_error"
    )
    codes = {notice.code for notice in result.warnings}
    assert {"relative-weights", "no-sample", "zero-count"} <= codes
    row = result.table.set_index("domain").loc["nowhere"]
    assert row["weight"] == 0
    assert row["composite"] == row["synthetic"]
    assert np.isnan(row["direct"])


@pytest.mark.parametrize("composition", ["optimal", "adaptive-size", "size"])
@pytest.mark.parametrize("direct", ["hajek", "horvitz-thompson"])
def test_every_option_runs(composition: str, direct: str) -> None:
    result = small_domain_proportions(
        example(), outcome="error", composition=composition, direct=direct
    )
    assert result.table["composite"].between(0, 1).all()
    assert (result.table["low"] <= result.table["high"]).all()


def test_no_difference_between_domains_is_said() -> None:
    frame = pd.DataFrame({"area": np.repeat(np.arange(12), 10), "y": [1, *[0] * 9] * 12})
    result = small_domain_proportions(frame)
    assert result.status is Status.ASSUMPTION_DOUBTFUL
    np.testing.assert_allclose(result.table["composite"], 0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(error=0), "every outcome is 0"),
        (lambda t: t.assign(error=0.5), "0 or 1 a unit"),
        (lambda t: t.assign(size=np.arange(1, len(t) + 1)), "more than one value"),
        (lambda t: t.assign(centroid_error=1.0), "same"),
        (lambda t: t.assign(twice=2 * t["centroid_error"]), "determine one another"),
        (lambda t: t.assign(weight=0.0), "every weight is 0"),
        (lambda t: t.assign(n=5), "more than one row"),
        (lambda t: t[t["domain"].isin(["w01 0-4", "w02 0-4"])], "need at least"),
    ],
)
def test_bad_tables_are_refused(change, message: str) -> None:
    with pytest.raises(InputError, match=message):
        small_domain_proportions(change(example()), outcome="error")


def test_horvitz_thompson_needs_sizes() -> None:
    with pytest.raises(InputError, match="size"):
        small_domain_proportions(
            example().drop(columns="size"), outcome="error", direct="horvitz-thompson"
        )
