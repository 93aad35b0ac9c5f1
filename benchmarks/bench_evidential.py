"""One forward pass of a Dirichlet network against a deep ensemble and against torch's closed forms.

There is no maintained scikit-learn package of prior and posterior networks to run against. Peers:

1. torch.distributions.Dirichlet, entropy and divergence of 200,000 rows of 10 classes: same numbers
   (checked), floor one digamma and one log-gamma a number, timed beside it.
2. An ensemble of five plain networks (scikit-learn's MLPClassifier, hidden layers of the same
   width), which needs five passes for its epistemic uncertainty (mutual information over members).
   Outputs differ by design; both are judged by the area under the ROC curve on digits of unseen
   classes. Expected: our pass is about the time of one member, so a fifth of the ensemble's;
   detection is the ensemble's to lose.

    python benchmarks/bench_evidential.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import digamma, entr, gammaln
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from statlas.uncertainty.evidential import (
    EvidentialClassifier,
    area_interval,
    differential_entropy,
    divergence,
)

ROUNDS = 5


def seconds(call: Callable[[], Any]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def closed_forms() -> None:
    """Entropy and divergence of Dirichlet distributions, equal to torch's."""
    rng = np.random.default_rng(0)
    alpha, beta = rng.gamma(2.0, 3.0, (2, 200_000, 10)) + 0.05
    first, second = (torch.distributions.Dirichlet(torch.from_numpy(a)) for a in (alpha, beta))
    np.testing.assert_allclose(differential_entropy(alpha), first.entropy(), rtol=1e-9, atol=1e-9)
    theirs = torch.distributions.kl_divergence(first, second)
    np.testing.assert_allclose(divergence(alpha, beta), theirs, rtol=1e-8, atol=1e-9)
    times: dict[str, list[float]] = {"ours": [], "torch": [], "floor": []}
    for _ in range(ROUNDS):
        times["ours"].append(
            seconds(lambda: (differential_entropy(alpha), divergence(alpha, beta)))
        )
        times["torch"].append(
            seconds(lambda: (first.entropy(), torch.distributions.kl_divergence(first, second)))
        )
        times["floor"].append(seconds(lambda: (digamma(alpha), gammaln(alpha))))
    ours = np.array(times["ours"])
    print(
        f"closed forms, equal: ours {np.median(ours):.3f} s, torch / ours "
        f"{np.median(np.array(times['torch']) / ours):.2f}, ours / floor "
        f"{np.median(ours / times['floor']):.2f}"
    )


def detection() -> None:
    """Area for unseen digits, and time of prediction, against five networks."""
    x, y = load_digits(return_X_y=True)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        known = np.isin(y, rng.permutation(10)[:5])
        rows = rng.permutation(np.flatnonzero(known))
        learn, test = rows[:400], rows[400:]
        members = [
            make_pipeline(
                StandardScaler(), MLPClassifier((64, 64), max_iter=300, random_state=seed + m)
            ).fit(x[learn], y[learn])
            for m in range(5)
        ]

        def ensemble(new: Any, members: list[Any] = members) -> Any:
            each = np.stack([m.predict_proba(new) for m in members])
            return entr(each.mean(0)).sum(-1) - entr(each).sum(-1).mean(0)

        line = f"unseen digits, seed {seed}:"
        big = np.tile(x, (10, 1))
        scorers: dict[str, Any] = {"ensemble": ensemble}
        for family in ("belief-matching", "posterior"):
            model = EvidentialClassifier(family, random_state=seed).fit(x[learn], y[learn])  # type: ignore[arg-type]
            scorers[family] = lambda new, model=model: model.uncertainty(new)["epistemic"]
        times: dict[str, list[float]] = {name: [] for name in scorers}
        for _ in range(ROUNDS):
            for name, scorer in scorers.items():
                times[name].append(seconds(lambda: scorer(big)))  # noqa: B023
        slow = np.array(times["ensemble"])
        for name, scorer in scorers.items():
            area = area_interval(scorer(x[~known]), scorer(x[test]))[0]
            ratio = np.median(slow / np.array(times[name]))
            line += f" {name} {area:.3f} ({ratio:.1f} x as fast as the ensemble);"
        print(line)


if __name__ == "__main__":
    closed_forms()
    detection()
