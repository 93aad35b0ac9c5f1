"""The debiased l2 calibration error against the package `uncertainty-calibration`.

Peer: Kumar, Liang and Ma (2019), whose debiased estimate of the squared error is a bin's
(mean outcome - mean forecast)^2 - variance of the outcome / (n_b - 1). Outputs are checked by what
both must give: where all forecasts of a bin are equal the two estimates are the same number. On
continuous forecasts ours also takes the spread of forecasts within bins into account, and adds the
interval and the test, which the peer has by bootstrap only.

Floor: one sort of n numbers and one pass; numpy's sort alone is timed beside it.

    python benchmarks/bench_ece_interval.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import calibration
import numpy as np

from statlas.uncertainty.ece_interval import (
    assign_bins,
    error_interval,
    estimate_calibration_error,
    suggested_bins,
)

ROUNDS = 5


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def check_equal() -> float:
    """Largest difference of the squared errors where forecasts take ten values."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(20):
        z = rng.integers(1, 10, 500) / 10
        y = (rng.uniform(size=500) < z**1.5).astype(int)
        data = list(zip(z, y, strict=True))
        bins = calibration.utils.get_discrete_bins(z)
        theirs = calibration.utils.unbiased_square_ce(calibration.utils.bin(data, bins))
        codes = assign_bins(z[:, None], 500)
        ours = estimate_calibration_error(z[:, None], y[:, None], codes).squared
        worst = max(worst, abs(ours - theirs))
    return worst


def main() -> None:
    """Print medians of ratios over interleaved rounds."""
    print(f"largest difference where both must agree: {check_equal():.1e}")
    rng = np.random.default_rng(1)
    for n in (1_000, 10_000, 1_000_000):
        z = rng.uniform(size=n)
        y = (rng.uniform(size=n) < z**1.2).astype(int)
        m = suggested_bins(n, 1)
        times: dict[str, list[float]] = {"peer": [], "ours": [], "sort": []}
        for _ in range(ROUNDS):
            times["ours"].append(seconds(lambda: error_interval(z[:, None], y[:, None])))  # noqa: B023
            times["sort"].append(seconds(lambda: np.sort(z)))  # noqa: B023
            if n <= 10_000:
                data = list(zip(z, y, strict=True))
                bins = calibration.utils.get_equal_bins(z, m)
                times["peer"].append(
                    seconds(
                        lambda: calibration.utils.unbiased_square_ce(
                            calibration.utils.bin(data, bins)  # noqa: B023
                        )
                    )
                )
        ours = np.array(times["ours"])
        line = f"n = {n:,}, {m:,} bins: ours {np.median(ours):.4f} s with interval and test"
        line += f", {np.median(ours / times['sort']):.1f} x one sort"
        if times["peer"]:
            line += f", peer's estimate takes {np.median(times['peer'] / ours):.1f} x as long"
        print(line)


if __name__ == "__main__":
    main()
