"""Predictors of collaborative filtering: scores as a table of models by task-and-shots columns.

As in the paper's code a row is a model (family and size) and a column a task at a number of shots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from statlas.scaling.bigbench_predict.records import FloatArray, IntArray, Records

# Of scikit-surprise's BaselineOnly, which the paper runs with its defaults.
_ROW_SHRINKAGE, _COLUMN_SHRINKAGE, _SWEEPS = 15.0, 10.0, 10
_NEIGHBOURS, _SIMILARITY_SHRINKAGE = 40, 100.0
_RANK, _FACTOR_SWEEPS, _SIDE_RIDGE = 6, 40, 1.0


@dataclass(frozen=True)
class Additive:
    """Overall mean and the effects of rows and columns."""

    mean: float
    rows: FloatArray
    columns: FloatArray

    def predict(self, rows: IntArray, columns: IntArray) -> FloatArray:
        """Mean plus the effects; an effect never seen is 0."""
        return np.asarray(self.mean + self.rows[rows] + self.columns[columns])


def fit_additive(
    rows: IntArray,
    columns: IntArray,
    score: FloatArray,
    shape: tuple[int, int],
    shrinkage: tuple[float, float] = (_ROW_SHRINKAGE, _COLUMN_SHRINKAGE),
) -> Additive:
    """Effects of rows and columns by alternating ridge steps, columns first.

    Parameters
    ----------
    rows, columns
        Codes of each score, shape (n_records,).
    score
        Scores, shape (n_records,).
    shape
        Number of rows and of columns.
    shrinkage
        Ridge of row and column effects, in records.

    Examples
    --------
    >>> fit = fit_additive(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.2, 0.6, 0.4]),
    ...                    (2, 2), (1e-9, 1e-9))
    >>> print(fit.predict(np.array([1]), np.array([1])).round(3))
    [0.8]
    """
    mean = float(score.mean())
    of_rows, of_columns = np.zeros(shape[0]), np.zeros(shape[1])
    n_rows = np.bincount(rows, minlength=shape[0])
    n_columns = np.bincount(columns, minlength=shape[1])
    sweeps = _SWEEPS if min(shrinkage) > 1e-3 else 500
    for _ in range(sweeps):
        rest = score - mean - of_rows[rows]
        of_columns = np.bincount(columns, rest, shape[1]) / (shrinkage[1] + n_columns)
        rest = score - mean - of_columns[columns]
        of_rows = np.bincount(rows, rest, shape[0]) / (shrinkage[0] + n_rows)
    return Additive(mean, of_rows, of_columns)


def additive_of(train: Records, effects: str = "both") -> Additive:
    """The paper's baseline; `effects` may keep those of the model or of the task only."""
    shape = (train.count("model"), train.count("column"))
    fit = fit_additive(train.model, train.column, train.score, shape)
    rows = fit.rows if effects in ("both", "model") else np.zeros_like(fit.rows)
    columns = fit.columns if effects in ("both", "task") else np.zeros_like(fit.columns)
    return Additive(fit.mean, rows, columns)


# --- neighbours --------------------------------------------------------------------------------


def nearest(train: Records, new: Records, side: Literal["model", "task"]) -> FloatArray:
    """Baseline plus the mean deviation of the most similar rows (models) or columns (tasks).

    Similarity is the correlation of deviations from the baseline over what both have, shrunk by
    n - 1 / (n - 1 + 100); neighbours of similarity above 0 count, the 40 most similar.
    """
    baseline = additive_of(train)
    rest = train.score - baseline.predict(train.model, train.column)
    if side == "model":
        shape, own, other = (train.count("model"), train.count("column")), "model", "column"
    else:
        shape, own, other = (train.count("column"), train.count("model")), "column", "model"
    deviation, known = np.zeros(shape), np.zeros(shape)
    deviation[getattr(train, own), getattr(train, other)] = rest
    known[getattr(train, own), getattr(train, other)] = 1.0
    similarity = shrunk_correlation(deviation, known)
    np.fill_diagonal(similarity, 0.0)
    answer = baseline.predict(new.model, new.column)
    items, across = getattr(new, own), getattr(new, other)
    for item in np.unique(items):
        at = np.flatnonzero(items == item)
        weight = similarity[item][:, None] * known[:, across[at]]
        if len(weight) > _NEIGHBOURS:
            least = np.partition(weight, -_NEIGHBOURS, axis=0)[-_NEIGHBOURS]
            weight = np.where(weight >= least, weight, 0.0)
        total = weight.sum(axis=0)
        pull = np.einsum("vc,vc->c", weight, deviation[:, across[at]])
        answer[at] += np.where(total > 0, pull / np.where(total > 0, total, 1.0), 0.0)
    return answer


def shrunk_correlation(deviation: FloatArray, known: FloatArray) -> FloatArray:
    """Correlations of rows over their common columns, shrunk and cut at 0."""
    shared = known @ known.T
    products = deviation @ deviation.T
    squares = deviation**2 @ known.T
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = products / np.sqrt(squares * squares.T)
        shrunk = correlation * np.maximum(shared - 1, 0) / (shared - 1 + _SIMILARITY_SHRINKAGE)
    return np.maximum(np.where(shared > 1, np.nan_to_num(shrunk), 0.0), 0.0)


# --- factors -----------------------------------------------------------------------------------


@dataclass
class _Side:
    """Effects and factors of rows or of columns: posterior means, covariances and their prior.

    `means` has shape (n_levels, 1 + rank): the effect first, then the factors. `regression` maps
    them to coefficients of the side features, shape (n_features, n_levels).
    """

    means: FloatArray
    covariances: FloatArray
    features: FloatArray
    regression: FloatArray
    prior_variance: FloatArray

    @property
    def prior_means(self) -> FloatArray:
        """What the side features say of each level."""
        return np.asarray(self.features @ (self.regression @ self.means))


