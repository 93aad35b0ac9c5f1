"""Points of the review, measured on the penguins.

Each replicate splits the 333 penguins anew, at random or by population. Covariates are bill
length, bill depth, flipper length, sex and year unless said; the response is body mass.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from statlas.core import Above, Below, Twin, Within, claim
from statlas.core.examples import example_path
from statlas.statistics.ecology_review.tools import TOOLS, FloatArray, IntArray
from statlas.statistics.ecology_review.validation import (
    block_folds,
    fit_tool,
    losses_of,
    out_of_fold,
    random_folds,
)

_TOOL = {tool.key: tool for tool in TOOLS}
_MEASURES = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm"]


@cache
def _penguins() -> pd.DataFrame:
    return pd.read_csv(example_path("penguins.csv"))


def _covariates(frame: pd.DataFrame) -> FloatArray:
    male = (frame["sex"] == "male").to_numpy(float)
    return np.column_stack([frame[[*_MEASURES, "year"]].to_numpy(float), male])


def _mass(frame: pd.DataFrame) -> FloatArray:
    return frame["body_mass_g"].to_numpy(float)


def _halves(n: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    order = rng.permutation(n)
    return order[: n // 2], order[n // 2 :]


def _test_loss(
    key: str, X: FloatArray, y: FloatArray, train: IntArray, test: IntArray, tuning: Any = "none"
) -> float:
    fit = fit_tool(_TOOL[key], X[train], y[train], False, tuning=tuning)
    return float(losses_of(fit.predict(X[test]), y[test], False).mean())


def _trees(X: FloatArray, y: FloatArray, new: FloatArray, seed: int, vary: bool) -> FloatArray:
    """Mean prediction of fifty full-grown trees, on bootstrap samples or all on the same rows."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        50, bootstrap=vary, max_features=1 / 3 if vary else 1.0, random_state=seed
    )
    return np.asarray(forest.fit(X, y).predict(new))


@claim(
    "ecology-review",
    says="averaging full-grown trees that differ removes most of the price of a single one: its "
    "squared error on new rows falls by a quarter at least",
    where="ensembles of trees and the bias-variance trade-off; penguins, random halves",
    expect=Below(0.75),
    unit="mean squared error of fifty trees over that of one full-grown tree",
    subject=True,
    twin=Twin("fifty trees on the same rows and covariates", False),
    quick=8,
    full=60,
)
def averaging_trees(rng: np.random.Generator, vary: Any) -> float:
    """Error of the average over the error of a tree."""
    from sklearn.tree import DecisionTreeRegressor

    X, y = _covariates(_penguins()), _mass(_penguins())
    train, test = _halves(len(y), rng)
    seed = int(rng.integers(2**31))
    tree = DecisionTreeRegressor(random_state=seed).fit(X[train], y[train])
    one = np.mean((tree.predict(X[test]) - y[test]) ** 2)
    many = np.mean((_trees(X[train], y[train], X[test], seed, vary) - y[test]) ** 2)
    return float(many / one)


def _mass_of_penguins(frame: pd.DataFrame, rng: np.random.Generator) -> FloatArray:
    return _mass(frame)


def _mass_by_interaction(frame: pd.DataFrame, rng: np.random.Generator) -> FloatArray:
    """A response of the same covariates in which bill length matters one way or the other."""
    bill, flipper = (frame[name].rank(pct=True).to_numpy() for name in (_MEASURES[0], _MEASURES[2]))
    return np.asarray(4_000 + 1_500 * np.sign((bill - 0.5) * (flipper - 0.5)) + _noise(frame, rng))


def _noise(frame: pd.DataFrame, rng: np.random.Generator) -> FloatArray:
    return 300 * rng.standard_normal(len(frame))


@claim(
    "ecology-review",
    says="no tool is best everywhere: on few rows with nearly additive effects a GLM has no larger "
    "error than a random forest",
    where="no free lunch; when statistics suffices; body mass of penguins, random halves",
    expect=Below(1.0),
    unit="mean squared error of the GLM over that of a random forest",
    subject=_mass_of_penguins,
    twin=Twin("a response made of an interaction of two of the covariates", _mass_by_interaction),
    quick=8,
    full=60,
)
def no_free_lunch(rng: np.random.Generator, response: Any) -> float:
    """Error of the GLM over that of a forest on the same rows, with species among covariates."""
    frame = _penguins()
    species = pd.get_dummies(frame["species"]).to_numpy(float)
    X, y = np.column_stack([_covariates(frame), species]), response(frame, rng)
    train, test = _halves(len(y), rng)
    return _test_loss("glm", X, y, train, test) / _test_loss("forest", X, y, train, test)


def _in_blocks(y: FloatArray, blocks: IntArray, rng: np.random.Generator) -> Any:
    return block_folds(blocks, len(np.unique(blocks)))


def _at_random(y: FloatArray, blocks: IntArray, rng: np.random.Generator) -> Any:
    return random_folds(y, False, 5, rng)


