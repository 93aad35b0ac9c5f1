"""The paper's claims, measured on the recorded scores of classifiers."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from statlas.core import Above, Category, Number, Roles, Twin, Within, claim
from statlas.core.examples import example_path
from statlas.core.tables import build_table
from statlas.scaling.bigbench_predict.evaluation import hold_out, predict_cells, r_squared
from statlas.scaling.bigbench_predict.predictors import PREDICTORS, PredictorName
from statlas.scaling.bigbench_predict.records import IntArray, Records, read_records
from statlas.scaling.bigbench_predict.smallbench import (
    Grid,
    central_tasks,
    greedy,
    loadings,
    make_grid,
    random_subsets,
    recover,
    recover_many,
    rehearse,
)
from statlas.scaling.bigbench_predict.splits import (
    FAMILY_GROUP,
    FAMILY_TASK,
    RANDOM,
    Protocol,
    groups_of,
    make_folds,
)

_ON_RECORDS = "on 4,146 recorded scores of classifiers"


@functools.cache
def _recorded() -> Records:
    roles = Roles(
        family=Category(), parameters=Number(), shots=Number(), group=Category(), task=Category(),
        score=Number(gaps=True),
    )  # fmt: skip
    path = example_path("score_records.csv")
    return read_records(build_table(path, roles, {"parameters": "size"}))[0]


@functools.cache
def _recorded_grid() -> Grid:
    return make_grid(_recorded(), 8, np.random.default_rng(0))


def _r2_of_one_fold(protocol: Protocol, name: PredictorName, rng: np.random.Generator) -> float:
    """R2 on a tenth of the groups when the other nine are known."""
    records = _recorded()
    out = make_folds(groups_of(records, protocol), 10, rng) == 0
    predicted = PREDICTORS[name](records.take(~out), records.take(out), rng)
    return r_squared(records.score[out], predicted)


# --- prediction ----------------------------------------------------------------------------------


@claim(
    "bigbench-predict",
    says="a network predicts scores left out at random with R2 near 0.95",
    where="Abstract and Section 4: random split (L1)",
    expect=Above(0.9),
    unit=f"R2 on a tenth of the records left out at random, {_ON_RECORDS}",
    subject="network",
    twin=Twin("the mean of the task, whoever is asked", "task mean"),
    quick=8,
    full=60,
)
def random_split(rng: np.random.Generator, name: PredictorName) -> float:
    """R2 of one random split."""
    return _r2_of_one_fold(RANDOM, name, rng)


@claim(
    "bigbench-predict",
    says="R2 under a random split is far above that where a family never met the task's group",
    where="Section 4: the splits L1 and L4",
    expect=Above(0.03),
    unit=f"R2 under L1 less that under the harder split, {_ON_RECORDS}",
    subject=FAMILY_GROUP,
    twin=Twin("another random split in place of the harder one", RANDOM),
    quick=16,
    full=400,
)
def harder_split(rng: np.random.Generator, protocol: Protocol) -> float:
    """Difference of R2 on one fold each, scores predicted by factors."""
    return _r2_of_one_fold(RANDOM, "factors", rng) - _r2_of_one_fold(protocol, "factors", rng)


@claim(
    "bigbench-predict",
    says="intervals from held-out residuals of the same protocol cover as often as they promise",
    where="not in the paper, which gives no intervals",
    expect=Within(0.86, 0.96),
    unit=f"share of scores of family-task pairs never run inside 90 % intervals, {_ON_RECORDS}",
    subject=FAMILY_TASK,
    twin=Twin("residuals of a random split", RANDOM),
    quick=8,
    full=150,
)
def interval_coverage(rng: np.random.Generator, protocol: Protocol) -> float:
    """Coverage on a tenth of the family-task pairs, taken out of the records."""
    records = _recorded()
    out = make_folds(groups_of(records, FAMILY_TASK), 10, rng) == 0
    known, cells = records.take(~out), records.take(out)
    held_out = hold_out(known, [protocol], ("factors",), 3, rng)
    rows = predict_cells(known, cells, held_out, 0.9, None, rng)
    inside = [
        row["low"] <= score <= row["high"] for row, score in zip(rows, cells.score, strict=True)
    ]
    return float(np.mean(inside))


# --- tasks to keep -------------------------------------------------------------------------------


def _some_tasks(rng: np.random.Generator) -> tuple[Grid, int]:
    """The grid on three quarters of the tasks, and a family to recover."""
    grid = _recorded_grid()
    tasks = np.sort(rng.permutation(grid.n_tasks)[: 3 * grid.n_tasks // 4])
    return Grid(grid.scores[:, tasks], grid.features, grid.family), int(rng.choice(grid.families))


def _gain(grid: Grid, family: int, chosen: list[int], rng: np.random.Generator) -> float:
    """R2 of the chosen tasks on the family less the mean of 30 random sets of the same size."""
    test = rehearse(grid)[list(grid.families).index(family)]
    subsets = random_subsets(grid.n_tasks, len(chosen), 30, rng)
    chance = recover_many(test.fit, test.scores, subsets)[:, 0]
    return recover(test.fit, test.scores, chosen)[0] - float(chance.mean())


def _greedy(grid: Grid, family: int, rng: np.random.Generator) -> list[int]:
    return greedy(rehearse(grid, family), 6)


def _at_random(grid: Grid, family: int, rng: np.random.Generator) -> list[int]:
    return [int(task) for task in random_subsets(grid.n_tasks, 6, 1, rng)[0]]


@claim(
    "bigbench-predict",
    says="a searched set of tasks recovers the others of a new family better than random sets",
    where="Section 5: search for small-bench",
    expect=Above(0.0),
    unit="R2 less that of random sets of the same size (6 of 27 tasks), a family that took no part",
    subject=_greedy,
    twin=Twin("tasks drawn at random", _at_random),
    quick=40,
    full=1_000,
)
def chosen_tasks(rng: np.random.Generator, choose: Any) -> float:
    """Gain on one family with a quarter of the tasks left out."""
    grid, family = _some_tasks(rng)
    return _gain(grid, family, choose(grid, family, rng), rng)


def _others(grid: Grid, family: int) -> Grid:
    rest = grid.family != family
    return Grid(grid.scores[rest], grid.features[rest], grid.family[rest])


def _central(grid: Grid, family: int, rng: np.random.Generator) -> list[int]:
    embedding = loadings(_others(grid, family))
    return central_tasks(embedding, np.arange(grid.n_tasks), 6, rng)


def _alike(grid: Grid, family: int, rng: np.random.Generator) -> list[int]:
    """A task and the five that are nearest to it."""
    embedding = loadings(_others(grid, family))
    first = int(rng.integers(grid.n_tasks))
    away: IntArray = np.argsort(((embedding - embedding[first]) ** 2).sum(axis=1))
    return [int(task) for task in away[:6]]


@claim(
    "bigbench-predict",
    says="tasks nearest to the centres of clusters of their embeddings beat random sets",
    where="Section 5: clusters of task representations, task diversity",
    expect=Above(0.0),
    unit="R2 less that of random sets of the same size (6 of 27 tasks), a family that took no part",
    subject=_central,
    twin=Twin("six tasks that are alike", _alike),
    quick=40,
    full=1_000,
)
def diverse_tasks(rng: np.random.Generator, choose: Any) -> float:
    """Gain on one family with a quarter of the tasks left out."""
    grid, family = _some_tasks(rng)
    return _gain(grid, family, choose(grid, family, rng), rng)
