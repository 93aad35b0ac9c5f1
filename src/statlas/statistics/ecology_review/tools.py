"""The tools of the guide: what each is for, what it gains and loses, and how it is fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, KFold, ParameterGrid, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Tuning = Literal["none", "light", "all"]

_INNER = 3  # folds within a training part, for tuning


@dataclass(frozen=True)
class Tool:
    """One supervised tool of the guide.

    Attributes
    ----------
    key, name
        Short name, and the one that is shown.
    family
        A topic of the guide.
    suits, gains, watch_for
        What an ecologist would take it for, what it gains over a GLM, and its trap.
    build
        Makes a regressor (False) or classifier (True) with a seed.
    grid
        Settings to tune, by the name within the model, for a table of n rows.
    light
        Whether it is quick enough to be tuned by default.
    papers
        Catalogue ids to go on with.
    """

    key: str
    name: str
    family: str
    suits: str
    gains: str
    watch_for: str
    build: Callable[[bool, int], Any]
    grid: Callable[[bool, int], dict[str, list[Any]]] = field(default=lambda _, n: {})
    light: bool = True
    papers: tuple[str, ...] = ()


def _baseline(labels: bool, seed: int) -> Any:
    return DummyClassifier() if labels else DummyRegressor()


def _glm(labels: bool, seed: int) -> Any:
    if labels:
        return LogisticRegression(C=np.inf, max_iter=200)
    return LinearRegression()


def _penalised(labels: bool, seed: int) -> Any:
    return LogisticRegression(max_iter=200) if labels else Ridge()


def _penalties(labels: bool, n: int) -> dict[str, list[Any]]:
    if labels:
        return {"C": [0.01, 0.1, 1.0, 10.0]}
    return {"alpha": [0.3, 3.0, 30.0, 300.0]}


def _neighbours(labels: bool, seed: int) -> Any:
    return KNeighborsClassifier() if labels else KNeighborsRegressor()


def _neighbour_grid(labels: bool, n: int) -> dict[str, list[Any]]:
    return {"n_neighbors": [k for k in (3, 7, 15, 31) if k <= n // 3] or [1]}


def _machine(labels: bool, seed: int) -> Any:
    machine = SVC() if labels else SVR()
    machine.random_state = seed  # SVR has no such argument, and would draw from the global one
    return machine


def _machine_grid(labels: bool, n: int) -> dict[str, list[Any]]:
    return {"C": [0.1, 1.0, 10.0]}


def _tree(labels: bool, seed: int) -> Any:
    kind = DecisionTreeClassifier if labels else DecisionTreeRegressor
    return kind(min_samples_leaf=3, random_state=seed)


def _forest(labels: bool, seed: int) -> Any:
    if labels:
        return RandomForestClassifier(50, random_state=seed)
    return RandomForestRegressor(50, max_features=1 / 3, random_state=seed)


def _boosting(labels: bool, seed: int) -> Any:
    kind = HistGradientBoostingClassifier if labels else HistGradientBoostingRegressor
    return kind(max_iter=50, learning_rate=0.1, max_leaf_nodes=8, random_state=seed)


def _network(labels: bool, seed: int) -> Any:
    kind = MLPClassifier if labels else MLPRegressor
    return kind(
        hidden_layer_sizes=(16,), solver="lbfgs", alpha=1.0, max_iter=100, random_state=seed
    )


def _network_grid(labels: bool, n: int) -> dict[str, list[Any]]:
    return {"alpha": [0.1, 1.0, 10.0]}


TOOLS: tuple[Tool, ...] = (
    Tool(
        "baseline", "no covariates", "statistical",
        "the yardstick: the mean, or the most frequent class",
        "nothing", "a tool that does not beat it has learnt nothing that carries over",
        _baseline,
    ),
    Tool(
        "glm", "GLM", "statistical",
        "effects with standard errors and tests; few covariates; the model is thought through",
        "it is the reference", "it has only the curves and interactions it is given",
        _glm, papers=("composite-small-area", "collider-regression"),
    ),
    Tool(
        "penalised", "penalised GLM (ridge)", "statistical",
        "many or correlated covariates against few rows",
        "lower variance for some bias", "coefficients are shrunk: no plain confidence intervals",
        _penalised, _penalties, papers=("sketched-ensembles", "sketched-ridgeless"),
    ),
    Tool(
        "neighbours", "k nearest neighbours", "distance",
        "few covariates on one scale, plenty of rows",
        "any shape of response", "distances lose their meaning with many covariates",
        _neighbours, _neighbour_grid, papers=("kde-modes",),
    ),
    Tool(
        "svm", "support vector machine", "distance",
        "small to middling tables, smooth nonlinear responses",
        "nonlinear and still regular", "it must be tuned, and slows with the square of the rows",
        _machine, _machine_grid,
    ),
    Tool(
        "tree", "regression or classification tree", "trees",
        "a rule that can be drawn and explained",
        "thresholds and interactions, read off", "a few rows can change the whole tree",
        _tree, lambda labels, n: {"max_leaf_nodes": [4, 8, 16, 32]},
    ),
    Tool(
        "forest", "random forest", "trees",
        "a first try on any table: hardly any tuning",
        "interactions and thresholds, with little variance",
        "it predicts no value beyond those it has seen: it cannot extrapolate",
        _forest, lambda labels, n: {"min_samples_leaf": [1, 3, 8]}, light=False,
        papers=("ice-plots", "shapley-residual", "optcs"),
    ),
    Tool(
        "boosting", "boosted trees", "trees",
        "large tables and the smallest error",
        "often the best on tables", "it overfits small tables unless tuned; it cannot extrapolate",
        _boosting, lambda labels, n: {"learning_rate": [0.03, 0.1], "max_leaf_nodes": [4, 8]},
        light=False, papers=("ice-plots", "conformal-selective"),
    ),
    Tool(
        "network", "neural network", "networks",
        "large data; images, sounds, sequences with deep nets",
        "it learns its own features", "on small tables it seldom pays; results vary with the start",
        _network, _network_grid, light=False, papers=("deep-sets", "evidential", "unified-ood"),
    ),
)  # fmt: skip
"""Supervised tools in the guide's order."""


