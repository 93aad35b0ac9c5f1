"""Self-distilled Gaussian processes: identities, closed forms, peers, bad input."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import integrate
from scipy.linalg import cho_solve
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from statlas.core.errors import InputError, OptionError
from statlas.statistics import distil_process
from statlas.statistics.gp_distillation.classification import (
    DistilledGPClassifier,
    continuous_bernoulli,
    laplace_mode,
)
from statlas.statistics.gp_distillation.regression import (
    DistilledGPRegressor,
    combined_noise,
)


def problem(n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 2))
    return x, np.sin(2 * x[:, 0]) + 0.3 * rng.normal(size=n)


# --- regression --------------------------------------------------------------------------------


def test_one_step_is_scikit_learns_process() -> None:
    x, y = problem()
    new = np.random.default_rng(1).normal(size=(20, 2))
    theirs = GaussianProcessRegressor(RBF(1.0), alpha=0.2, optimizer=None).fit(
        x, (y - y.mean()) / y.std()
    )
    mean, deviation = theirs.predict(new, return_std=True)
    for mode in ("data", "distribution"):
        ours = DistilledGPRegressor(RBF(1.0), steps=1, mode=mode, noise=0.2, optimize=False)
        got, spread = ours.fit(x, y).predict(new, return_std=True)
        np.testing.assert_allclose(got, y.mean() + y.std() * mean, atol=1e-10)
        np.testing.assert_allclose(spread, y.std() * deviation, atol=1e-8)


def test_steps_equal_iterated_kernel_ridge_regression() -> None:
    x, y = problem()
    new = np.random.default_rng(1).normal(size=(20, 2))
    noises = [0.1, 0.3, 0.05, 1.0]
    model = DistilledGPRegressor(RBF(1.0), steps=4, noises=noises, optimize=False).fit(x, y)
    means, _ = model.staged(new)
    target = (y - y.mean()) / y.std()
    for step, noise in enumerate(noises):
        ridge = KernelRidge(alpha=noise, kernel="rbf", gamma=0.5).fit(x, target)
        np.testing.assert_allclose(means[step], y.mean() + y.std() * ridge.predict(new), atol=1e-10)
        target = ridge.predict(x)


def test_distribution_steps_have_the_harmonic_noise() -> None:
    x, y = problem()
    assert combined_noise([0.5, 0.5, 0.5]) == pytest.approx(0.5 / 3)
    many = DistilledGPRegressor(
        RBF(1.0), steps=3, mode="distribution", noises=[0.3, 0.6, 0.6], optimize=False
    ).fit(x, y)
    one = DistilledGPRegressor(RBF(1.0), steps=1, noise=0.15, optimize=False).fit(x, y)
    for left, right in zip(many.predict(x, True), one.predict(x, True), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-10)


def test_data_steps_shrink_every_direction() -> None:
    """Each step multiplies the eigenvector's share by d / (d + a), below 1."""
    x, y = problem()
    model = DistilledGPRegressor(RBF(1.0), steps=5, noise=0.2, optimize=False).fit(x, y)
    means, _ = model.staged(x)
    sizes = np.linalg.norm(means - y.mean(), axis=1)
    assert np.all(np.diff(sizes) < 0)


# --- classification ----------------------------------------------------------------------------


@pytest.mark.parametrize("logit", [-60.0, -3.0, -0.051, -0.049, 0.02, 0.0501, 2.0, 40.0])
def test_continuous_bernoulli_by_integration(logit: float) -> None:
    total = integrate.quad(lambda y: np.exp(logit * y), 0, 1)[0]
    mean = integrate.quad(lambda y: y * np.exp(logit * y), 0, 1)[0] / total
    variance = integrate.quad(lambda y: (y - mean) ** 2 * np.exp(logit * y), 0, 1)[0] / total
    value, first, second = continuous_bernoulli(logit)
    assert float(value) == pytest.approx(np.log(total), abs=1e-10)
    assert float(first) == pytest.approx(mean, abs=1e-11)
    assert float(second) == pytest.approx(variance, abs=1e-11)


def test_first_step_is_scikit_learns_classifier() -> None:
    x, y = problem()
    labels = (y > 0).astype(int)
    theirs = GaussianProcessClassifier(4 * RBF(1.0), optimizer=None).fit(x, labels)
    ours = DistilledGPClassifier(4 * RBF(1.0), steps=1, optimize=False).fit(x, labels)
    assert ours.modes_[0].log_evidence == pytest.approx(
        theirs.log_marginal_likelihood_value_, abs=1e-6
    )
    # scikit-learn's five error functions are good to about 1e-4.
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=3e-4)


