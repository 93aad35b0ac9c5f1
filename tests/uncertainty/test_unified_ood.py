"""Known answers of model-specific detection; each says where it comes from."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import kendalltau, norm
from sklearn.datasets import load_iris, make_blobs, make_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import check_estimator

from statlas.core.errors import InputError, OptionError
from statlas.core.results import Status
from statlas.uncertainty.unified_ood import (
    DETECTORS,
    Cases,
    DetectorSettings,
    Head,
    ModelSpecificDetector,
    NetworkClassifier,
    Outputs,
    Protocol,
    against_source,
    class_based,
    fit_detectors,
    inner_view,
    kendall_tau,
    measure,
    model_specific,
    rank_detectors,
    recover_head,
    sure_reversals,
)
from statlas.uncertainty.unified_ood.evaluation import (
    accepted_shares,
    area_under_curve,
    draw_weights,
    with_shares,
)
from statlas.uncertainty.unified_ood.scores import (
    energy,
    gradient_norm,
    margin,
    max_logit,
    max_softmax,
    negative_entropy,
)

FloatArray = NDArray[np.float64]


def _model(seed: int, n: int = 200) -> tuple[Outputs, NDArray[np.int64], Head]:
    """Features of four classes and a linear head."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), n // 4)
    features = rng.normal(size=(n, 6)) + 3 * np.eye(4, 6)[labels]
    head = Head(rng.normal(size=(6, 4)), rng.normal(size=4))
    return Outputs(head.logits(features), features), labels, head


# --- scores ---------------------------------------------------------------------------------------


def test_scores_of_two_equal_logits_and_of_odds_three_to_one() -> None:
    """Closed form."""
    logits = np.array([[0.0, 0.0], [0.0, np.log(3)]])
    np.testing.assert_allclose(max_softmax(logits), [0.5, 0.75])
    np.testing.assert_allclose(margin(logits), [0.0, 0.5])
    entropy = [-np.log(2), 0.25 * np.log(0.25) + 0.75 * np.log(0.75)]
    np.testing.assert_allclose(negative_entropy(logits), entropy)
    np.testing.assert_allclose(energy(logits), [np.log(2), np.log(4)])
    np.testing.assert_allclose(max_logit(logits), [0, np.log(3)])


@given(st.integers(0, 10**6), st.floats(-50, 50))
@settings(max_examples=30, deadline=None)
def test_a_constant_moves_scores_of_size_and_no_others(seed: int, shift: float) -> None:
    """Invariance of the softmax."""
    logits = np.random.default_rng(seed).normal(size=(5, 3))
    for score in (max_softmax, margin, negative_entropy):
        np.testing.assert_allclose(score(logits + shift), score(logits), atol=1e-9)
    for score in (energy, max_logit):
        np.testing.assert_allclose(score(logits + shift), score(logits) + shift, atol=1e-9)


def test_energy_at_low_temperature_is_the_largest_logit() -> None:
    """Limit of log-sum-exp."""
    logits = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(energy(logits, 1e-3), max_logit(logits), atol=1e-6)


def test_gradient_norm_is_that_of_automatic_differentiation() -> None:
    """Peer: torch's gradient in the weights of the last layer."""
    torch = pytest.importorskip("torch")
    outputs, _, head = _model(0, 20)
    assert outputs.features is not None
    expected = []
    for row in outputs.features:
        weights = torch.tensor(head.weights, requires_grad=True)
        logits = torch.tensor(row) @ weights + torch.tensor(head.bias)
        (-torch.log_softmax(logits, dim=0).mean()).backward()
        expected.append(float(weights.grad.abs().sum()))
    np.testing.assert_allclose(gradient_norm(outputs.logits, outputs.features), expected)


