"""Modes of kernel densities: closed forms, identities, peers, bounds, bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from sklearn.cluster import MeanShift
from sklearn.datasets import load_iris, make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from statlas.core.errors import InputError
from statlas.core.results import Status
from statlas.statistics.kde_modes import (
    Kernel,
    SketchedModeFinder,
    density_bound,
    density_modes,
    kirszbraun_place,
    lift,
    lifting_loss,
    log_heights,
    mean_shift,
    sketch_size,
)

KERNELS = [
    Kernel("gaussian"), Kernel("logistic"), Kernel("sigmoid"), Kernel("generalised", 1.0),
    Kernel("generalised", 1.5), Kernel("generalised", 4.0),
]  # fmt: skip
by_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: f"{k.name}-{k.power:g}")


# --- kernels -------------------------------------------------------------------------------------


@by_kernel
def test_slope_is_the_derivative_and_elasticity_never_falls(kernel: Kernel) -> None:
    """Finite differences of the profile."""
    z = np.geomspace(1e-3, 300, 60)
    step = 1e-6 * z
    slope = -(kernel.log_profile(z + step) - kernel.log_profile(z - step)) / (2 * step)
    np.testing.assert_allclose(kernel.slope(z), slope, rtol=1e-6)
    assert np.all(np.diff(kernel.elasticity(z)) > 0)
    assert float(kernel.log_profile(0.0)) == pytest.approx(0.0, abs=1e-12)
    curvature = np.diff(np.diff(np.exp(kernel.log_profile(np.linspace(0, 20, 2_001)))))
    assert bool(np.all(curvature > -1e-12)) == kernel.is_convex


@by_kernel
def test_critical_distance_inverts_the_profile(kernel: Kernel) -> None:
    for value in (0.9, 1e-2, 1e-9):
        z = kernel.critical_distance(value)
        assert float(np.exp(kernel.log_profile(z))) == pytest.approx(value, rel=1e-8)


def test_masses_in_closed_form() -> None:
    """Gaussian (2 pi)^(d/2); logistic 4 and sigmoid pi on the line; exp(-r) in space 8 pi."""
    for d in (1, 3, 64):
        assert Kernel("gaussian").log_mass(d) == pytest.approx(d / 2 * np.log(2 * np.pi))
    assert Kernel("logistic").log_mass(1) == pytest.approx(np.log(4))
    assert Kernel("sigmoid").log_mass(1) == pytest.approx(np.log(np.pi))
    assert Kernel("generalised", 1.0).log_mass(3) == pytest.approx(np.log(8 * np.pi))


def test_unknown_kernels_are_refused() -> None:
    with pytest.raises(InputError, match="no kernel"):
        Kernel("box")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least 1"):
        Kernel("generalised", 0.5)


def test_generalised_gaussian_of_power_two_is_gaussian() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 3))
    np.testing.assert_allclose(
        log_heights(rows, rows, np.sqrt(2) * 0.7, Kernel("generalised", 2.0)),
        log_heights(rows, rows, 0.7, Kernel("gaussian")),
    )


def test_densities_are_scikit_learns() -> None:
    """Peer: KernelDensity, Gaussian and exponential kernels, in 5 dimensions."""
    X = np.random.default_rng(0).normal(size=(60, 5))
    new = np.vstack([X[:5] + 0.3, np.full((1, 5), 40.0)])
    for name, power, theirs in (("gaussian", 2.0, "gaussian"), ("generalised", 1.0, "exponential")):
        finder = SketchedModeFinder(name, power, bandwidth=0.8, random_state=0).fit(X)
        peer = KernelDensity(kernel=theirs, bandwidth=0.8).fit(X)
        np.testing.assert_allclose(finder.score_samples(new), peer.score_samples(new), rtol=1e-6)


# --- search --------------------------------------------------------------------------------------


@by_kernel
@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), d=st.integers(1, 6), width=st.floats(0.2, 4.0))
def test_a_climb_never_ends_below_its_start(
    kernel: Kernel, seed: int, d: int, width: float
) -> None:
    rows = np.random.default_rng(seed).normal(size=(25, d))
    before = log_heights(rows, rows, width, kernel)
    after = mean_shift(rows, rows, width, kernel)
    assert np.all(after.log_heights >= before - 1e-10)
    assert after.converged.all()


@by_kernel
def test_a_mode_is_where_the_gradient_vanishes_or_no_step_climbs(kernel: Kernel) -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(40, 3))
    found = mean_shift(rows, rows, 1.0, kernel, tol=1e-7)
    top = found.places[np.argmax(found.log_heights)]
    around = top + 1e-3 * rng.normal(size=(200, 3))
    assert log_heights(around, rows, 1.0, kernel).max() <= found.log_heights.max() + 1e-9


def test_two_points_in_closed_form() -> None:
    """Two rows 2 a apart have one Gaussian mode between them if a <= h, else two."""
    near = np.array([[-0.9], [0.9]])
    far = np.array([[-1.5], [1.5]])
    ends = mean_shift(near, near, 1.0, Kernel(), 5_000, 1e-6).places
    assert np.abs(ends).max() < 1e-3
    ends = mean_shift(far, far, 1.0, Kernel(), tol=1e-9).places.ravel()
    assert ends[1] == pytest.approx(1.5 * np.tanh(1.5 * ends[1]), abs=1e-7)
    assert ends[0] == pytest.approx(-ends[1])


def test_laplace_kernel_ends_at_rows_with_a_cusp() -> None:
    """exp(-|x|) on the line is convex between rows, so every mode is a row."""
    rows = np.random.default_rng(2).normal(size=(15, 1))
    ends = mean_shift(rows, rows, 0.7, Kernel("generalised", 1.0)).places
    gaps = np.abs(ends - rows.T).min(axis=1)
    assert gaps.max() < 2e-3


# --- the way back --------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS[:3], ids=lambda k: k.name)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), m=st.integers(1, 8), width=st.floats(2.0, 9.0))
def test_lifting_loses_no_more_than_its_bound(
    kernel: Kernel, seed: int, m: int, width: float
) -> None:
    """The inequality of `lifting_loss`, at any place of the sketch and for any map."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(30, 12))
    sketched = points @ rng.normal(size=(12, m)) / np.sqrt(m)
    place = sketched[:3].mean(axis=0)
    low = float(np.exp(log_heights(place[None], sketched, width, kernel)[0]))
    lifted = lift(place, sketched, points, width, kernel)
    high = float(np.exp(log_heights(lifted[None], points, width, kernel)[0]))
    assert high >= low - lifting_loss(place, sketched, points, width, kernel) - 1e-12


