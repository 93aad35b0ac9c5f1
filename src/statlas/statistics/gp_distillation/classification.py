"""Self-distilled Gaussian-process classification by Laplace's approximation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

FloatArray = NDArray[np.float64]
Likelihood = Literal["bernoulli", "continuous"]

_NEWTON, _TOLERANCE, _NEAR = 100, 1e-10, 0.05
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def continuous_bernoulli(logit: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Log normaliser A of the density exp(y f - A(f)) on [0, 1], and its two derivatives.

    A = log((e^f - 1) / f) = softplus(f) - log C(f), C the usual normaliser, so A' = mean =
    expit(f) - (1 / f - 1 / sinh f). Near 0 by series, where the formulas cancel.

    Examples
    --------
    >>> [float(part) for part in continuous_bernoulli(0.0)]
    [0.0, 0.5, 0.08333333333333333]
    """
    f = np.asarray(logit, dtype=float)
    near = np.abs(f) < _NEAR
    g = np.where(near, 1.0, f)
    size = np.abs(g)
    # log((e^|f| - 1) / |f|), and A(f) = A(|f|) - |f| for f < 0.
    value = size + np.log1p(-np.exp(-size)) - np.log(size) + np.minimum(g, 0.0)
    mean = np.where(g > 0, -1 / np.expm1(-size), 1 + 1 / np.expm1(-size)) - 1 / g
    variance = 1 / g**2 - np.exp(-size) / np.expm1(-size) ** 2
    return (
        np.where(near, f / 2 + f**2 / 24 - f**4 / 2880, value),
        np.where(near, 0.5 + f / 12 - f**3 / 720 + f**5 / 30240, mean),
        np.where(near, 1 / 12 - f**2 / 240 + f**4 / 6048, variance),
    )


