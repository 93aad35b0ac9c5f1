"""Predictions of each row by a model that has not seen it, from one fit of all rows.

Every fit treats its rows alike: swapping two rows swaps their two predictions and changes nothing
else (for the forest: in distribution, its resampling is blind to the rows). This symmetry is what
the guarantee of OptCS-Full asks for.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from statlas.core.rng import sklearn_seed

FloatArray = NDArray[np.float64]
ModelName = Literal["ridge", "kernel", "forest"]

TREES, LEAF = 200, 5


def standardised(features: ArrayLike) -> FloatArray:
    """Columns with mean 0 and standard deviation 1 (constant ones: 0), shape (..., n, p)."""
    x = np.asarray(features, dtype=float)
    spread = x.std(axis=-2, keepdims=True)
    return np.asarray((x - x.mean(axis=-2, keepdims=True)) / np.where(spread > 0, spread, 1.0))


def leave_one_out(smoother: FloatArray, outcome: FloatArray) -> FloatArray:
    """Leave-one-out predictions y_i - (y_i - s_i'y) / (1 - s_ii) of a penalised least squares fit.

    Parameters
    ----------
    smoother
        Matrix S that turns outcomes into fitted values, shape (..., n, n).
    outcome
        Shape (..., n).

    Examples
    --------
    >>> leave_one_out(np.full((3, 3), 1 / 3), np.array([0.0, 1.0, 2.0]))
    array([1.5, 1. , 0.5])
    """
    fitted = np.einsum("...ij,...j->...i", smoother, outcome)
    own = np.diagonal(smoother, axis1=-2, axis2=-1)
    return np.asarray(outcome - (outcome - fitted) / (1 - own))


def ridge_smoother(features: ArrayLike, penalty: float = 1.0) -> FloatArray:
    """Smoother of ridge regression with a free intercept, shape (..., n, n)."""
    x = np.asarray(features, dtype=float)
    x = x - x.mean(axis=-2, keepdims=True)
    gram = np.swapaxes(x, -1, -2) @ x + penalty * np.eye(x.shape[-1])
    return np.asarray(1 / x.shape[-2] + x @ np.linalg.solve(gram, np.swapaxes(x, -1, -2)))


def kernel_smoother(features: ArrayLike, penalty: float = 1.0) -> FloatArray:
    """Smoother of Gaussian-kernel ridge regression with an almost free constant, shape (n, n).

    The kernel is 100 + exp(-|x - x'|^2 / p) for p features, as scikit-learn's default scale.
    """
    from scipy.linalg import cho_factor, cho_solve

    x = np.asarray(features, dtype=float)
    square = (x**2).sum(axis=1)
    distance = np.maximum(square[:, None] + square - 2 * x @ x.T, 0)
    kernel = 100 + np.exp(-distance / x.shape[1])
    ridge = kernel + penalty * np.eye(len(x))
    return np.asarray(cho_solve(cho_factor(ridge), kernel).T)


def forest_out_of_bag(
    features: ArrayLike, outcome: ArrayLike, rng: np.random.Generator
) -> FloatArray:
    """Mean prediction of the trees that have not drawn the row, shape (n,)."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        TREES, min_samples_leaf=LEAF, max_features=1 / 3, oob_score=True,
        random_state=sklearn_seed(rng),
    )  # fmt: skip
    # Rows in random order, so that no row's place in the table has a part in the resampling.
    order = rng.permutation(len(np.asarray(outcome)))
    forest.fit(np.asarray(features)[order], np.asarray(outcome)[order])
    predictions = np.empty(len(order))
    predictions[order] = forest.oob_prediction_
    return predictions


def unseen_predictions(
    model: ModelName, features: ArrayLike, outcome: ArrayLike, rng: np.random.Generator
) -> FloatArray:
    """Predict every row by a model fitted without it.

    Parameters
    ----------
    model
        ``"ridge"`` or ``"kernel"`` (exact leave-one-out), or ``"forest"`` (out of bag).
    features
        Shape (n, n_features).
    outcome
        1 for good rows, 0 for duds and candidates, shape (n,).
    rng
        Generator of the forest's draws.
    """
    x, y = standardised(features), np.asarray(outcome, dtype=float)
    if model == "forest":
        return forest_out_of_bag(x, y, rng)
    smoother = ridge_smoother(x) if model == "ridge" else kernel_smoother(x)
    return leave_one_out(smoother, y)


def split_predictions(
    model: ModelName,
    features: ArrayLike,
    outcome: ArrayLike,
    fitting: NDArray[np.bool_],
    rng: np.random.Generator,
) -> FloatArray:
    """Predictions of all rows by a model fitted on some of them, shape (n,)."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.linear_model import Ridge

    x, y = np.asarray(features, dtype=float), np.asarray(outcome, dtype=float)
    centre, spread = x[fitting].mean(axis=0), x[fitting].std(axis=0)
    x = (x - centre) / np.where(spread > 0, spread, 1.0)
    makers = {
        "ridge": lambda: Ridge(alpha=1.0),
        "kernel": lambda: KernelRidge(alpha=1.0, kernel="rbf", gamma=1 / x.shape[1]),
        "forest": lambda: RandomForestRegressor(
            TREES, min_samples_leaf=LEAF, max_features=1 / 3, random_state=sklearn_seed(rng)
        ),
    }
    return np.asarray(makers[model]().fit(x[fitting], y[fitting]).predict(x))
