"""Coverage of nominal 95 % intervals at small n, against errorbars and evalstats.

Coverage is exact: every possible outcome of n questions is given to each tool once, and its
probability weighs whether the interval covers the truth; there is no sampling error. For one model
the outcomes are the counts of right answers; for a pair they are the two discordant counts: model
a is right with probability p, model b alone with 0.4 (1 - p), and a is better by 0.1. (At a true
difference of exactly 0 an interval without any width would pass for one that covers.)
Time is per interval on the same scores, interleaved. The floor is reading n numbers once, so all
of it is overhead: of checking the table and of building the result in ours, of sampling in
evalstats' paired interval.
evalstats' interval for one accuracy is Wilson's too, so it ties with ours there; what differs is
the paired one. Discreteness alone keeps every interval some 0.01 away from its level at these n.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import errorbars
import evalstats
import numpy as np
from scipy import stats

from statlas.core.numerics.proportions import paired_difference_interval, wilson_interval
from statlas.evaluation import compare_scores

SIZES, CHANCES = (15, 30, 100), (0.5, 0.9, 0.97)
ROUNDS = 15

Interval = Callable[..., tuple[float, float]]


def ours_one(scores: np.ndarray) -> tuple[float, float]:
    """The interval that `compare_scores` gives one model's 0/1 scores."""
    low, high = wilson_interval(scores.sum(), len(scores))
    return float(low), float(high)


def errorbars_one(scores: np.ndarray) -> tuple[float, float]:
    """Errorbars' default, the normal approximation."""
    estimate = errorbars.mean_ci_clt(scores)
    return estimate.ci_low, estimate.ci_high


def evalstats_one(scores: np.ndarray) -> tuple[float, float]:
    """Evalstats' choice for 0/1 scores."""
    interval = evalstats.mean_ci(scores)
    return interval.ci_low, interval.ci_high


def ours_pair(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """The interval that `compare_scores` gives a paired difference of 0/1 scores."""
    low, high = paired_difference_interval(
        np.sum(first > second), np.sum(second > first), len(first)
    )
    return float(low), float(high)


def errorbars_pair(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Errorbars' normal interval on the differences."""
    return errorbars_one(first - second)


def evalstats_pair(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Evalstats' Bayesian paired interval, with a fixed seed."""
    low, high, _ = evalstats.bayes_paired_diff_ci(
        first, second, 0.05, num_samples=2_000, rng=np.random.default_rng(0)
    )
    return low, high


ONE: dict[str, Interval] = {
    "statlas": ours_one,
    "errorbars": errorbars_one,
    "evalstats": evalstats_one,
}
PAIR: dict[str, Interval] = {
    "statlas": ours_pair,
    "errorbars": errorbars_pair,
    "evalstats": evalstats_pair,
}


def coverage_one(interval: Interval, n: int, chance: float) -> float:
    """Exact coverage of the interval for one accuracy."""
    weights = stats.binom.pmf(np.arange(n + 1), n, chance)
    covered = np.zeros(n + 1)
    for right in range(n + 1):
        low, high = interval(np.repeat([1.0, 0.0], [right, n - right]))
        covered[right] = low <= chance <= high
    return float(weights @ covered)


def coverage_pair(interval: Interval, n: int, chance: float) -> float:
    """Exact coverage of the paired interval for a true difference of 0.1."""
    only_b = 0.4 * (1 - chance)
    only_a = only_b + 0.1
    total = 0.0
    for only_first in range(n + 1):
        for only_second in range(n + 1 - only_first):
            weight = stats.multinomial.pmf(
                [only_first, only_second, n - only_first - only_second],
                n,
                [only_a, only_b, 1 - only_a - only_b],
            )
            if weight < 1e-9:
                continue
            rest = n - only_first - only_second
            first = np.repeat([1.0, 0.0, 1.0], [only_first, only_second, rest])
            second = np.repeat([0.0, 1.0, 1.0], [only_first, only_second, rest])
            low, high = interval(first, second)
            total += weight * (low <= 0.1 <= high)
    return total


def print_coverage(title: str, tools: dict[str, Interval], coverage: Any) -> dict[str, float]:
    """Print coverage over the grid and return each tool's mean distance from 0.95."""
    print(f"\n{title}")
    print("n     p     " + "  ".join(name.rjust(9) for name in tools))
    distances: dict[str, list[float]] = {name: [] for name in tools}
    for n in SIZES:
        for chance in CHANCES:
            row = {name: coverage(interval, n, chance) for name, interval in tools.items()}
            for name, value in row.items():
                distances[name].append(abs(value - 0.95))
            print(f"{n:<5} {chance:<5} " + "  ".join(f"{v:9.3f}" for v in row.values()))
    means = {name: float(np.mean(values)) for name, values in distances.items()}
    print("mean |coverage - 0.95|  " + "  ".join(f"{k} {v:.4f}" for k, v in means.items()))
    return means


def print_times(tools: dict[str, Callable[[], object]]) -> None:
    """Interleaved medians, as ratios to the first tool."""
    taken: dict[str, list[float]] = {name: [] for name in tools}
    for _ in range(ROUNDS):
        for name, call in tools.items():
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)
    medians = {name: float(np.median(values)) for name, values in taken.items()}
    first = next(iter(medians.values()))
    print(
        "ratio of medians to ours: " + ", ".join(f"{k} {v / first:.2g}" for k, v in medians.items())
    )


def main() -> None:
    """Print coverage and time; the bar is that ours is nearest nominal (a tie counts)."""
    one = print_coverage("One model's accuracy", ONE, coverage_one)
    pair = print_coverage("Paired difference of two models", PAIR, coverage_pair)
    scores = np.repeat([1.0, 0.0], [27, 3])
    other = np.repeat([1.0, 0.0, 1.0], [20, 5, 5])
    print("\nTime, one interval (functions)")
    print_times({name: lambda f=tool: f(scores) for name, tool in ONE.items()})
    print("Time, one paired interval (functions)")
    print_times({name: lambda f=tool: f(scores, other) for name, tool in PAIR.items()})
    print("Time, the whole recipe: table, checks, pairs and result")
    print_times({"statlas": lambda: compare_scores({"a": scores, "b": other})})
    for means in (one, pair):
        assert means["statlas"] <= min(means.values()) + 1e-12, "ours must be nearest nominal"


if __name__ == "__main__":
    main()
