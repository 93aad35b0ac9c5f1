"""The collaborative-filtering predictors here against scikit-surprise, which the paper uses.

Same records, same held-out tenth. Baseline and neighbours are checked equal to 1e-9 before they are
timed; factors (variational, with side features) and Surprise's SVD are two methods for one end, so
their R2 on the held-out tenth is printed beside the times. Rounds are interleaved and the ratio is
that of medians. Floor of neighbours: the products of the table of deviations with itself, three
times 2 u^2 c operations for u rows and c columns, at 5e9 a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from surprise import SVD, AlgoBase, BaselineOnly, Dataset, KNNBaseline, Reader

from statlas.scaling.bigbench_predict import PREDICTORS, Records, r_squared

FloatArray = NDArray[np.float64]
ROUNDS, OPERATIONS_A_SECOND = 5, 5e9
SIMILAR = {"name": "pearson_baseline", "shrinkage": 100}
PEERS: dict[str, tuple[str, Callable[[], AlgoBase]]] = {
    "baseline": ("model + task", lambda: BaselineOnly(verbose=False)),
    "nearest models": (
        "nearest models",
        lambda: KNNBaseline(sim_options={**SIMILAR, "user_based": True}, verbose=False),
    ),
    "nearest tasks": (
        "nearest tasks",
        lambda: KNNBaseline(sim_options={**SIMILAR, "user_based": False}, verbose=False),
    ),
    "factors / SVD": ("factors", lambda: SVD(n_factors=20, n_epochs=30, random_state=0)),
}


def planted(models: int, columns: int, rng: np.random.Generator) -> Records:
    """A table of scores with two capabilities, a tenth of it absent."""
    skill = np.repeat(rng.normal(size=(models // 4, 2)), 4, axis=0)
    skill += 0.3 * np.tile(np.arange(4), models // 4)[:, None]
    need = rng.uniform(size=(columns, 2))
    full = 0.5 + 0.1 * skill @ need.T + 0.1 * rng.normal(size=columns)
    row, column = np.nonzero(rng.random(full.shape) < 0.9)
    score = (full + 0.02 * rng.standard_normal(full.shape))[row, column]
    zero = np.zeros(len(row), dtype=np.int64)
    names = [str(number) for number in range(max(models, columns))]
    labels = {
        "family": names[: models // 4], "model": names[:models], "group": names[:columns],
        "task": names[:columns], "shots": ["0"], "numeric": ["log(parameters)"],
    }  # fmt: skip
    size = (row % 4).astype(float)[:, None] - 1.5
    return Records(row // 4, row, column, column, zero, column, size, score, labels, columns)


def peer(make: Callable[[], AlgoBase], train: Records, new: Records) -> FloatArray:
    """Fit and predict with Surprise."""
    frame = pd.DataFrame({"row": train.model, "column": train.column, "score": train.score})
    known = Dataset.load_from_df(frame, Reader(rating_scale=(-99, 99))).build_full_trainset()
    algorithm = make()
    algorithm.fit(known)
    asked = zip(new.model.tolist(), new.column.tolist(), new.score.tolist(), strict=True)
    return np.array([prediction.est for prediction in algorithm.test(list(asked))])


def seconds(run: Callable[[], FloatArray]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(models: int, columns: int, rng: np.random.Generator) -> None:
    """Check and time every pair on one table."""
    records = planted(models, columns, rng)
    out = rng.random(len(records)) < 0.1
    train, new = records.take(~out), records.take(out)
    for label, (name, make) in PEERS.items():
        own = PREDICTORS[name](train, new, np.random.default_rng(0))  # type: ignore[index]
        other = peer(make, train, new)
        if name != "factors":
            np.testing.assert_allclose(own, other, atol=1e-9)
        both = [
            (
                seconds(lambda: PREDICTORS[name](train, new, np.random.default_rng(0))),  # type: ignore[index]  # noqa: B023
                seconds(lambda: peer(make, train, new)),  # noqa: B023
            )
            for _ in range(ROUNDS)
        ]
        here, there = np.median(both, axis=0)
        wide = {"nearest models": (models, columns), "nearest tasks": (columns, models)}.get(name)
        over = (
            ""
            if wide is None
            else f"{here * OPERATIONS_A_SECOND / (6 * wide[0] ** 2 * wide[1]):6.1f}"
        )
        print(
            f"{models:5d} x {columns:4d}  {label:15s} {1e3 * here:9.1f} {1e3 * there:9.1f} "
            f"{there / here:8.1f} {over:>8s}   {r_squared(new.score, own):.3f} "
            f"{r_squared(new.score, other):.3f}"
        )


if __name__ == "__main__":
    print("table         predictor       ours [ms] peer [ms]    ratio  / floor   R2: ours, peer")
    for shape in ((32, 144), (120, 400), (400, 300)):
        compare(*shape, np.random.default_rng(0))