def test_power_is_copies_of_every_point() -> None:
    x, y = problem(30)
    labels = (y > 0).astype(float)
    kernel = 4 * RBF(1.0)(x)
    power = laplace_mode(kernel, labels, power=2.0)
    noise = 1e-9 * np.eye(60)
    copies = laplace_mode(np.tile(kernel, (2, 2)) + noise, np.tile(labels, 2))
    np.testing.assert_allclose(copies.mode[:30], power.mode, atol=1e-6)
    theirs = DistilledGPClassifier(4 * RBF(1.0), steps=1, optimize=False).fit(
        np.tile(x, (2, 1)), np.tile(labels, 2)
    )
    ours = DistilledGPClassifier(4 * RBF(1.0), steps=2, mode="distribution", optimize=False)
    np.testing.assert_allclose(
        ours.fit(x, labels).predict_proba(x), theirs.predict_proba(x), atol=1e-6
    )


def test_scaled_kernel_decides_alike_with_more_doubt() -> None:
    x, y = problem()
    labels = (y > 0).astype(int)
    exact, scaled = (
        DistilledGPClassifier(4 * RBF(1.0), steps=3, mode=mode, optimize=False).fit(x, labels)
        for mode in ("distribution", "scaled")
    )
    np.testing.assert_array_equal(exact.predict(x), scaled.predict(x))
    near = np.abs(scaled.predict_proba(x) - 0.5) <= np.abs(exact.predict_proba(x) - 0.5) + 1e-9
    assert near.all()


def test_soft_labels_are_fitted_at_the_stationary_point() -> None:
    """At the mode f = K (y - A'(f)), and the variance is that of GPML's Algorithm 3.2."""
    x, _ = problem(30)
    kernel = 3 * RBF(1.0)(x)
    soft = np.random.default_rng(2).random(30)
    found = laplace_mode(kernel, soft, "continuous")
    np.testing.assert_allclose(
        found.mode, kernel @ (soft - continuous_bernoulli(found.mode)[1]), atol=1e-5
    )
    root = np.sqrt(found.curvature)
    b = np.eye(30) + root[:, None] * kernel * root
    np.testing.assert_allclose(cho_solve(found.factor, b), np.eye(30), atol=1e-8)


# --- scikit-learn ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator",
    [
        DistilledGPRegressor(),
        DistilledGPRegressor(mode="distribution", optimize=False),
        DistilledGPClassifier(optimize=False),
        DistilledGPClassifier(mode="scaled", optimize=False),
    ],
    ids=["regression", "regression-distribution", "classification", "classification-scaled"],
)
def test_estimators_pass_scikit_learns_checks(estimator: object) -> None:
    state = np.random.get_state()  # noqa: NPY002 - the checks draw from it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_estimator(estimator, on_skip=None)
    finally:
        np.random.set_state(state)  # noqa: NPY002


def test_in_a_pipeline_and_a_grid_search() -> None:
    x, y = problem()
    pipe = make_pipeline(StandardScaler(), DistilledGPRegressor(RBF(1.0), optimize=False))
    search = GridSearchCV(pipe, {"distilledgpregressor__steps": [1, 2, 3]}, cv=3).fit(x, y)
    assert search.best_score_ > 0


def test_bad_options_are_refused() -> None:
    x, y = problem(20)
    with pytest.raises(ValueError, match="steps"):
        DistilledGPRegressor(steps=0).fit(x, y)
    with pytest.raises(ValueError, match="noises"):
        DistilledGPRegressor(noises=[0.1, -1.0], optimize=False).fit(x, y)
    with pytest.raises(ValueError, match="mode"):
        DistilledGPClassifier(mode="copies").fit(x, y > 0)


# --- the recipe --------------------------------------------------------------------------------


def frame() -> pd.DataFrame:
    x, y = problem(60)
    return pd.DataFrame({"sepal breadth": x[:, 0], "length (mm)": 1e3 * x[:, 1], "yield": y})


def test_recipe_on_a_table_with_other_names_and_units() -> None:
    result = distil_process(frame(), target="yield", folds=3, steps=3, rng=0)
    table = result.table
    assert list(table["mode"]) == ["data"] * 3 + ["distribution"] * 3
    assert (table.loc[table["step"] == 1, ["change", "log_change"]] == 0).all(axis=None)
    scaled = frame().assign(**{"yield": 1000 * frame()["yield"] + 5})
    again = distil_process(scaled, target="yield", folds=3, steps=3, rng=0).table
    np.testing.assert_allclose(again["loss"], 1e6 * table["loss"], rtol=1e-3)
    np.testing.assert_allclose(again["log_change"], table["log_change"], atol=1e-3)


def test_recipe_takes_two_values_as_classes() -> None:
    table = frame()
    table["yield"] = (table["yield"] > 0).astype(int)
    result = distil_process(table, target="yield", folds=3, steps=2, rng=0)
    assert result.details["task"] == "classification"
    assert set(result.table["mode"]) == {"data", "distribution", "scaled"}
    assert result.table["coverage"].isna().all()
    result.plot()


def test_recipe_refuses_what_it_cannot_do() -> None:
    with pytest.raises(OptionError, match="two are"):
        distil_process(frame(), target="yield", task="classification")
    many = pd.DataFrame(np.random.default_rng(0).normal(size=(2_001, 2)), columns=["x", "target"])
    with pytest.raises(InputError, match="too many"):
        distil_process(many)
