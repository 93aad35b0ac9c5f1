"""All steps of a self-distilled Gaussian process against refitting scikit-learn's, step by step.

Same input, same output: fixed kernel and noise, predictions at 200 new points after each of 10
steps, checked equal to 1e-8. scikit-learn's GaussianProcessRegressor without optimiser is fitted
on the targets, then on its own predictions, and so on, which is what distillation means.

Measured on two busy cores, one thread: refitting takes 5.6 times as long at 200 rows (18.6 ms
against 3.3), 1.7 at 500 and 2.0 at 1,000 (269 ms against 132).

Floor: one eigendecomposition of the kernel matrix, printed beside; a single Cholesky factor, which
is all that equal noises need (ten pairs of triangular solves follow), would cost less than
that. The decomposition buys steps with noises of their own, and variances, at no further cost.

    python benchmarks/bench_gp_distillation.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from statlas.statistics.gp_distillation import DistilledGPRegressor

ROUNDS, STEPS = 5, 10


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """Wall time of one call, and what it returned."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def ours(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Means after each step."""
    model = DistilledGPRegressor(RBF(1.0), steps=STEPS, noise=0.2, optimize=False)
    return model.fit(x, y).staged(new)[0]


def refitted(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The same by fitting again and again."""
    target, means = y, []
    for _ in range(STEPS):
        process = GaussianProcessRegressor(RBF(1.0), alpha=0.2, optimizer=None).fit(x, target)
        means.append(process.predict(new))
        target = process.predict(x)
    return np.array(means)


def compare(n_rows: int, rng: np.random.Generator) -> None:
    """Interleaved rounds; outputs equal; medians."""
    x, new = rng.normal(size=(n_rows, 4)), rng.normal(size=(200, 4))
    y = rng.normal(size=n_rows)
    y = (y - y.mean()) / y.std()
    kernel = RBF(1.0)(x)
    times: list[list[float]] = []
    for _ in range(ROUNDS):
        spent, mine = seconds(lambda: ours(x, y, new))
        peer_spent, theirs = seconds(lambda: refitted(x, y, new))
        np.testing.assert_allclose(mine, theirs, atol=1e-8)
        times.append([spent, peer_spent, seconds(lambda: np.linalg.eigh(kernel))[0]])
    mine_ms, peer_ms, floor_ms = 1e3 * np.median(times, axis=0)
    print(
        f"{n_rows:>6,} rows | ours {mine_ms:8.1f} ms | refitted {peer_ms:8.1f} ms | "
        f"ratio {peer_ms / mine_ms:5.1f} | eigendecomposition {floor_ms:8.1f} ms"
    )


if __name__ == "__main__":
    generator = np.random.default_rng(0)
    for size in (200, 500, 1_000):
        compare(size, generator)
