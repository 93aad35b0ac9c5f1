"""Small-sample intervals of `no-clt` against statsmodels and evalstats.

One proportion: 100,000 data sets at once; bounds must equal statsmodels' to 1e-9 (Wilson,
Clopper-Pearson and Jeffreys). Floor: one read and two writes of 100,000 numbers, 2.4 MB.

Paired difference: evalstats samples the same posterior (the paper's latent normal model) with
10,000 weighted prior draws; ours integrates it. Accuracy is the error of a bound in widths of the
interval, over tables and, for the sampler, seeds, against our grid at three times the nodes. The
time to equal accuracy multiplies the sampler's by the square of the ratio of errors. Floor of the
grid: about 6 exponentials and logarithms at each of its 32,000 points (30 questions), 2 ms.

Rounds are interleaved; times are medians.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import evalstats
import numpy as np
from statsmodels.stats.proportion import proportion_confint

from statlas.evaluation.no_clt import (
    JEFFREYS,
    beta_interval,
    exact_interval,
    paired,
    paired_comparison,
    wilson_interval,
)

N_SETS, ROUNDS, SEEDS = 100_000, 7, 10
TABLES = ((20, 8, 1, 1), (27, 1, 1, 1), (38, 1, 0, 1), (70, 15, 5, 10), (250, 25, 15, 10))

Call = Callable[[], Any]


def median_seconds(calls: dict[str, Call]) -> dict[str, float]:
    """Median time of each call over interleaved rounds."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) for name, times in taken.items()}


def one_proportion() -> None:
    """Equal bounds, and the time of 100,000 intervals."""
    rng = np.random.default_rng(0)
    right = rng.binomial(100, rng.random(N_SETS))
    # statsmodels' own bounds at 0 and n successes are those of the plain Beta quantiles.
    methods: dict[str, tuple[Call, Call]] = {
        "Wilson": (
            lambda: wilson_interval(right, 100),
            lambda: proportion_confint(right, 100, method="wilson"),
        ),
        "exact": (
            lambda: exact_interval(right, 100),
            lambda: proportion_confint(right, 100, method="beta"),
        ),
        "Jeffreys": (
            lambda: beta_interval(right, 100, prior=JEFFREYS),
            lambda: proportion_confint(right, 100, method="jeffreys"),
        ),
    }
    print("100,000 intervals   ours [ms]  statsmodels [ms]  ratio")
    for name, (ours, peer) in methods.items():
        np.testing.assert_allclose(np.array(ours()), np.array(peer()), atol=1e-9)
        times = median_seconds({"ours": ours, "peer": peer})
        ratio = times["peer"] / times["ours"]
        print(f"{name:<18} {1e3 * times['ours']:9.1f}  {1e3 * times['peer']:15.1f} {ratio:7.2f}")


def answers(table: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Two models' answers with these counts."""
    first, second = np.array([1.0, 1.0, 0.0, 0.0]), np.array([1.0, 0.0, 1.0, 0.0])
    return np.repeat(first, table), np.repeat(second, table)


def bounds(table: tuple[int, int, int, int]) -> np.ndarray:
    """Our interval of the difference."""
    result = paired_comparison(*table)
    return np.array([float(result.difference_low), float(result.difference_high)])


def fine_bounds(table: tuple[int, int, int, int]) -> np.ndarray:
    """The same on a grid with three times the nodes."""
    usual = paired._MEAN_NODES, paired._DIFFERENCE_NODES
    paired._MEAN_NODES, paired._DIFFERENCE_NODES = (3 * nodes for nodes in usual)
    try:
        return bounds(table)
    finally:
        paired._MEAN_NODES, paired._DIFFERENCE_NODES = usual


def sampled_bounds(table: tuple[int, int, int, int], seed: int) -> np.ndarray:
    """Evalstats' interval of the difference."""
    low, high, _ = evalstats.bayes_paired_diff_ci(
        *answers(table), 0.05, num_samples=10_000, rng=np.random.default_rng(seed)
    )
    return np.array([low, high])


def paired_difference() -> None:
    """Error and time of one paired interval."""
    print("\nboth, only a, only b, neither  error: ours  evalstats   ms: ours  evalstats  ratio")
    for table in TABLES:
        exact = fine_bounds(table)
        width = exact[1] - exact[0]
        error = np.abs(bounds(table) - exact).max() / width
        sampled = np.array([sampled_bounds(table, seed) for seed in range(SEEDS)])
        peer_error = float(np.sqrt(np.mean((sampled - exact) ** 2)) / width)
        times = median_seconds(
            {"ours": lambda t=table: bounds(t), "peer": lambda t=table: sampled_bounds(t, 0)}
        )
        ratio = times["peer"] / times["ours"]
        equal = ratio * (peer_error / error) ** 2
        print(
            f"{table!s:<30} {error:12.1e} {peer_error:10.1e} {1e3 * times['ours']:10.1f} "
            f"{1e3 * times['peer']:10.1f} {ratio:6.2f}  (to equal accuracy {equal:.0e})"
        )
        assert error < peer_error, "integration must be nearer than sampling"


if __name__ == "__main__":
    one_proportion()
    paired_difference()