def fitted(
    tool: Tool, X: FloatArray, y: NDArray[Any], groups: IntArray | None, labels: bool,
    tuning: Tuning, seed: int,
) -> tuple[Any, str]:  # fmt: skip
    """Fit a tool, tuned by cross-validation within the rows given.

    Parameters
    ----------
    X
        Covariates, standardised on the rows given.
    y
        Response, brought to mean 0 and variance 1 for regression, or class numbers.
    groups
        Block of each row, which the folds of the tuning keep whole too, or None.

    Returns
    -------
    model, settings
        The fitted model and the settings chosen, in words.
    """
    grid = tool.grid(labels, len(y))
    if not grid or tuning == "none" or (tuning == "light" and not tool.light):
        return tool.build(labels, seed).fit(X, y), "defaults" if grid else ""
    splits = _inner_folds(y, groups, labels, seed)
    losses = [
        sum(_loss(tool.build(labels, seed).set_params(**setting), X, y, labels, *split)
            for split in splits)
        for setting in ParameterGrid(grid)
    ]  # fmt: skip
    best = ParameterGrid(grid)[int(np.argmin(losses))]
    chosen = ", ".join(f"{name} {value:g}" for name, value in sorted(best.items()))
    return tool.build(labels, seed).set_params(**best).fit(X, y), chosen


def _loss(
    model: Any, X: FloatArray, y: NDArray[Any], labels: bool, train: IntArray, test: IntArray
) -> float:
    guess = model.fit(X[train], y[train]).predict(X[test])
    return float(((guess != y[test]) if labels else (guess - y[test]) ** 2).sum())


def _inner_folds(
    y: NDArray[Any], groups: IntArray | None, labels: bool, seed: int
) -> list[tuple[IntArray, IntArray]]:
    rows = np.zeros((len(y), 1))
    if groups is not None and len(np.unique(groups)) >= 2:
        n_blocks = min(_INNER, len(np.unique(groups)))
        splits = list(GroupKFold(n_blocks).split(rows, y, groups))
        # A block may hold all rows of a class; then blocks are no way to tune.
        if not labels or all(len(np.unique(y[train])) > 1 for train, _ in splits):
            return splits
    if labels and np.bincount(y).min() >= _INNER:
        return list(StratifiedKFold(_INNER, shuffle=True, random_state=seed).split(rows, y))
    return list(KFold(_INNER, shuffle=True, random_state=seed).split(rows))
