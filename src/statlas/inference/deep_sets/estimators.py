"""Deep sets as scikit-learn estimators: regression, classification, outliers, expansion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from statlas.core import InputError
from statlas.inference.deep_sets.networks import (
    MemberNetwork,
    PaddedNetwork,
    Pooling,
    Scaler,
    SetNetwork,
    SetTensors,
    log_softmax_in_sets,
    pool,
    to_numpy,
)
from statlas.inference.deep_sets.sets import (
    FloatArray,
    IntArray,
    PackedSets,
    concatenate_labels,
    pack_members,
    set_targets,
    stack_members,
)
from statlas.models.training import (
    Tensor,
    TorchGenerator,
    TrainingPlan,
    limited_threads,
    perceptron,
    require_torch,
    split_validation,
    torch_generator,
    train_network,
)

# Sets that are predicted at once, which bounds memory.
_SETS_AT_ONCE = 2_048

Loss = Callable[[Any, Any], Any]


class _TrainedOnSets(BaseEstimator):  # type: ignore[misc]
    """Parameters and input checks that all estimators of sets share."""

    def __init__(
        self,
        pooling: Pooling = "sum",
        width: int = 64,
        embedding: int = 64,
        phi_layers: int = 2,
        rho_layers: int = 1,
        epochs: int = 200,
        batch_size: int = 32,
        learning_rate: float = 5e-3,
        weight_decay: float = 1e-4,
        patience: int = 20,
        validation_fraction: float = 0.2,
        random_state: int | None = None,
    ):
        self.pooling = pooling
        self.width = width
        self.embedding = embedding
        self.phi_layers = phi_layers
        self.rho_layers = rho_layers
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def _plan(self) -> TrainingPlan:
        return TrainingPlan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            patience=self.patience,
        )

    def _check_parameters(self) -> None:
        if self.pooling not in ("sum", "mean", "max"):
            raise InputError(f"pooling must be sum, mean or max; got {self.pooling!r}")
        for name in ("width", "embedding", "epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1; got {getattr(self, name)!r}")
        if (
            min(self.phi_layers, self.rho_layers) < 0
            or not self.learning_rate > 0
            or self.weight_decay < 0
        ):
            raise InputError(
                "phi_layers, rho_layers, learning_rate and weight_decay must not be negative"
            )
        if not 0 <= self.validation_fraction < 1:
            raise InputError(
                f"validation_fraction must be in [0, 1); got {self.validation_fraction!r}"
            )

    def _read(self, X: Any, sets: ArrayLike | None, *, reset: bool) -> PackedSets:
        matrix, sizes = stack_members(X)
        members = validate_data(self, matrix, reset=reset, dtype=np.float64)
        return pack_members(members, sizes, sets)

    def _scale(self, sizes: IntArray) -> float:
        return float(sizes.mean()) if self.pooling == "sum" else 1.0

    def _train(
        self,
        packed: PackedSets,
        rng: np.random.Generator,
        strata: ArrayLike | None,
        build: Callable[[PackedSets, TorchGenerator], Any],
        loss_of: Callable[[Any, SetTensors, IntArray], Tensor],
    ) -> None:
        """Split, standardise, build and train; sets the fitted attributes."""
        train, validation = split_validation(len(packed), self.validation_fraction, rng, strata)
        training_sets = packed.take(train)
        self.scaler_ = Scaler.of(training_sets.members)
        with limited_threads():
            network = build(training_sets, torch_generator(rng))
            data = SetTensors(packed, self.scaler_)
            self.history_ = train_network(
                network.modules,
                lambda batch: loss_of(network, data, train[batch]),
                len(train),
                self._plan(),
                rng,
                (lambda: loss_of(network, data, validation)) if len(validation) else None,
            )
        self.network_ = network

    def _outputs(self, packed: PackedSets) -> NDArray[Any]:
        """The network's answers for all sets (or members), some sets at a time."""
        with limited_threads(), require_torch().no_grad():
            data = SetTensors(packed, self.scaler_)
            blocks = np.split(
                np.arange(len(packed)), range(_SETS_AT_ONCE, len(packed), _SETS_AT_ONCE)
            )
            return np.concatenate([to_numpy(self._answer(*data.batch(b))) for b in blocks])

    def _answer(self, members: Tensor, sizes: Tensor) -> Tensor:
        return self.network_(members, sizes)


