"""Prior and posterior networks as scikit-learn estimators."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data

from statlas.core import InputError
from statlas.models.training import (
    Tensor,
    TorchGenerator,
    TrainingPlan,
    limited_threads,
    require_torch,
    split_validation,
    torch_generator,
    train_network,
)
from statlas.uncertainty.evidential import dirichlet
from statlas.uncertainty.evidential.inverse_gamma import NormalInverseGamma
from statlas.uncertainty.evidential.losses import (
    CLASS_LOSSES,
    NUMBER_LOSSES,
)
from statlas.uncertainty.evidential.networks import (
    Density,
    DirichletHead,
    InverseGammaHead,
    NaturalDirichlet,
    NaturalInverseGamma,
    NormalHead,
    PosteriorNetwork,
)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Epochs over which an annealed regulariser comes to its full weight (Sensoy et al., 2018).
_ANNEALING = 10
_ROWS_AT_ONCE = 8_192


class _EvidentialNetwork(BaseEstimator):  # type: ignore[misc]
    """Parameters, standardisation and training that both estimators share."""

    def __init__(
        self,
        family: Any = "natural-posterior",
        hidden: int = 64,
        layers: int = 2,
        latent: int = 6,
        density: Density = "mixture",
        parts: int = 8,
        weight: float | None = None,
        epochs: int = 100,
        batch_size: int = 32,
        learning_rate: float = 5e-3,
        weight_decay: float = 1e-4,
        patience: int = 20,
        validation_fraction: float = 0.15,
        random_state: int | None = None,
    ):
        self.family = family
        self.hidden = hidden
        self.layers = layers
        self.latent = latent
        self.density = density
        self.parts = parts
        self.weight = weight
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    @property
    def _refits_density(self) -> bool:
        return False

    def _check_parameters(self, families: Any) -> None:
        if self.family not in families:
            raise InputError(f"family must be one of {', '.join(families)}; got {self.family!r}")
        if self.density not in ("radial", "mixture"):
            raise InputError(f"density must be radial or mixture; got {self.density!r}")
        whole = ("hidden", "layers", "latent", "parts", "epochs", "batch_size", "patience")
        for name in whole:
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1; got {getattr(self, name)!r}")
        if not self.learning_rate > 0 or self.weight_decay < 0 or (self.weight or 0) < 0:
            raise InputError("learning_rate, weight_decay and weight must not be negative")
        if not 0 <= self.validation_fraction < 1:
            raise InputError(
                f"validation_fraction must be in [0, 1); got {self.validation_fraction!r}"
            )

    def _widths(self, n_features: int, n_outputs: int) -> tuple[int, ...]:
        return (n_features, *[self.hidden] * self.layers, n_outputs)

    def _standardise(self, x: FloatArray) -> FloatArray:
        return np.asarray((x - self.centre_) / self.spread_)

    def _learn_scale(self, x: FloatArray) -> None:
        self.centre_ = x.mean(axis=0)
        spread = x.std(axis=0)
        # A constant column must not turn rounding errors into features.
        self.spread_ = np.where(spread > 1e-9 * (1 + np.abs(self.centre_)), spread, 1.0)

    def _train(
        self,
        x: FloatArray,
        rng: np.random.Generator,
        strata: ArrayLike | None,
        build: Callable[[IntArray, TorchGenerator], Any],
        loss: Callable[[Tensor, IntArray, float], Tensor],
        outside_loss: Callable[[Tensor, float], Tensor] | None,
        outside: FloatArray | None,
        annealed: bool,
    ) -> None:
        """Split, standardise, build and train; sets the fitted attributes."""
        torch = require_torch()
        train, validation = split_validation(len(x), self.validation_fraction, rng, strata)
        self._learn_scale(x[train])
        inputs = torch.from_numpy(self._standardise(x))
        strange = None if outside is None else torch.from_numpy(self._standardise(outside))
        steps_an_epoch = math.ceil(len(train) / self.batch_size)
        step = 0
        with limited_threads():
            network = build(train, torch_generator(rng))

            def total(rows: IntArray, share: float, some: Tensor | None) -> Tensor:
                value = loss(network(inputs[torch.from_numpy(rows)]), rows, share).mean()
                if some is not None and outside_loss is not None:
                    value = value + outside_loss(network(some), 1.0).mean()
                return value

            def batch_loss(batch: IntArray) -> Tensor:
                nonlocal step
                share = min(1.0, step / (_ANNEALING * steps_an_epoch)) if annealed else 1.0
                step += 1
                network.modules.train()
                some = None
                if strange is not None:
                    some = strange[torch.from_numpy(rng.integers(len(strange), size=len(batch)))]
                return total(train[batch], share, some)

            def validation_loss() -> Tensor:
                network.modules.eval()
                return total(validation, 1.0, strange)

            self.history_ = train_network(
                network.modules,
                batch_loss,
                len(train),
                self._plan(),
                rng,
                validation_loss if len(validation) else None,
            )
            network.modules.eval()
            if self._refits_density:
                self._fit_density(network, inputs, train, validation, rng)
        self.network_ = network

    def _fit_density(
        self,
        network: Any,
        inputs: Tensor,
        train: IntArray,
        validation: IntArray,
        rng: np.random.Generator,
    ) -> None:
        """Fit the one density again, by likelihood, in the latent space that was learnt."""
        torch = require_torch()

        def surprise(rows: IntArray) -> Tensor:
            return network.surprise(inputs[torch.from_numpy(rows)]).mean()

        train_network(
            network.density.modules,
            lambda batch: surprise(train[batch]),
            len(train),
            self._plan(),
            rng,
            (lambda: surprise(validation)) if len(validation) else None,
        )

    def _plan(self) -> TrainingPlan:
        return TrainingPlan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            patience=self.patience,
        )

    def _outputs(self, X: ArrayLike) -> FloatArray:
        """The network's answers, some rows at a time."""
        check_is_fitted(self)
        x = self._standardise(validate_data(self, X, reset=False, dtype=np.float64))
        torch = require_torch()
        with limited_threads(), torch.no_grad():
            parts = [
                self.network_(torch.from_numpy(x[start : start + _ROWS_AT_ONCE])).numpy()
                for start in range(0, len(x), _ROWS_AT_ONCE)
            ]
        return np.concatenate(parts)


