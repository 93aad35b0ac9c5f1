"""The estimators: a regressor that may abstain, and a forest of conditional quantiles."""

from __future__ import annotations

from copy import copy
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.utils.validation import check_is_fitted, validate_data

from statlas.core.rng import sklearn_seed
from statlas.uncertainty.conformal_selective.selection import BoolArray, FloatArray, keep_rule

WidthName = Literal["quantiles", "errors"]
Promise = Literal["kept", "all"]

_TREES, _LEAF = 50, 5
_FEWEST = 4
_CELLS = 4_000_000  # weights held at once


class QuantileForest(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Conditional quantiles from a random forest (Meinshausen, 2006, J. Mach. Learn. Res. 7:983).

    A training row weighs 1 / (rows in the leaf) in each tree where it shares the leaf of the new
    row; the quantile is that of the outcomes with these weights, averaged over trees.

    Parameters
    ----------
    quantile
        Which quantile to predict, in (0, 1).
    n_estimators, min_samples_leaf
        Trees, and rows in a leaf at least.
    random_state
        Seed of the forest.

    Examples
    --------
    >>> x = np.repeat([[0.0], [1.0]], 20, axis=0)
    >>> y = np.concatenate([np.arange(20.0), np.arange(100.0, 120.0)])
    >>> print(QuantileForest(0.5, random_state=0).fit(x, y).predict([[0.0], [1.0]]))
    [  9. 109.]
    """

    def __init__(
        self,
        quantile: float = 0.5,
        n_estimators: int = _TREES,
        min_samples_leaf: int = _LEAF,
        random_state: int | None = None,
    ) -> None:
        self.quantile = quantile
        self.n_estimators = n_estimators
        self.min_samples_leaf = min_samples_leaf
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Grow the forest."""
        from sklearn.ensemble import RandomForestRegressor

        _check_share("quantile", self.quantile)
        x, target = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        self.forest_ = RandomForestRegressor(
            self.n_estimators,
            min_samples_leaf=self.min_samples_leaf,
            random_state=self.random_state,
        ).fit(x, target)
        order = np.argsort(target, kind="stable")
        self.outcomes_ = target[order]
        leaves = self._leaves(x[order])
        self.members_ = (leaves / np.maximum(leaves.sum(axis=0), 1)).T.tocsr()
        return self

    def predict(self, X: ArrayLike) -> FloatArray:
        """Conditional quantiles, shape (n_samples,)."""
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype=np.float64)
        step = max(1, _CELLS // len(self.outcomes_))
        parts = [self._quantiles(x[i : i + step]) for i in range(0, len(x), step)]
        return np.concatenate(parts)

    def _quantiles(self, x: FloatArray) -> FloatArray:
        weights = (self._leaves(x) @ self.members_).toarray()
        reached = np.cumsum(weights, axis=1) >= self.quantile * len(self.forest_) - 1e-9
        return np.asarray(self.outcomes_[reached.argmax(axis=1)])

    def _leaves(self, x: FloatArray) -> sparse.csr_array:
        """One row a sample, one column a node of any tree: 1 for the leaves it falls in."""
        nodes = self.forest_.apply(x)
        sizes = [tree.tree_.node_count for tree in self.forest_.estimators_]
        columns = nodes + np.concatenate([[0], np.cumsum(sizes)[:-1]])
        n, trees = nodes.shape
        starts = np.arange(0, n * trees + 1, trees)
        return sparse.csr_array(
            (np.ones(n * trees), columns.ravel(), starts), shape=(n, int(np.sum(sizes)))
        )


class ConformalSelectiveRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regressor that also says which of its predictions to keep.

    Parameters
    ----------
    estimator
        Any regressor; a random forest by default.
    width
        What gives the width of intervals: "quantiles", two quantile regressors (the paper's);
        "errors", a model of the absolute error of `estimator`, which sees its bias.
    lower, upper
        Any regressors of the quantiles (1 - level) / 2 and (1 + level) / 2; quantile forests by
        default. Used by "quantiles".
    residual_estimator
        Any regressor of the absolute errors; a random forest by default. Used by "errors".
    keep
        Share of rows to keep at least, in (0, 1].
    level
        Coverage of the intervals, in (0, 1).
    promise
        Whether it is promised among "kept" rows or over "all" rows (the paper's).
    calibration
        Share of rows set aside to calibrate, in (0, 1).
    folds
        Folds that give the errors on which the residual model is fitted, at least 2.
    random_state
        Seed of the split and of the default models.

    Attributes
    ----------
    rule_
        The largest score to keep and the conformal quantiles.

    Examples
    --------
    >>> x = np.linspace(0, 1, 200)[:, None]
    >>> fit = ConformalSelectiveRegressor(random_state=0).fit(x, x[:, 0])
    >>> fit.predict_interval(x[:3]).shape, fit.kept(x).dtype
    ((3, 2), dtype('bool'))
    """

    def __init__(
        self,
        estimator: Any = None,
        width: WidthName = "quantiles",
        lower: Any = None,
        upper: Any = None,
        residual_estimator: Any = None,
        keep: float = 0.8,
        level: float = 0.9,
        promise: Promise = "kept",
        calibration: float = 1 / 3,
        folds: int = 5,
        random_state: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.width = width
        self.lower = lower
        self.upper = upper
        self.residual_estimator = residual_estimator
        self.keep = keep
        self.level = level
        self.promise = promise
        self.calibration = calibration
        self.folds = folds
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the models on one part of the rows and calibrate on the other."""
        self._check_options()
        x, target = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        if len(target) < _FEWEST:
            raise ValueError(f"at least {_FEWEST} samples are needed; n_samples={len(target)}")
        rng = np.random.default_rng(self.random_state)
        order = rng.permutation(len(target))
        n_held = min(max(round(self.calibration * len(target)), 1), len(target) - 2)
        held, own = order[:n_held], order[n_held:]
        self._fit_models(x[own], target[own], sklearn_seed(rng))
        scores = self._scores(x[held])
        self.rule_ = keep_rule(
            self._conformity(x[held], target[held], scores), scores, self.keep, self.level
        )
        return self

    def predict(self, X: ArrayLike) -> FloatArray:
        """Predictions of all rows, kept or not."""
        x = self._read(X)
        return np.asarray(self.estimator_.predict(x), dtype=float)

    def rejection_score(self, X: ArrayLike) -> FloatArray:
        """What rows are ranked by, in units of y: larger where the interval is wider.

        The distance of the two quantiles, or the expected absolute error.
        """
        return self._scores(self._read(X))

    def kept(self, X: ArrayLike) -> BoolArray:
        """Whether each prediction is kept."""
        scores = self.rejection_score(X)
        return self.rule_.kept(scores)

    def predict_interval(self, X: ArrayLike) -> FloatArray:
        """Intervals, shape (n, 2); with promise="kept" nothing is promised for the other rows."""
        x = self._read(X)
        scores = self._scores(x)
        kept = self.promise == "kept"
        q = self.rule_.quantiles(scores) if kept else np.full(len(x), self.rule_.quantile_all)
        if self.width == "quantiles":
            low, high = self._quantiles(x)
            # An empty interval becomes its middle, which can only cover more.
            half = np.maximum(q, (low - high) / 2)
            low, high = low - half, high + half
            return np.column_stack([low, np.maximum(low, high)])
        middle = self.predict(x)
        return np.column_stack([middle - q * scores, middle + q * scores])

    # --- parts ------------------------------------------------------------------------------------

    def _read(self, X: ArrayLike) -> FloatArray:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, reset=False, dtype=np.float64))

    def _check_options(self) -> None:
        if self.width not in ("quantiles", "errors"):
            raise ValueError(f"width must be 'quantiles' or 'errors'; got {self.width!r}")
        if self.promise not in ("kept", "all"):
            raise ValueError(f"promise must be 'kept' or 'all'; got {self.promise!r}")
        for name in ("level", "calibration"):
            _check_share(name, getattr(self, name))
        if self.keep != 1:
            _check_share("keep", self.keep)
        if self.folds < 2:
            raise ValueError(f"folds must be at least 2; got {self.folds!r}")

    def _fit_models(self, x: FloatArray, y: FloatArray, seed: int) -> None:
        self.estimator_ = _model(self.estimator, seed).fit(x, y)
        if self.width == "quantiles":
            tail = (1 - self.level) / 2
            self.lower_ = _model(self.lower, seed, tail).fit(x, y)
            if self.lower is None and self.upper is None:  # the same forest gives both
                self.upper_ = copy(self.lower_).set_params(quantile=1 - tail)
            else:
                self.upper_ = _model(self.upper, seed, 1 - tail).fit(x, y)
            return
        folds = KFold(min(self.folds, len(y)), shuffle=True, random_state=seed)
        unseen = cross_val_predict(clone(self.estimator_), x, y, cv=folds)
        errors = np.abs(y - unseen)
        self.residual_estimator_ = _model(self.residual_estimator, seed).fit(x, errors)
        # A floor keeps ratios finite where the error model says that there is no error.
        self.floor_ = max(0.05 * float(errors.mean()), 1e-12 * max(float(np.abs(y).max()), 1e-12))

    def _quantiles(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        return np.asarray(self.lower_.predict(x)), np.asarray(self.upper_.predict(x))

    def _scores(self, x: FloatArray) -> FloatArray:
        if self.width == "quantiles":
            low, high = self._quantiles(x)
            return high - low
        return np.asarray(np.maximum(self.residual_estimator_.predict(x), self.floor_))

    def _conformity(self, x: FloatArray, y: FloatArray, scores: FloatArray) -> FloatArray:
        if self.width == "quantiles":
            low, high = self._quantiles(x)
            return np.maximum(low - y, y - high)
        return np.asarray(np.abs(y - self.estimator_.predict(x)) / scores)


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1; got {value!r}")


def _model(given: Any, seed: int, quantile: float | None = None) -> Any:
    if given is not None:
        return clone(given)
    if quantile is not None:
        return QuantileForest(quantile, random_state=seed)
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(_TREES, min_samples_leaf=_LEAF, random_state=seed)
