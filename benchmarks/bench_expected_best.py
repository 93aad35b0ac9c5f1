"""Expected best of n trials at every budget, against a loop over binomial coefficients.

Peer: the authors' way of computing (github.com/castorini/meanmax), written anew here: per budget,
sort the scores, take every C(i-1, n-1) from scipy.special.comb and divide by C(B, n). That is
O(B) calls a budget and overflows double precision for large B (C(2000, 1000) is above 1e308), so
the sizes stop before. Same numbers: all budgets must agree to 1e-11 (float coefficients of large
numbers lose some digits; against exact integers the weights here err by less than 1e-12, see
`tests/evaluation/test_show_your_work.py`). Rounds are interleaved.
Floor: one multiplication and one addition for each of the weights that matter (45 B / n of them at
budget n, at most B), at 1e9 a second; the table says how far above it the vectorised one is.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import comb

from statlas.evaluation.show_your_work import expected_best

CASES = ((100, 100), (300, 100), (1_000, 50))
ROUNDS = 7
FLOPS = 1e9

Estimator = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]


def by_coefficients(scores: NDArray[np.float64], budgets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Loop over budgets and ranks with one binomial coefficient each."""
    n_trials, best = len(scores), []
    for n in budgets:
        ordered = np.sort(scores)
        counts = np.array([comb(rank, n - 1) for rank in range(n_trials)])
        best.append(float(np.sum(ordered * (counts / comb(n_trials, n)))))
    return np.array(best)


def seconds(estimator: Estimator, scores: NDArray[np.float64], budgets: NDArray[np.int64]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    estimator(scores, budgets)
    return time.perf_counter() - start


def floor(n_trials: int, budgets: NDArray[np.int64]) -> float:
    """Seconds that the arithmetic alone would take."""
    return float(2 * np.minimum(n_trials, 45 * n_trials / budgets).sum() / FLOPS)


def main() -> None:
    """Check the numbers, time both in turn, print a row a size."""
    rng = np.random.default_rng(0)
    print("trials budgets   ours [ms]  loop [ms]  ratio  over floor  largest difference")
    for n_trials, n_budgets in CASES:
        scores, budgets = rng.beta(5, 2, n_trials), np.arange(1, n_budgets + 1)
        worst = np.abs(expected_best(scores, budgets) - by_coefficients(scores, budgets)).max()
        assert worst < 1e-11
        times = [
            (seconds(expected_best, scores, budgets), seconds(by_coefficients, scores, budgets))
            for _ in range(ROUNDS)
        ]
        ours, loop = np.median(times, axis=0)
        print(
            f"{n_trials:6d} {n_budgets:7d} {1e3 * ours:11.2f} {1e3 * loop:10.1f} "
            f"{loop / ours:6.0f} {ours / floor(n_trials, budgets):11.0f} {worst:19.1e}"
        )
        assert loop > ours, "the loop over coefficients must not be faster"


if __name__ == "__main__":
    main()