class EvidentialClassifier(ClassifierMixin, _EvidentialNetwork):  # type: ignore[misc]
    """A network whose answer is a Dirichlet distribution over the class probabilities.

    Parameters
    ----------
    family
        How it is trained: a key of `CLASS_LOSSES`. Prior networks and the precision gap also need
        rows from outside the distribution, which `fit` takes; ``"plain"`` is a softmax network.
    hidden, layers
        Units of each hidden layer, number of these layers.
    latent, density, parts
        Dimensions of the latent space, density over it (``"radial"`` flows or ``"mixture"`` of
        normals), layers of a flow or components of a mixture; for the two posterior families.
    weight
        Of the family's regulariser (or of its loss outside the distribution); None takes the
        family's default.
    epochs, batch_size, learning_rate, weight_decay, patience
        Training by Adam; see `statlas.models.training.TrainingPlan`.
    validation_fraction
        Share of rows that decide when training stops, in [0, 1).
    random_state
        Seed; None takes a fresh one.

    Attributes
    ----------
    classes_
        Labels in increasing order.
    network_, history_
        Trained network and losses by epoch.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = np.concatenate([rng.normal(-2, 1, (40, 2)), rng.normal(2, 1, (40, 2))])
    >>> model = EvidentialClassifier(epochs=5, hidden=8, random_state=0)
    >>> model.fit(x, [0] * 40 + [1] * 40).concentration(x[:3]).shape
    (3, 2)
    """

    def fit(self, X: ArrayLike, y: ArrayLike, outside: ArrayLike | None = None) -> Self:
        """Fit to labelled rows.

        Parameters
        ----------
        X, y
            Features (n, n_features) and labels (n,).
        outside
            Rows from outside the distribution, (n_outside, n_features); needed by the families
            that train on them, refused by the others.
        """
        self._check_parameters(CLASS_LOSSES)
        rule = CLASS_LOSSES[self.family]
        x, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(column_or_1d(labels, warn=True), return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError("classification needs at least two classes; got one class")
        strange = self._read_outside(outside, rule.outside is not None)
        torch = require_torch()
        onehot = torch.from_numpy(np.eye(len(self.classes_))[codes])
        weight = rule.weight if self.weight is None else self.weight

        def loss(alpha: Tensor, rows: IntArray, share: float) -> Tensor:
            return rule.row(alpha, onehot[torch.from_numpy(rows)], share * weight)

        def outside_loss(alpha: Tensor, share: float) -> Tensor:
            assert rule.outside is not None
            return rule.outside(alpha, share * weight)

        def build(train: IntArray, generator: TorchGenerator) -> Any:
            counts = np.bincount(codes[train], minlength=len(self.classes_))
            return self._build(x.shape[1], counts, rule.link, generator)

        self._train(
            x, np.random.default_rng(self.random_state), codes, build, loss,
            outside_loss if strange is not None else None, strange, rule.annealed,
        )  # fmt: skip
        return self

    def _read_outside(self, outside: ArrayLike | None, wanted: bool) -> FloatArray | None:
        if outside is None and wanted:
            raise InputError(
                f"the family {self.family!r} trains on rows from outside the distribution",
                remedy="give them as `outside`, or choose a family that does without",
            )
        if outside is not None and not wanted:
            raise InputError(
                f"the family {self.family!r} does not train on rows from outside the distribution",
                remedy="leave `outside` out, or choose prior-reverse, prior-forward or "
                "precision-gap",
            )
        if outside is None:
            return None
        rows = np.asarray(check_array(outside, dtype=np.float64))
        if rows.shape[1] != self.n_features_in_:
            raise InputError(
                f"`outside` has {rows.shape[1]} features, and X has {self.n_features_in_}"
            )
        return rows

    @property
    def _refits_density(self) -> bool:
        return bool(self.family == "natural-posterior")

    def _build(
        self, n_features: int, counts: IntArray, link: str, generator: TorchGenerator
    ) -> Any:
        if link != "density":
            return DirichletHead(self._widths(n_features, len(counts)), link, generator)
        widths = self._widths(n_features, self.latent)
        if self.family == "posterior":
            return PosteriorNetwork(widths, counts, self.density, self.parts, generator)
        return NaturalDirichlet(widths, len(counts), self.density, self.parts, generator)

    def concentration(self, X: ArrayLike) -> FloatArray:
        """Concentrations of the Dirichlet distributions, shape (n, n_classes)."""
        return self._outputs(X)

    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Expected class probabilities, shape (n, n_classes)."""
        return dirichlet.mean_probabilities(self.concentration(X))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Most probable labels."""
        best = self.concentration(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def uncertainty(self, X: ArrayLike) -> dict[str, FloatArray]:
        """Total, aleatoric and epistemic uncertainty in nats, and evidence, each (n,)."""
        return class_uncertainty(self.concentration(X))


class EvidentialRegressor(RegressorMixin, _EvidentialNetwork):  # type: ignore[misc]
    """A network whose answer is a normal-inverse-gamma distribution over mean and variance.

    Parameters are those of `EvidentialClassifier`; families are ``"natural-posterior"``,
    ``"evidential"`` and ``"plain"`` (a network with mean and variance, and no doubt about them).

    Attributes
    ----------
    network_, history_
        Trained network and losses by epoch.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 60)[:, None]
    >>> model = EvidentialRegressor("evidential", epochs=5, hidden=8, random_state=0)
    >>> model.fit(x, x[:, 0]).predict_interval(x[:3]).shape
    (3, 2)
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit to features (n, n_features) and numbers (n,)."""
        self._check_parameters(NUMBER_LOSSES)
        x, target = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        target = np.asarray(target, dtype=float)
        if len(target) < 2:
            raise InputError(f"at least 2 samples are needed; found n_samples={len(target)}")
        spread = float(target.std())
        self.target_centre_ = float(target.mean())
        self.target_spread_ = spread if spread > 1e-12 * (1 + abs(self.target_centre_)) else 1.0
        torch = require_torch()
        scaled = torch.from_numpy((target - self.target_centre_) / self.target_spread_)
        row_loss, weight = NUMBER_LOSSES[self.family]
        weight = weight if self.weight is None else self.weight

        def loss(parameters: Tensor, rows: IntArray, share: float) -> Tensor:
            return row_loss(parameters, scaled[torch.from_numpy(rows)], share * weight)

        def build(train: IntArray, generator: TorchGenerator) -> Any:
            widths = self._widths(x.shape[1], self.latent)
            if self.family == "natural-posterior":
                return NaturalInverseGamma(widths, 2, self.density, self.parts, generator)
            head = InverseGammaHead if self.family == "evidential" else NormalHead
            return head(widths[:-1], generator)

        rng = np.random.default_rng(self.random_state)
        self._train(x, rng, None, build, loss, None, None, annealed=False)
        return self

    def distribution(self, X: ArrayLike) -> NormalInverseGamma:
        """Distributions over mean and variance of each row, in units of the target."""
        parameters = NormalInverseGamma.of(*self._outputs(X).T)
        return parameters.rescaled(self.target_centre_, self.target_spread_)

    def predict(self, X: ArrayLike) -> FloatArray:
        """Expected targets, shape (n,)."""
        return self.distribution(X).location

    def predict_interval(self, X: ArrayLike, level: float = 0.9) -> FloatArray:
        """Central predictive intervals of Student's distribution, shape (n, 2)."""
        return np.column_stack(self.distribution(X).interval(level))

    def uncertainty(self, X: ArrayLike) -> dict[str, FloatArray]:
        """Total, aleatoric and epistemic uncertainty in nats, and evidence, each (n,)."""
        return number_uncertainty(self.distribution(X))


def class_uncertainty(concentration: ArrayLike) -> dict[str, FloatArray]:
    """Parts of the doubt of Dirichlet distributions; aleatoric and epistemic add to total."""
    return {
        "total": dirichlet.total_uncertainty(concentration),
        "aleatoric": dirichlet.aleatoric_uncertainty(concentration),
        "epistemic": dirichlet.epistemic_uncertainty(concentration),
        "evidence": np.asarray(concentration, dtype=float).sum(axis=-1),
    }


def number_uncertainty(fit: NormalInverseGamma) -> dict[str, FloatArray]:
    """Parts of the doubt of normal-inverse-gamma distributions, as differential entropies."""
    return {
        "total": fit.total_uncertainty(),
        "aleatoric": fit.aleatoric_uncertainty(),
        "epistemic": fit.epistemic_uncertainty(),
        "evidence": fit.evidence,
    }
