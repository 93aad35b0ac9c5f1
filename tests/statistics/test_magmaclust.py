"""Clusters of multi-task Gaussian processes: exact densities, the released code, invariants."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from statlas.core.errors import InputError, OptionError
from statlas.core.results import Status
from statlas.statistics.magmaclust import MagmaClust, cluster_curves
from statlas.statistics.magmaclust.claims import simulate
from statlas.statistics.magmaclust.fitting import (
    Fitted,
    Options,
    fit_one,
    n_parameters,
    variational_bic,
    variational_em,
)
from statlas.statistics.magmaclust.model import (
    Hyperparameters,
    Labelled,
    Tasks,
    collapsed_bound,
    infer_means,
    kernel,
    label_terms,
    responsibilities,
)
from statlas.statistics.magmaclust.prediction import (
    MeanProcesses,
    NormalMixture,
    continue_new,
    continue_seen,
    new_task_em,
    single_task,
)


def irregular(seed: int = 0, separate: bool = False) -> tuple[Tasks, np.ndarray, np.ndarray, Any]:
    """Twelve tasks of two to five rows; some rows of a task share a time."""
    rng = np.random.default_rng(seed)
    task = np.repeat(np.arange(12), rng.integers(2, 6, 12))
    time, y = rng.integers(0, 12, len(task)) / 12, rng.normal(size=len(task))
    return Tasks.collect(task, time[:, None], y, separate), task, time, y


# --- the bound ---------------------------------------------------------------------------------


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("n_means", [1, 3])
@pytest.mark.parametrize("prior_mean", [None, 0.4])
def test_gradient_is_that_of_differences(
    separate: bool, n_means: int, prior_mean: float | None
) -> None:
    tasks, *_ = irregular(separate=separate)
    rng = np.random.default_rng(1)
    hyper = Hyperparameters(
        rng.normal([0, -1], 0.3, (n_means, 2)),
        rng.normal([-1, -1, -2], 0.3, (12 if separate else 1, 3)),
    )
    labelled = Labelled.of(tasks, rng.dirichlet([1, 1, 1], 12))
    value, gradient = collapsed_bound(labelled, hyper, prior_mean)
    differences = approx_fprime(
        hyper.flat(), lambda x: collapsed_bound(labelled, hyper.like(x), prior_mean)[0], 1e-6
    )
    np.testing.assert_allclose(gradient, differences, atol=1e-3)
    posterior = infer_means(labelled, hyper, prior_mean)
    whole = posterior.bound(labelled.tau, np.log(np.full(3, 1 / 3)))
    labels = label_terms(labelled.tau, np.log(np.full(3, 1 / 3)))
    assert value == pytest.approx(whole - labels, abs=1e-9)


def joint_process(time: np.ndarray, task: np.ndarray, y: np.ndarray, logs: np.ndarray) -> float:
    """One cluster as scikit-learn's process on (time, task), tasks infinitely far or near."""
    mean_size, mean_length, size, length, noise = logs
    both = ConstantKernel(np.exp(mean_size)) * RBF([np.exp(mean_length), 1e9])
    own = ConstantKernel(np.exp(size)) * RBF([np.exp(length), 1e-9])
    process = GaussianProcessRegressor(
        both + own + WhiteKernel(np.exp(noise)), alpha=1e-12, optimizer=None
    )
    return float(process.fit(np.column_stack([time, task]), y).log_marginal_likelihood_value_)


def test_one_cluster_is_scikit_learns_process_on_time_and_task() -> None:
    tasks, task, time, y = irregular()
    logs = np.array([0.2, -1.2, -0.7, -1.5, -2.0])
    hyper = Hyperparameters(logs[None, :2], logs[None, 2:])
    found = infer_means(Labelled.of(tasks, np.ones((12, 1))), hyper, 0.0)
    assert found.bound(np.ones((12, 1)), np.zeros(1)) == pytest.approx(
        joint_process(time, task, y, logs), abs=1e-6
    )