class _InvariantEstimator(_TrainedOnSets):
    """A network from a set to one answer."""

    def _fit_sets(
        self,
        packed: PackedSets,
        targets: NDArray[Any],
        n_outputs: int,
        loss: Loss,
        strata: ArrayLike | None = None,
    ) -> None:
        torch = require_torch()
        wanted = torch.from_numpy(targets)

        def loss_of(network: Any, data: SetTensors, chosen: IntArray) -> Tensor:
            return loss(network(*data.batch(chosen)), wanted[torch.from_numpy(chosen)])

        def build(training: PackedSets, generator: TorchGenerator) -> Any:
            return self._build(training, n_outputs, generator)

        self._train(packed, np.random.default_rng(self.random_state), strata, build, loss_of)

    def _build(self, training: PackedSets, n_outputs: int, generator: TorchGenerator) -> Any:
        return SetNetwork(
            training.members.shape[1],
            n_outputs,
            width=self.width,
            embedding=self.embedding,
            phi_layers=self.phi_layers,
            rho_layers=self.rho_layers,
            pooling=self.pooling,
            scale=self._scale(training.sizes),
            generator=generator,
        )


class DeepSetRegressor(RegressorMixin, _InvariantEstimator):  # type: ignore[misc]
    """Predict a number from a set of any size, whatever the order of its members.

    Parameters
    ----------
    pooling : {"sum", "mean", "max"}
        How members are pooled; a mean does not see the size of the set.
    width, embedding
        Hidden units, and numbers kept of a set after pooling.
    phi_layers, rho_layers
        Hidden layers before and after pooling; with sums and none after, the answer is a sum
        over members, which carries over to sets larger than those trained on.
    epochs, batch_size, learning_rate, weight_decay, patience
        Training by Adam; see `statlas.models.training.TrainingPlan`.
    validation_fraction
        Share of sets that decide when training stops, in [0, 1).
    random_state : int or None
        Seed; None takes a fresh one.

    Attributes
    ----------
    network_, scaler_, history_
        Trained network, standardisation of the features, losses by epoch.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sets = [rng.normal(size=(rng.integers(2, 6), 1)) for _ in range(60)]
    >>> model = DeepSetRegressor(width=8, embedding=4, epochs=3, random_state=0)
    >>> model.fit(sets, [s.sum() for s in sets]).predict(sets[:2]).shape
    (2,)
    """

    def fit(self, X: Any, y: ArrayLike, sets: ArrayLike | None = None) -> Self:
        """Fit to sets and their numbers.

        Parameters
        ----------
        X
            A list of arrays of shape (n_i, n_features), or one matrix of members.
        y
            Target of each set in order of first appearance, or of each row of the matrix.
        sets
            Set of each row of a matrix; without it each row is a set of its own.
        """
        self._check_parameters()
        packed = self._read(X, sets, reset=True)
        targets = column_or_1d(set_targets(_given(self, y), packed), warn=True).astype(np.float64)
        if not np.isfinite(targets).all():
            raise InputError("y must be finite: it contains NaN or infinity")
        self.target_scaler_ = Scaler.of(targets)
        loss = require_torch().nn.functional.mse_loss
        self._fit_sets(packed, self.target_scaler_(targets)[:, None], 1, loss)
        return self

    def predict(self, X: Any, sets: ArrayLike | None = None) -> FloatArray:
        """Predicted numbers in order of first appearance of the sets, shape (n_sets,)."""
        check_is_fitted(self)
        outputs = self._outputs(self._read(X, sets, reset=False))[:, 0]
        return outputs * self.target_scaler_.spread + self.target_scaler_.centre