def factorise(train: Records, new: Records, rng: np.random.Generator) -> FloatArray:
    """Effects of model and column plus a product of factors, both with side features.

    Effects and factors of a model have a normal prior whose mean is linear in its family and its
    sizes; those of a column in its task, group and shots, so that a model or column without a
    record gets what these say. Posteriors of rows and of columns are found in turn (mean-field
    variational Bayes), prior and noise variances with them.

    Parameters
    ----------
    train, new
        Records with scores, and those to predict.
    rng
        Source of the factors' start.
    """
    mean, spread = float(train.score.mean()), float(train.score.std()) or 1.0
    shape = (train.count("model"), train.count("column"))
    target = np.zeros(shape)
    known = np.zeros(shape)
    target[train.model, train.column] = (train.score - mean) / spread
    known[train.model, train.column] = 1.0
    rows = _start(row_features(train, new), rng)
    columns = _start(column_features(train, new), rng)
    noise = 0.3
    for _ in range(_FACTOR_SWEEPS):
        _update(rows, columns, target, known, noise)
        _update(columns, rows, target.T, known.T, noise)
        noise = _noise(rows, columns, target, known)
    fitted = (
        rows.means[new.model, 0]
        + columns.means[new.column, 0]
        + np.einsum("nk,nk->n", rows.means[new.model, 1:], columns.means[new.column, 1:])
    )
    return np.asarray(mean + spread * fitted)


def _start(features: FloatArray, rng: np.random.Generator) -> _Side:
    means = 0.1 * rng.standard_normal((len(features), 1 + _RANK))
    means[:, 0] = 0.0
    covariances = np.tile(0.01 * np.eye(1 + _RANK), (len(features), 1, 1))
    gram = features.T @ features
    ridge = _SIDE_RIDGE * np.eye(len(gram))
    ridge[0, 0] = 1e-9  # the mean of all levels is not shrunk
    regression = np.asarray(np.linalg.solve(gram + ridge, features.T), dtype=float)
    return _Side(means, covariances, features, regression, np.full(1 + _RANK, 0.3))


def row_features(train: Records, new: Records) -> FloatArray:
    """Intercept, family and sizes of each model, shape (n_models, n_features)."""
    n_models = train.count("model")
    family = np.zeros((n_models, train.count("family")))
    numeric = np.zeros((n_models, train.numeric.shape[1]))
    for records in (new, train):
        family[records.model] = 0.0
        family[records.model, records.family] = 1.0
        numeric[records.model] = records.numeric
    if train.labels["numeric"][-1:] == ["log(1 + shots)"]:
        numeric = numeric[:, :-1]
    return np.column_stack([np.ones(n_models), family, numeric])


def column_features(train: Records, new: Records) -> FloatArray:
    """Intercept, task, group and shots of each column, shape (n_columns, n_features)."""
    n_columns = train.count("column")
    task = np.zeros((n_columns, train.count("task")))
    group = np.zeros((n_columns, train.count("group")))
    shots = np.zeros((n_columns, 1))
    for records in (new, train):
        task[records.column, records.task] = 1.0
        group[records.column, records.group] = 1.0
        if records.labels["numeric"][-1:] == ["log(1 + shots)"]:
            shots[records.column, 0] = records.numeric[:, -1]
    return np.column_stack([np.ones(n_columns), task, group, shots])


def _update(side: _Side, other: _Side, target: FloatArray, known: FloatArray, noise: float) -> None:
    """Posterior of one side given the other, then its prior; target has the side's levels first.

    The design of a level's effect and factors is (1, factors of the other side).
    """
    design = other.means.copy()
    design[:, 0] = 1.0
    second = np.einsum("ni,nj->nij", design, design)
    second[:, 1:, 1:] += other.covariances[:, 1:, 1:]
    n, width = second.shape[0], design.shape[1]
    precision = (known @ second.reshape(n, -1)).reshape(-1, width, width) / noise
    precision[:, range(width), range(width)] += 1 / side.prior_variance
    rest = known * (target - other.means[:, 0])
    pull = rest @ design
    pull[:, 1:] -= known @ other.covariances[:, 0, 1:]
    prior = side.prior_means
    side.covariances = np.linalg.inv(precision)
    pulled = pull / noise + prior / side.prior_variance
    side.means = np.einsum("lij,lj->li", side.covariances, pulled)
    away = (side.means - side.prior_means) ** 2
    spread = away + side.covariances[:, range(width), range(width)]
    side.prior_variance = np.maximum(spread.mean(axis=0), 1e-6)


def _noise(rows: _Side, columns: _Side, target: FloatArray, known: FloatArray) -> float:
    """Mean squared residual, what is not known of effects and factors included."""
    fitted = rows.means[:, [0]] + columns.means[:, 0] + rows.means[:, 1:] @ columns.means[:, 1:].T
    squares = float(np.sum(known * (target - fitted) ** 2))
    row_design, column_design = rows.means.copy(), columns.means.copy()
    row_design[:, 0] = column_design[:, 0] = 1.0
    outer = np.einsum("ni,nj->nij", column_design, column_design).reshape(len(column_design), -1)
    unknown = rows.covariances.reshape(len(row_design), -1) @ outer.T
    outer = np.einsum("ni,nj->nij", row_design, row_design).reshape(len(row_design), -1)
    unknown += outer @ columns.covariances.reshape(len(column_design), -1).T
    unknown += np.einsum("nij,mij->nm", rows.covariances[:, 1:, 1:], columns.covariances[:, 1:, 1:])
    return max((squares + float(np.sum(known * unknown))) / float(known.sum()), 1e-5)
