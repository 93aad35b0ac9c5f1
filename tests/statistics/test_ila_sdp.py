"""Semidefinite clustering: enumeration, identities, exact solver, peers, bad input."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from statlas.core.errors import InputError, OptionError
from statlas.statistics import LikelihoodAdjustedSDP, SemidefiniteKMeans, cluster_gaussians
from statlas.statistics.ila_sdp.certificate import kmeans_certificate
from statlas.statistics.ila_sdp.claims import recovery_threshold, unequal_mixture
from statlas.statistics.ila_sdp.likelihood import (
    integrated_criterion,
    lifted_covariances,
    lifted_log_likelihood,
    likelihood_adjusted,
    likelihood_gap,
    log_densities,
    membership_costs,
    misclustering,
    partition_covariances,
)
from statlas.statistics.ila_sdp.relaxation import (
    Costs,
    Relaxed,
    _Augmented,
    dual_bound,
    partition_factors,
    peng_wei_costs,
    solve_exact,
    solve_low_rank,
)


def blobs(n: int = 40, apart: float = 6.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    return apart * np.eye(3, 2)[labels] + rng.normal(size=(n, 2)), labels


def cost_of(x: np.ndarray, labels: np.ndarray) -> float:
    return sum(
        float(((x[labels == k] - x[labels == k].mean(axis=0)) ** 2).sum()) for k in set(labels)
    )


def best_partition(x: np.ndarray, k: int) -> tuple[float, np.ndarray]:
    """By enumeration of all partitions."""
    every = (np.array((0, *rest)) for rest in product(range(k), repeat=len(x) - 1))
    return min(((cost_of(x, one), one) for one in every if len(set(one)) == k), key=lambda t: t[0])


# --- the plain programme --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_separated_points_get_the_partition_that_enumeration_finds(seed: int) -> None:
    x = blobs(9, 5.0, seed)[0]
    cost, labels = best_partition(x, 3)
    model = SemidefiniteKMeans(3, random_state=0).fit(x)
    assert misclustering(model.labels_, labels) == 0
    assert model.certificate_.cost == pytest.approx(cost)


@pytest.mark.parametrize("apart", [0.0, 1.5, 5.0])
def test_dual_bounds_lie_below_the_best_of_all_partitions(apart: float) -> None:
    x = blobs(9, apart)[0]
    cost, labels = best_partition(x, 3)
    exact = solve_exact(peng_wei_costs(x, 3))
    assert exact.bound >= -cost - 1e-8  # with squared distances the value is minus the cost
    assert exact.value == pytest.approx(exact.bound, abs=1e-3)
    found = kmeans_certificate(x, labels)
    assert found.lower_bound <= cost + 1e-8
    assert found.lower_bound <= -exact.bound + 1e-3
    assert SemidefiniteKMeans(3, random_state=0).fit(x).certificate_.lower_bound <= cost + 1e-8


def test_certificate_is_what_the_dense_matrices_say() -> None:
    """S of Chen and Yang built entry by entry: psd, S 1_G = 0, B >= 0."""
    x, labels = blobs(30)
    found = kmeans_certificate(x, labels)
    assert found.certified
    assert found.gap == 0
    z = x - x.mean(axis=0)
    sizes = np.bincount(labels)
    means = np.stack([z[labels == k].mean(axis=0) for k in range(3)])
    squares = ((z[:, None] - means) ** 2).sum(axis=2)

    def slack(level: float) -> tuple[float, float, float]:
        n_own, mean = sizes[labels], means[labels]
        alpha = 2 * (z * mean).sum(axis=1) - level / n_own - (mean**2).sum(axis=1)
        sums = sizes / 2 * (squares - squares[np.arange(30), labels][:, None])
        sums = sums - level * (n_own[:, None] + sizes) / (2 * n_own[:, None])
        b = np.zeros((30, 30))
        for i, j in product(range(3), repeat=2):
            if i != j:
                r_i, r_j = sums[labels == i, j], sums[labels == j, i]
                b[np.ix_(labels == i, labels == j)] = np.outer(r_i, r_j) / r_i.sum()
        s = level * np.eye(30) + (alpha[:, None] + alpha) / 2 - z @ z.T - b
        onto = (labels[:, None] == np.arange(3)).astype(float)
        values = np.linalg.eigvalsh(s)
        return float(values[3] / level), float(np.abs(s @ onto).max()), float(b.min())

    # `margin` is the best over l; found here by a fine grid.
    own, other = sizes[labels][:, None], sizes
    reach = own * other / (own + other) * (squares - squares[np.arange(30), labels][:, None])
    largest = reach[np.arange(3) != labels[:, None]].min()
    tried = [slack(level) for level in np.linspace(0.02, 1, 400) * largest]
    assert max(one[0] for one in tried) == pytest.approx(found.margin, abs=1e-3)
    assert max(one[1] for one in tried) < 1e-8
    assert min(one[2] for one in tried) > -1e-8


def test_wrong_partitions_get_no_certificate() -> None:
    x, labels = blobs(30)
    moved = labels.copy()
    moved[0] = 1
    assert not kmeans_certificate(x, moved).certified


@pytest.mark.parametrize("n", [300, 600])
def test_closed_bound_is_the_same_by_dense_and_sparse_eigenvalues(n: int) -> None:
    """Weak duality with the same variables, B as a matrix."""
    x = blobs(n, 2.0)[0]
    labels = KMeans(3, n_init=3, random_state=0).fit_predict(x)
    found = kmeans_certificate(x, labels)
    assert 0 < found.lower_bound < found.cost
    assert found.cost == pytest.approx(cost_of(x, labels))


def test_low_rank_equals_the_exact_programme() -> None:
    for apart in (1.0, 3.0):
        x = blobs(24, apart)[0]
        costs = peng_wei_costs(x, 3)
        low = solve_low_rank(costs, 6, rng=np.random.default_rng(0))
        exact = solve_exact(costs, tolerance=1e-5, max_steps=2000)
        assert low.converged
        assert low.value <= exact.bound + 1e-3
        # Nonnegative factors of six columns are a restriction where points overlap.
        assert low.value == pytest.approx(exact.value, rel=0.01)


def test_two_thousand_rows_run_in_low_rank() -> None:
    x, labels = blobs(2000, 12.0)  # the threshold is 7.8
    model = SemidefiniteKMeans(3, tolerance=1e-3, random_state=0).fit(x)
    assert misclustering(model.labels_, labels) < 0.001
    peer = KMeans(3, n_init=5, random_state=0).fit(x)
    assert -model.score(x) == pytest.approx(peer.inertia_, rel=1e-6)
    assert model.certificate_.certified


def test_gradient_of_the_augmented_lagrangian() -> None:
    rng = np.random.default_rng(0)
    costs = Costs(rng.normal(size=(2, 7, 3)), rng.normal(size=2), np.ones(2))
    problem = _Augmented(costs, (2, 7, 3))
    problem.row_multipliers = rng.normal(size=7)
    problem.trace_multipliers = rng.normal(size=2)
    off = check_grad(
        lambda flat: problem(flat.reshape(2, 7, 3))[0],
        lambda flat: problem(flat.reshape(2, 7, 3))[1].ravel(),
        rng.random(42),
    )
    assert off < 1e-4


# --- the likelihood-adjusted programme ------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 4), p=st.integers(1, 4))
def test_lifted_likelihood_of_a_partition_is_the_profile_likelihood(
    seed: int, k: int, p: int
) -> None:
    """Sum of normal log-densities at the clusters' means, and its best covariances."""
    rng = np.random.default_rng(seed)
    labels = np.arange(8 * k) % k
    x = rng.normal(size=(8 * k, p)) * rng.uniform(0.5, 3, p)
    covariances = partition_covariances(x, labels, k, "full", 1e-12)
    for j in range(k):
        own = x[labels == j].T
        np.testing.assert_allclose(covariances[j], np.cov(own, ddof=0).reshape(p, p), atol=1e-8)
    others = np.stack([np.cov(rng.normal(size=(p, 9))).reshape(p, p) + np.eye(p)] * k)
    partition = Relaxed(partition_factors(labels, k, 1, k), 0.0, 0.0, True)
    for given_ in (covariances, others):
        direct = sum(
            multivariate_normal(x[labels == j].mean(axis=0), given_[j]).logpdf(x[labels == j]).sum()
            for j in range(k)
        )
        lifted = lifted_log_likelihood(x, partition, given_)
        assert lifted == pytest.approx(direct, rel=1e-8)
    best = lifted_log_likelihood(x, partition, covariances)
    assert best >= lifted_log_likelihood(x, partition, others) - 1e-8


