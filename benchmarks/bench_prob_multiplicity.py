"""Viable ranges against one convex program for each person, epsilon and end.

Same input, same output: the ends in probability agree within 1e-4 before anything is timed.
Generic solvers take minutes to hours for all rows, so each is timed on a sample of ends and scaled
to the number of ends; ours is timed on everything. Both run with one BLAS thread.
SLSQP of scipy gets the analytic gradient; Clarabel, an interior-point solver of exponential cones,
is called through cvxpy with the point as a parameter, so that the problem is compiled once. cvxpy
is not part of any extra: install it beside statlas, or the row is left out. Where it gives up on an
end (with 2,000 rows it does on some), the table says so.

Floor: an end needs one look at the loss of its model: n_rows exponentials, some 10 ns each, and
the products that make a Hessian, n_rows p (p + 1) / 2 multiplications for each Newton step. With
2,000 rows, 20 features, 10 epsilons and 40,000 ends that is some 3 s on one core for a single
evaluation each; Newton's method needs 3.5 evaluations an end, and took 13 s of processor time.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable

import numpy as np
from scipy.special import expit
from threadpoolctl import threadpool_limits

from statlas.evaluation.prob_multiplicity import LogisticFit, fit_logistic, viable_ranges
from statlas.evaluation.prob_multiplicity.claims import solver_end

EPSILONS = np.arange(1, 11) / 1000
SIZES = ((500, 5), (2_000, 20))
SAMPLED = 6

End = Callable[[float, np.ndarray, int], float]


def made_fit(n_rows: int, n_features: int) -> tuple[np.ndarray, LogisticFit]:
    """Normal features and outcomes of a logistic model."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((n_rows, n_features))
    chance = expit(features @ rng.normal(0, 2 / np.sqrt(n_features), n_features))
    return features, fit_logistic(features, (rng.random(n_rows) < chance).astype(float))


def clarabel_end(fit: LogisticFit) -> End | None:
    """One end by Clarabel through cvxpy, compiled once; None where it is not installed."""
    try:
        cp = importlib.import_module("cvxpy")
    except ImportError:
        return None
    weights, target = cp.Variable(fit.design.shape[1]), cp.Parameter(fit.design.shape[1])
    limit = cp.Parameter()
    log_odds = fit.design @ weights
    loss = cp.sum(cp.logistic(log_odds)) - fit.outcome @ log_odds
    loss = loss / len(fit.outcome) + fit.ridge / 2 * cp.sum_squares(weights[1:])
    problem = cp.Problem(cp.Maximize(target @ weights), [loss <= limit])

    def end(epsilon: float, point: np.ndarray, sign: int) -> float:
        target.value = sign * np.concatenate([[1.0], point])
        limit.value = fit.loss * (1 + epsilon)
        try:
            problem.solve(solver=cp.CLARABEL)
        except cp.SolverError:
            return float("nan")
        return float(sign * problem.value)

    return end


def seconds_an_end(end: End, cases: list[tuple[float, np.ndarray, int]]) -> tuple[float, list]:
    """Median seconds of one end, and the ends."""
    taken, found = [], []
    for case in cases:
        start = time.perf_counter()
        found.append(end(*case))
        taken.append(time.perf_counter() - start)
    return float(np.median(taken)), found


def main() -> None:
    """Print seconds and ratios; the bar is a ratio above 1 to every solver."""
    print("rows  features  method    seconds for all ends   ratio to ours   largest difference")
    for n_rows, n_features in SIZES:
        features, fit = made_fit(n_rows, n_features)
        start = time.perf_counter()
        ranges = viable_ranges(fit, EPSILONS)
        ours = time.perf_counter() - start
        print(f"{n_rows:<5} {n_features:<9} statlas   {ours:20.1f}   {1:13.0f}   {'':>18}")
        picks = [(k, i, s) for i in range(SAMPLED) for k, s in ((2, 1), (9, -1))]
        cases = [(float(EPSILONS[k]), features[i], s) for k, i, s in picks]
        own = [(ranges.high if s > 0 else ranges.low)[k, i] for k, i, s in picks]
        peers: dict[str, End | None] = {
            "SLSQP": lambda epsilon, x, sign, f=fit: solver_end(f, epsilon, x, sign),
            "Clarabel": clarabel_end(fit),
        }
        for name, end in peers.items():
            if end is None:
                print(f"{n_rows:<5} {n_features:<9} {name} is not installed")
                continue
            end(*cases[0])  # compiles
            each, found = seconds_an_end(end, cases)
            total = each * 2 * n_rows * len(EPSILONS)
            difference = np.nanmax(np.abs(expit(own) - expit(found)))
            failed = int(np.isnan(found).sum())
            print(
                f"{n_rows:<5} {n_features:<9} {name:<9} {total:20.1f}   {total / ours:13.0f}   "
                f"{difference:18.1e}" + (f"   ({failed} of {len(found)} failed)" if failed else ""),
                flush=True,
            )
            assert difference < 1e-4, "ours and the solver's ends must agree"
            assert total > ours, "ours must be faster"


if __name__ == "__main__":
    with threadpool_limits(limits=1, user_api="blas"):
        main()