class DeepSetClassifier(ClassifierMixin, _InvariantEstimator):  # type: ignore[misc]
    """Classify sets of any size, whatever the order of their members.

    Parameters are those of `DeepSetRegressor`.

    Attributes
    ----------
    classes_
        Labels in increasing order, shape (n_classes,).
    network_, scaler_, history_
        Trained network, standardisation of the features, losses by epoch.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sets = [rng.normal(size=(3, 2)) for _ in range(40)]
    >>> model = DeepSetClassifier(width=8, embedding=4, epochs=2, random_state=0)
    >>> model.fit(sets, ["a", "b"] * 20).predict_proba(sets[:1]).shape
    (1, 2)
    """

    def fit(self, X: Any, y: ArrayLike, sets: ArrayLike | None = None) -> Self:
        """Fit to sets and their labels; arguments as for `DeepSetRegressor.fit`."""
        self._check_parameters()
        packed = self._read(X, sets, reset=True)
        labels = column_or_1d(set_targets(_given(self, y), packed), warn=True)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError("classification needs at least two classes; got one class")
        loss = require_torch().nn.functional.cross_entropy
        self._fit_sets(packed, codes.astype(np.int64), len(self.classes_), loss, codes)
        return self

    def predict_proba(self, X: Any, sets: ArrayLike | None = None) -> FloatArray:
        """Probability of each class, shape (n_sets, n_classes)."""
        check_is_fitted(self)
        outputs = self._outputs(self._read(X, sets, reset=False))
        return _softmax(outputs)

    def predict(self, X: Any, sets: ArrayLike | None = None) -> NDArray[Any]:
        """Most probable labels, shape (n_sets,)."""
        check_is_fitted(self)
        chosen = self.predict_proba(X, sets).argmax(axis=1)
        return np.asarray(self.classes_[chosen])


class _PaddedInput:
    """Replaces the invariant network by a perceptron on padded rows: the baseline."""

    def _build(
        self: Any, training: PackedSets, n_outputs: int, generator: TorchGenerator
    ) -> PaddedNetwork:
        return PaddedNetwork(
            training.members.shape[1],
            n_outputs,
            most=int(training.sizes.max()),
            width=self.width,
            n_layers=1 + self.rho_layers,
            generator=generator,
        )


class PaddedRegressor(_PaddedInput, DeepSetRegressor):
    """Baseline that reads a set as a padded row, so its answer depends on the order.

    Parameters are those of `DeepSetRegressor`; `pooling` and `embedding` have no effect.
    """


class PaddedClassifier(_PaddedInput, DeepSetClassifier):
    """Baseline that reads a set as a padded row, so its answer depends on the order.

    Parameters are those of `DeepSetClassifier`; `pooling` and `embedding` have no effect.
    """


