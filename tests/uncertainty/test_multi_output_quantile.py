"""Regions for several responses, against closed forms, reductions and exchangeability."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from statlas.core import InputError
from statlas.core.examples import example_path
from statlas.core.numerics.conformal import conformal_quantile
from statlas.models.training import TrainingPlan
from statlas.uncertainty.multi_output_quantile import (
    BoxRegressor,
    DirectionalQuantiles,
    EllipsoidRegressor,
    MultiOutputQuantileRegressor,
    PointRegion,
    curved_band,
    ellipsoid_volume,
    response_region,
    sphere_directions,
    unit_points,
    worst_slab_coverage,
)
from statlas.uncertainty.multi_output_quantile.diagnostics import lowest_mean

LIGHT = {"epochs": 3, "width": 8, "batch_size": 64, "random_state": 0}
POINTS = {"n_points": 128, "n_directions": 16}


def small(**given):
    return MultiOutputQuantileRegressor(**(LIGHT | POINTS | given))


@pytest.fixture(scope="module")
def band():
    x, y = curved_band(np.random.default_rng(0), 400)
    return x, y, small(epochs=20, width=16, n_points=256).fit(x[:300], y[:300])


UNIT = unit_points(4096, 2, np.random.default_rng(1))

# --- regions of points ---------------------------------------------------------------------------


def disc(n=4096, radius=1.0):
    points = 2 * unit_points(n, 2, np.random.default_rng(0)) - 1
    return PointRegion(radius * points[np.hypot(*points.T) <= 1], UNIT)


@pytest.mark.parametrize("radius", [0.5, 0.2, 0.0, -0.2, -0.5])
def test_area_of_a_grown_or_shrunk_disc_is_that_of_a_disc(radius):
    """Between pi (1 + r)^2 and, where the cloud's reach counts, pi (1 + reach + r)^2."""
    region = disc()
    area, error = region.volume(radius, 20_000, np.random.default_rng(2))
    wider = radius if radius > region.reach else radius + region.reach
    assert area > np.pi * (1 + radius) ** 2 * 0.97 - 4 * error
    assert area < np.pi * (1 + wider) ** 2 * 1.03 + 4 * error


def test_signed_distance_from_a_disc_is_the_closed_form():
    y = np.random.default_rng(3).uniform(-2, 2, (300, 2))
    exact = np.hypot(*y.T) - 1
    assert np.abs(disc().signed_distance(y) - exact).max() < 0.08


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 4), st.floats(-1, 1), st.integers(0, 10_000))
def test_contains_agrees_with_the_signed_distance_and_regions_are_nested(m, d, radius, seed):
    rng = np.random.default_rng(seed)
    region = PointRegion(rng.normal(size=(m, d)), unit_points(64, d, rng))
    y = rng.normal(size=(40, d)) * 2
    inside = region.contains(y, radius)
    assert (inside == (region.signed_distance(y) <= radius)).all()
    assert (region.contains(y, radius + 0.3) | ~inside).all()


def test_monte_carlo_area_is_within_its_error():
    """Four standard errors, 20 draws: false alarm about 1 in 800."""
    region = disc(256)
    found = [region.volume(0.1, 500, np.random.default_rng(s)) for s in range(20)]
    precise = region.volume(0.1, 200_000, np.random.default_rng(99))[0]
    assert all(abs(area - precise) < 4 * error + 0.01 for area, error in found)


# --- directional quantiles ------------------------------------------------------------------------


def test_directional_quantiles_of_a_normal_bound_a_disc():
    """u'z of a standard normal z has tau-quantile Phi^-1(tau) in every direction u."""
    rng = np.random.default_rng(0)
    x = np.zeros((2000, 1))
    model = DirectionalQuantiles(sphere_directions(2, 32, rng), 0.1)
    plan = TrainingPlan(epochs=8, batch_size=128, learning_rate=1e-2)
    model.fit(x, lambda rows, source: source.normal(size=(len(rows), 2)), 16, plan, rng)
    assert model.predict(x[:1]) == pytest.approx(np.full((1, 32), norm.ppf(0.1)), abs=0.2)


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
def test_directions_are_unit_vectors(dimension):
    u = sphere_directions(dimension, 20, np.random.default_rng(0))
    assert np.linalg.norm(u, axis=1) == pytest.approx(np.ones(len(u)))