def test_equal_covariances_give_peng_and_weis_optimum() -> None:
    """Z_k = Z / K is feasible and the sum of the Z_k is, so both optima agree."""
    x = blobs(24, 2.0)[0]
    plain = solve_exact(peng_wei_costs(x, 3))
    adjusted = solve_exact(membership_costs(x, np.stack([np.eye(2)] * 3)))
    assert adjusted.bound == pytest.approx(plain.bound, abs=0.01)


def test_adjusted_low_rank_reaches_the_exact_optimum() -> None:
    rng = np.random.default_rng(3)
    x, _, covariances = unequal_mixture(rng, 30)
    costs = membership_costs(x, covariances)
    exact = solve_exact(costs, tolerance=1e-5)
    best = max(
        (solve_low_rank(costs, 6, tolerance=1e-4, rng=rng) for _ in range(3)), key=lambda s: s.value
    )
    assert best.value == pytest.approx(exact.bound, abs=0.5)
    assert best.value < exact.bound + 0.05
    assert misclustering(exact.weights.argmax(axis=1), best.weights.argmax(axis=1)) <= 1 / 30


def test_any_dual_point_bounds_every_partition() -> None:
    rng = np.random.default_rng(0)
    x, labels, covariances = unequal_mixture(rng, 21)
    costs = membership_costs(x, covariances)
    dense = costs.dense()
    for _ in range(20):
        bound = dual_bound(costs, rng.normal(size=21), rng.normal(size=(3, 21, 21)))
        shuffled = rng.permutation(labels)
        u = partition_factors(shuffled, 3, 1, 3)
        assert float((dense * (u @ u.transpose(0, 2, 1))).sum()) <= bound


