"""Claims of the paper, on simulated mixtures of its kind and on Fisher's irises."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from statlas.core import Above, Below, Twin, claim
from statlas.core.rng import sklearn_seed
from statlas.statistics.ila_sdp.certificate import kmeans_certificate
from statlas.statistics.ila_sdp.estimators import LikelihoodAdjustedSDP, SemidefiniteKMeans
from statlas.statistics.ila_sdp.likelihood import (
    covariance_floor,
    likelihood_adjusted,
    membership_costs,
    misclustering,
    partition_covariances,
    round_memberships,
)
from statlas.statistics.ila_sdp.relaxation import (
    FloatArray,
    IntArray,
    solve_exact,
    solve_low_rank,
)

_CLUSTERS, _FEATURES = 3, 3


# --- simulated mixtures ---------------------------------------------------------------------------


def unequal_mixture(
    rng: np.random.Generator,
    n_rows: int = 60,
    separation: float = 3.0,
    deviations: tuple[float, float] = (0.25, 2.0),
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Rows, clusters and covariances: centres on a simplex, ellipsoids turned at random.

    Standard deviations along a cluster's axes go from the first to the last in equal ratios.
    """
    labels = np.arange(n_rows) % _CLUSTERS
    turns = np.linalg.qr(rng.normal(size=(_CLUSTERS, _FEATURES, _FEATURES)))[0]
    roots = np.asarray(turns) * np.geomspace(*deviations, _FEATURES)
    centres = separation * np.eye(_CLUSTERS, _FEATURES)
    noise = rng.normal(size=(n_rows, _FEATURES))
    rows = centres[labels] + np.einsum("nij,nj->ni", roots[labels], noise)
    return rows, labels, roots @ roots.transpose(0, 2, 1)


def recovery_threshold(n_rows: int, n_features: int, n_clusters: int) -> float:
    """Squared distance of centres, over the noise variance, above which recovery is exact.

    Chen and Yang (2021): 4 (1 + sqrt(1 + K p / (n log n))) log n, for equal sizes.

    Examples
    --------
    >>> round(recovery_threshold(90, 4, 3), 2)
    36.26
    """
    logarithm = np.log(n_rows)
    ratio = n_clusters * n_features / (n_rows * logarithm)
    return float(4 * (1 + np.sqrt(1 + ratio)) * logarithm)


def _equal_mixture(rng: np.random.Generator, share: float) -> tuple[FloatArray, IntArray]:
    """A Gaussian mixture with identity covariances at a share of the threshold."""
    n, p, k = 60, 4, 3
    labels = np.arange(n) % k
    centres = np.sqrt(share * recovery_threshold(n, p, k) / 2) * np.eye(k, p)
    return centres[labels] + rng.normal(size=(n, p)), labels


# --- fitting --------------------------------------------------------------------------------------


def _adjusted(x: FloatArray, rng: np.random.Generator) -> IntArray:
    model = LikelihoodAdjustedSDP(_CLUSTERS, random_state=sklearn_seed(rng))
    return np.asarray(model.fit(x).labels_)


def _plain(x: FloatArray, rng: np.random.Generator) -> IntArray:
    model = SemidefiniteKMeans(_CLUSTERS, tolerance=1e-3, random_state=sklearn_seed(rng))
    return np.asarray(model.fit(x).labels_)


def _em_at_random_rows(x: FloatArray, rng: np.random.Generator) -> IntArray:
    model = GaussianMixture(
        _CLUSTERS, init_params="random_from_data", max_iter=500, random_state=sklearn_seed(rng)
    )
    return np.asarray(model.fit_predict(x))


@claim(
    "ila-sdp",
    says="with unequal covariances fewer rows are mis-clustered than by K-means",
    where="numeric experiments; abstract",
    expect=Below(0.0),
    unit="share of rows wrong, less that of the best of ten K-means",
    subject=_adjusted,
    twin=Twin("plain relaxation, not adjusted for the likelihood", _plain),
    quick=8,
    full=60,
)
def fewer_errors_than_k_means(rng: np.random.Generator, fit: Any) -> float:
    """Three ellipsoids in three dimensions, 60 rows."""
    x, truth, _ = unequal_mixture(rng)
    peer = KMeans(_CLUSTERS, n_init=10, random_state=sklearn_seed(rng)).fit_predict(x)
    return misclustering(fit(x, rng), truth) - misclustering(peer, truth)


@claim(
    "ila-sdp",
    says="it depends less on the start than EM: from the same random labels fewer rows are "
    "mis-clustered, because memberships are lifted to matrices",
    where="numeric experiments; abstract",
    expect=Below(0.0),
    unit="share of rows wrong, less that of EM from the same random labels",
    subject=2 * _CLUSTERS,
    twin=Twin("factors of one column, which are assignment vectors", 1),
    quick=8,
    full=100,
)
def fewer_errors_than_em_from_the_same_start(rng: np.random.Generator, rank: Any) -> float:
    """Random labels give EM its first weights, means and covariances, and ours its covariances."""
    x, truth, _ = unequal_mixture(rng)
    start = rng.permutation(np.arange(len(x)) % _CLUSTERS)
    floor = covariance_floor(x, 1e-3)
    found = likelihood_adjusted(x, start, floor=floor, rank=rank, rng=rng)
    peer = GaussianMixture(
        _CLUSTERS, reg_covar=floor, max_iter=500, weights_init=np.full(_CLUSTERS, 1 / _CLUSTERS),
        means_init=np.stack([x[start == k].mean(axis=0) for k in range(_CLUSTERS)]),
        precisions_init=np.linalg.inv(
            partition_covariances(x, start, _CLUSTERS, "full", floor)
        ),
    ).fit_predict(x)  # fmt: skip
    return misclustering(found.labels, truth) - misclustering(peer, truth)