def test_one_target_is_a_conformalised_quantile_interval():
    """With the identity the region is [q_lo - Q, q_hi + Q], up to the spacing of the points."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (400, 1))
    y = x[:, 0] + (0.3 + 0.2 * x[:, 0]) * rng.normal(size=400)
    model = small(representation="identity", n_points=2048, epochs=15).fit(x[:200], y[:200])
    held_x, held_y = x[200:260], y[200:260]
    model.calibrate(held_x, held_y)
    low, minus_high = model.quantiles_.predict(model.feature_scaler_(held_x)).T
    scaled = model.target_scaler_(held_y[:, None])[:, 0]
    q = conformal_quantile(np.maximum(low - scaled, scaled + minus_high), 0.9)
    assert model.radius_ == pytest.approx(q, abs=0.02)
    low, minus_high = model.quantiles_.predict(model.feature_scaler_(x[360:])).T
    exact = (-minus_high - low + 2 * q) * model.target_scaler_.spread[0]
    found = model.area(x[360:], n_draws=4000)
    assert (np.abs(found.area - exact) < 0.03 + 5 * found.error).all()


# --- calibration ----------------------------------------------------------------------------------


def test_radius_is_the_conformal_quantile_of_all_scores(band):
    x, y, model = band
    model.calibrate(x[300:], y[300:])
    scores = model.conformity(x[300:], y[300:])
    assert model.radius_ == conformal_quantile(scores, 0.9)
    assert (model.contains(x, y) == (model.conformity(x, y) <= model.radius_)).all()


@pytest.mark.parametrize("shift", [-1.0, 0.0, 2.0])
def test_coverage_is_exact_whether_the_region_grows_or_shrinks(band, shift):
    """Over all splits of a pool coverage is 54 / 60; 300 splits: six standard errors allowed."""
    model = copy.copy(band[2])
    model.along_ = model.along_ + shift
    rng = np.random.default_rng(5)
    scores = model.conformity(*curved_band(rng, 120))
    shares = []
    for _ in range(300):
        order = rng.permutation(120)
        radius = conformal_quantile(scores[order[:59]], 0.9)
        shares.append((scores[order[59:]] <= radius).mean())
    assert np.mean(shares) == pytest.approx(0.9, abs=6 * np.std(shares) / np.sqrt(300))


def test_shrinking_is_asked_for_by_a_region_that_holds_too_much(band):
    x, y, model = band
    wide = copy.copy(model)
    wide.level = 0.4
    wide.calibrate(x[300:], y[300:])
    assert wide.initial_coverage_ > 0.4
    assert wide.radius_ < 0
    assert wide.radius_ == conformal_quantile(wide.conformity(x[300:], y[300:]), 0.4)
    assert 0.4 <= wide.contains(x[300:], y[300:]).mean() < 0.45


def test_too_few_calibration_rows_give_the_whole_space():
    x, y = curved_band(np.random.default_rng(0), 20)
    model = small().fit(x, y)
    assert model.radius_ == np.inf
    assert model.contains(x, 100 + y).all()
    assert np.isinf(model.area(x).area).all()


def test_area_agrees_with_a_grid(band):
    x, _, model = band
    axis = np.linspace(-6, 6, 241)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    inside = model.contains_each(x[:4], grid).sum(axis=1) * 0.05**2
    found = model.area(x[:4], n_draws=20_000)
    assert found.area == pytest.approx(inside, rel=0.05)


def test_the_point_prediction_is_in_the_region(band):
    x, _, model = band
    assert model.contains(x[:40], model.predict(x[:40])).all()


def test_rows_do_not_depend_on_each_other(band):
    x, y, model = band
    assert (model.contains(x[:30], y[:30])[7:9] == model.contains(x[7:9], y[7:9])).all()
    assert model.predict(x[:30])[7:9] == pytest.approx(model.predict(x[7:9]), abs=1e-12)


@pytest.mark.parametrize("d", [1, 3, 4])
def test_membership_and_area_in_other_dimensions(d):
    rng = np.random.default_rng(d)
    x = rng.normal(size=(120, 2))
    y = x[:, :1] + rng.normal(size=(120, d))
    model = small().fit(x, y)
    assert model.contains(x, y).mean() > 0.8
    areas = model.area(x[:5])
    assert (areas.area > 0).all()
    assert (areas.error < areas.area).all()


# --- what it is compared with ---------------------------------------------------------------------


def test_volume_of_an_ellipsoid_in_three_dimensions():
    root = np.array([[2.0, 0, 0], [1.0, 1.0, 0], [0.3, 0.2, 0.5]])
    assert ellipsoid_volume(root, 2.0) == pytest.approx(4 / 3 * np.pi * 8 * 1.0)


def test_ellipsoid_of_a_normal_has_the_area_of_its_ellipse():
    """Mahalanobis radius sqrt(chi2_2(0.9)): area pi 4.605 |Sigma|^(1/2); sampling allowed for."""
    rng = np.random.default_rng(0)
    root = np.array([[1.0, 0.0], [0.8, 0.6]])
    x = rng.normal(size=(4000, 1))
    model = EllipsoidRegressor(epochs=3, width=4, random_state=0)
    model.fit(x, rng.normal(size=(4000, 2)) @ root.T)
    assert model.area(x[:1]).area[0] == pytest.approx(np.pi * 4.605 * 0.6, rel=0.12)


def test_box_score_radius_and_area_belong_together():
    x, y = curved_band(np.random.default_rng(1), 200)
    model = BoxRegressor(**LIGHT).fit(x, y)
    box = model.predict_box(x)
    inside = ((box[..., 0] <= y) & (y <= box[..., 1])).all(axis=1)
    assert (inside == model.contains(x, y)).all()
    assert model.area(x).area == pytest.approx((box[..., 1] - box[..., 0]).prod(axis=1))


# --- diagnostics ----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 1), min_size=1, max_size=25), st.integers(1, 8))
def test_lowest_mean_is_that_of_all_long_enough_runs(values, shortest):
    shortest = min(shortest, len(values))
    array = np.array(values, dtype=float)
    runs = [
        array[a:b].mean() for a in range(len(values)) for b in range(a + shortest, len(values) + 1)
    ]
    assert lowest_mean(array, shortest)[0] == pytest.approx(min(runs))


def test_worst_slab_of_even_coverage_is_not_far_below_it():
    """500 rows judge a slab of a fifth or more: 0.78 is four standard errors below 0.9."""
    rng = np.random.default_rng(0)
    found = worst_slab_coverage(rng.normal(size=(1000, 3)), rng.uniform(size=1000) < 0.9, rng)
    assert found.coverage > 0.78
    assert found.found < found.coverage


# --- estimators -----------------------------------------------------------------------------------


@pytest.fixture
def kept_numpy_state():
    """scikit-learn's own checks seed numpy's global generator; put it back."""
    state = np.random.get_state()  # noqa: NPY002
    yield
    np.random.set_state(state)  # noqa: NPY002


@pytest.mark.usefixtures("kept_numpy_state")
@pytest.mark.parametrize("kind", [MultiOutputQuantileRegressor, BoxRegressor, EllipsoidRegressor])
def test_rules_of_scikit_learn_hold(kind):
    few = {"n_points": 32, "n_directions": 8} if kind is MultiOutputQuantileRegressor else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(kind(epochs=2, width=4, **few), on_fail=None)
    failed = [r["check_name"] for r in results if r["status"] not in ("passed", "skipped")]
    assert len(results) > 40
    assert failed == []


def test_works_in_a_pipeline_and_a_grid_search():
    x, y = curved_band(np.random.default_rng(0), 80)
    pipeline = make_pipeline(StandardScaler(), small())
    name = "multioutputquantileregressor__latent_dim"
    search = GridSearchCV(pipeline, {name: [1, 2]}, cv=2).fit(x, y)
    assert search.predict(x).shape == (80, 2)


@pytest.mark.parametrize(
    "given",
    [
        {"level": 1.0}, {"calibration": 0.0}, {"representation": "pca"}, {"latent_dim": 0},
        {"direction_level": 0.6}, {"epochs": 0}, {"learning_rate": 0.0}, {"kl_weight": -1.0},
    ],
)  # fmt: skip
def test_bad_parameters_are_refused(given):
    x, y = curved_band(np.random.default_rng(0), 30)
    with pytest.raises(InputError):
        small(**given).fit(x, y)


def test_responses_of_another_shape_are_refused(band):
    x, y, model = band
    with pytest.raises(InputError, match="shape"):
        model.contains(x[:3], y[:3, :1])


# --- recipe ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def birds():
    return pd.read_csv(example_path("penguins.csv"))


def run(frame, **given):
    options = {"epochs": 2, "n_points": 64, "rng": 0}
    return response_region(frame, **(options | given))


def test_recipe_reads_a_table_with_other_names_and_three_targets(birds):
    frame = birds.rename(columns={"bill_length_mm": "Länge", "bill_depth_mm": "Tiefe"})
    frame = frame[["Länge", "Tiefe", "flipper_length_mm", "body_mass_g", "year"]]
    result = run(frame, targets=["Länge", "Tiefe", "body_mass_g"])
    assert list(result.table["region"]) == ["learned", "directional", "box", "ellipsoid"]
    assert result.plot().axes[0].get_xlabel() == "Länge"


def test_recipe_wants_the_targets_named(birds):
    with pytest.raises(InputError, match="both a target and a feature"):
        run(birds[["bill_length_mm", "bill_depth_mm", "body_mass_g"]])


def test_recipe_refuses_a_constant_target(birds):
    with pytest.raises(InputError, match="constant"):
        run(birds.assign(one=1.0), targets="bill_length_mm,one", features="body_mass_g")


def test_recipe_refuses_a_level_that_its_rows_cannot_promise(birds):
    with pytest.raises(InputError, match="calibrate"):
        run(
            birds.head(40), level=0.99, targets="bill_length_mm,bill_depth_mm",
            features="body_mass_g",
        )  # fmt: skip
