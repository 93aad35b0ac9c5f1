"""Scores by which a deployed classifier may reject inputs; larger means more acceptable.

Scores of outputs need logits only, others also what the last layer sees (features), how it maps
them to logits (head), or training rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax
from sklearn.neighbors import NearestNeighbors

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DetectorName = Literal[
    "max_softmax", "tempered_softmax", "margin", "entropy", "max_logit", "energy", "gradnorm",
    "react", "vim", "mahalanobis", "knn",
]  # fmt: skip
DETECTORS: tuple[DetectorName, ...] = get_args(DetectorName)

_LINEAR = 1e-6  # share of the logits' variance that a head may leave unexplained
_NULL = 1e-10  # eigenvalues below this share of the largest count as zero


# --- scores of outputs ----------------------------------------------------------------------------


def max_softmax(logits: ArrayLike, temperature: float = 1.0) -> FloatArray:
    """Largest class probability (MSP, Hendrycks and Gimpel); ODIN's without its step above 1.

    Parameters
    ----------
    logits
        Shape (n, n_classes); a constant a row does not matter.
    temperature
        Divides the logits.

    Examples
    --------
    >>> max_softmax([[0.0, 0.0], [0.0, np.log(3)]])
    array([0.5 , 0.75])
    """
    return np.asarray(softmax(np.asarray(logits, dtype=float) / temperature, axis=1).max(axis=1))


def margin(logits: ArrayLike) -> FloatArray:
    """Difference of the two largest class probabilities, shape (n,)."""
    top = np.sort(softmax(np.asarray(logits, dtype=float), axis=1), axis=1)[:, -2:]
    return np.asarray(top[:, 1] - top[:, 0])


def negative_entropy(logits: ArrayLike) -> FloatArray:
    """Minus the entropy of the class probabilities, nats, shape (n,)."""
    log_p = log_softmax(np.asarray(logits, dtype=float), axis=1)
    return np.asarray(np.sum(np.exp(log_p) * log_p, axis=1))


def max_logit(logits: ArrayLike) -> FloatArray:
    """Largest logit (MLS, Hendrycks and others), shape (n,)."""
    return np.asarray(_columns(logits).max(axis=0))


def energy(logits: ArrayLike, temperature: float = 1.0) -> FloatArray:
    """Negative free energy T log sum_k exp(z_k / T) (Liu and others), shape (n,).

    Examples
    --------
    >>> print(energy([[0.0, 0.0]]).round(4))
    [0.6931]
    """
    scaled = _columns(logits) / temperature
    largest = scaled.max(axis=0)
    # Written out, as scipy's logsumexp takes ten times as long.
    return np.asarray(temperature * (largest + np.log(np.exp(scaled - largest).sum(axis=0))))


def _columns(logits: ArrayLike) -> FloatArray:
    """Logits by class, rows next to each other, which numpy reduces several times as fast."""
    return np.ascontiguousarray(np.asarray(logits, dtype=float).T)


def gradient_norm(logits: ArrayLike, features: ArrayLike) -> FloatArray:
    """GradNorm (Huang and others): how far the last layer would move towards a uniform answer.

    The l1 norm of the gradient, in the last layer's weights, of the cross-entropy between uniform
    and predicted probabilities. The gradient is the outer product of h and p - 1/K, so the norm is
    the product of two norms, and no differentiation is needed.

    Parameters
    ----------
    logits
        Shape (n, n_classes).
    features
        What the last layer sees, h, shape (n, n_features).

    Examples
    --------
    >>> gradient_norm([[0.0, np.log(3)]], [[1.0, -2.0]])
    array([1.5])
    """
    p = softmax(np.asarray(logits, dtype=float), axis=1)
    outputs = np.abs(p - 1 / p.shape[1]).sum(axis=1)
    return np.asarray(outputs * np.abs(np.asarray(features, dtype=float)).sum(axis=1))


# --- what a model says of rows --------------------------------------------------------------------


@dataclass(frozen=True)
class Head:
    """The last layer: logits = features @ weights + bias.

    Attributes
    ----------
    weights
        Shape (n_features, n_classes).
    bias
        Shape (n_classes,).
    """

    weights: FloatArray
    bias: FloatArray

    def logits(self, features: FloatArray) -> FloatArray:
        """Logits of rows, shape (n, n_classes)."""
        return np.asarray(features @ self.weights + self.bias)


@dataclass(frozen=True)
class Outputs:
    """What the model says of rows.

    Attributes
    ----------
    logits
        Shape (n, n_classes); log probabilities where `absolute` is false.
    features
        What the last layer sees, shape (n, n_features), or None.
    absolute
        Whether the logits are known themselves, and not only up to a constant a row.
    """

    logits: FloatArray
    features: FloatArray | None = None
    absolute: bool = True

    def take(self, rows: NDArray[np.bool_] | IntArray) -> Outputs:
        """Some of the rows."""
        features = None if self.features is None else self.features[rows]
        return Outputs(self.logits[rows], features, self.absolute)


def recover_head(outputs: Outputs) -> Head | None:
    """The last layer from what went in and came out, by least squares.

    Returns
    -------
    Head or None
        None where logits are not linear in the features, or there are too few rows to tell.

    Examples
    --------
    >>> h = np.random.default_rng(0).normal(size=(50, 3))
    >>> head = recover_head(Outputs(h @ np.ones((3, 2)) + [1.0, 2.0], h))
    >>> print(head.bias.round(6))
    [1. 2.]
    """
    if outputs.features is None or not outputs.absolute:
        return None
    n, d = outputs.features.shape
    if n < 2 * (d + 1):
        return None
    design = np.column_stack([outputs.features, np.ones(n)])
    solution = np.asarray(np.linalg.lstsq(design, outputs.logits, rcond=None)[0], dtype=float)
    left = np.sum((outputs.logits - design @ solution) ** 2)
    spread = np.sum((outputs.logits - outputs.logits.mean(axis=0)) ** 2)
    if left > _LINEAR * spread:
        return None
    return Head(solution[:-1], solution[-1])


# --- scores that are fitted to training rows ------------------------------------------------------


class ClassDistance:
    """Minus the squared Mahalanobis distance to the nearest class mean (Lee and others).

    One covariance for all classes; directions without spread in training are left out.
    """

    def __init__(self, features: FloatArray, labels: IntArray):
        classes, codes = np.unique(labels, return_inverse=True)
        means = np.stack([features[codes == place].mean(axis=0) for place in range(len(classes))])
        within = features - means[codes]
        values, vectors = np.linalg.eigh(within.T @ within / len(features))
        kept = values > _NULL * max(values[-1], np.finfo(float).tiny)
        self._whitening = vectors[:, kept] / np.sqrt(values[kept])
        self._means = means @ self._whitening

    def __call__(self, features: FloatArray) -> FloatArray:
        """Scores of rows, larger for more acceptable, shape (n,)."""
        white = features @ self._whitening
        distances = (
            np.sum(white**2, axis=1)[:, None]
            - 2 * white @ self._means.T
            + np.sum(self._means**2, axis=1)
        )
        return -np.asarray(np.maximum(distances, 0).min(axis=1))


class NeighbourDistance:
    """Minus the distance to the k-th nearest training row, features scaled to length 1 (Sun)."""

    def __init__(self, features: FloatArray, neighbours: int):
        self._search = NearestNeighbors(n_neighbors=min(neighbours, len(features)))
        self._search.fit(_unit_length(features))

    def __call__(self, features: FloatArray) -> FloatArray:
        """Scores of rows, larger for more acceptable, shape (n,)."""
        distances, _ = self._search.kneighbors(_unit_length(features))
        return -np.asarray(distances[:, -1])


def _unit_length(features: FloatArray) -> FloatArray:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(length, 1e-12))


class VirtualLogit:
    """ViM (Wang and others): energy minus a virtual logit, the scaled residual of the features.

    The residual is what is left outside the principal space of dimension d of training features
    about the origin -W^+ b, at which a linear head gives the logits that its bias alone explains.
    """

    def __init__(self, features: FloatArray, head: Head, dimension: int | None):
        n_features = features.shape[1]
        self._origin = -np.linalg.pinv(head.weights.T) @ head.bias
        self._head = head
        centred = features - self._origin
        _, vectors = np.linalg.eigh(centred.T @ centred / len(features))
        principal = n_features // 2 if dimension is None else min(dimension, n_features - 1)
        self._residual = vectors[:, : n_features - principal]
        lengths = np.linalg.norm(centred @ self._residual, axis=1)
        self._scale = head.logits(features).max(axis=1).mean() / max(lengths.mean(), 1e-12)

    def __call__(self, features: FloatArray) -> FloatArray:
        """Scores of rows, larger for more acceptable, shape (n,)."""
        residual = np.linalg.norm((features - self._origin) @ self._residual, axis=1)
        return np.asarray(energy(self._head.logits(features)) - self._scale * residual)


class ClippedEnergy:
    """ReAct (Sun and others): energy after features are cut at a percentile of training ones."""

    def __init__(self, features: FloatArray, head: Head, percentile: float):
        self._limit = float(np.percentile(features, percentile))
        self._head = head

    def __call__(self, features: FloatArray) -> FloatArray:
        """Scores of rows, larger for more acceptable, shape (n,)."""
        return energy(self._head.logits(np.minimum(features, self._limit)))


# --- all of them ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class DetectorSettings:
    """Numbers that detectors need.

    Attributes
    ----------
    temperature
        Of the tempered softmax; 1000 as in ODIN.
    neighbours
        Which nearest training row counts.
    clip_percentile
        Percentile of training features at which ReAct cuts.
    vim_dimension
        Dimension of ViM's principal space; None for half of the features.
    """

    temperature: float = 1000.0
    neighbours: int = 10
    clip_percentile: float = 90.0
    vim_dimension: int | None = None


OnFeatures = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class DetectorSet:
    """Detectors that a model's outputs allow, fitted to its training rows.

    Attributes
    ----------
    names
        Detectors that can be computed.
    missing
        Why each of the others cannot.
    """

    names: tuple[DetectorName, ...]
    missing: dict[DetectorName, str]
    settings: DetectorSettings
    _fitted: dict[DetectorName, OnFeatures] = field(repr=False)

    def score(self, name: DetectorName, outputs: Outputs) -> FloatArray:
        """Scores of rows by one of `names`, larger for more acceptable, shape (n,)."""
        if name in self._fitted:
            return self._fitted[name](_features(outputs))
        if name == "gradnorm":
            return gradient_norm(outputs.logits, _features(outputs))
        if name == "tempered_softmax":
            return max_softmax(outputs.logits, self.settings.temperature)
        return _ON_OUTPUTS[name](outputs.logits)


_ON_OUTPUTS: dict[str, Callable[[ArrayLike], FloatArray]] = {
    "max_softmax": max_softmax,
    "margin": margin,
    "entropy": negative_entropy,
    "max_logit": max_logit,
    "energy": energy,
}
_ABSOLUTE = {"max_logit", "energy", "react", "vim"}
_WITH_HEAD = {"react", "vim"}
_FITTED = {"react", "vim", "mahalanobis", "knn"}


def fit_detectors(
    training: Outputs,
    labels: ArrayLike | None = None,
    head: Head | None = None,
    wanted: Iterable[DetectorName] = DETECTORS,
    settings: DetectorSettings | None = None,
) -> DetectorSet:
    """Prepare detectors.

    Parameters
    ----------
    training
        Outputs for rows on which the model was trained; without labels it only matters what they
        consist of.
    labels
        Their classes, shape (n,); None where there are no training rows.
    head
        The last layer, where it is known and linear.
    wanted
        Which detectors.
    settings
        Their numbers.

    Examples
    --------
    >>> found = fit_detectors(Outputs(np.zeros((4, 2))), wanted=("energy", "knn"))
    >>> found.names, found.missing
    (('energy',), {'knn': 'there are no features of the last layer'})
    """
    numbers = settings or DetectorSettings()
    known = None if labels is None else np.asarray(labels)
    missing = {name: _why_not(name, training, labels is not None, head) for name in wanted}
    names = tuple(name for name, reason in missing.items() if not reason)
    fitted = {
        name: _fit_on_features(name, _features(training), known, head, numbers)
        for name in names
        if name in _FITTED
    }
    reasons = {name: reason for name, reason in missing.items() if reason}
    return DetectorSet(names, reasons, numbers, fitted)


def _why_not(name: DetectorName, outputs: Outputs, trained: bool, head: Head | None) -> str:
    if name in _ABSOLUTE and not outputs.absolute:
        return "probabilities do not say how large the logits were"
    if name in _FITTED | {"gradnorm"} and outputs.features is None:
        return "there are no features of the last layer"
    if name in _WITH_HEAD and head is None:
        return "the logits are no linear function of the features"
    if name in _FITTED and not trained:
        return "there are no training rows to compare with"
    return ""


def _fit_on_features(
    name: DetectorName,
    features: FloatArray,
    labels: NDArray[Any] | None,
    head: Head | None,
    numbers: DetectorSettings,
) -> OnFeatures:
    if name == "mahalanobis":
        assert labels is not None
        return ClassDistance(features, np.unique(labels, return_inverse=True)[1])
    if name == "knn":
        return NeighbourDistance(features, numbers.neighbours)
    assert head is not None
    if name == "vim":
        return VirtualLogit(features, head, numbers.vim_dimension)
    return ClippedEnergy(features, head, numbers.clip_percentile)


def _features(outputs: Outputs) -> FloatArray:
    assert outputs.features is not None
    return outputs.features
