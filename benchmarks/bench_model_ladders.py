"""Both steps of a ladder and their redraws, against a loop of scipy's fits.

Input: ladders of 16 trainings with 20 checkpoints each, made from planted laws with noise. Peer:
what the authors' code does once (L-BFGS-B from one start for step 1, bounded least squares for
step 2), repeated for every redrawn ladder, since no package offers it. Step 1 of ours starts from
96 points and redraws are fitted together. The objectives are computed here by functions written
anew; the peer's may be lower than ours by 1e-6 of it at most. Rounds are interleaved, one process
and one thread; medians over rounds.

Floor: a redraw of step 2 has to look at its 321 rows, an exponential each (2 ns), some ten times.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit, minimize

from statlas.core.numerics.laws import CHINCHILLA
from statlas.scaling.model_ladders import Ladder, fit_chain, forecast

LAW = {"E": 0.55, "A": 45.0, "B": 100.0, "alpha": 0.24, "beta": 0.25}
LINK = {"a": -0.73, "L0": 0.72, "k": 5.5, "b": 0.97}
CHECKPOINTS, DRAWS, PEER_DRAWS, ROUNDS = 20, 300, 10, 5
FASTER = 5

FloatArray = NDArray[np.float64]


def make_ladder(rng: np.random.Generator) -> Ladder:
    """Four sizes to four lengths."""
    grids = np.meshgrid(1.9e8 * 2.0 ** np.arange(4), 20.0 * np.array([1, 2, 5, 10]))
    size, multiple = (grid.ravel() for grid in grids)
    share = np.linspace(1 / CHECKPOINTS, 1, CHECKPOINTS)
    sizes, run = np.repeat(size, CHECKPOINTS), np.repeat(np.arange(16), CHECKPOINTS)
    tokens = ((size * multiple)[:, None] * share).ravel()
    loss = CHINCHILLA(LAW, {"N": sizes, "D": tokens})
    loss = loss * np.exp(0.004 * rng.standard_normal(16)[run])
    score = sigmoid(loss, *LINK.values()) + 0.006 * rng.standard_normal(len(loss))
    final = np.tile(share == 1, 16)
    return Ladder(sizes, tokens, 6 * sizes * tokens, loss, score, run, final)


def sigmoid(loss: FloatArray, a: float, middle: float, k: float, b: float) -> FloatArray:
    """Step 2."""
    return np.asarray(a / (1 + np.exp(-k * (loss - middle))) + b)


def step_1(p: FloatArray, ladder: Ladder, weights: FloatArray) -> float:
    """Huber's function of log residuals, log A, log B, alpha, beta, E."""
    last = ladder.finals
    fitted = np.exp(p[0] - p[2] * np.log(last.size)) + np.exp(p[1] - p[3] * np.log(last.tokens))
    off = np.abs(np.log(fitted + p[4]) - np.log(last.loss))
    return float(np.sum(weights * np.where(off < 1e-3, off**2 / 2, 1e-3 * (off - 5e-4))))


def by_scipy(ladder: Ladder, counts: FloatArray) -> tuple[float, float]:
    """Objectives of both steps on one redrawn ladder."""
    weights = counts[ladder.run[ladder.final]]
    found = minimize(
        step_1, [3.0, 6.0, 0.1, 0.2, 1.0], (ladder, weights), method="L-BFGS-B",
        bounds=[(0, None)] * 5, options={"ftol": 0, "gtol": 1e-10, "maxiter": 10_000},
    )  # fmt: skip
    rows = np.repeat(np.arange(ladder.n_rows), counts[ladder.run].astype(int))
    losses = np.append(ladder.loss[rows], 0.0)
    scores = np.append(ladder.accuracy[rows], 1.0)
    fitted, _ = curve_fit(
        sigmoid, losses, scores, p0=[-0.75, 0.9, 3.0, 1.0],
        bounds=([-1, 0, 0, 0], [0, np.inf, np.inf, 1]), maxfev=100_000,
    )  # fmt: skip
    return float(found.fun), float(np.sum((sigmoid(losses, *fitted) - scores) ** 2))


def by_engine(ladder: Ladder) -> tuple[float, float]:
    """Objectives of both steps on the ladder itself."""
    chain = fit_chain(ladder)
    p, q = chain.loss.parameters, chain.accuracy.fit.parameters
    first = np.array([np.log(p["A"]), np.log(p["B"]), p["alpha"], p["beta"], p["E"]])
    losses, scores = np.append(ladder.loss, 0.0), np.append(ladder.accuracy, 1.0)
    fitted = sigmoid(losses, q["a"], q["L0"], q["k"], q["b"])
    return step_1(first, ladder, np.ones(16)), float(np.sum((fitted - scores) ** 2))


def main() -> None:
    """Check the objectives, then time a redrawn ladder of each."""
    warnings.simplefilter("ignore")
    ours, peer, excess = [], [], []
    for number in range(ROUNDS):
        rng = np.random.default_rng(number)
        ladder = make_ladder(rng)
        here, there = by_engine(ladder), by_scipy(ladder, np.ones(16))
        excess.append([b / a - 1 for a, b in zip(here, there, strict=True)])
        assert min(excess[-1]) > -1e-6, "scipy found a lower objective"
        started = time.perf_counter()
        forecast(fit_chain(ladder), 7e9, 4e12, n_draws=DRAWS, rng=number)
        ours.append((time.perf_counter() - started) / DRAWS)
        started = time.perf_counter()
        for _ in range(PEER_DRAWS):
            by_scipy(ladder, rng.multinomial(16, [1 / 16] * 16).astype(float))
        peer.append((time.perf_counter() - started) / PEER_DRAWS)
    ratio = float(np.median(np.array(peer) / np.array(ours)))
    print(
        "objective of scipy above ours (median):",
        " ".join(f"step {k + 1} {value:.1e}" for k, value in enumerate(np.median(excess, axis=0))),
    )
    print(
        f"ms a redrawn ladder: ours {1e3 * np.median(ours):.2f} (the first fit included), "
        f"scipy {1e3 * np.median(peer):.1f}, ratio {ratio:.0f}"
    )
    floor = 10 * 321 * 2e-9
    print(f"a redraw costs {np.median(ours) / floor:.0f} times the floor of step 2")
    assert ratio > FASTER


if __name__ == "__main__":
    main()
