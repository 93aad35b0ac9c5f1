"""The conformal step of conformalized selective regression against MAPIE and crepes.

Peers, each with the same fitted models and the same calibration rows: MAPIE's conformalized
quantile regression (one correction for both ends) and crepes' normalised conformal regression
(absolute errors over expected errors). Intervals over all rows are checked equal. "With
the rule" also finds the largest score to keep and the quantile that covers kept rows, which
neither peer has.

Floor: numpy's sort of the n calibration scores, timed beside; ours needs it once.

    python benchmarks/bench_conformal_selective.py

Medians of CPU time on two busy cores, 10,000 new rows, 2026-11. MAPIE 1.6.0: 2.7, 3.0 and 90 ms,
ours 1.1, 1.3 and 47 ms (1.9 to 2.4 times) at n = 1,000, 10,000 and 1,000,000. crepes 0.9.1: 0.41,
0.88 and 36 ms, ours 0.38, 0.74 and 28 ms (1.1 to 1.3 times). With the rule ours takes 0.75, 1.1
and 55 ms beside crepes: up to twice as long, for a limit and quantile that crepes does not give.
The sort takes 0.01, 0.1 and 9 ms; the rest is predicting and array arithmetic on n rows.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable

import numpy as np
from crepes import ConformalRegressor
from mapie.regression import ConformalizedQuantileRegressor
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression

from statlas.core.numerics.conformal import conformal_quantile
from statlas.uncertainty.conformal_selective import keep_rule

FloatArray = NDArray[np.float64]
Quantile = Callable[[FloatArray, FloatArray], float]
ROUNDS, NEW, LEVEL, KEEP = 7, 10_000, 0.9, 0.7


def seconds(call: Callable[[], object]) -> float:
    """CPU time of one call: other work on the machine counts less than in wall time."""
    started = time.process_time()
    call()
    return time.process_time() - started


def plain(conformity: FloatArray, score: FloatArray) -> float:
    """The step that the peers have."""
    return conformal_quantile(conformity, LEVEL)


def with_rule(conformity: FloatArray, score: FloatArray) -> float:
    """The same, and which rows to keep with the quantile that covers them."""
    return keep_rule(conformity, score, KEEP, LEVEL).quantile_all


class Problem:
    """Fitted straight lines for both ends and the middle, calibration rows and new rows."""

    def __init__(self, rng: np.random.Generator, n: int) -> None:
        x = rng.normal(size=(500 + n + NEW, 5))
        y = x[:, 0] + np.exp(0.5 * x[:, 1]) * rng.normal(size=len(x))
        own = slice(500)
        middle = x[own, 0]
        half = 1.5 * np.exp(0.5 * x[own, 1])
        self.models = [
            LinearRegression().fit(x[own], end) for end in (middle - half, middle + half, middle)
        ]
        self.x, self.y = x[500 : 500 + n], y[500 : 500 + n]
        self.new = x[500 + n :]

    def quantiles_ours(self, quantile: Quantile) -> FloatArray:
        """Conformalized quantile regression by our step."""
        low, high = (model.predict(self.x) for model in self.models[:2])
        q = quantile(np.maximum(low - self.y, self.y - high), high - low)
        low, high = (model.predict(self.new) for model in self.models[:2])
        return np.column_stack([low - q, high + q])

    def quantiles_mapie(self) -> FloatArray:
        """The same by MAPIE."""
        peer = ConformalizedQuantileRegressor(self.models, confidence_level=LEVEL, prefit=True)
        peer.conformalize(self.x, self.y)
        interval = peer.predict_interval(self.new, symmetric_correction=True)[1]
        return np.asarray(interval[:, :, 0])

    def errors_ours(self, quantile: Quantile) -> FloatArray:
        """Normalised conformal regression by our step."""
        score = self._spread(self.x)
        error = np.abs(self.y - self.models[2].predict(self.x))
        half = quantile(error / score, score) * self._spread(self.new)
        middle = self.models[2].predict(self.new)
        return np.column_stack([middle - half, middle + half])

    def errors_crepes(self) -> FloatArray:
        """The same by crepes."""
        peer = ConformalRegressor()
        peer.fit(self.y - self.models[2].predict(self.x), sigmas=self._spread(self.x))
        middle = self.models[2].predict(self.new)
        return np.asarray(peer.predict_int(middle, sigmas=self._spread(self.new), confidence=LEVEL))

    def sort(self) -> FloatArray:
        """The floor."""
        return np.sort(self.y)

    @staticmethod
    def _spread(x: FloatArray) -> FloatArray:
        return np.exp(0.5 * x[:, 1])


def main() -> None:
    """Print medians over interleaved rounds."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.INFO)  # MAPIE reports crossing ends
    rng = np.random.default_rng(0)
    for n in (1_000, 10_000, 1_000_000):
        problem = Problem(rng, n)
        for ours, peer in (
            (problem.quantiles_ours, problem.quantiles_mapie),
            (problem.errors_ours, problem.errors_crepes),
        ):
            np.testing.assert_allclose(ours(plain), peer(), rtol=1e-9, atol=1e-9)
            calls = (lambda f=ours: f(plain), lambda f=ours: f(with_rule), peer, problem.sort)
            times = [[seconds(call) for call in calls] for _ in range(ROUNDS)]
            own, rule, other, floor = 1e3 * np.median(times, axis=0)
            print(
                f"n = {n}: {peer.__name__} {other:.2f} ms, ours {own:.2f} ms (ratio "
                f"{other / own:.1f}), with the rule {rule:.2f} ms, one sort {floor:.2f} ms"
            )


if __name__ == "__main__":
    main()