@claim(
    "ila-sdp",
    says="on real data fewer rows are mis-clustered than by EM from a random start",
    where="real-data experiments",
    expect=Below(0.0),
    unit="share of rows wrong, less that of EM started at random rows",
    subject=_adjusted,
    twin=Twin("EM from another random start", _em_at_random_rows),
    quick=8,
    full=100,
)
def fewer_errors_than_em_on_irises(rng: np.random.Generator, fit: Any) -> float:
    """60 irises drawn anew, standardised."""
    from sklearn.datasets import load_iris

    data, truth = load_iris(return_X_y=True)
    rows = rng.permutation(len(data))[:60]
    x, own = (data - data.mean(axis=0))[rows] / data.std(axis=0), truth[rows]
    peer = _em_at_random_rows(x, rng)
    return misclustering(fit(x, rng), own) - misclustering(peer, own)


# --- exact recovery -------------------------------------------------------------------------------


@claim(
    "ila-sdp",
    says="above the information-theoretic threshold of the centres' distance, the plain relaxation "
    "recovers every label of an equal-covariance mixture",
    where="Chen and Yang (2021), which the paper extends",
    expect=Above(0.8),
    unit="share of data sets recovered without error at 1.5 times the threshold",
    kind="proportion",
    subject=1.5,
    twin=Twin("half of the threshold", 0.5),
    quick=8,
    full=100,
)
def recovers_above_the_threshold(rng: np.random.Generator, share: Any) -> float:
    """60 rows in four dimensions, three clusters."""
    x, truth = _equal_mixture(rng, share)
    return float(misclustering(_plain(x, rng), truth) == 0)


def _one_row_moved(labels: IntArray, rng: np.random.Generator) -> IntArray:
    moved = labels.copy()
    row = int(rng.integers(len(labels)))
    moved[row] = (moved[row] + 1) % 3
    return moved


def _as_it_is(labels: IntArray, rng: np.random.Generator) -> IntArray:
    return labels


@claim(
    "ila-sdp",
    says="above the threshold the dual certificate proves that the true partition has the lowest "
    "K-means cost of all",
    where="Chen and Yang (2021), construction of the dual",
    expect=Above(0.8),
    unit="share of data sets certified at twice the threshold",
    kind="proportion",
    subject=_as_it_is,
    twin=Twin("partition with one row in a wrong cluster", _one_row_moved),
    quick=12,
    full=120,
)
def certificate_proves_optimality(rng: np.random.Generator, partition: Any) -> float:
    """60 rows in four dimensions, three clusters."""
    x, truth = _equal_mixture(rng, 2.0)
    return float(kmeans_certificate(x, partition(truth, rng)).certified)


def _known(covariances: FloatArray) -> FloatArray:
    return covariances


def _ignored(covariances: FloatArray) -> FloatArray:
    return np.repeat(np.eye(covariances.shape[1])[None], len(covariances), axis=0)


@claim(
    "ila-sdp",
    says="with known covariances the likelihood-adjusted programme recovers every label of well "
    "separated ellipsoids, centres never being estimated",
    where="exact recovery of LA-SDP",
    expect=Above(0.8),
    unit="share of data sets recovered without error",
    kind="proportion",
    subject=_known,
    twin=Twin("covariances taken as equal", _ignored),
    quick=8,
    full=250,
)
def recovers_with_known_covariances(rng: np.random.Generator, taken: Any) -> float:
    """Centres 17 apart, standard deviations from 0.25 to 5, so that Bayes's rule hardly errs."""
    x, truth, covariances = unequal_mixture(rng, separation=12.0, deviations=(0.25, 5.0))
    costs = membership_costs(x, taken(covariances))
    solution = solve_low_rank(costs, 2 * _CLUSTERS, tolerance=1e-3, rng=rng)
    return float(misclustering(round_memberships(solution), truth) == 0)


@claim(
    "ila-sdp",
    says="nonnegative factors of 2 K columns reach the optimum of the semidefinite programme from "
    "a random start",
    where="low-rank form: Zhuang, Chen, Yang and Zhang (2024)",
    expect=Below(0.5),
    unit="log-likelihood below the bound of the dual, nats",
    subject=2 * _CLUSTERS,
    twin=Twin("factors of one column, which are assignment vectors", 1),
    quick=8,
    full=60,
)
def low_rank_reaches_the_optimum(rng: np.random.Generator, rank: Any) -> float:
    """30 rows, covariances known; the bound is from the exact solver's dual, valid in any case."""
    x, _, covariances = unequal_mixture(rng, 30)
    costs = membership_costs(x, covariances)
    found = solve_low_rank(costs, rank, tolerance=1e-4, rng=rng)
    full = solve_low_rank(costs, 2 * _CLUSTERS, tolerance=1e-4, rng=rng)
    bound = solve_exact(costs, near=full, max_steps=150, tolerance=1e-5).bound
    return (bound - found.value) / 2