def test_hard_labels_give_the_sum_of_the_clusters_likelihoods() -> None:
    tasks, task, time, y = irregular()
    logs = np.array([0.2, -1.2, -0.7, -1.5, -2.0])
    hyper = Hyperparameters(logs[None, :2], logs[None, 2:])
    label = np.arange(12) % 2
    tau = np.eye(2)[label]
    found = infer_means(Labelled.of(tasks, tau), hyper, 0.0).bound(tau, np.log([0.5, 0.5]))
    parts = [joint_process(time[label[task] == k], task[label[task] == k], y[label[task] == k],
                           logs) for k in (0, 1)]  # fmt: skip
    assert found == pytest.approx(sum(parts) + 12 * np.log(0.5), abs=1e-6)


def test_prior_mean_is_at_its_optimum() -> None:
    tasks, *_ = irregular()
    hyper = Hyperparameters(np.array([[0.0, -1.0]]), np.array([[-1.0, -1.0, -2.0]]))
    labelled = Labelled.of(tasks, np.ones((12, 1)))
    best = infer_means(labelled, hyper).clusters[0].prior_mean
    values = [collapsed_bound(labelled, hyper, best + step)[0] for step in (-1e-3, 0.0, 1e-3)]
    assert values[1] > values[0]
    assert values[1] > values[2]
    assert values[1] == pytest.approx(collapsed_bound(labelled, hyper)[0], abs=1e-9)


def printed_by_the_released_code() -> tuple[Fitted, np.ndarray]:
    """Four tasks; hyperparameters as in the code, which takes the log of the squared length."""
    task = [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]
    time = np.array([0, 1, 2, 1, 3, 0, 2, 3, 1, 2.0])
    y = np.array([1, 2, 4, 2.5, 5, -1, -2, -2, -1, -3])
    tau = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8]])
    hyper = Hyperparameters(np.array([[1.2, 0.4]]), np.array([[-0.5, 0.1, -1.5]]))
    tasks = Tasks.collect(task, time[:, None], y)
    posterior = infer_means(Labelled.of(tasks, tau), hyper, 0.5)
    return Fitted(posterior, tau, np.array([0.6, 0.4]), np.zeros(1), True), tau


def test_posterior_and_bound_as_the_released_code_prints_them() -> None:
    """MagmaClustR 1.2.1: `ve_step`, `elbo_monitoring_VEM`; its jitter is 1e-10.

    The code's bound lacks the constants of the entropy of q(mu), (1 + log 2 pi) / 2 for each of
    four times and two clusters.
    """
    fit, tau = printed_by_the_released_code()
    first, second = fit.posterior.clusters
    np.testing.assert_allclose(
        first.mean, [0.8982617676, 1.6820081139, 2.7797545988, 3.3954363239], atol=1e-8
    )
    np.testing.assert_allclose(
        second.mean, [-0.2859487024, -0.7169783615, -1.2698868248, -0.9964077483], atol=1e-8
    )
    np.testing.assert_allclose(
        np.diag(first.covariance), [0.5305561191, 0.3466618369, 0.3842728060, 0.5501463517],
        atol=1e-8,
    )  # fmt: skip
    constants = 8 * 0.5 * (1 + np.log(2 * np.pi))
    assert fit.posterior.bound(tau, fit.log_share) == pytest.approx(
        -45.04820618 + constants, abs=1e-7
    )


def test_new_task_as_the_released_code_predicts_it() -> None:
    """`pred_magmaclust` with the same hyperparameters; the code adds noise to its variances."""
    fit, _ = printed_by_the_released_code()
    found = continue_new(fit, [[0.0], [1.0]], [0.5, 1.5], [[2.0], [3.0]]).mixture
    np.testing.assert_allclose(
        found.means.T, [[2.739092153, 3.385592284], [-0.05078137162, -0.68912960634]], atol=1e-8
    )
    np.testing.assert_allclose(
        found.variances.T, [[0.8413938413, 1.3554862725], [0.8225350809, 1.3057842406]], atol=1e-8
    )


# --- the algorithm -----------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [(True, True), (False, True), (True, False), (False, False)])
def test_bound_rises_at_every_step(shared: tuple[bool, bool]) -> None:
    curves = simulate(np.random.default_rng(2), 4)
    model = MagmaClust(
        3, shared_clusters=shared[0], shared_tasks=shared[1], max_iter=5, n_init=1, random_state=0
    ).fit(curves.X, curves.value)
    assert np.diff(model.bound_path_).min() > -1e-7
    assert len(model.task_deviations_) == (1 if shared[1] else 12)
    assert len(model.mean_deviations_) == (1 if shared[0] else 3)