def test_head_is_recovered_exactly_or_not_at_all() -> None:
    """Identity: logits made by a head; squares are not linear; few rows fit any head."""
    outputs, _, head = _model(1)
    found = recover_head(outputs)
    assert found is not None
    np.testing.assert_allclose(found.weights, head.weights, atol=1e-9)
    np.testing.assert_allclose(found.bias, head.bias, atol=1e-9)
    assert recover_head(Outputs(outputs.logits**2, outputs.features)) is None
    assert recover_head(outputs.take(np.arange(10))) is None
    assert recover_head(Outputs(outputs.logits, outputs.features, absolute=False)) is None


def test_mahalanobis_is_the_nearest_of_scipys_distances() -> None:
    """Peer: scipy's cdist with the pooled covariance."""
    outputs, labels, _ = _model(2)
    queries, _, _ = _model(3)
    x = outputs.features
    assert x is not None
    assert queries.features is not None
    means = np.stack([x[labels == k].mean(axis=0) for k in range(4)])
    pooled = np.linalg.inv((x - means[labels]).T @ (x - means[labels]) / len(x))
    expected = -(cdist(queries.features, means, "mahalanobis", VI=pooled).min(axis=1) ** 2)
    found = fit_detectors(outputs, labels, wanted=("mahalanobis",)).score("mahalanobis", queries)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_mahalanobis_leaves_out_directions_without_spread() -> None:
    """Identity: a copied column changes nothing."""
    outputs, labels, _ = _model(2)
    x = outputs.features
    assert x is not None
    doubled = Outputs(outputs.logits, np.column_stack([x, x[:, 0]]))
    plain, copied = (
        fit_detectors(one, labels, wanted=("mahalanobis",)).score("mahalanobis", one)
        for one in (outputs, doubled)
    )
    np.testing.assert_allclose(copied, plain, rtol=1e-6)


def test_neighbour_distance_by_sorting() -> None:
    """Definition: the third smallest distance of vectors of length 1."""
    outputs, labels, _ = _model(4)
    queries, _, _ = _model(5)
    assert outputs.features is not None
    assert queries.features is not None
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True)
            for x in (queries.features, outputs.features)]  # fmt: skip
    expected = -np.sort(cdist(*unit), axis=1)[:, 2]
    found = fit_detectors(outputs, labels, wanted=("knn",), settings=DetectorSettings(neighbours=3))
    np.testing.assert_allclose(found.score("knn", queries), expected, atol=1e-9)


def test_virtual_logit_by_its_definition() -> None:
    """Definition in the ViM paper, with the projection written out."""
    outputs, labels, head = _model(6)
    x = outputs.features
    assert x is not None
    origin = -np.linalg.pinv(head.weights.T) @ head.bias
    values, vectors = np.linalg.eigh((x - origin).T @ (x - origin))
    principal = vectors[:, np.argsort(values)[::-1][:2]]
    residual = (x - origin) - (x - origin) @ principal @ principal.T
    length = np.linalg.norm(residual, axis=1)
    alpha = outputs.logits.max(axis=1).mean() / length.mean()
    expected = np.log(np.exp(outputs.logits).sum(axis=1)) - alpha * length
    found = fit_detectors(outputs, labels, head, ("vim",), DetectorSettings(vim_dimension=2))
    np.testing.assert_allclose(found.score("vim", outputs), expected, rtol=1e-8)


def test_react_without_a_limit_is_the_energy() -> None:
    """Reduction: at the 100th percentile nothing is cut; at the median something is."""
    outputs, labels, head = _model(7)
    scores = [
        fit_detectors(
            outputs, labels, head, ("react",), DetectorSettings(clip_percentile=percentile)
        ).score("react", outputs)
        for percentile in (100.0, 50.0)
    ]
    np.testing.assert_allclose(scores[0], energy(outputs.logits))
    assert not np.allclose(scores[1], energy(outputs.logits))


