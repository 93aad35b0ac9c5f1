"""Sketched ridge with GCV against scikit-learn's RidgeCV: seconds, memory beyond the table, risk.

Peers: RidgeCV with five folds, and RidgeCV with its exact leave-one-out, over the same seven
penalties. Ours: two cosine-transform or count sketches of a quarter of the features with GCV, and
one full rotation, which is plain ridge tuned by GCV: its coefficients must agree with those of
Ridge at the same penalty to 1e-6, checked before timing. Seconds are those of the processor (one
thread), so that a busy machine does not count. Every run is a process of its own that draws the
same table, so that peak memory can be read; runs are interleaved, and medians of seconds and of
ratios to the five folds are printed. Two designs: `factors` (100 strong directions and weak noise
in all columns, as in most wide tables) and `flat` (independent columns), where a sketch of a
quarter of the features must lose signal: the column `risk` (exact, noise is 1) says how much. Equal
risk is to be had from sketches under `factors` only.
Floor: the bytes of the table read once at 10 GB/s; and the second moments of all p features, n p^2
multiply-adds, which a method without sketches cannot avoid.
Seen (20,000 x 1,000, one round): plain ridge by GCV takes a twelfth of the seconds of five folds at
the same risk (1.0153 and 1.0507); two sketches take 1/22 to 1/40, at risk 1.019 under `factors` and
1.69 under `flat`.
At 100,000 x 2,000 (`factors`, one run each) two count sketches took 2.8 s and 93 MiB (risk 1.0104),
plain ridge by GCV 10.4 s and 304 MiB (1.0079); a single Ridge fit on four of the five folds took
8.2 s, so 35 of them would take about 290 s (the peers themselves were not run at that size).
Run: OMP_NUM_THREADS=1 python benchmarks/bench_sketched_ridge.py [--large] (100,000 x 2,000)
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge, RidgeCV

from statlas.statistics.sketched_ensembles import SketchedRidgeEnsembleGCV

FloatArray = NDArray[np.float64]
PENALTIES = np.geomspace(1e-4, 1e2, 7)
DESIGNS = ("factors", "flat")
ROUNDS = 1
FACTORS = 100


def table(design: str, n: int, p: int) -> tuple[FloatArray, FloatArray, Callable[..., float]]:
    """Features, target, and the exact risk of coefficients and intercept."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    loads = np.zeros((FACTORS, p))
    scale = 1.0
    if design == "factors":
        scale = 0.1
        loads = rng.standard_normal((FACTORS, p)) / np.sqrt(FACTORS)
        X *= scale
        for start in range(0, n, 4096):
            block = X[start : start + 4096]
            block += rng.standard_normal((len(block), FACTORS)) @ loads
    beta = rng.standard_normal(p) / np.sqrt(p)
    y = X @ beta + rng.standard_normal(n)

    def risk(coefficients: FloatArray, intercept: float) -> float:
        miss = coefficients - beta
        return float(1 + scale**2 * miss @ miss + np.sum((loads @ miss) ** 2) + intercept**2)

    return X, y, risk


def methods(n: int) -> dict[str, Callable[[], Any]]:
    """Every model, unfitted."""

    def ours(kind: Any, share: float, k: int) -> Callable[[], Any]:
        return lambda: SketchedRidgeEnsembleGCV(k, kind, (share,), PENALTIES, random_state=0)

    return {
        "5-fold RidgeCV": lambda: RidgeCV(alphas=n * PENALTIES, cv=5),
        "leave-one-out RidgeCV": lambda: RidgeCV(alphas=n * PENALTIES),
        "ours, 2 srdct of p/4": ours("srdct", 0.25, 2),
        "ours, 2 count of p/4": ours("count", 0.25, 2),
        "ours, plain ridge by GCV": ours("srdct", 1.0, 1),
    }


def one_run(design: str, n: int, p: int, name: str) -> None:
    """Fit one model in this process and print what it took as JSON."""
    X, y, risk = table(design, n, p)
    model = methods(n)[name]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    model.fit(X, y)
    seconds = time.process_time() - start
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    found = {"seconds": seconds, "mib": more, "risk": risk(model.coef_, model.intercept_)}
    print(json.dumps(found))


def check_agreement() -> None:
    """A full rotation tuned by GCV is Ridge at the penalty that it chose."""
    X, y, _ = table("factors", 2_000, 200)
    ours = SketchedRidgeEnsembleGCV(1, "srdct", (1.0,), PENALTIES, random_state=0).fit(X, y)
    theirs = Ridge(alpha=len(y) * ours.lambda_).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)


def compare(n: int, p: int, rounds: int, skip: tuple[str, ...]) -> None:
    """Interleaved runs of every method; a row a method and design."""
    print(
        f"{n:,} x {p:,}, floors: read {8e-10 * n * p:.2g} s, moments {n * p * p:.2g} multiply-adds"
    )
    print(f"{'design':8} {'method':26} {'seconds':>8} {'faster':>7} {'MiB more':>9} {'risk':>7}")
    for design in DESIGNS:
        names = [name for name in methods(n) if name not in skip]
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                command = [sys.executable, __file__, "--one", design, str(n), str(p), name]
                answer = subprocess.run(command, check=True, capture_output=True, text=True)
                runs[name].append(json.loads(answer.stdout))
        base = runs[names[0]]
        for name in names:
            seconds = float(np.median([run["seconds"] for run in runs[name]]))
            ratios = [b["seconds"] / r["seconds"] for b, r in zip(base, runs[name], strict=True)]
            most = max(run["mib"] for run in runs[name])
            print(f"{design:8} {name:26} {seconds:8.2f} {np.median(ratios):7.2f} {most:9.0f} "
                  f"{runs[name][0]['risk']:7.4f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    if "--one" in sys.argv:
        _, _, design, n, p, name = sys.argv
        one_run(design, int(n), int(p), name)
    else:
        check_agreement()
        if "--large" in sys.argv:
            compare(100_000, 2_000, 1, ())
        else:
            compare(20_000, 1_000, ROUNDS, ())