@claim(
    "ecology-review",
    says="cross-validation that keeps populations whole does not promise less error than is made "
    "on a population never seen",
    where="validation with dependent data; penguins, nearest neighbours, a population left out",
    expect=Above(0.8),
    unit="cross-validated over actual root mean squared error on the population left out",
    subject=_in_blocks,
    twin=Twin("cross-validation with rows at random", _at_random),
    quick=10,
    full=60,
)
def blocks_tell_the_truth(rng: np.random.Generator, folds: Any) -> float:
    """Estimated over actual error, squared errors pooled over the five populations in turn."""
    frame = _penguins().sample(frac=0.7, random_state=int(rng.integers(2**31)))
    X, y = _covariates(frame), _mass(frame)
    blocks = pd.factorize(frame["population"])[0]
    promised, made = 0.0, 0.0
    for left_out in np.unique(blocks):
        own, new = np.flatnonzero(blocks != left_out), np.flatnonzero(blocks == left_out)
        splits = folds(y[own], blocks[own], rng)
        run = out_of_fold(_TOOL["neighbours"], X[own], y[own], splits, False, tuning="none")
        promised += float(run.losses.mean())
        made += _test_loss("neighbours", X, y, own, new)
    return float(np.sqrt(promised / made))


@claim(
    "ecology-review",
    says="with as many covariates as there are rows for them, a penalised GLM has less than half "
    "the squared error of the plain one",
    where="penalised regression; thirty penguins, twenty covariates of noise added",
    expect=Below(0.5),
    unit="mean squared error of the penalised over that of the plain GLM",
    subject="penalised",
    twin=Twin("no penalty", "glm"),
    quick=10,
    full=200,
)
def shrinkage(rng: np.random.Generator, key: Any) -> float:
    """Error of a tool over that of the plain GLM, on the penguins not among the thirty."""
    X, y = _covariates(_penguins()), _mass(_penguins())
    X = np.column_stack([X, rng.normal(size=(len(y), 20))])
    order = rng.permutation(len(y))
    train, test = order[:30], order[30:]
    plain = _test_loss("glm", X, y, train, test)
    return _test_loss(key, X, y, train, test, "all") / plain


def _chosen_inside(X: FloatArray, y: NDArray[Any], train: IntArray) -> IntArray:
    return train


def _chosen_outside(X: FloatArray, y: NDArray[Any], train: IntArray) -> IntArray:
    return np.arange(len(y))


@claim(
    "ecology-review",
    says="covariates chosen within each training part leave cross-validation honest: where there "
    "is nothing to find it says so",
    where="data leakage and nested cross-validation; sexes shuffled, 300 covariates of noise",
    expect=Within(0.45, 0.55),
    unit="cross-validated share of right sexes where nothing can be known",
    subject=_chosen_inside,
    twin=Twin("covariates chosen on all rows before cross-validation", _chosen_outside),
    quick=20,
    full=200,
)
def choice_within_folds(rng: np.random.Generator, rows_to_choose_on: Any) -> float:
    """Share right of a nearest-neighbour vote on the ten covariates that correlate most."""
    frame = _penguins()
    y = rng.permutation((frame["sex"] == "male").to_numpy(np.int64))[:100]
    X = rng.normal(size=(100, 300))
    right = np.empty(100)
    for train, test in random_folds(y, True, 5, rng):
        rows = rows_to_choose_on(X, y, train)
        centred = y[rows] - y[rows].mean()
        best = np.argsort(-np.abs(centred @ (X[rows] - X[rows].mean(axis=0))))[:10]
        fit = fit_tool(_TOOL["neighbours"], X[np.ix_(train, best)], y[train], True, tuning="none")
        right[test] = fit.predict(X[np.ix_(test, best)]) == y[test]
    return float(right.mean())


def _with_species(frame: pd.DataFrame) -> FloatArray:
    species = pd.get_dummies(frame["species"]).to_numpy(float)
    return np.column_stack([frame["bill_depth_mm"].to_numpy(float), species])


def _alone(frame: pd.DataFrame) -> FloatArray:
    return np.column_stack([frame["bill_depth_mm"].to_numpy(float), np.ones(len(frame))])


@claim(
    "ecology-review",
    says="what predicts is not what causes: deeper bills go with heavier penguins of a species, "
    "though with lighter ones over all",
    where="causal and predictive questions; penguins, bootstrap",
    expect=Above(0.0),
    unit="slope of body mass on bill depth, g a mm",
    subject=_with_species,
    twin=Twin("without the species", _alone),
    quick=20,
    full=200,
)
def adjusted_slope(rng: np.random.Generator, design: Any) -> float:
    """Slope on bill depth in a bootstrap sample."""
    frame = _penguins()
    drawn = frame.iloc[rng.integers(len(frame), size=len(frame))]
    return float(np.linalg.lstsq(design(drawn), _mass(drawn), rcond=None)[0][0])