def test_likelihood_never_falls_and_exact_and_low_rank_agree() -> None:
    rng = np.random.default_rng(1)
    x, truth, _ = unequal_mixture(rng, 45, separation=6.0)
    start = KMeans(3, n_init=5, random_state=0).fit_predict(x)
    low = likelihood_adjusted(x, start, floor=1e-3, rng=rng)
    exact = likelihood_adjusted(x, start, floor=1e-3, solver="exact", max_iter=4)
    assert np.all(np.diff(low.trace) > 0)
    assert misclustering(low.labels, exact.labels) <= 1 / 45
    assert misclustering(low.labels, truth) < 0.1
    gap = likelihood_gap(x, low.labels, low.covariances, low.solution)
    own, true = (
        lifted_log_likelihood(
            x, Relaxed(partition_factors(one, 3, 1, 3), 0.0, 0.0, True), low.covariances
        )
        for one in (low.labels, low.labels[rng.permutation(45)])
    )
    assert true - own <= gap
    assert gap < 60


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_kinds_of_covariances(kind: str) -> None:
    x, labels = blobs(30)
    fitted = partition_covariances(x, labels, 3, kind, 1e-9)
    own = np.stack([np.cov(x[labels == k].T, ddof=0) for k in range(3)])
    wanted = {
        "full": own,
        "tied": np.repeat(own.mean(axis=0)[None], 3, axis=0),
        "diag": np.stack([np.diag(np.diag(one)) for one in own]),
        "spherical": np.stack([np.eye(2) * np.trace(one) / 2 for one in own]),
    }[kind]
    np.testing.assert_allclose(fitted, wanted, atol=1e-10)
    flat = np.column_stack([x[:, 0], np.zeros(30)])
    floored = partition_covariances(flat, labels, 3, "full", 0.01)
    np.testing.assert_allclose(np.linalg.eigvalsh(floored)[:, 0], 0.01)