def test_an_isometry_lifts_without_loss() -> None:
    """Identity: a rotation moves modes and heights with it, for convex and other kernels."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 4))
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    for kernel in (Kernel(), Kernel("generalised", 4.0)):
        search = mean_shift(points @ turn.T, points @ turn.T, 1.5, kernel, tol=1e-7)
        top = search.places[np.argmax(search.log_heights)]
        lifted = lift(top, points @ turn.T, points, 1.5, kernel)
        np.testing.assert_allclose(lifted, turn.T @ top, atol=0.02)


def test_kirszbraun_place_is_the_circumcentre_of_equal_demands() -> None:
    """Closed form: equal distances asked of a triangle give its smallest enclosing circle."""
    triangle = np.array([[0.0, 0.0], [4.0, 0.0], [2.0, 3.0]])
    centre = kirszbraun_place(triangle, np.ones(3))
    x = 4 * 3 / 6 - 0.0  # the circumcentre lies at (2, (9 - 4) / 6)
    np.testing.assert_allclose(centre, [x, 5 / 6], atol=5e-3)


def test_a_full_sketch_is_the_exhaustive_search() -> None:
    X = np.random.default_rng(0).normal(size=(80, 12))
    full = SketchedModeFinder(bandwidth=1.5, n_dimensions=12, random_state=0).fit(X)
    wide = SketchedModeFinder(bandwidth=1.5, n_dimensions=99, random_state=1).fit(X)
    np.testing.assert_allclose(full.cluster_centers_, wide.cluster_centers_)
    assert full.lifted_height_ == pytest.approx(full.heights_[0])


# --- the theorem and the bound -------------------------------------------------------------------


def test_sketch_size_grows_as_the_theorem_says() -> None:
    """ln(n / eps)^3 / eps^2 for the Gaussian; and every root meets its condition."""
    kernel = Kernel()
    small, large = (sketch_size(1_000, eps, kernel).rows for eps in (0.02, 0.01))
    assert large / small == pytest.approx(4 * (np.log(8e5) / np.log(4e5)) ** 2, rel=0.03)
    size = sketch_size(1_000, 0.1, kernel)
    r = size.critical_distance
    assert np.exp(-r / 2) == pytest.approx(0.1 / 8 / 1_000)
    kept = (1 - 0.1 / 8) * np.exp(-r * size.stretch / 2)
    assert kept == pytest.approx(np.sqrt(0.9), rel=1e-6)
    shrink = size.shrink / (1 - size.shrink) * r / 2 * (1 + 0.1 / 8)
    assert 1 - shrink == pytest.approx(np.sqrt(0.9), rel=1e-6)
    with pytest.raises(InputError):
        sketch_size(1, 0.1, kernel)


@by_kernel
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), d=st.integers(1, 20), width=st.floats(0.3, 8.0))
def test_no_place_exceeds_the_bound(kernel: Kernel, seed: int, d: int, width: float) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(40, d)) * rng.choice([0.1, 1.0, 3.0], (40, 1))
    rows[:5] = rows[0]
    tops = mean_shift(rows, rows, width, kernel).log_heights.max()
    assert np.exp(tops) <= density_bound(rows, width, kernel) * (1 + 1e-9)


@pytest.mark.parametrize("kernel", KERNELS[:4], ids=lambda k: f"{k.name}-{k.power:g}")
def test_the_bound_is_sharp_for_a_simplex(kernel: Kernel) -> None:
    """Closed form: n rows at distance sqrt 2 from each other; the centre has z = 1 - 1 / n."""
    n = 400
    exact = float(np.exp(kernel.log_profile((1 - 1 / n) / 0.25)))
    assert exact <= density_bound(np.eye(n), 0.5, kernel) <= exact + 1.2 / n


# --- estimator -----------------------------------------------------------------------------------


def test_scikit_learns_checks() -> None:
    state = np.random.get_state()  # noqa: NPY002 - the checks draw from the global generator
    try:
        check_estimator(SketchedModeFinder(), on_skip=None)
    finally:
        np.random.set_state(state)  # noqa: NPY002


def test_same_seed_same_fit_and_no_seed_leaves_the_global_generator_alone() -> None:
    X, _ = make_blobs(60, 30, random_state=0)
    one, two = (SketchedModeFinder(random_state=3).fit(X) for _ in range(2))
    np.testing.assert_array_equal(one.cluster_centers_, two.cluster_centers_)
    SketchedModeFinder().fit(X)


def test_modes_of_separated_blobs_are_mean_shifts() -> None:
    """Peer: MeanShift (flat kernel) in 20 dimensions finds the same groups and their centres."""
    X, truth = make_blobs(300, 20, centers=4, cluster_std=0.5, random_state=0)
    peer = MeanShift(bandwidth=5.0).fit(X)
    finder = SketchedModeFinder(bandwidth=2.5, n_dimensions=10, random_state=0).fit(X)
    assert adjusted_rand_score(peer.labels_, finder.labels_) == 1.0
    assert adjusted_rand_score(truth, finder.labels_) == 1.0
    gaps = np.linalg.norm(finder.cluster_centers_[:, None] - peer.cluster_centers_, axis=2)
    assert gaps.min(axis=1).max() < 0.2
    np.testing.assert_array_equal(finder.predict(X), finder.labels_)


def test_rows_are_predicted_by_themselves() -> None:
    X, _ = make_blobs(120, 30, centers=3, random_state=1)
    finder = SketchedModeFinder(n_dimensions=8, random_state=0).fit(X)
    apart = np.concatenate([finder.predict(X[[i]]) for i in range(10)])
    np.testing.assert_array_equal(apart, finder.predict(X)[:10])


def test_pipeline_and_grid_search_over_bandwidths() -> None:
    X = load_iris().data
    pipeline = make_pipeline(StandardScaler(), SketchedModeFinder(random_state=0))
    widths = [0.1, 0.3, 1.0, 3.0]
    search = GridSearchCV(pipeline, {"sketchedmodefinder__bandwidth": widths}, cv=3)
    search.fit(np.random.default_rng(0).permutation(X))
    assert search.best_params_["sketchedmodefinder__bandwidth"] == 0.3


@pytest.mark.parametrize("rule", ["neighbours", "likelihood"])
def test_bandwidths_scale_with_the_rows(rule: str) -> None:
    X = np.random.default_rng(0).normal(size=(100, 4))
    one = SketchedModeFinder(rule=rule, random_state=0).fit(X).bandwidth_
    ten = SketchedModeFinder(rule=rule, random_state=0).fit(10 * X).bandwidth_
    assert ten == pytest.approx(10 * one, rel=1e-3)


def test_likelihood_bandwidth_is_the_best_of_a_grid() -> None:
    """Enumeration of leave-one-out likelihoods with scikit-learn's KernelDensity."""
    X = np.random.default_rng(0).normal(size=(60, 2))

    def likelihood(h: float) -> float:
        return sum(
            KernelDensity(bandwidth=h).fit(np.delete(X, i, axis=0)).score(X[[i]])
            for i in range(len(X))
        )

    found = SketchedModeFinder(rule="likelihood", random_state=0).fit(X).bandwidth_
    assert likelihood(found) >= max(likelihood(h) for h in found * np.array([0.8, 0.95, 1.05, 1.3]))


