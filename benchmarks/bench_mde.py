"""Energies of a large set and their statistic: numpy here against torch and scipy.

Peers: the two lines of the authors' code (github.com/pengr/Energy_AutoEval), logsumexp of the
logits and mean log softmax of the energies, in torch on the processor with one thread and float64;
and the same with scipy.special.logsumexp. Same input, same number to 1e-10. Rounds are interleaved.
Floor: reading the logits once from memory, at 1e10 bytes a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp

from statlas.evaluation.mde import energies, meta_distribution_energy

SIZES = ((10_000, 10), (10_000, 100), (5_000, 1_000))
ROUNDS = 7
BYTES_A_SECOND = 1e10
FloatArray = NDArray[np.float64]


def ours(logits: FloatArray) -> float:
    """The module's two functions."""
    return meta_distribution_energy(energies(logits), size_free=False)


def by_torch(logits: FloatArray) -> float:
    """The authors' formula."""
    energy = -torch.logsumexp(torch.from_numpy(logits), dim=1)
    return float(-torch.log_softmax(energy, dim=0).mean())


def by_scipy(logits: FloatArray) -> float:
    """The plain formula."""
    energy = -logsumexp(logits, axis=1)
    return float(logsumexp(energy) - energy.mean())


def seconds(function: Callable[[FloatArray], Any], logits: FloatArray) -> float:
    """Time of one call."""
    start = time.perf_counter()
    function(logits)
    return time.perf_counter() - start


def main() -> None:
    """Check the numbers, time all in turn, print a row a size."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    functions = (ours, by_torch, by_scipy)
    print("  rows classes  ours [ms]  torch/ours  scipy/ours  over floor  largest difference")
    for n_rows, n_classes in SIZES:
        logits = rng.normal(0, 4, (n_rows, n_classes))
        numbers = [function(logits) for function in functions]
        assert np.ptp(numbers) < 1e-10
        rounds = [[seconds(function, logits) for function in functions] for _ in range(ROUNDS)]
        own, torch_time, scipy_time = np.median(rounds, axis=0)
        floor = logits.nbytes / BYTES_A_SECOND
        print(
            f"{n_rows:6d} {n_classes:7d} {1e3 * own:10.2f} {torch_time / own:11.2f} "
            f"{scipy_time / own:11.2f} {own / floor:11.0f} {np.ptp(numbers):19.1e}"
        )


if __name__ == "__main__":
    main()