def test_exact_and_factored_memberships_give_the_same_covariances() -> None:
    x, labels = blobs(24)
    factors = partition_factors(labels, 3, 1, 3)
    relaxed = Relaxed(factors, 0.0, 0.0, True)
    exact = solve_exact(membership_costs(x, np.stack([np.eye(2)] * 3)), max_steps=1)
    same = type(exact)(factors @ factors.transpose(0, 2, 1), 0.0, 0.0, 0.0, True)
    np.testing.assert_allclose(
        lifted_covariances(x, relaxed), lifted_covariances(x, same), atol=1e-12
    )


def test_criterion_is_the_penalised_classification_likelihood() -> None:
    x, labels = blobs(30)
    covariances = partition_covariances(x, labels, 3, "full", 1e-3)
    means = np.stack([x[labels == k].mean(axis=0) for k in range(3)])
    own = log_densities(x, means, covariances)[np.arange(30), labels]
    by_hand = -2 * (own.sum() + 30 * np.log(1 / 3)) + (3 * 2 + 3 * 3 + 2) * np.log(30)
    assert integrated_criterion(x, labels) == pytest.approx(by_hand)


def test_misclustering_matches_clusters_as_well_as_can_be() -> None:
    truth = np.array([0, 0, 0, 1, 1, 2])
    assert misclustering([2, 2, 2, 0, 0, 1], truth) == 0
    assert misclustering([0, 0, 0, 0, 0, 0], truth) == pytest.approx(0.5)
    assert misclustering([0, 1, 2, 3, 3, 4], truth) == pytest.approx(2 / 6)


def test_threshold_at_large_n_is_that_of_known_directions() -> None:
    """For p fixed and n to infinity 8 log n, as two known centres need."""
    assert recovery_threshold(10**9, 4, 3) == pytest.approx(8 * np.log(10**9), rel=1e-6)


# --- estimators -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [SemidefiniteKMeans(), LikelihoodAdjustedSDP()])
def test_estimators_follow_scikit_learn(estimator: object) -> None:
    before = np.random.get_state()  # noqa: NPY002 - its checks of clusterers move the generator
    check_estimator(estimator)
    np.random.set_state(before)  # noqa: NPY002


def test_pipeline_and_grid_search() -> None:
    rng = np.random.default_rng(0)
    x, truth, _ = unequal_mixture(rng, 45, separation=7.0)
    model = LikelihoodAdjustedSDP(3, tolerance=1e-2, max_iter=6, random_state=0)
    pipe = make_pipeline(StandardScaler(), model)
    grid = {"likelihoodadjustedsdp__covariance_type": ["spherical", "full"]}
    search = GridSearchCV(pipe, grid, cv=2).fit(x)
    assert search.best_params_["likelihoodadjustedsdp__covariance_type"] == "full"
    assert misclustering(search.best_estimator_.fit_predict(x), truth) < 0.1
    plain = make_pipeline(StandardScaler(), SemidefiniteKMeans(random_state=0))
    found = GridSearchCV(plain, {"semidefinitekmeans__n_clusters": [2, 3]}, cv=2).fit(x)
    assert found.best_params_["semidefinitekmeans__n_clusters"] == 3