class SetOutlierDetector(_TrainedOnSets):
    """Find the one member that does not belong, trained on sets whose odd member is known.

    Equivariant layers give each member a score that also sees the others; a softmax over the
    members of the set makes it the probability of being the odd one (Section 4.3).

    Parameters are those of `DeepSetRegressor`, with ``1 + rho_layers`` hidden equivariant layers
    of `width` units; `embedding` and `phi_layers` have no effect. Sums are Lemma 3's layer, maxima
    Eq. (4)'s.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sets = [rng.normal(size=(4, 1)) for _ in range(30)]
    >>> odd = [np.eye(4, dtype=int)[s[:, 0].argmax()] for s in sets]
    >>> model = SetOutlierDetector(width=8, epochs=2, random_state=0).fit(sets, odd)
    >>> model.predict(sets[:3]).shape
    (3,)
    """

    def fit(self, X: Any, y: Any, sets: ArrayLike | None = None) -> Self:
        """Fit to sets with a marked member each.

        Parameters
        ----------
        X, sets
            As for `DeepSetRegressor.fit`.
        y
            1 for the odd member of each set and 0 for the others: one array in the order of the
            rows, or a list with an array a set.

        Raises
        ------
        InputError
            If a set does not have exactly one odd member.
        """
        self._check_parameters()
        packed = self._read(X, sets, reset=True)
        odd = require_torch().from_numpy(_odd_members(_given(self, y), packed))

        def loss_of(network: Any, data: SetTensors, chosen: IntArray) -> Tensor:
            members, sizes = data.batch(chosen)
            marks = odd[require_torch().from_numpy(packed.member_rows(chosen))]
            return -log_softmax_in_sets(network(members, sizes), sizes)[marks].mean()

        def build(training: PackedSets, generator: TorchGenerator) -> Any:
            return self._build(training, generator)

        self._train(packed, np.random.default_rng(self.random_state), None, build, loss_of)
        return self

    def _build(self, training: PackedSets, generator: TorchGenerator) -> Any:
        return MemberNetwork(
            training.members.shape[1],
            width=self.width,
            n_layers=2 + self.rho_layers,
            pooling=self.pooling,
            generator=generator,
        )

    def _answer(self, members: Tensor, sizes: Tensor) -> Tensor:
        return log_softmax_in_sets(self.network_(members, sizes), sizes).exp()

    def predict_proba(self, X: Any, sets: ArrayLike | None = None) -> FloatArray:
        """Probability of each member to be its set's odd one, in the order of the rows."""
        check_is_fitted(self)
        packed = self._read(X, sets, reset=False)
        probabilities = np.empty(len(packed.members))
        probabilities[packed.rows] = self._outputs(packed)
        return probabilities

    def predict(self, X: Any, sets: ArrayLike | None = None) -> IntArray:
        """Place of the odd member within each set, from 0, shape (n_sets,)."""
        check_is_fitted(self)
        packed = self._read(X, sets, reset=False)
        blocks = np.split(self._outputs(packed), packed.starts[1:])
        return np.array([int(block.argmax()) for block in blocks], dtype=np.int64)

    def score(self, X: Any, y: Any, sets: ArrayLike | None = None) -> float:
        """Share of sets whose odd member is found."""
        packed = self._read(X, sets, reset=False)
        odd = _odd_members(y, packed)
        place = np.arange(len(odd)) - packed.starts[packed.owner]
        return float(np.mean(self.predict(X, sets) == place[odd]))


class SetExpander(_TrainedOnSets):
    """Rank candidates by how well they would extend a given set (Section 4.2).

    Trained on sets alone: some members ask, another one must score higher than a member of
    another set, by a margin.

    Parameters are those of `DeepSetRegressor`; the margin is 1 on the score's own scale.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> groups = [rng.normal(loc=m, size=(5, 2)) for m in rng.normal(size=(20, 2))]
    >>> model = SetExpander(width=8, embedding=4, epochs=2, random_state=0).fit(groups)
    >>> model.score_candidates(groups[0], groups[1]).shape
    (5,)
    """

    # Draws of query and candidates a validation set, fixed for the whole training.
    _validation_draws = 8

    def fit(self, X: Any, y: None = None, sets: ArrayLike | None = None) -> Self:
        """Fit to at least two sets of at least two members each; `y` is ignored.

        Raises
        ------
        InputError
            If there are fewer sets or members.
        """
        self._check_parameters()
        packed = self._read(X, sets, reset=True)
        if len(packed) < 2 or packed.sizes.min() < 2:
            raise InputError(
                "set expansion needs at least two sets, each of at least two members; found "
                f"{len(packed)} set(s), the smallest of {int(packed.sizes.min())}"
            )
        rng = np.random.default_rng(self.random_state)
        fixed_seed = int(rng.integers(2**63 - 1))

        def loss_of(network: Any, data: SetTensors, chosen: IntArray) -> Tensor:
            training = require_torch().is_grad_enabled()
            draws = rng if training else np.random.default_rng(fixed_seed)
            repeated = chosen if training else np.tile(chosen, self._validation_draws)
            return network.margin_loss(data, _draw_triples(packed, repeated, draws))

        def build(training: PackedSets, generator: TorchGenerator) -> Any:
            return _ExpansionNetwork(self, training, generator)

        self._train(packed, rng, None, build, loss_of)
        return self

    def score_candidates(self, query: ArrayLike, candidates: ArrayLike) -> FloatArray:
        """Score of each candidate given the query set; higher fits better.

        Parameters
        ----------
        query
            Members of the set to extend, shape (n_members, n_features), at least one.
        candidates
            Shape (n_candidates, n_features).
        """
        check_is_fitted(self)
        torch = require_torch()
        asked = validate_data(self, query, reset=False, dtype=np.float64)
        offered = validate_data(self, candidates, reset=False, dtype=np.float64)
        with limited_threads(), torch.no_grad():
            members, others = (torch.from_numpy(self.scaler_(m)) for m in (asked, offered))
            pooled = self.network_.embed(members, torch.tensor([len(asked)]))
            return to_numpy(self.network_.score(pooled.expand(len(offered), -1), others))