def test_clusters_are_found_and_units_do_not_matter() -> None:
    curves = simulate(np.random.default_rng(5), 6)
    model = MagmaClust(3, n_init=2, random_state=0).fit(curves.X, curves.value)
    label = model.responsibilities_.argmax(axis=1)
    assert len({(a, b) for a, b in zip(label, curves.cluster, strict=True)}) == 3
    scaled = np.column_stack([curves.task, 60 * curves.time + 7])
    again = MagmaClust(3, n_init=2, random_state=0).fit(scaled, 1000 * curves.value - 4)
    np.testing.assert_allclose(
        np.sort(again.responsibilities_, axis=1),
        np.sort(model.responsibilities_, axis=1),
        atol=1e-4,
    )
    assert np.sort(again.weights_) == pytest.approx(np.sort(model.weights_), abs=1e-4)
    shift = len(curves.value) * np.log(1000)
    assert again.lower_bound_ == pytest.approx(model.lower_bound_ - shift, abs=1e-2)


def test_criterion_counts_hyperparameters() -> None:
    tasks, *_ = irregular()
    options = Options(max_iter=2)
    fit = fit_one(tasks, options)
    assert n_parameters(fit, options) == 2 + 3 + 1
    assert variational_bic(fit, options) == pytest.approx(fit.bound - 3 * np.log(12))


def test_known_labels_stay() -> None:
    curves = simulate(np.random.default_rng(5), 3)
    labels = curves.cluster[curves.task]
    model = MagmaClust(max_iter=3).fit(curves.X, curves.value, labels)
    np.testing.assert_array_equal(model.responsibilities_, np.eye(3)[curves.cluster])
    with pytest.raises(ValueError, match="within a task"):
        MagmaClust().fit(curves.X, curves.value, np.arange(len(curves.value)) % 2)


def test_labels_by_enumeration() -> None:
    """Responsibilities from the bound itself: one task's label in turn."""
    fit, tau = printed_by_the_released_code()
    posterior, share = fit.posterior, fit.log_share
    found = responsibilities(posterior, share)
    for i in range(4):
        bounds = []
        for k in range(2):
            hard = tau.copy()
            hard[i] = np.eye(2)[k]
            bounds.append(posterior.bound(hard, share))
        odds = np.exp(bounds[0] - bounds[1])
        assert found[i, 0] == pytest.approx(odds / (1 + odds), abs=1e-9)


# --- prediction --------------------------------------------------------------------------------


def test_a_seen_task_is_continued_as_the_joint_process_says() -> None:
    """One cluster: conditioning the whole table, against scikit-learn's process."""
    tasks, task, time, y = irregular()
    logs = np.array([0.2, -1.2, -0.7, -1.5, -2.0])
    hyper = Hyperparameters(logs[None, :2], logs[None, 2:])
    ones = np.ones((12, 1))
    posterior = infer_means(Labelled.of(tasks, ones), hyper, 0.0)
    fit = Fitted(posterior, ones, np.ones(1), np.zeros(1), True)
    new = np.linspace(0, 1.2, 7)
    own = task == 4
    means = MeanProcesses.at(fit, np.concatenate([time[own], new])[:, None])
    n = int(own.sum())
    found = continue_seen(fit, 4, means, np.arange(n), n + np.arange(7), y[own], noisy=False)
    both = ConstantKernel(np.exp(logs[0])) * RBF([np.exp(logs[1]), 1e9])
    single = ConstantKernel(np.exp(logs[2])) * RBF([np.exp(logs[3]), 1e-9])
    process = GaussianProcessRegressor(both + single, alpha=np.exp(logs[4]), optimizer=None)
    process.fit(np.column_stack([time, task]), y)
    mean, deviation = process.predict(np.column_stack([new, np.full(7, 4)]), return_std=True)
    np.testing.assert_allclose(found.mixture.mean(), mean, atol=1e-7)
    np.testing.assert_allclose(found.mixture.std(), deviation, atol=1e-6)