def test_same_seed_same_fit_and_the_start_can_be_given() -> None:
    x, labels = blobs(40)
    first = LikelihoodAdjustedSDP(3, random_state=4).fit(x)
    again = LikelihoodAdjustedSDP(3, random_state=4).fit(x)
    np.testing.assert_array_equal(first.memberships_, again.memberships_)
    given_ = LikelihoodAdjustedSDP(3, init=labels, random_state=0).fit(x)
    assert misclustering(given_.labels_, first.labels_) == 0
    assert misclustering(first.predict(x), first.labels_) == 0
    np.testing.assert_allclose(first.predict_proba(x).sum(axis=1), 1)


@pytest.mark.parametrize(
    "bad",
    [{"n_clusters": 0}, {"solver": "magic"}, {"covariance_type": "round"}, {"init": "far"},
     {"init": [0, 1]}, {"min_variance": 0.0}, {"max_iter": 0}, {"n_clusters": 99}],
)  # fmt: skip
def test_bad_options_of_the_estimator(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        LikelihoodAdjustedSDP(**bad).fit(blobs(20)[0])


def test_one_cluster_is_the_sample() -> None:
    x = blobs(20)[0]
    model = LikelihoodAdjustedSDP(1, random_state=0).fit(x)
    np.testing.assert_allclose(model.means_[0], x.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(model.covariances_[0], np.cov(x.T, ddof=0), rtol=0.01)
    plain = SemidefiniteKMeans(1).fit(x)
    assert plain.certificate_.certified


# --- the recipe -----------------------------------------------------------------------------------


def test_recipe_on_a_table_with_other_names() -> None:
    wine = load_wine(as_frame=True).frame
    names = ["alcohol", "flavanoids", "color_intensity", "proline"]
    table = wine[names].assign(cellar=wine["target"].map({0: "a", 1: "b", 2: "c"}))
    result = cluster_gaussians(table, label="cellar", features=names, clusters=3, rng=0)
    wrong = result.value("mis-clustered")
    assert wrong.estimate is not None
    assert wrong.estimate < 0.12
    assert result.value("K-means cost of the plain programme").low is not None
    assert len(result.table) == 178
    assert sum(row["rows"] for row in result.details["summary"]) == 178
    assert result.rows_used == 178


def test_number_of_clusters_is_chosen_among_separated_blobs() -> None:
    x, truth = blobs(45, 9.0)
    table = pd.DataFrame({"u": x[:, 0], "v": x[:, 1], "who": truth.astype(str)})
    result = cluster_gaussians(table, label="who", max_clusters=3, covariance="spherical", rng=0)
    assert result.details["clusters"] == 3
    assert result.value("mis-clustered").estimate == 0
    assert len(result.details["criteria"]) == 3
    assert "ICL" in result.headline
    assert not any(notice.code == "not certified" for notice in result.warnings)


def test_one_column_and_no_label() -> None:
    rng = np.random.default_rng(0)
    values = np.append(rng.normal(0, 1, 30), rng.normal(9, 2, 30))
    result = cluster_gaussians(pd.DataFrame({"weight": values}), clusters=2, rng=0)
    assert sorted(np.bincount(result.table["cluster"])[1:]) == [30, 30]
    result.to_html()


def test_refusals_name_what_is_wrong() -> None:
    x = blobs(20)[0]
    table = pd.DataFrame({"u": x[:, 0], "flat": 1.0})
    with pytest.raises(InputError, match="flat"):
        cluster_gaussians(table, clusters=2)
    with pytest.raises(OptionError, match="clusters"):
        cluster_gaussians(table[["u"]], clusters=15)
    many = pd.DataFrame({"u": np.arange(500.0)})
    with pytest.raises(OptionError, match="solver"):
        cluster_gaussians(many, clusters=2, solver="exact")


def test_too_small_clusters_and_overlap_are_said() -> None:
    x = np.random.default_rng(0).normal(size=(18, 3))
    result = cluster_gaussians(pd.DataFrame(x, columns=list("abc")), clusters=5, rng=0)
    assert result.status.value != "ok"
    assert any(notice.code == "not certified" for notice in result.warnings)
