"""Selection with the best of several scores against the authors' loops over the candidates.

Peer: the procedure as in github.com/Tian-Bai/OptCS (simulation/MSel), which runs a
Benjamini-Hochberg selection a score and candidate, each from the p-values of all others: here in
the same order of work, vectorised over the labelled rows as there, written anew. Its e-BH compares
two roundings of one number, so a tolerance is given to both; picks and p-values are checked equal.

Floor: one sort of n + m numbers a score; numpy's sort alone is timed beside it.

    python benchmarks/bench_optcs.py

Medians on two busy cores, six scores, 2026-11: loops 231, 929 and 4220 ms, ours 0.31, 0.41
and 0.88 ms (700 to 5000 times) at n, m = 100, 50; 300, 100; 1000, 200. The sort takes 0.01 to
0.03 ms: the rest is the fixed cost of some forty numpy calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from statlas.uncertainty.optcs import best_score_selection, clipped_scores

FloatArray = NDArray[np.float64]
ROUNDS, SCORES, LEVEL = 5, 6, 0.3


def table(
    rng: np.random.Generator, labelled: int, candidates: int
) -> tuple[FloatArray, FloatArray]:
    """Clipped scores of labelled rows and scores of candidates, of growing strength."""
    strength = np.linspace(0, 0.8, SCORES)[:, None]
    outcome = rng.normal(size=labelled + candidates)
    noise = rng.normal(size=(SCORES, len(outcome)))
    scores = strength * outcome + np.sqrt(1 - strength**2) * noise
    return clipped_scores(scores[:, :labelled], outcome[:labelled] > 0.5), -scores[:, labelled:]


def chosen_size(p: FloatArray) -> int:
    """Size of the Benjamini-Hochberg selection."""
    rank = np.arange(1, len(p) + 1)
    return int(np.max(rank * (np.sort(p) <= LEVEL * rank / len(p) + 1e-12)))


def loops(labelled: FloatArray, new: FloatArray) -> tuple[NDArray[np.bool_], FloatArray]:
    """Picks and p-values by one auxiliary selection a candidate and score."""
    n, m = labelled.shape[1], new.shape[1]
    p, size = np.empty(m), np.empty(m)
    for j in range(m):
        sizes = []
        for old, fresh in zip(labelled, new, strict=True):
            auxiliary = np.zeros(m)
            for other in range(m):
                if other != j:
                    count = np.sum(old <= fresh[other]) + (fresh[j] <= fresh[other])
                    auxiliary[other] = count / (n + 1)
            sizes.append(chosen_size(auxiliary))
        best = int(np.argmax(sizes))
        size[j] = sizes[best]
        p[j] = (1 + np.sum(labelled[best] <= new[best, j])) / (n + 1)
    price = np.where(p <= LEVEL * size / m + 1e-12, LEVEL * size / m, np.inf)
    return price <= LEVEL * chosen_size(price) / m + 1e-12, p


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    """Print medians over interleaved rounds."""
    rng = np.random.default_rng(0)
    for labelled, candidates in ((100, 50), (300, 100), (1000, 200)):
        times: list[tuple[float, float, float]] = []
        for _ in range(ROUNDS):
            old, new = table(rng, labelled, candidates)
            picks, p = loops(old, new)
            ours = best_score_selection(old, new, LEVEL)
            assert np.array_equal(picks, ours.selected)
            assert np.allclose(p, ours.p_value)
            times.append(
                (
                    seconds(lambda old=old, new=new: loops(old, new)),
                    seconds(lambda old=old, new=new: best_score_selection(old, new, LEVEL)),
                    seconds(
                        lambda old=old, new=new: np.sort(np.concatenate([old, new], axis=1), axis=1)
                    ),
                )
            )
        peer, own, floor = np.median(times, axis=0)
        print(
            f"n = {labelled}, m = {candidates}: loops {1e3 * peer:.1f} ms, ours {1e3 * own:.2f} ms "
            f"({peer / own:.0f} times), one sort {1e3 * floor:.2f} ms"
        )


if __name__ == "__main__":
    main()