def test_detectors_that_cannot_be_computed_say_why() -> None:
    """Each kind of thing that may be missing."""
    outputs, labels, head = _model(8)
    assert fit_detectors(outputs, labels, head).names == DETECTORS
    no_features = fit_detectors(Outputs(outputs.logits))
    assert set(no_features.missing) == {"gradnorm", "react", "vim", "mahalanobis", "knn"}
    probabilities = fit_detectors(Outputs(outputs.logits, outputs.features, False), labels)
    assert set(probabilities.missing) == {"max_logit", "energy", "react", "vim"}
    untrained = fit_detectors(outputs, None, head)
    assert set(untrained.missing) == {"react", "vim", "mahalanobis", "knn"}


# --- protocols and measures -----------------------------------------------------------------------

_CASES = Cases(np.array([0, 0, 1, 1, 2]), np.array([True, False, True, False, False]))


def test_protocols_accept_and_reject_what_the_paper_says() -> None:
    """Enumeration of ID+, ID-, C-OOD+, C-OOD-, S-OOD."""
    ours = model_specific(_CASES)
    assert ours.accept.tolist() == [True, False, True, False, False]
    assert ours.reject.tolist() == [False, True, False, True, True]
    assert ours.reference.tolist() == [True, False, False, False, False]
    wanted = {
        "leave-out": ([1, 1, 0, 0, 0], [0, 0, 0, 0, 1]),
        "reject": ([1, 1, 0, 0, 0], [0, 0, 1, 1, 1]),
        "accept": ([1, 1, 1, 1, 0], [0, 0, 0, 0, 1]),
    }
    for covariate, (accept, reject) in wanted.items():
        theirs = class_based(_CASES, covariate)  # type: ignore[arg-type]
        assert theirs.accept.astype(int).tolist() == accept
        assert theirs.reject.astype(int).tolist() == reject
    assert against_source(_CASES, 1).reject.tolist() == [False, False, False, True, False]


