"""A shifted power law between two losses, against a grid of offsets and scipy's fits.

Input: 80 pairs with relative noise of 0.5 %, made from a planted relation. Peers, written anew
after what analyses of such pairs do: (a) E0 and E1 on a grid of 100 x 100, at each a line through
the logarithms, the best by squared error; (b) bounded least squares from one start (scipy), with
E0 given. Ours fits all four by least squares (against a), and K, kappa and E1 (against b). The
squared error of ours may be above a peer's by 1e-6 of it at most; a grid ends above it, and is
quicker than a fit to the end. Rounds are interleaved, one process and one thread; medians over
rounds.

Then 300 redraws of the relation, against scipy's fit of each.

Floor: a look at 80 pairs is two logarithms or powers a pair, about 20 ns each.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from statlas.scaling.loss_to_loss import (
    Laws,
    Pairs,
    Runs,
    draw_relations,
    draw_units,
    fit_relation,
    pair_runs,
    shifted_kaplan,
)

LAW = {"E": 1.97, "A": 6.7e7, "B": 8.9e8, "alpha": 0.41, "beta": 0.46}
K, KAPPA, E1 = 0.63, 1.1, 0.85
ROUNDS, DRAWS, PEER_DRAWS = 7, 300, 30
FASTER_THAN_LOOP = 10

FloatArray = NDArray[np.float64]


def make_runs(rng: np.random.Generator) -> tuple[Runs, Runs]:
    """Eighty runs on each of two data sets."""
    grids = np.meshgrid(2e7 * 1.6 ** np.arange(8), 4e8 * 1.8 ** np.arange(10))
    size, tokens = (grid.ravel() for grid in grids)
    first = shifted_kaplan(size, tokens)(LAW, {"N": size, "D": tokens})
    unit = np.arange(80)
    one, other = (
        Runs(size, tokens, 6 * size * tokens, loss * np.exp(0.005 * rng.standard_normal(80)), unit,
             0 * unit)
        for loss in (first, K * (first - LAW["E"]) ** KAPPA + E1)
    )  # fmt: skip
    return one, other


def squares(pairs: Pairs, p: FloatArray) -> float:
    """Squared error of K, kappa, E0, E1."""
    return float(np.sum((p[0] * (pairs.first - p[2]) ** p[1] + p[3] - pairs.second) ** 2))


def by_grid(pairs: Pairs) -> FloatArray:
    """The best of 100 x 100 offsets."""
    x, y = pairs.first, pairs.second
    e0, e1 = (
        grid.ravel()
        for grid in np.meshgrid(
            np.linspace(0, x.min(), 100)[:-1], np.linspace(0, y.min(), 100)[:-1]
        )
    )
    log_x, log_y = np.log(x - e0[:, None]), np.log(y - e1[:, None])
    centred = log_x - log_x.mean(axis=1, keepdims=True)
    kappa = (centred * log_y).sum(axis=1) / (centred**2).sum(axis=1)
    k = np.exp(log_y.mean(axis=1) - kappa * log_x.mean(axis=1))
    fitted = k[:, None] * np.exp(kappa[:, None] * log_x) + e1[:, None]
    best = int(np.argmin(((fitted - y) ** 2).sum(axis=1)))
    return np.array([k[best], kappa[best], e0[best], e1[best]])


def by_scipy(first: FloatArray, second: FloatArray, e0: float) -> FloatArray:
    """K, kappa and E1 from one start."""
    found, _ = curve_fit(
        lambda x, kappa, k, e1: k * (x - e0) ** kappa + e1, first, second, p0=[1, 1, 0],
        bounds=([0, 0, 0], [np.inf, np.inf, second.min()]), maxfev=500_000,
    )  # fmt: skip
    return np.array([found[1], found[0], e0, found[2]])


def timed(function: object, *arguments: object) -> tuple[FloatArray, float]:
    """What a function gives, and how long it takes."""
    started = time.perf_counter()
    answer = function(*arguments)  # type: ignore[operator]
    return answer, time.perf_counter() - started


def main() -> None:
    """Check the squared errors, then time fits and redraws."""
    warnings.simplefilter("ignore")
    times: dict[str, list[float]] = {
        n: [] for n in ("four", "grid", "three", "scipy", "redraw", "loop")
    }
    for number in range(ROUNDS):
        rng = np.random.default_rng(number)
        one, other = make_runs(rng)
        law, pairs = Laws().of(one), pair_runs(one, other)
        assert law is not None
        e0 = law.parameters["E"]
        fits = {
            "four": lambda: fit_relation(pairs, "fitted").natural,  # noqa: B023
            "grid": lambda: by_grid(pairs),  # noqa: B023
            "three": lambda: fit_relation(pairs, "first-law", first_law=law).natural,  # noqa: B023
            "scipy": lambda: by_scipy(pairs.first, pairs.second, e0),  # noqa: B023
        }
        found = {}
        for name, function in fits.items():
            found[name], seconds = timed(function)
            times[name].append(seconds)
        for ours, peer in (("four", "grid"), ("three", "scipy")):
            assert squares(pairs, found[ours]) <= squares(pairs, found[peer]) * (1 + 1e-6), peer
        relation = fit_relation(pairs, "first-law", first_law=law)
        counts = draw_units(pairs.unit, DRAWS, number)
        _, seconds = timed(draw_relations, relation, counts)
        times["redraw"].append(seconds / DRAWS)
        started = time.perf_counter()
        for count in counts[:PEER_DRAWS].astype(int):
            rows = np.repeat(np.arange(80), count[pairs.unit])
            by_scipy(pairs.first[rows], pairs.second[rows], e0)
        times["loop"].append((time.perf_counter() - started) / PEER_DRAWS)
    ratios = {}
    for ours, peer in (("four", "grid"), ("three", "scipy"), ("redraw", "loop")):
        ratios[peer] = float(np.median(np.array(times[peer]) / np.array(times[ours])))
        print(
            f"{ours:7s} {1e3 * np.median(times[ours]):8.3f} ms, {peer:6s} "
            f"{1e3 * np.median(times[peer]):8.3f} ms, ratio {ratios[peer]:.1f}"
        )
    print(f"a redraw costs {np.median(times['redraw']) / (80 * 40e-9):.0f} looks at its pairs")
    assert ratios["loop"] > FASTER_THAN_LOOP


if __name__ == "__main__":
    main()
