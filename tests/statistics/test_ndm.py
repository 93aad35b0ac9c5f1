"""Deconvolution: true bounds, closed forms, planted truth, a rising bound, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from statlas.core.errors import InputError
from statlas.core.examples import example_path
from statlas.core.results import Status
from statlas.statistics import NonparametricDeconvolution, deconvolve
from statlas.statistics.ndm.claims import cosine, fitted, matched, simulate
from statlas.statistics.ndm.fitting import Settings, first_fit, fit_model, infer_rows, sweep
from statlas.statistics.ndm.heldout import nmf_fill, pca_fill
from statlas.statistics.ndm.likelihood import Observations, beta_curvature, link
from statlas.statistics.ndm.model import (
    Globals,
    Locals,
    Prior,
    mean_log_gamma,
    merged,
    moments,
    row_bounds,
    split,
    stick_terms,
    total_bound,
)

FAMILIES = ["gaussian", "binomial", "beta", "poisson"]


def observations(family: str, rng: np.random.Generator, n: int = 40, m: int = 4) -> Observations:
    share = rng.uniform(0.05, 0.95, (n, m))
    size = np.full((n, m), {"binomial": 30.0, "beta": 80.0, "gaussian": 0.3}.get(family, 1.0))
    values = {
        "gaussian": rng.normal(size=(n, m)),
        "binomial": rng.binomial(30, share) / 30,
        "beta": share,
        "poisson": rng.poisson(20 * share).astype(float),
    }[family]
    return Observations(values, family, size)  # type: ignore[arg-type]


# --- observation models ------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    family=st.sampled_from(FAMILIES), at=st.floats(-8, 8), away=st.floats(-30, 30),
    value=st.floats(0.01, 0.99), size=st.floats(1, 500),
)  # fmt: skip
def test_quadratics_lie_below_the_likelihood_and_touch_it(family, at, away, value, size) -> None:
    y = round(value * 50) if family == "poisson" else value
    cell = Observations(np.array([[float(y)]]), family, np.array([[size]]))
    theta = np.array([[at]])
    bound = cell.bound(theta, theta**2)

    def below(t: np.ndarray) -> np.ndarray:
        return bound.height - bound.precision / 2 * (t - bound.centre) ** 2

    far = np.array([[at + away]])
    assert below(far) <= cell.log_density(far) + 1e-6 * (1 + abs(below(far)))
    assert below(theta) == pytest.approx(cell.log_density(theta), rel=1e-7, abs=1e-6)


def test_densities_are_scipys() -> None:
    theta = np.array([[0.3]])
    p = special.expit(0.3)
    cases = [
        ("gaussian", 0.7, 0.2, stats.norm.logpdf(0.7, 0.3, np.sqrt(0.2))),
        ("binomial", 0.4, 20.0, stats.binom.logpmf(8, 20, p)),
        ("beta", 0.4, 20.0, stats.beta.logpdf(0.4, 20 * p, 20 * (1 - p))),
        ("poisson", 3.0, 1.0, stats.poisson.logpmf(3, np.log1p(np.exp(0.3)))),
    ]
    for family, value, size, expected in cases:
        cell = Observations(np.array([[value]]), family, np.array([[size]]))  # type: ignore[arg-type]
        assert float(cell.log_density(theta)[0, 0]) == pytest.approx(float(expected), rel=1e-9)


def test_beta_curvature_bounds_the_second_difference() -> None:
    t = np.linspace(-12, 12, 4_001)[None, :]
    for share, precision in [(0.02, 5.0), (0.5, 200.0), (0.97, 1_000.0)]:
        cell = Observations(np.full_like(t, share), "beta", np.full_like(t, precision))
        log = cell.log_density(t)[0]
        bend = -np.diff(log, 2) / (t[0, 1] - t[0, 0]) ** 2
        assert bend.max() <= beta_curvature(np.array(share), np.array(precision))


# --- the bound ---------------------------------------------------------------------------------


def test_mean_log_gamma_is_the_integral() -> None:
    for a, b, alpha in [(3.0, 5.0, 10.0), (0.5, 0.7, 4.0), (200.0, 900.0, 60.0)]:
        exact = integrate.quad(
            lambda x, a=a, b=b, c=alpha: special.gammaln(c * x) * stats.beta.pdf(x, a, b), 0, 1,
            limit=300, points=[a / (a + b)],
        )[0]  # fmt: skip
        found = mean_log_gamma(np.array([a]), np.array([b]), np.array([alpha]))
        assert float(found[0]) == pytest.approx(exact, rel=1e-6, abs=1e-6)
    assert float(mean_log_gamma(np.array([5.0]), np.array([0.0]), np.array([3.0]))[0]) == (
        pytest.approx(special.gammaln(3.0))
    )


def test_sticks_are_minus_the_divergence_of_two_beta_laws() -> None:
    a, b, alpha0 = 4.0, 7.0, 1.7
    exact = integrate.quad(
        lambda x: stats.beta.pdf(x, a, b)
        * (stats.beta.logpdf(x, 1, alpha0) - stats.beta.logpdf(x, a, b)), 0, 1,
    )[0]  # fmt: skip
    assert stick_terms(np.array([a, b]), alpha0) == pytest.approx(exact, rel=1e-8)


def one_factor(rng: np.random.Generator, freedom: float = 1e9):
    """A model of one factor with known mean and covariance: y ~ N(mu, Sigma / P + H)."""
    m = 3
    root = rng.normal(size=(m, m))
    covariance = root @ root.T + np.eye(m)
    prior = Prior(1.0, np.zeros(m), np.ones(m), np.ones(m), freedom)
    shared = Globals(rng.normal(size=(1, m)), np.full((1, m), 1e-12),
                     covariance[None] * freedom, freedom, np.array([5.0]), 2.0)  # fmt: skip
    return shared, prior, covariance


def test_with_one_known_factor_the_row_bound_is_the_exact_density() -> None:
    rng = np.random.default_rng(0)
    shared, prior, covariance = one_factor(rng)
    y = rng.normal(size=(6, 3))
    particles = rng.uniform(0.5, 3, 6)
    data = Observations(y, "gaussian", np.full(y.shape, 0.4))
    _, value = infer_rows(data, shared, particles, prior)
    exact = [
        stats.multivariate_normal.logpdf(row, shared.mean[0], covariance / p + 0.4 * np.eye(3))
        for row, p in zip(y, particles, strict=True)
    ]
    np.testing.assert_allclose(value, exact, rtol=1e-6)


def test_the_row_bound_is_below_the_evidence_by_simulation() -> None:
    """Two known factors; evidence by 200,000 draws of pi; four standard errors, one-sided 3e-5."""
    rng = np.random.default_rng(1)
    m, freedom = 3, 1e9
    covariance = np.stack([np.diag([0.3, 0.6, 0.1]), np.diag([0.1, 0.2, 0.5])])
    prior = Prior(1.0, np.zeros(m), np.ones(m), np.ones(m), freedom)
    shared = Globals(rng.normal(0, 1.5, (2, m)), np.full((2, m), 1e-12), covariance * freedom,
                     freedom, np.array([3e5, 2e5]), 4.0)  # fmt: skip
    y = 0.5 * shared.mean.sum(axis=0) + rng.normal(0, 0.5, (4, m))
    data = Observations(y, "gaussian", np.full(y.shape, 0.05))
    _, value = infer_rows(data, shared, np.ones(4), prior)
    pi = rng.dirichlet([2.4, 1.6], 200_000)
    spread = pi @ np.diagonal(covariance, axis1=1, axis2=2) + 0.05
    for row, bound in zip(y, value, strict=True):
        density = np.exp(stats.norm.logpdf(row, pi @ shared.mean, np.sqrt(spread)).sum(axis=1))
        error = density.std() / np.sqrt(len(pi)) / density.mean()
        evidence = np.log(density.mean())
        assert bound < evidence + 4 * error
        assert bound > evidence - 0.5


def test_a_row_does_not_see_the_others_and_unseen_cells_do_not_count() -> None:
    rng = np.random.default_rng(2)
    data = simulate(rng)
    model = fitted(data.y, True, 0)
    whole = model.transform(data.y)
    np.testing.assert_allclose(model.transform(data.y[:5]), whole[:5], atol=1e-8)
    partly = data.y[:5].copy()
    partly[:, 2] = np.nan
    filled = model.predict_missing(partly)
    assert np.abs(filled[:, 2] - data.y[:5, 2]).mean() < data.y[:, 2].std()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bound_never_falls(family: str) -> None:
    rng = np.random.default_rng(3)
    data = observations(family, rng)
    start = data.start()
    prior = Prior(1.0, start.mean(axis=0), 4 * start.var(axis=0), 0.6 * start.var(axis=0), 6.0)
    asked = Settings(3, False, None, 10, 0.0, False)
    particles = rng.uniform(0.5, 2, len(start))
    fit = first_fit(data, start[:3], particles, prior, asked)
    for _ in range(10):
        fit = sweep(fit, particles, prior, asked)
    assert np.diff(fit.trace).min() > -1e-9 * abs(fit.trace[-1])
    fresh = Locals(fit.rows.weights.copy(), fit.rows.deviation, fit.rows.quadratic)
    assert total_bound(fresh, fit.shared, particles, prior) == pytest.approx(fit.trace[-1])


def test_splitting_and_merging_back_keeps_the_totals() -> None:
    rng = np.random.default_rng(4)
    data = observations("gaussian", rng)
    start = data.start()
    prior = Prior(1.0, start.mean(axis=0), start.var(axis=0), start.var(axis=0), 6.0)
    fit = first_fit(data, start[:2], np.ones(40), prior, Settings(2, False, 5.0, 5, 0.0, False))
    rows, shared = split(fit.rows, fit.shared, 0, start[2:4], rng.random(40))
    assert shared.n_factors == 3
    back, small = merged(rows, shared, 0, 2)
    np.testing.assert_allclose(back.weights, fit.rows.weights)
    np.testing.assert_allclose(small.beta, fit.shared.beta)
    at = moments(back, small, np.ones(40), prior)
    assert np.isfinite(row_bounds(back, at, small, np.ones(40), prior)).all()


# --- planted truth -----------------------------------------------------------------------------


def test_planted_factors_and_proportions_come_back() -> None:
    """Weak local variation and many rows: means within 0.25, cosine of proportions above 0.93."""
    data = simulate(np.random.default_rng(5), local=0.1)
    model = fitted(data.y, True, 0, max_iter=60)
    order = matched(model.means_, data.means)
    assert np.sqrt(((model.means_[order] - data.means) ** 2).mean()) < 0.35
    assert cosine(model.transform(data.y)[:, order], data.proportions) > 0.93


def test_the_number_of_factors_is_learnt() -> None:
    """Begun with five where three are planted: two to four are left, and the bound only rose."""
    data = simulate(np.random.default_rng(6), local=0.1)
    model = NonparametricDeconvolution(
        5, alpha=3.0, local_scale=0.01, local_rows=10, random_state=0
    ).fit(data.y)
    assert 2 <= model.n_factors_ <= 4
    assert np.diff(model.bounds_).min() > -1e-8 * abs(model.bounds_[-1])


def test_without_local_factors_there_are_no_deviations_and_noise_is_learnt() -> None:
    data = simulate(np.random.default_rng(7))
    model = fitted(data.y, False, 0)
    assert not model.local_factors(data.y).deviation.any()
    assert (model.noise_ > 0.01 * data.y.var(axis=0)).any()


def test_more_particles_vary_less() -> None:
    data = simulate(np.random.default_rng(8))
    particles = np.where(np.arange(len(data.y)) < 60, 1.0, 100.0)
    model = NonparametricDeconvolution(3, learn_n_factors=False, max_iter=5, random_state=0)
    model.fit(data.y, particles=particles)
    sd = model.local_factors(data.y, particles=particles).deviation_sd
    assert np.median(sd[60:]) < 0.5 * np.median(sd[:60])


# --- the estimator -----------------------------------------------------------------------------


def test_estimator_checks() -> None:
    state = np.random.get_state()  # noqa: NPY002 - some of the checks seed the global generator
    try:
        check_estimator(
            NonparametricDeconvolution(2, learn_n_factors=False, max_iter=2), on_skip=None
        )
    finally:
        np.random.set_state(state)  # noqa: NPY002


def test_pipeline_and_grid_search() -> None:
    data = simulate(np.random.default_rng(9))
    pipe = make_pipeline(
        StandardScaler(),
        NonparametricDeconvolution(2, learn_n_factors=False, max_iter=4, random_state=0),
    )
    assert pipe.fit_transform(data.y).shape == (len(data.y), 2)
    search = GridSearchCV(
        pipe, {"nonparametricdeconvolution__local": [True, False]}, cv=2
    ).fit(data.y)  # fmt: skip
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_estimator_refuses_what_does_not_suit() -> None:
    x = np.random.default_rng(0).normal(size=(30, 3))
    with pytest.raises(ValueError, match="shares lie"):
        NonparametricDeconvolution(2, family="beta").fit(x)
    with pytest.raises(ValueError, match="not negative"):
        NonparametricDeconvolution(2, family="poisson").fit(x)
    with pytest.raises(ValueError, match="trials"):
        NonparametricDeconvolution(2, family="binomial").fit(np.abs(x) % 1)
    with pytest.raises(ValueError, match="positive"):
        NonparametricDeconvolution(2).fit(x, particles=np.zeros(30))


# --- peers and recipe --------------------------------------------------------------------------


def test_fills_by_peers_by_hand() -> None:
    """A table of rank one: principal components and NMF restore the hidden cell."""
    rng = np.random.default_rng(10)
    table = rng.uniform(1, 2, (50, 1)) * np.array([[1.0, 2.0, 3.0]])
    known = table[:4].copy()
    known[:, 2] = np.nan
    for filled in (pca_fill(table, known, 1), nmf_fill(table, known, 1, 0)):
        np.testing.assert_allclose(filled[:, 2], table[:4, 2], rtol=0.02)


def test_the_example_finds_cohorts_and_beats_feature_means() -> None:
    result = deconvolve.run_example(rng=0)
    assert result.status is Status.OK
    count = result.value("number of factors").estimate
    assert 2 <= count <= 4
    assert result.value("error over feature means").high < 0.7
    factors = result.details["factors"]
    measures = result.details["measures"]
    clinton = [factor["mean"][measures.index("clinton")] for factor in factors]
    assert max(clinton) > 0.8
    assert min(clinton) < 0.25
    shares = result.table[[f"share_{k + 1}" for k in range(int(count))]].sum(axis=1)
    np.testing.assert_allclose(shares, 1)


def test_other_names_counts_and_trials() -> None:
    rng = np.random.default_rng(11)
    p = link(np.array([[1.0, -1.0, 0.5], [-1.5, 1.0, 0.0]]), "binomial")
    pi = rng.dirichlet([1, 1], 40)
    frame = pd.DataFrame(rng.binomial(80, pi @ p), columns=["ä", "b", "c"])
    frame["Wähler"] = 80
    result = deconvolve(frame, trials="Wähler", family="binomial", n_factors=2, rng=0)
    assert result.table["row"].tolist() == list(range(1, 41))
    assert result.table["global_value"].between(0, 1).all()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.assign(trump=0.4), {}, "same in every row"),
        (lambda t: t.assign(trump=t["trump"] * 4), {}, "do not suit"),
        (lambda t: t, {"family": "binomial"}, "needs the trials"),
        (lambda t: t.head(5), {}, "at least 20"),
    ],
)
def test_bad_tables_are_refused(change, options, message: str) -> None:
    frame = pd.read_csv(example_path("precinct_votes.csv"))
    with pytest.raises(InputError, match=message):
        deconvolve(change(frame), **({"family": "beta"} | options))


def test_same_seed_same_fit_and_inputs_stay() -> None:
    data = simulate(np.random.default_rng(12))
    y = data.y.copy()
    models = [
        NonparametricDeconvolution(3, learn_n_factors=False, max_iter=5, random_state=3).fit(y)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(models[0].means_, models[1].means_)
    np.testing.assert_array_equal(y, data.y)


def test_a_whole_fit_can_learn_the_concentration() -> None:
    data = simulate(np.random.default_rng(13))
    obs = Observations(data.y, "gaussian", np.full(data.y.shape, 0.01))
    prior = Prior(1.0, data.y.mean(axis=0), 4 * data.y.var(axis=0), 0.5 * data.y.var(axis=0), 8.0)
    asked = Settings(3, False, None, 15, 1e-3, False)
    fit = fit_model(obs, np.ones(len(data.y)), prior, asked, np.random.default_rng(0))
    assert fit.shared.alpha != 1.0
    worse = replace(fit.shared, alpha=50 * fit.shared.alpha)
    ones = np.ones(len(data.y))
    assert total_bound(fit.rows, worse, ones, prior) < fit.trace[-1]
