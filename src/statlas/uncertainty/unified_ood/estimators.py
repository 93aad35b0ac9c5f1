"""A detector around any classifier, which says what inputs it may answer and what to reject."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from scipy.special import expit
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from statlas.core import InputError
from statlas.models.training import split_validation
from statlas.uncertainty.unified_ood.scores import (
    DETECTORS,
    DetectorName,
    DetectorSettings,
    FloatArray,
    Head,
    Outputs,
    fit_detectors,
)

_SMALLEST = 1e-300  # probability whose logarithm stands for that of zero


# --- what a classifier shows ----------------------------------------------------------------------


@dataclass(frozen=True)
class InnerView:
    """Logits and features of a fitted classifier.

    Attributes
    ----------
    head
        Its last layer, where that is linear and known.
    outputs
        Function from rows to their logits and features.
    """

    head: Head | None
    outputs: Callable[[Any], Outputs]


def inner_view(classifier: Any) -> InnerView:
    """Look inside a fitted classifier.

    Known are classifiers with the methods `logits` and `embed` and the attribute `head_`
    (`NetworkClassifier`, or your own), scikit-learn's `MLPClassifier`, linear classifiers, and
    pipelines, searches and frozen estimators around one of these. From any other only the output is
    taken: its decision function, or the logarithm of its probabilities, and the inputs are the
    features. Two classes that share one logit z get the logits -z/2 and z/2.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> view = inner_view(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
    >>> view.outputs([[0.5]]).logits.shape
    (1, 2)
    """
    if hasattr(classifier, "best_estimator_"):
        return inner_view(classifier.best_estimator_)
    if type(classifier).__name__ == "FrozenEstimator":
        return inner_view(classifier.estimator)
    if hasattr(classifier, "steps"):
        last, before = inner_view(classifier.steps[-1][1]), classifier[:-1]
        return InnerView(last.head, lambda X: last.outputs(before.transform(X)))
    if all(hasattr(classifier, name) for name in ("logits", "embed", "head_")):
        return InnerView(
            classifier.head_, lambda X: Outputs(classifier.logits(X), classifier.embed(X))
        )
    if hasattr(classifier, "coefs_") and hasattr(classifier, "out_activation_"):
        head = _two_sided(classifier.coefs_[-1], classifier.intercepts_[-1])
        return _through_head(head, lambda X: _last_hidden(classifier, _matrix(X)))
    if hasattr(classifier, "coef_") and hasattr(classifier, "decision_function"):
        return _through_head(_two_sided(classifier.coef_.T, classifier.intercept_), _matrix)
    return InnerView(None, lambda X: _from_outside(classifier, X))


def _matrix(X: Any) -> FloatArray:
    """Rows as a dense matrix of numbers."""
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=float)


def _through_head(head: Head, features: Callable[[Any], FloatArray]) -> InnerView:
    def outputs(X: Any) -> Outputs:
        seen = features(X)
        return Outputs(head.logits(seen), seen)

    return InnerView(head, outputs)


def _two_sided(weights: ArrayLike, bias: ArrayLike) -> Head:
    """A head with a logit a class, from one that may have a single logit for two classes."""
    w = np.asarray(weights, dtype=float)
    w = w[:, None] if w.ndim == 1 else w
    b = np.broadcast_to(np.asarray(bias, dtype=float), w.shape[1])
    if w.shape[1] == 1:
        return Head(w * [-0.5, 0.5], b * [-0.5, 0.5])
    return Head(w, b.copy())


_ACTIVATIONS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "identity": lambda z: z,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
}


def _last_hidden(perceptron: Any, X: FloatArray) -> FloatArray:
    hidden = X
    layers = zip(perceptron.coefs_[:-1], perceptron.intercepts_[:-1], strict=True)
    for weights, bias in layers:
        hidden = _ACTIVATIONS[perceptron.activation](hidden @ weights + bias)
    return hidden


def _from_outside(classifier: Any, X: Any) -> Outputs:
    if hasattr(classifier, "predict_proba"):
        p = np.asarray(classifier.predict_proba(X), dtype=float)
        return Outputs(np.log(np.maximum(p, _SMALLEST)), _matrix(X), absolute=False)
    z = np.asarray(classifier.decision_function(X), dtype=float)
    return Outputs(np.outer(z, [-0.5, 0.5]) if z.ndim == 1 else z, _matrix(X))


# --- the detector ---------------------------------------------------------------------------------


class ModelSpecificDetector(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Accept the inputs that the wrapped classifier is likely to get right, reject the others.

    A part of the rows is held out from the classifier; the threshold is taken from those of them
    that it gets right. A new row of the same distribution that the classifier gets right is then
    accepted with probability `tpr` or more, on average over held-out rows.

    Parameters
    ----------
    estimator : classifier or None
        Any classifier; wrap one that is fitted already in `sklearn.frozen.FrozenEstimator`. None
        for a logistic regression.
    detector : str
        One of `DETECTORS`, or ``"odin"`` for a classifier with the method `odin_scores`, such as
        `NetworkClassifier`.
    tpr : float
        Share of right answers to accept, in (0, 1].
    validation_fraction : float
        Share of rows that fix the threshold, in (0, 1).
    temperature, neighbours, clip_percentile, vim_dimension
        See `DetectorSettings`.
    random_state : int or None
        Seed of the split; None takes a fresh one.

    Attributes
    ----------
    estimator_
        The fitted classifier.
    classes_
        Its classes.
    threshold_
        Smallest score that is accepted; minus infinity where there are too few right answers to
        reject any.
    n_right_
        Held-out rows that the classifier gets right.
    detectors_
        The fitted `DetectorSet`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> found = ModelSpecificDetector(random_state=0).fit(X[y < 2], y[y < 2])
    >>> print(found.predict(X[:3]))
    [1 1 1]
    """

    def __init__(
        self,
        estimator: Any = None,
        detector: str = "max_softmax",
        tpr: float = 0.95,
        validation_fraction: float = 0.3,
        temperature: float = 1000.0,
        neighbours: int = 10,
        clip_percentile: float = 90.0,
        vim_dimension: int | None = None,
        random_state: int | None = None,
    ):
        self.estimator = estimator
        self.detector = detector
        self.tpr = tpr
        self.validation_fraction = validation_fraction
        self.temperature = temperature
        self.neighbours = neighbours
        self.clip_percentile = clip_percentile
        self.vim_dimension = vim_dimension
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        inner = get_tags(self._classifier()).input_tags
        tags.input_tags.sparse, tags.input_tags.allow_nan = inner.sparse, inner.allow_nan
        return tags

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Fit the classifier and the detector, and fix the threshold on rows held out.

        Parameters
        ----------
        X
            Inputs, shape (n, n_features).
        y
            Classes, shape (n,).

        Raises
        ------
        InputError
            If a parameter is out of range, or the classifier does not show what the detector needs.
        """
        self._check_parameters()
        X, y = self._read(X, y)
        labels = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        rng = np.random.default_rng(self.random_state)
        train, held_out = split_validation(len(labels), self.validation_fraction, rng, labels)
        self.estimator_ = clone(self._classifier())
        self.estimator_.fit(_safe_indexing(X, train), labels[train])
        self.classes_ = self.estimator_.classes_
        if self.detector != "odin":
            self._fit_detector(_safe_indexing(X, train), labels[train])
        elif not hasattr(self.estimator_, "odin_scores"):
            raise InputError(
                "ODIN follows the gradient of the input, and the classifier has no 'odin_scores'",
                remedy="wrap a NetworkClassifier, or take the detector 'tempered_softmax'",
            )
        self._fix_threshold(X, labels, held_out)
        return self

    def _read(self, X: Any, y: Any = "no_validation") -> Any:
        """Check arrays; frames and lists go to the classifier as they are."""
        reset = not isinstance(y, str)
        if not (isinstance(X, np.ndarray) or issparse(X)):
            return validate_data(self, X, y, reset=reset, skip_check_array=True)
        tags = get_tags(self).input_tags
        if reset:
            validate_data(self, X, y, skip_check_array=True)  # says so where y is missing
        checked = validate_data(
            self, X, reset=reset, dtype=None, accept_sparse="csr" if tags.sparse else False,
            ensure_all_finite="allow-nan" if tags.allow_nan else True,
        )  # fmt: skip
        if reset:
            check_consistent_length(checked, y)
        return (checked, y) if reset else checked

    def _classifier(self) -> Any:
        return LogisticRegression(max_iter=1000) if self.estimator is None else self.estimator

    def _check_parameters(self) -> None:
        if self.detector not in (*DETECTORS, "odin"):
            raise InputError(
                f"there is no detector {self.detector!r}; there are {', '.join(DETECTORS)}, odin"
            )
        if not 0 < self.tpr <= 1:
            raise InputError(f"tpr must be in (0, 1]; got {self.tpr!r}")
        if not 0 < self.validation_fraction < 1:
            raise InputError(
                f"validation_fraction must be in (0, 1); got {self.validation_fraction!r}"
            )

    def _fit_detector(self, X: Any, labels: NDArray[Any]) -> None:
        view = inner_view(self.estimator_)
        name: DetectorName = self.detector  # type: ignore[assignment]
        settings = DetectorSettings(
            self.temperature, self.neighbours, self.clip_percentile, self.vim_dimension
        )
        self.detectors_ = fit_detectors(view.outputs(X), labels, view.head, (name,), settings)
        if name in self.detectors_.missing:
            raise InputError(
                f"the detector {name!r} cannot be computed here: {self.detectors_.missing[name]}",
                remedy="take another detector, or a classifier that shows more",
            )

    def _fix_threshold(self, X: Any, labels: NDArray[Any], held_out: NDArray[np.int64]) -> None:
        self.n_right_, self.threshold_ = 0, -np.inf
        if len(held_out) == 0:
            return
        rows = _safe_indexing(X, held_out)
        right = np.asarray(self.estimator_.predict(rows)) == labels[held_out]
        self.n_right_ = int(right.sum())
        # Of n + 1 exchangeable scores the k smallest may be rejected, k / (n + 1) <= 1 - tpr.
        rejected = int(np.floor((self.n_right_ + 1) * (1 - self.tpr) + 1e-9))
        if rejected > 0:
            self.threshold_ = float(np.sort(self._scores(rows)[right])[rejected - 1])

    def _scores(self, X: Any) -> FloatArray:
        if self.detector == "odin":
            return np.asarray(self.estimator_.odin_scores(X, self.temperature))
        return self.detectors_.score(
            self.detectors_.names[0], inner_view(self.estimator_).outputs(X)
        )

    def score_samples(self, X: Any) -> FloatArray:
        """Scores, larger for more acceptable, shape (n,)."""
        check_is_fitted(self)
        return self._scores(self._read(X))

    def decision_function(self, X: Any) -> FloatArray:
        """Scores minus the threshold: rows at zero or above are accepted."""
        scores = self.score_samples(X)
        return scores - self.threshold_ if np.isfinite(self.threshold_) else np.ones(len(scores))

    def predict(self, X: Any) -> NDArray[np.int64]:
        """1 for rows that are accepted, -1 for those that are rejected."""
        return np.where(self.score_samples(X) >= self.threshold_, 1, -1)

    def classify(self, X: Any, rejected: Any) -> NDArray[Any]:
        """The classifier's answers, with `rejected` in place of those that are not accepted."""
        answers = np.asarray(self.estimator_.predict(X)).astype(object)
        answers[self.predict(X) < 0] = rejected
        return answers

    def score(self, X: Any, y: ArrayLike) -> float:
        """Area under the ROC curve of telling right answers from wrong ones.

        Classes in `y` that the classifier does not know are allowed: it gets them wrong. So a
        search over `detector` picks the one that is best for this classifier and these rows. NaN
        with a warning where all answers are right or all are wrong.
        """
        scores = self.score_samples(X)
        right = np.asarray(self.estimator_.predict(X)) == np.asarray(y)
        if right.all() or not right.any():
            warnings.warn(
                "answers of one kind only: the area under the ROC curve is not defined",
                UndefinedMetricWarning,
                stacklevel=2,
            )
            return float("nan")
        return float(roc_auc_score(right, scores))