def test_new_task_em_rises_to_a_stationary_point() -> None:
    fit, _ = printed_by_the_released_code()
    seen, y = np.array([[0.0], [1.0], [2.0], [2.5]]), np.array([0.5, 1.5, 2.0, 1.0])
    means = MeanProcesses.at(fit, seen)
    logs, tau, trace = new_task_em(means, y, np.array([-0.5, 0.1, -1.5]), fit.log_share)
    assert np.diff(trace).min() > -1e-9
    assert tau.sum() == pytest.approx(1)

    def likelihood(x: np.ndarray) -> float:
        return float(new_task_em(means, y, x, fit.log_share, max_iter=0)[2][-1])

    inner = np.abs(approx_fprime(logs, likelihood, 1e-6))
    assert inner[np.abs(logs - np.log(1e-4)) > 1e-6].max() < 0.05


def test_a_task_alone_is_scikit_learns_process() -> None:
    rng = np.random.default_rng(0)
    x = np.sort(rng.random(20))[:, None]
    y = np.sin(6 * x[:, 0]) + 0.1 * rng.normal(size=20)
    new = np.linspace(0, 1, 9)[:, None]
    ours = single_task(x, y, new, noisy=False)
    kernel_ = ConstantKernel(1.0, (1e-4, 1e2)) * RBF(0.3, (0.02, 20)) + WhiteKernel(
        0.05, (1e-5, 10)
    )
    process = GaussianProcessRegressor(kernel_, alpha=0.0).fit(x, (y - y.mean()) / y.std())
    theirs = process.predict(new) * y.std() + y.mean()
    np.testing.assert_allclose(ours.mean(), theirs, atol=2e-3)


def test_nothing_seen_gives_the_mixture_of_mean_processes() -> None:
    fit, _ = printed_by_the_released_code()
    found = continue_new(fit, np.empty((0, 1)), [], [[2.0]], noisy=False)
    np.testing.assert_array_equal(found.tau, fit.share)
    means = MeanProcesses.at(fit, [[2.0]])
    np.testing.assert_allclose(found.mixture.means[0], means.mean[:, 0])
    np.testing.assert_allclose(
        found.mixture.variances[0], means.covariance[:, 0, 0] + np.exp(-0.5), atol=1e-12
    )


@given(
    weight=st.floats(0.01, 0.99), gap=st.floats(0, 20), spread=st.floats(0.1, 5),
    level=st.floats(0.01, 0.99),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_mixture_quantiles_invert_the_distribution(
    weight: float, gap: float, spread: float, level: float
) -> None:
    mixture = NormalMixture(
        np.array([weight, 1 - weight]), np.array([[0.0, gap]]), np.array([[1.0, spread**2]])
    )
    found = mixture.quantile(level)
    assert float(mixture.cdf(found)[0]) == pytest.approx(level, abs=1e-6)
    one = NormalMixture(np.array([1.0, 0.0]), mixture.means, mixture.variances)
    assert float(one.quantile(level)[0]) == pytest.approx(norm.ppf(level), abs=1e-8)


def test_mixture_moments_and_density() -> None:
    mixture = NormalMixture(np.array([0.25, 0.75]), np.array([[0.0, 4.0]]), np.array([[1.0, 4.0]]))
    values = np.linspace(-20, 30, 20_001)
    many = NormalMixture(
        mixture.weights,
        np.tile(mixture.means, (20_001, 1)),
        np.tile(mixture.variances, (20_001, 1)),
    )
    density = np.exp(many.log_density(values))
    mean = np.trapezoid(values * density, values)
    assert mixture.mean()[0] == pytest.approx(mean, abs=1e-6)
    spread = np.trapezoid((values - mean) ** 2 * density, values)
    assert mixture.std()[0] == pytest.approx(np.sqrt(spread), abs=1e-6)


# --- scikit-learn ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator",
    [
        MagmaClust(1, max_iter=1),
        pytest.param(MagmaClust(2, max_iter=1, n_init=1), marks=pytest.mark.slow),
    ],
    ids=["one", "two"],
)
def test_estimator_passes_scikit_learns_checks(estimator: object) -> None:
    state = np.random.get_state()  # noqa: NPY002 - the checks draw from it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_estimator(estimator, on_skip=None)
    finally:
        np.random.set_state(state)  # noqa: NPY002


