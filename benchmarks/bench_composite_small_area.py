"""Fay-Herriot by restricted maximum likelihood against samplics 0.6.1.

Same input, same output: the milk expenditures of 43 areas that samplics ships, with one level for
each major area, and simulated tables of 50, 200 and 1,000 areas. Variance of the area effects
(1e-5 relative), EBLUP (1e-6) and its mean squared error (1e-4) are checked equal. samplics is run
to tolerance 1e-10 for that, and timed so.

samplics needs polars and statsmodels, so it is no part of the `peers` extra: run this in an
environment of its own with `pip install samplics==0.6.1` beside statlas.

Measured on two busy cores: samplics takes 8 times as long on the milk data (4.5 ms against 0.54),
11 at 50 areas, 129 at 200 and 3,000 at 1,000 (6.8 s against 2.2 ms), as it forms matrices of areas
by areas.

Floor: one evaluation of score and information, printed beside each; some six of them are needed by
any scoring method, and a grid of 26 variances looks for a second maximum on top of that.

    python benchmarks/bench_composite_small_area.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import samplics
from samplics.sae import EblupAreaModel
from samplics.utils.types import FitMethod

from statlas.statistics.composite_small_area import FayHerriot, fit_fay_herriot
from statlas.statistics.composite_small_area.fay_herriot import _score

ROUNDS = 15


def milk() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimates, variances and a column for each major area."""
    from pathlib import Path

    import pandas as pd

    folder = Path(samplics.__file__).parent / "datasets" / "data"
    table = pd.read_csv(folder / "expenditure_on_milk.csv")
    x = pd.get_dummies(table["major_area"]).to_numpy(float)
    return table["direct_est"].to_numpy(), table["std_error"].to_numpy() ** 2, x


def simulated(n_areas: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three coefficients, effects of variance 1, sampling variances from 0.5 to 3."""
    x = np.column_stack([np.ones(n_areas), rng.normal(size=(n_areas, 2))])
    psi = rng.uniform(0.5, 3, n_areas)
    return x @ [1.0, 2.0, -1.0] + rng.normal(size=n_areas) * np.sqrt(1 + psi), psi, x


def theirs(y: np.ndarray, psi: np.ndarray, x: np.ndarray) -> Any:
    """Fit and predict."""
    areas = np.arange(len(y))
    model = EblupAreaModel(method=FitMethod.reml)
    model.fit(yhat=y, X=x, area=areas, error_std=np.sqrt(psi), intercept=False, tol=1e-10)
    model.predict(X=x, area=areas, intercept=False)
    return model


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """Wall time of one call, and what it returned."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def compare(name: str, y: np.ndarray, psi: np.ndarray, x: np.ndarray) -> None:
    """Interleaved fits; outputs equal; medians."""
    ours_times, their_times, floor_times = [], [], []
    rounds = ROUNDS if len(y) < 500 else 3
    for _ in range(rounds):
        spent, ours = seconds(lambda: fit_fay_herriot(y, psi, x))
        ours_times.append(spent)
        spent, peer = seconds(lambda: theirs(y, psi, x))
        their_times.append(spent)
        floor_times.append(seconds(lambda: _score(np.asarray(1.0), y, psi, x))[0])
    check(ours, peer)
    mine, other, floor = map(np.median, (ours_times, their_times, floor_times))
    print(
        f"{name:>16} | ours {1e3 * mine:8.2f} ms | samplics {1e3 * other:9.2f} ms | "
        f"ratio {other / mine:7.1f} | one score {1e3 * floor:6.3f} ms"
    )


def check(ours: FayHerriot, peer: Any) -> None:
    """Variance, estimates and mean squared errors are the same."""
    np.testing.assert_allclose(float(ours.between), float(peer.re_std) ** 2, rtol=1e-5)
    np.testing.assert_allclose(ours.estimate, list(peer.area_est.values()), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(ours.mse, list(peer.area_mse.values()), rtol=1e-4)


if __name__ == "__main__":
    generator = np.random.default_rng(0)
    compare("milk, 43 areas", *milk())
    for size in (50, 200, 1_000):
        compare(f"{size:,} areas", *simulated(size, generator))