@given(st.integers(0, 10**6), st.integers(2, 12))
@settings(max_examples=40, deadline=None)
def test_area_is_scikit_learns_with_ties_and_weights(seed: int, distinct: int) -> None:
    """Peer: roc_auc_score."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(distinct, size=60).astype(float)
    accept = np.arange(60) % 3 > 0
    weights = rng.integers(1, 4, size=(60, 2)).astype(float)
    found = area_under_curve(scores, Protocol(accept, ~accept, accept), weights)
    expected = [roc_auc_score(accept, scores, sample_weight=w) for w in weights.T]
    np.testing.assert_allclose(found, expected)


@given(st.integers(0, 10**6), st.floats(0.05, 0.99))
@settings(max_examples=40, deadline=None)
def test_threshold_accepts_the_stated_share_and_no_larger_one_does(seed: int, tpr: float) -> None:
    """Definition, by counting."""
    rng = np.random.default_rng(seed)
    scores, kind = rng.integers(15, size=50).astype(float), rng.integers(3, size=50)
    kind[:3] = [0, 1, 2]
    protocol = Protocol(kind < 2, kind == 2, kind == 0)
    found = measure(scores, protocol, tpr)
    threshold = found.threshold[0]
    assert np.mean(scores[kind == 0] >= threshold) >= tpr - 1e-9
    assert np.mean(scores[kind == 0] > threshold) < tpr
    assert found.fpr[0] == pytest.approx(np.mean(scores[kind == 2] >= threshold))


def test_a_draw_without_rows_of_a_kind_measures_nothing() -> None:
    """Boundary case."""
    protocol = Protocol(*(np.array(m, bool) for m in ([1, 1, 0], [0, 0, 1], [1, 1, 0])))
    weights = np.array([[0.0, 1], [0, 1], [1, 0]])
    found = measure([1.0, 2, 3], protocol, 0.95, weights)
    assert np.isnan(found.auroc).all()
    assert np.isnan(found.threshold[0])
    assert found.threshold[1] == 1.0


def test_draws_keep_strata_and_clusters_together() -> None:
    """Definition: rows of a stratum keep their number, rows of a cluster their weight."""
    rng = np.random.default_rng(0)
    strata = np.repeat([0, 1], [5, 15])
    blocks = list(draw_weights(strata, None, 50, rng))
    assert (blocks[0] == 1).all()
    drawn = np.concatenate(blocks[1:], axis=1)
    assert drawn.shape == (20, 50)
    assert (drawn[:5].sum(axis=0) == 5).all()
    assert (drawn[5:].sum(axis=0) == 15).all()
    clusters = np.arange(20) % 4
    drawn = np.concatenate(list(draw_weights(strata, clusters, 50, rng)), axis=1)
    for cluster in range(4):
        assert (np.ptp(drawn[clusters == cluster], axis=0) == 0).all()


def test_shares_weigh_the_sources_and_not_the_areas_within_them() -> None:
    """Identity: the area by class does not depend on shares; the pooled one does as it should."""
    rng = np.random.default_rng(0)
    source, scores = np.repeat([0, 1, 2], 40), rng.normal(size=120)
    right = (source == 0) | ((source == 1) & (np.arange(120) % 2 == 0))
    cases = Cases(source, right)
    weights = with_shares(np.ones((120, 1)), source, np.array([0.5, 0.4, 0.1]))
    np.testing.assert_allclose([weights[source == k].sum() for k in range(3)], [0.5, 0.4, 0.1])
    plain = measure(scores, class_based(cases)).auroc
    np.testing.assert_allclose(measure(scores, class_based(cases), 0.95, weights).auroc, plain)
    expected = roc_auc_score(right, scores, sample_weight=weights[:, 0])
    pooled = measure(scores, model_specific(cases), 0.95, weights).auroc
    np.testing.assert_allclose(pooled, expected)


def test_accepted_shares_by_counting() -> None:
    """Definition."""
    scores, groups = np.array([0.1, 0.5, 0.9, 0.7]), np.array([[1, 0], [1, 0], [1, 1], [1, 1]])
    found = accepted_shares(scores, np.array([0.6, 0.95]), groups.astype(bool), np.ones((4, 2)))
    np.testing.assert_allclose(found, np.array([[0.5, 0.0], [1.0, 0.0]]))


def test_bootstrap_intervals_cover_the_area_of_two_normals() -> None:
    """Closed form: the area is Phi(1 / sqrt(2)). Nominal 95 %, 120 tables; below 0.87 by chance in
    fewer than 1 of 1,000 runs where coverage is 0.94.
    """
    rng = np.random.default_rng(1)
    truth, covered = norm.cdf(1 / np.sqrt(2)), 0
    accept = np.arange(160) < 100
    protocol = Protocol(accept, ~accept, accept)
    for _ in range(120):
        scores = rng.normal(size=160) + accept
        drawn = list(draw_weights(accept.astype(np.int64), None, 200, rng))[1]
        low, high = np.quantile(area_under_curve(scores, protocol, drawn), [0.025, 0.975])
        covered += low <= truth <= high
    assert covered / 120 > 0.87


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_kendall_tau_is_scipys(seed: int) -> None:
    """Peer, ties included."""
    a, b = np.random.default_rng(seed).integers(5, size=(2, 3, 8))
    expected = [kendalltau(x, y).statistic for x, y in zip(a, b, strict=True)]
    assert kendall_tau(a, b) == pytest.approx(expected, abs=1e-12)


def test_sure_reversals_need_both_differences() -> None:
    """Constructed: 0 and 1 change places clearly, 2 is too noisy to tell."""
    rng = np.random.default_rng(0)
    noise = np.array([0.01, 0.01, 3.0])
    first = np.array([0.9, 0.7, 0.8]) + np.vstack([np.zeros(3), noise * rng.normal(size=(300, 3))])
    second = np.array([0.7, 0.9, 0.8]) + np.vstack([np.zeros(3), noise * rng.normal(size=(300, 3))])
    assert sure_reversals(first, second, 0.95) == [(0, 1)]
    assert sure_reversals(first, first, 0.95) == []


# --- the recipe -----------------------------------------------------------------------------------


def _table(seed: int = 0, n: int = 300) -> pd.DataFrame:
    """A model of classes a and b; c is unknown; own columns with other names."""
    rng = np.random.default_rng(seed)
    kind = np.repeat(["own", "new", "odd"], n // 3)
    truth = np.where(kind == "odd", "c", np.where(rng.random(n) < 0.5, "a", "b"))
    z = rng.normal(size=n) * np.where(kind == "own", 1.0, 1.5) + 2.0 * (truth == "b") - 1.0
    return pd.DataFrame(
        {"where": kind, "what": truth, "net a": -z / 2, "net b": z / 2, "my_x": rng.random(n),
         "note": "text"}
    )  # fmt: skip


_NAMES: dict[str, Any] = {
    "domain": "where", "label": "what", "in_distribution": "own", "logits": "net ",
    "scores": "my_", "draws": 100, "rng": 0,
}  # fmt: skip


def test_table_agrees_with_counting() -> None:
    """Definition: every number of a row by pandas and scikit-learn."""
    frame = _table()
    result = rank_detectors(frame, **_NAMES)
    row = result.table.set_index("detector").loc["max_softmax"]
    score = 1 / (1 + np.exp(-np.abs(frame["net b"] - frame["net a"])))
    right = np.where(frame["net b"] > frame["net a"], "b", "a") == frame["what"]
    own, odd = frame["where"] == "own", frame["where"] == "odd"
    accepted = score >= row["threshold"]
    assert row["auroc"] == pytest.approx(roc_auc_score(right, score))
    assert row["aupr"] == pytest.approx(average_precision_score(right, score))
    assert row["class_auroc"] == pytest.approx(roc_auc_score(own[own | odd], score[own | odd]))
    assert np.mean(accepted[own & right]) >= 0.95
    assert row["fpr"] == pytest.approx(np.mean(accepted[~right]))
    assert row["accuracy"] == pytest.approx(np.mean(right[accepted]))
    assert row["accepted_semantic"] == pytest.approx(np.mean(accepted[odd]))
    assert row["accepted"] == pytest.approx(np.mean(accepted))
    assert row["low"] <= row["auroc"] <= row["high"]
    assert "x" in set(result.table["detector"])
    assert result.table["rank"].tolist() == sorted(result.table["rank"])


def test_domains_are_told_for_the_best_detector() -> None:
    """Definition, by counting."""
    result = rank_detectors(_table(), **_NAMES)
    told = {one["domain"]: one for one in result.details["domains"]}
    assert told["odd"]["source"] == "semantic shift"
    assert told["new"]["source"] == "covariate shift"
    assert told["odd"]["right"] == [None, None, None]
    assert told["own"]["rows"] == 100


def test_probabilities_rank_as_logits_do_where_both_allow_it() -> None:
    """Identity: the softmax of the logits."""
    frame = _table()
    odds = np.exp(frame["net b"] - frame["net a"])
    as_probabilities = frame.assign(**{"net a": 1 / (1 + odds), "net b": odds / (1 + odds)})
    by_logits, by_probabilities = (
        rank_detectors(one, **_NAMES).table.set_index("detector")["auroc"]
        for one in (frame, as_probabilities)
    )
    for name in ("max_softmax", "entropy", "margin", "x"):
        assert by_probabilities[name] == pytest.approx(by_logits[name])
    assert "energy" not in by_probabilities.index


def test_predicted_class_and_correctness_serve_in_place_of_logits() -> None:
    """Identity: all three say the same of right and wrong."""
    frame = _table()
    said = np.where(frame["net b"] > frame["net a"], "b", "a")
    bare = frame.drop(columns=["net a", "net b"])
    options = {key: value for key, value in _NAMES.items() if key != "label"}
    results = [
        rank_detectors(frame, **_NAMES),
        rank_detectors(bare.assign(said=said), predicted="said", **_NAMES),
        rank_detectors(
            bare.assign(correct=(said == frame["what"]).astype(int)), semantic=("odd",), **options
        ),
    ]
    rows = [one.table.set_index("detector").loc["x"] for one in results]
    for row in rows[1:]:
        for name in ("auroc", "class_auroc", "fpr", "accuracy"):
            assert row[name] == pytest.approx(rows[0][name])


def test_scores_that_speak_for_rejection_are_turned() -> None:
    """Identity: minus the score."""
    frame = _table()
    turned = rank_detectors(frame.assign(my_x=-frame["my_x"]), larger="reject", **_NAMES)
    plain = rank_detectors(frame, **_NAMES)
    pd.testing.assert_frame_equal(turned.table, plain.table)


def test_training_rows_are_compared_with_and_not_judged() -> None:
    """The example: 363 training rows."""
    result = rank_detectors.run_example(draws=100, detectors=("knn", "vim"))
    assert {"knn", "vim", "odin"} == set(result.table["detector"])
    assert sum(one["rows"] for one in result.details["domains"]) == result.rows_used - 363  # type: ignore[operator]


def test_without_unknown_classes_there_is_one_ranking() -> None:
    """Boundary case."""
    frame = _table()
    result = rank_detectors(frame[frame["where"] != "odd"], **_NAMES)
    assert "no unknown class" in {notice.code for notice in result.warnings}
    assert result.table["class_auroc"].isna().all()
    assert not [value for value in result.values if "tau" in value.name]
    assert result.plot().get_axes()


def test_few_rows_are_called_doubtful() -> None:
    """Ten rows a set leave fewer than twenty of a kind."""
    result = rank_detectors(_table(n=30), **_NAMES)
    assert result.status is Status.ASSUMPTION_DOUBTFUL


@pytest.mark.parametrize(
    ("change", "given_options", "message"),
    [
        ({}, {"in_distribution": "nowhere"}, "no domain 'nowhere'"),
        ({}, {"shares": (1.0, 2.0)}, "three weights"),
        ({}, {"shares": (0.0, 1.0, 1.0)}, "above 0"),
        ({}, {"logits": "zz", "scores": "zz"}, "nothing to rank"),
        ({"net a": "x"}, {}, "must hold numbers"),
        ({"what": "z"}, {}, "name of a logit"),
        ({"where": "own"}, {}, "class that the model does not know"),
    ],
)
def test_what_cannot_be_ranked_is_refused(
    change: dict[str, Any], given_options: dict[str, Any], message: str
) -> None:
    """Each with its reason."""
    with pytest.raises((InputError, OptionError), match=message):
        rank_detectors(_table().assign(**change), **{**_NAMES, **given_options})


# --- estimators -----------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_inner_view_of_a_perceptron_gives_its_probabilities(classes: int, activation: str) -> None:
    """Peer: predict_proba of MLPClassifier."""
    X, y = make_blobs(60, 3, centers=classes, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MLPClassifier((4, 3), activation=activation, max_iter=30, random_state=0).fit(X, y)
    outputs = inner_view(model).outputs(X)
    shifted = np.exp(outputs.logits - outputs.logits.max(axis=1, keepdims=True))
    p = shifted / shifted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, model.predict_proba(X), atol=1e-9)
    assert outputs.features is not None
    assert outputs.features.shape == (60, 3)


@pytest.mark.parametrize(
    "classifier",
    [
        LogisticRegression(max_iter=500),
        LinearDiscriminantAnalysis(),
        RandomForestClassifier(10, random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression()),
        GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1.0]}, cv=2),
        FrozenEstimator(LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))),
    ],
)
@pytest.mark.parametrize("classes", [2, 3])
def test_largest_probability_is_that_of_the_classifier(classifier: Any, classes: int) -> None:
    """Peer: predict_proba of each classifier."""
    X, y = load_iris(return_X_y=True)
    if not isinstance(classifier, FrozenEstimator):
        classifier = classifier.fit(X[y < classes], y[y < classes])
    expected = classifier.predict_proba(X).max(axis=1)
    np.testing.assert_allclose(max_softmax(inner_view(classifier).outputs(X).logits), expected)


def test_a_classifier_without_probabilities_shows_its_decision_function() -> None:
    """Identity for support vectors."""
    X, y = load_iris(return_X_y=True)
    model = SVC(random_state=0).fit(X, y)
    outputs = inner_view(model).outputs(X)
    np.testing.assert_allclose(outputs.logits, model.decision_function(X))
    assert outputs.absolute


@pytest.mark.parametrize(
    "estimator",
    [
        ModelSpecificDetector(random_state=0),
        NetworkClassifier(hidden=(8,), epochs=10, learning_rate=0.02, random_state=0),
    ],
)
def test_estimators_pass_scikit_learns_checks(estimator: Any) -> None:
    """Peer: check_estimator."""
    pytest.importorskip("torch")
    state = np.random.get_state()  # noqa: NPY002 - the checks draw from it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_estimator(estimator, on_skip=None)
    finally:
        np.random.set_state(state)  # noqa: NPY002


def test_detector_accepts_the_stated_share_of_right_answers() -> None:
    """Guarantee of exchangeability: at least `tpr` = 0.8 on average over held-out rows. The mean of
    60 fits has a standard error near 0.011, so that below 0.75 comes by chance in fewer than 1 of
    10,000 runs.
    """
    shares = []
    for seed in range(60):
        X, y = make_classification(
            600, 5, n_informative=3, n_redundant=0, flip_y=0.2, random_state=seed
        )
        found = ModelSpecificDetector(tpr=0.8, random_state=seed).fit(X[:120], y[:120])
        right = found.estimator_.predict(X[120:]) == y[120:]
        shares.append(np.mean(found.predict(X[120:])[right] == 1))
    assert 0.75 < np.mean(shares) < 0.9


def test_too_few_right_answers_accept_everything() -> None:
    """(n + 1)(1 - tpr) below 1."""
    X, y = make_blobs(20, 2, centers=2, random_state=0)
    found = ModelSpecificDetector(tpr=0.99, random_state=0).fit(X, y)
    assert found.threshold_ == -np.inf
    assert (found.predict(X + 100) == 1).all()
    assert (found.decision_function(X) > 0).all()


def test_a_search_picks_the_detector_for_classes_it_has_not_seen() -> None:
    """A far blob of an unknown class: only a distance tells it from sure answers."""
    X, y = make_blobs(300, 2, centers=[[-3, 0], [3, 0], [60, 0]], random_state=0)
    known = y < 2
    model = FrozenEstimator(LogisticRegression().fit(X[known], y[known]))
    scores = {
        name: ModelSpecificDetector(model, name, random_state=0).fit(X[known], y[known]).score(X, y)
        for name in ("max_softmax", "mahalanobis")
    }
    assert scores["mahalanobis"] > 0.99
    assert scores["max_softmax"] < 0.2


def test_detector_works_in_a_pipeline_and_a_grid_search() -> None:
    """Two blobs train, a far third one is tested too: the search finds that a distance is needed,
    and its score is the area of right against wrong.
    """
    X, y = make_blobs(300, 2, centers=[[-3, 0], [3, 0], [60, 0]], random_state=0)
    known = np.flatnonzero(y < 2)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), ModelSpecificDetector(random_state=0)),
        {"modelspecificdetector__detector": ["max_softmax", "energy", "mahalanobis"]},
        cv=[(known, np.arange(300))],
        refit=False,
    ).fit(X, y)
    assert search.best_params_["modelspecificdetector__detector"] == "mahalanobis"
    best = make_pipeline(StandardScaler(), ModelSpecificDetector(random_state=0))
    best.set_params(**search.best_params_).fit(X[known], y[known])
    right = best[-1].estimator_.predict(best[:-1].transform(X)) == y
    assert best.score(X, y) == pytest.approx(roc_auc_score(right, best.score_samples(X)))
    assert best.score(X, y) == pytest.approx(search.best_score_)
    assert set(best.predict(X)) <= {-1, 1}


def test_frames_and_rejected_answers() -> None:
    """Names of columns go to the classifier; rejected rows get the mark."""
    frame, y = load_iris(return_X_y=True, as_frame=True)
    found = ModelSpecificDetector(tpr=0.5, random_state=0).fit(frame, y)
    assert list(found.estimator_.feature_names_in_) == list(frame.columns)
    answers = found.classify(frame, rejected="ask a person")
    assert ((answers == "ask a person") == (found.predict(frame) == -1)).all()


def test_what_the_detector_needs_is_asked_for() -> None:
    """Each with its reason."""
    X, y = load_iris(return_X_y=True)
    forest = RandomForestClassifier(5, random_state=0)
    for estimator, message in (
        (ModelSpecificDetector(forest, "energy"), "cannot be computed"),
        (ModelSpecificDetector(forest, "odin"), "gradient"),
        (ModelSpecificDetector(detector="luck"), "no detector 'luck'"),
        (ModelSpecificDetector(tpr=0.0), "tpr"),
        (ModelSpecificDetector(validation_fraction=1.0), "validation_fraction"),
    ):
        with pytest.raises(InputError, match=message):
            estimator.fit(X, y)


def test_one_kind_of_answer_has_no_score() -> None:
    """All right: not a number, with a warning."""
    X, y = make_blobs(60, 2, centers=[[-9, 0], [9, 0]], random_state=0)
    found = ModelSpecificDetector(random_state=0).fit(X, y)
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(found.score(X, y))


def test_network_learns_and_shows_its_last_layer() -> None:
    """Iris is nearly separable; logits are the head of the features; same seed, same network."""
    pytest.importorskip("torch")
    X, y = load_iris(return_X_y=True)
    model = NetworkClassifier(hidden=(16, 8), epochs=60, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.95
    np.testing.assert_allclose(model.logits(X), model.head_.logits(model.embed(X)))
    again = NetworkClassifier(hidden=(16, 8), epochs=60, random_state=0).fit(X, y)
    np.testing.assert_array_equal(again.logits(X), model.logits(X))
    view = inner_view(model)
    assert view.head is model.head_
    for detector in ("vim", "odin"):
        wrapped = ModelSpecificDetector(FrozenEstimator(model), detector, random_state=0)
        if detector == "odin":
            wrapped = ModelSpecificDetector(
                NetworkClassifier(hidden=(8,), epochs=10, random_state=0), "odin", random_state=0
            )
        assert np.isfinite(wrapped.fit(X, y).score_samples(X)).all()


def test_odin_without_a_step_is_the_tempered_softmax() -> None:
    """Reduction; and a small step makes nearly every answer surer (first order)."""
    pytest.importorskip("torch")
    X, y = load_iris(return_X_y=True)
    model = NetworkClassifier(hidden=(8,), epochs=20, random_state=0).fit(X, y)
    plain = model.odin_scores(X, 1000.0, epsilon=0.0)
    np.testing.assert_allclose(plain, max_softmax(model.logits(X), 1000.0), rtol=1e-12)
    assert np.mean(model.odin_scores(X, 1000.0, epsilon=1e-4) >= plain) > 0.97


def test_network_refuses_bad_parameters() -> None:
    """Each with its reason."""
    X, y = load_iris(return_X_y=True)
    for bad in ({"hidden": ()}, {"epochs": 0}, {"learning_rate": 0.0}, {"validation_fraction": 1}):
        with pytest.raises(InputError):
            NetworkClassifier(**bad).fit(X, y)
