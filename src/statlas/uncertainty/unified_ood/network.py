"""A small network that shows its last layer and follows the gradient of its inputs."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from statlas.core import InputError
from statlas.models.training import (
    Tensor,
    TrainingPlan,
    dense_layer,
    limited_threads,
    perceptron,
    require_torch,
    split_validation,
    torch_generator,
    train_network,
)
from statlas.uncertainty.unified_ood.scores import FloatArray, Head


class NetworkClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A perceptron (torch) whose features, logits and last layer can be looked at.

    Parameters
    ----------
    hidden : tuple of int
        Units of each hidden layer; the last ones are the features.
    standardise : bool
        Whether inputs are standardised first; better not for pixels, of which some hardly vary.
    epochs, batch_size, learning_rate, weight_decay, patience
        Training by Adam; see `statlas.models.training.TrainingPlan`.
    validation_fraction : float
        Share of rows that decide when training stops, in [0, 1).
    random_state : int or None
        Seed; None takes a fresh one.

    Attributes
    ----------
    classes_
        The classes.
    head_
        The last layer, see `Head`.
    network_, history_
        The trained network, and its losses by epoch.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NetworkClassifier(hidden=(8,), epochs=5, random_state=0).fit(X, y)
    >>> model.embed(X).shape, model.logits(X).shape
    ((150, 8), (150, 3))
    """

    def __init__(
        self,
        hidden: tuple[int, ...] = (64, 32),
        standardise: bool = True,
        epochs: int = 100,
        batch_size: int = 32,
        learning_rate: float = 5e-3,
        weight_decay: float = 1e-4,
        patience: int = 15,
        validation_fraction: float = 0.1,
        random_state: int | None = None,
    ):
        self.hidden = hidden
        self.standardise = standardise
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Train the network.

        Parameters
        ----------
        X
            Inputs, shape (n, n_features).
        y
            Classes, shape (n,).

        Raises
        ------
        InputError
            If a parameter is out of range or there is only one class.
        """
        self._check_parameters()
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(
                "Classifier can't train when only one class is present.",
                remedy="give rows of two classes or more",
            )
        rng = np.random.default_rng(self.random_state)
        train, held_out = split_validation(len(X), self.validation_fraction, rng, codes)
        self.centre_, self.scale_ = np.zeros(X.shape[1]), np.ones(X.shape[1])
        if self.standardise:
            spread = X[train].std(axis=0)
            self.centre_, self.scale_ = X[train].mean(axis=0), np.where(spread > 0, spread, 1.0)
        self._train(X, codes, train, held_out, rng)
        last = self.network_[-1]
        weights, bias = last.weight.detach().numpy(), last.bias.detach().numpy()
        self.head_ = Head(weights.T.copy(), bias.copy())
        return self

    def _check_parameters(self) -> None:
        if len(self.hidden) == 0 or min(self.hidden) < 1:
            raise InputError(f"hidden must be numbers of units of at least 1; got {self.hidden!r}")
        if min(self.epochs, self.batch_size, self.patience) < 1:
            raise InputError("epochs, batch_size and patience must be at least 1")
        if not self.learning_rate > 0 or self.weight_decay < 0:
            raise InputError("learning_rate must be above 0 and weight_decay not negative")
        if not 0 <= self.validation_fraction < 1:
            raise InputError(
                f"validation_fraction must be in [0, 1); got {self.validation_fraction!r}"
            )

    def _train(
        self,
        X: FloatArray,
        codes: NDArray[np.int64],
        train: NDArray[np.int64],
        held_out: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> None:
        torch = require_torch()
        with limited_threads():
            generator = torch_generator(rng)
            body = perceptron((X.shape[1], *self.hidden), generator)
            head = dense_layer(self.hidden[-1], len(self.classes_), generator)
            self.network_ = torch.nn.Sequential(body, torch.nn.ELU(), head)
            inputs, targets = self._standardised(X), torch.from_numpy(codes)

            def loss(rows: NDArray[np.int64]) -> Tensor:
                chosen = torch.from_numpy(rows)
                return torch.nn.functional.cross_entropy(
                    self.network_(inputs[chosen]), targets[chosen]
                )

            plan = TrainingPlan(
                self.epochs, self.batch_size, self.learning_rate, self.weight_decay, self.patience
            )
            self.history_ = train_network(
                self.network_, lambda batch: loss(train[batch]), len(train), plan, rng,
                (lambda: loss(held_out)) if len(held_out) else None,
            )  # fmt: skip

    def _standardised(self, X: FloatArray) -> Tensor:
        return require_torch().from_numpy((X - self.centre_) / self.scale_)

    def _read(self, X: Any) -> FloatArray:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, reset=False, dtype=np.float64))

    def embed(self, X: Any) -> FloatArray:
        """What the last layer sees, shape (n, hidden[-1])."""
        inputs = self._read(X)
        with limited_threads(), require_torch().no_grad():
            return np.asarray(self.network_[:-1](self._standardised(inputs)).numpy())

    def logits(self, X: Any) -> FloatArray:
        """A logit a class, shape (n, n_classes)."""
        features = self.embed(X)
        return self.head_.logits(features)

    def decision_function(self, X: Any) -> FloatArray:
        """Logits; for two classes the difference of the second and the first, shape (n,)."""
        logits = self.logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> FloatArray:
        """Class probabilities, shape (n, n_classes)."""
        return np.asarray(softmax(self.logits(X), axis=1))

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each row, shape (n,)."""
        best = np.argmax(self.logits(X), axis=1)
        return np.asarray(self.classes_[best])

    def odin_scores(
        self, X: Any, temperature: float = 1000.0, epsilon: float = 0.002
    ) -> FloatArray:
        """ODIN (Liang and others): tempered softmax after a step that makes the answer surer.

        The step follows the sign of the gradient of the log of the largest tempered probability in
        the inputs, standardised where the network does so.

        Parameters
        ----------
        X
            Inputs, shape (n, n_features).
        temperature
            Divides the logits, above 0.
        epsilon
            Length of the step in each input.
        """
        torch = require_torch()
        with limited_threads():
            inputs = self._standardised(self._read(X)).requires_grad_()
            surest = torch.log_softmax(self.network_(inputs) / temperature, dim=1).amax(dim=1)
            (gradient,) = torch.autograd.grad(surest.sum(), inputs)
            with torch.no_grad():
                moved = inputs + epsilon * gradient.sign()
                tempered = torch.softmax(self.network_(moved) / temperature, dim=1)
                return np.asarray(tempered.amax(dim=1).numpy())