def _bernoulli(f: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    p = expit(f)
    return np.logaddexp(0, f), p, p * (1 - p)


@dataclass(frozen=True)
class Mode:
    """Laplace's approximation: mode (n,), K^-1 mode, curvature W, and its Cholesky factor."""

    mode: FloatArray
    dual: FloatArray
    curvature: FloatArray
    factor: Any
    log_evidence: float


def laplace_mode(
    kernel: ArrayLike, target: ArrayLike, likelihood: Likelihood = "bernoulli", power: float = 1.0
) -> Mode:
    """Mode of the posterior by Newton's method with halved steps (GPML Algorithm 3.1).

    Parameters
    ----------
    kernel
        Shape (n, n).
    target
        Labels 0 or 1, or anything between for the continuous likelihood, shape (n,).
    likelihood
        ``"bernoulli"`` or ``"continuous"`` Bernoulli.
    power
        Exponent of the likelihood: m is what m copies of every point give, exactly.
    """
    k, y = np.asarray(kernel, dtype=float), np.asarray(target, dtype=float)
    parts = _bernoulli if likelihood == "bernoulli" else continuous_bernoulli
    f, dual = np.zeros(len(y)), np.zeros(len(y))

    def objective(at: FloatArray, a: FloatArray) -> float:
        return float(power * (y @ at - parts(at)[0].sum()) - 0.5 * a @ at)

    best = objective(f, dual)
    for _ in range(_NEWTON):
        _, mean, curvature = parts(f)
        w = power * curvature
        root = np.sqrt(w)
        factor = cho_factor(np.eye(len(y)) + root[:, None] * k * root, lower=True)
        b = w * f + power * (y - mean)
        full = b - root * cho_solve(factor, root * (k @ b))
        step, improved = 1.0, False
        while step > 1e-6 and not improved:
            tried = dual + step * (full - dual)
            at = k @ tried
            new = objective(at, tried)
            # Rounding hides gains near the top, where full steps are safe.
            improved = new >= best - 1e-12 * (1 + abs(best))
            step /= 2
        if not improved:
            break
        moved = float(np.abs(at - f).max())
        dual, f, best = tried, at, new
        if moved <= _TOLERANCE * (1 + float(np.abs(f).max())):
            break
    _, _, curvature = parts(f)
    w = power * curvature
    root = np.sqrt(w)
    factor = cho_factor(np.eye(len(y)) + root[:, None] * k * root, lower=True)
    evidence = best - float(np.log(np.diag(factor[0])).sum())
    return Mode(f, dual, w, factor, evidence)


def mean_probability(mean: ArrayLike, variance: ArrayLike) -> FloatArray:
    """Expectation of the logistic function under a normal, by quadrature with 40 nodes."""
    spread = np.sqrt(np.maximum(np.asarray(variance, dtype=float), 0.0))
    return np.asarray(expit(np.asarray(mean)[..., None] + spread[..., None] * _NODES) @ _WEIGHTS)


class DistilledGPClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Binary Gaussian-process classification distilled into itself.

    Parameters
    ----------
    kernel
        None is a constant times a radial basis function.
    steps
        Number of processes, the first included.
    mode
        ``"data"``: each is trained on the probabilities of the one before, with the continuous
        Bernoulli likelihood. ``"distribution"``: the likelihood to the power of the step, as if
        every point were there so many times. ``"scaled"``: the approximation of that by a kernel
        times the step.
    optimize
        Whether the kernel is fitted, on the first step only.
    random_state
        For the optimiser.
    """

    def __init__(
        self,
        kernel: Any = None,
        *,
        steps: int = 2,
        mode: str = "data",
        optimize: bool = True,
        random_state: Any = None,
    ):
        self.kernel = kernel
        self.steps = steps
        self.mode = mode
        self.optimize = optimize
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Fit all steps.

        Raises
        ------
        ValueError
            If an option is out of range, or there are not two classes.
        """
        x, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        if self.steps < 1 or self.mode not in ("data", "distribution", "scaled"):
            raise ValueError("steps must be at least 1, mode 'data', 'distribution' or 'scaled'")
        encoder = LabelEncoder().fit(labels)
        self.classes_ = encoder.classes_
        if len(self.classes_) > 2:
            raise ValueError(
                "Only binary classification is supported. The type of the target is "
                f"{type_of_target(labels)}."
            )
        if len(self.classes_) < 2:
            raise ValueError("Classifier can't train when only one class is present.")
        target = encoder.transform(labels).astype(float)
        start = (
            ConstantKernel(1.0) * RBF(np.sqrt(x.shape[1])) if self.kernel is None else self.kernel
        )
        if self.optimize:
            process = GaussianProcessClassifier(start, random_state=self.random_state)
            self.kernel_ = process.fit(x, target).kernel_
        else:
            self.kernel_ = start.clone_with_theta(start.theta)
        self.X_train_ = x
        kernel = self.kernel_(x)
        self.modes_, soft = [], target
        for step in range(1, self.steps + 1):
            if self.mode == "data":
                found = laplace_mode(kernel, soft, "bernoulli" if step == 1 else "continuous")
                self.modes_.append(found)
                soft = self._probability(found, kernel, np.diag(kernel), 1.0)
            elif self.mode == "distribution":
                self.modes_.append(laplace_mode(kernel, target, power=step))
            else:
                self.modes_.append(laplace_mode(step * kernel, target))
        return self

    @staticmethod
    def _probability(found: Mode, cross: FloatArray, prior: FloatArray, scale: float) -> FloatArray:
        root = np.sqrt(found.curvature)
        k = scale * cross
        inner = cho_solve(found.factor, (root * k).T)
        variance = scale * prior - (root * k * inner.T).sum(axis=1)
        return mean_probability(k @ found.dual, variance)

    def staged_proba(self, X: Any) -> FloatArray:
        """Probability of the second class after each step, shape (steps, n)."""
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype=np.float64)
        cross, prior = self.kernel_(x, self.X_train_), self.kernel_.diag(x)
        return np.array(
            [
                self._probability(found, cross, prior, step if self.mode == "scaled" else 1.0)
                for step, found in enumerate(self.modes_, 1)
            ]
        )

    def predict_proba(self, X: Any) -> FloatArray:
        """Probabilities of both classes after the last step, shape (n, 2)."""
        positive = self.staged_proba(X)[-1]
        return np.column_stack([1 - positive, positive])

    def predict(self, X: Any) -> Any:
        """The more probable class."""
        positive = self.predict_proba(X)[:, 1] > 0.5
        return self.classes_[positive.astype(int)]