class _ExpansionNetwork:
    """Score of a candidate given a pooled query: rho(pool(phi(query)), phi(candidate))."""

    def __init__(self, model: SetExpander, training: PackedSets, generator: TorchGenerator):
        n_features = training.members.shape[1]
        self.pooling = model.pooling
        # On average half of the other members ask.
        self.scale = max(model._scale(training.sizes) / 2, 1.0)
        self.phi = perceptron(
            [n_features, *[model.width] * model.phi_layers, model.embedding], generator
        )
        hidden = [model.width] * model.rho_layers
        self.rho = perceptron([2 * model.embedding, *hidden, 1], generator)
        self.modules = require_torch().nn.ModuleList([self.phi, self.rho])

    def embed(self, members: Tensor, sizes: Tensor) -> Tensor:
        return pool(self.phi(members), sizes, self.pooling) / self.scale

    def score(self, pooled: Tensor, candidates: Tensor) -> Tensor:
        both = require_torch().cat([pooled, self.phi(candidates)], dim=1)
        return self.rho(both).squeeze(1)

    def margin_loss(self, data: SetTensors, triples: tuple[IntArray, ...]) -> Tensor:
        """Mean of max(0, 1 + s(other | query) - s(member | query))."""
        torch = require_torch()
        query, sizes, member, other = (torch.from_numpy(part) for part in triples)
        pooled = self.embed(data.members[query], sizes)
        gap = self.score(pooled, data.members[other]) - self.score(pooled, data.members[member])
        return torch.relu(1 + gap).mean()


def _draw_triples(
    packed: PackedSets, chosen: IntArray, rng: np.random.Generator
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Rows of random queries, their sizes, a further member of each set, a member of another."""
    rows, sizes = packed.member_rows(chosen), packed.sizes[chosen]
    starts = np.cumsum(sizes) - sizes
    owner = np.repeat(np.arange(len(chosen)), sizes)
    shuffled = rows[np.lexsort((rng.random(len(rows)), owner))]
    asked = rng.integers(1, sizes)
    query = shuffled[np.arange(len(rows)) - starts[owner] < asked[owner]]
    other = rng.integers(0, len(packed.members) - sizes)
    other += np.where(other >= packed.starts[chosen], sizes, 0)
    return query, asked, shuffled[starts + sizes - 1], other


def _odd_members(y: Any, packed: PackedSets) -> NDArray[np.bool_]:
    """Whether each packed member is its set's odd one."""
    labels = concatenate_labels(y)
    if labels.shape != (len(packed.members),):
        raise InputError(
            f"y must mark each of the {len(packed.members)} members with 0 or 1; its shape is "
            f"{labels.shape}"
        )
    odd: NDArray[np.bool_] = labels[packed.rows] == 1
    if not np.isin(labels, (0, 1)).all():
        raise InputError("y must be 1 for the odd member of a set and 0 for the others")
    counts = np.add.reduceat(odd.astype(np.int64), packed.starts)
    if np.any(counts != 1):
        bad = int(np.argmax(counts != 1))
        raise InputError(
            f"set {bad} has {int(counts[bad])} odd members",
            remedy="mark exactly one member of each set with 1",
        )
    return odd


def _given(estimator: Any, y: Any) -> Any:
    if y is None:
        raise InputError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None"
        )
    return y


def _softmax(scores: FloatArray) -> FloatArray:
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