def test_in_a_pipeline_and_a_grid_search() -> None:
    curves = simulate(np.random.default_rng(5), 4)
    pipe = make_pipeline(FunctionTransformer(), MagmaClust(max_iter=3, n_init=1, random_state=0))
    search = GridSearchCV(pipe, {"magmaclust__n_clusters": [1, 3]}, cv=2)
    search.fit(curves.X, curves.value)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_predictions_of_rows_do_not_depend_on_each_other() -> None:
    curves = simulate(np.random.default_rng(5), 3)
    model = MagmaClust(3, max_iter=3, n_init=1, random_state=0).fit(curves.X, curves.value)
    x = np.array([[0, 3.1], [4, 9.0], [99, 2.0], [0, 11.0]])
    whole = model.predict_interval(x)
    for row in range(4):
        low, high = model.predict_interval(x[[row]])
        assert (low[0], high[0]) == pytest.approx((whole[0][row], whole[1][row]), abs=1e-8)
    mean, deviation = model.predict(x, return_std=True)
    assert (deviation > 0).all()
    assert (mean > whole[0]).all()


def test_bad_options_are_refused() -> None:
    curves = simulate(np.random.default_rng(5), 2)
    for bad in ({"n_clusters": 0}, {"tol": 0.0}, {"max_iter": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            MagmaClust(**bad).fit(curves.X, curves.value)


# --- the recipe --------------------------------------------------------------------------------


def frame(seed: int = 5) -> pd.DataFrame:
    """Curves under other names, rows in disorder."""
    curves = simulate(np.random.default_rng(seed), 5)
    table = pd.DataFrame(
        {
            "swimmer": [f"nageur é {number}" for number in curves.task],
            "age (years)": curves.time,
            "100 m $t$": curves.value,
            "club": np.array(["x", "y", "z"])[curves.cluster[curves.task]],
        }
    )
    return table.sample(frac=1, random_state=0, ignore_index=True)


COLUMNS = {"task": "swimmer", "time": "age (years)", "value": "100 m $t$"}


def test_recipe_on_a_table_with_other_names() -> None:
    result = cluster_curves(
        frame(), **COLUMNS, group="club", at=(5.0, 10.0), max_clusters=4, rng=0, held_out=0.3
    )
    assert result.value("clusters").estimate == 3
    assert result.value("adjusted Rand index with the known groups").estimate == 1
    assert len(result.table) == 30
    assert (result.table["low"] < result.table["estimate"]).all()
    shares = [value.estimate for value in result.values if value.name.startswith("share")]
    assert sum(shares) == pytest.approx(1)
    assert result.value("error over that of each curve alone").high is not None
    result.plot()


def test_recipe_uses_known_groups() -> None:
    result = cluster_curves(frame(), **COLUMNS, group="club", known="use", held_out=0, rng=0)
    assert result.value("clusters").estimate == 3
    assert "not checked" in result.headline
    with pytest.raises(OptionError, match="no column for 'group'"):
        cluster_curves(frame().drop(columns="club"), **COLUMNS, known="use")
    mixed = frame()
    mixed.loc[0, "club"] = "w"
    with pytest.raises(InputError, match="more than one group"):
        cluster_curves(mixed, **COLUMNS, group="club")


def test_recipe_says_what_is_doubtful() -> None:
    few = frame()
    few = few[few["swimmer"].isin(sorted(set(few["swimmer"]))[:4])]
    result = cluster_curves(few, **COLUMNS, clusters=1, at=(20.0,), max_times=20, rng=0)
    assert result.status is Status.ASSUMPTION_DOUBTFUL
    assert {notice.code for notice in result.warnings} == {"times-rounded", "beyond-the-table"}
    with pytest.raises(OptionError, match="only 4 individuals"):
        cluster_curves(few, **COLUMNS, clusters=5)


def test_kernel_has_length_and_variance_as_logs() -> None:
    assert kernel(np.array([2.0]), np.array(np.log(3.0)), np.array(0.0))[0] == pytest.approx(
        3 * np.exp(-1)
    )


def test_fixed_labels_converge_at_once() -> None:
    tasks, *_ = irregular()
    hyper = Hyperparameters(np.array([[0.0, -1.0]]), np.array([[-1.0, -1.0, -1.0]]))
    fit = variational_em(tasks, np.ones((12, 1)), hyper, Options(steps=200), fixed=True)
    assert fit.converged
    assert len(fit.trace) <= 4