@pytest.mark.parametrize(
    "wrong", [{"rule": "x"}, {"bandwidth": -1.0}, {"n_dimensions": 0}, {"n_sketches": 0}]
)
def test_wrong_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        SketchedModeFinder(**wrong).fit(np.eye(5))  # type: ignore[arg-type]


# --- recipe --------------------------------------------------------------------------------------


def test_recipe_on_another_table() -> None:
    table = pd.DataFrame(load_iris().data, columns=["länge", "b", "c", "d"])
    result = density_modes(table, neighbours=0.1, rng=0)
    assert result.status is Status.OK
    assert result.table["rows"].sum() == 150
    top = result.value("height of the highest mode")
    assert top.low < top.estimate < top.high  # type: ignore[operator]
    assert 0 < result.value("proved share of the largest density").estimate <= 1  # type: ignore[operator]
    assert {"at länge", "at b"} <= set(result.table.columns)
    assert table["länge"].min() <= result.table["at länge"].iloc[0] <= table["länge"].max()
    assert {notice.code for notice in result.warnings} >= {"no-sketch"}


def test_too_narrow_a_kernel_is_said() -> None:
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 5)))
    result = density_modes(table.rename(columns=str), bandwidth=0.01, rng=0)
    assert result.status is Status.ASSUMPTION_DOUBTFUL


def test_equal_rows_are_refused() -> None:
    with pytest.raises(InputError, match="equal"):
        density_modes(pd.DataFrame({"a": np.ones(20), "b": np.ones(20)}), rng=0)


def test_log_mass_agrees_with_a_plain_integral() -> None:
    kernel = Kernel("sigmoid")
    plain = quad(lambda r: 4 * np.pi * r**2 / np.cosh(r), 0, 60)[0]
    assert kernel.log_mass(3) == pytest.approx(np.log(plain))
