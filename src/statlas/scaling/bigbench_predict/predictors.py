"""Every predictor as one function: fitted to some records, it predicts others."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from statlas.core.rng import sklearn_seed
from statlas.scaling.bigbench_predict.factors import additive_of, factorise, nearest
from statlas.scaling.bigbench_predict.records import FloatArray, IntArray, Records

Predictor = Callable[[Records, Records, np.random.Generator], FloatArray]
PredictorName = Literal[
    "task mean", "model mean", "model + task", "nearest models", "nearest tasks", "factors",
    "boosting", "forest", "network",
]  # fmt: skip

BASELINE: PredictorName = "model + task"

_MOST_LEVELS = 250  # of one categorical column of boosted trees
_STEPS = 900  # of a network's training, at least


def predict_task_mean(train: Records, new: Records, rng: np.random.Generator) -> FloatArray:
    """The mean of the task at these shots, shrunk, whoever is asked."""
    return additive_of(train, "task").predict(new.model, new.column)


def predict_model_mean(train: Records, new: Records, rng: np.random.Generator) -> FloatArray:
    """The mean of the model, shrunk, whatever it is asked."""
    return additive_of(train, "model").predict(new.model, new.column)


def predict_additive(train: Records, new: Records, rng: np.random.Generator) -> FloatArray:
    """The sum of both; the paper's baseline."""
    return additive_of(train).predict(new.model, new.column)


def predict_nearest_models(train: Records, new: Records, rng: np.random.Generator) -> FloatArray:
    """Baseline and what similar models did on the column."""
    return nearest(train, new, "model")


def predict_nearest_tasks(train: Records, new: Records, rng: np.random.Generator) -> FloatArray:
    """Baseline and what the model did on similar columns."""
    return nearest(train, new, "task")


def predict_boosting(train: Records, new: Records, rng: np.random.Generator) -> FloatArray:
    """The baseline, and gradient-boosted trees of what it leaves.

    Family, model, group and task are categories, beside the numbers. The trees take no notice of
    categories with fewer than ten records; the baseline does.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    known, categorical = _categories(train)
    asked, _ = _categories(new)
    model = HistGradientBoostingRegressor(
        max_iter=60,
        learning_rate=0.3,
        max_leaf_nodes=15,
        categorical_features=categorical,
        early_stopping=False,
        random_state=sklearn_seed(rng),
    )
    baseline = additive_of(train)
    rest = train.score - baseline.predict(train.model, train.column)
    added = np.asarray(model.fit(known, rest).predict(asked))
    return np.asarray(baseline.predict(new.model, new.column) + added)


def predict_forest(train: Records, new: Records, rng: np.random.Generator) -> FloatArray:
    """A random forest on one-hot codes and the numbers."""
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(50, max_features=0.3, random_state=sklearn_seed(rng))
    return np.asarray(model.fit(one_hot(train), train.score).predict(one_hot(new)))


def predict_network(train: Records, new: Records, rng: np.random.Generator) -> FloatArray:
    """A network with two hidden layers on one-hot codes and the numbers."""
    from sklearn.neural_network import MLPRegressor

    batch = min(128, len(train))
    epochs = max(30, int(np.ceil(_STEPS * batch / len(train))))
    model = MLPRegressor(
        hidden_layer_sizes=(64, 32),
        batch_size=batch,
        learning_rate_init=5e-3,
        alpha=1e-5,
        max_iter=epochs,
        tol=0.0,
        random_state=sklearn_seed(rng),
    )
    mean, spread = train.score.mean(), train.score.std() or 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it stops after a number of passes on purpose
        model.fit(one_hot(train), (train.score - mean) / spread)
    return np.asarray(mean + spread * model.predict(one_hot(new)))


PREDICTORS: dict[PredictorName, Predictor] = {
    "task mean": predict_task_mean,
    "model mean": predict_model_mean,
    "model + task": predict_additive,
    "nearest models": predict_nearest_models,
    "nearest tasks": predict_nearest_tasks,
    "factors": factorise,
    "boosting": predict_boosting,
    "forest": predict_forest,
    "network": predict_network,
}


def _used_codes(records: Records) -> list[tuple[IntArray, int]]:
    """Codes that tell records apart: group and family where they differ from task and model."""
    names = ["model", "task"]
    names += ["family"] if records.count("family") < records.count("model") else []
    names += ["group"] if records.count("group") < records.count("task") else []
    return [(getattr(records, name), records.count(name)) for name in names]


def one_hot(records: Records) -> NDArray[np.float32]:
    """Codes as columns of 0 and 1, then the numbers, shape (n_records, n_features)."""
    codes = _used_codes(records)
    width = sum(levels for _, levels in codes)
    matrix = np.zeros((len(records), width + records.numeric.shape[1]), dtype=np.float32)
    start = 0
    for code, levels in codes:
        matrix[np.arange(len(records)), start + code] = 1.0
        start += levels
    matrix[:, start:] = records.numeric
    return matrix


def _categories(records: Records) -> tuple[FloatArray, list[int]]:
    """Codes as categorical columns of at most 250 levels each, and which columns these are."""
    columns: list[Any] = []
    for code, levels in _used_codes(records):
        for start in range(0, levels, _MOST_LEVELS):
            inside = (code >= start) & (code < start + _MOST_LEVELS)
            columns.append(np.where(inside, code - start, _MOST_LEVELS))
    matrix = np.column_stack([*columns, records.numeric]).astype(float)
    return matrix, list(range(len(columns)))
