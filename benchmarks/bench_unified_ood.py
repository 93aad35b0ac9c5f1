"""Scores of detectors and their measures against pytorch-ood and scikit-learn.

Peers: pytorch-ood 0.4.0 (scores on given features; float32 in its Mahalanobis distance and ViM) and
scikit-learn's roc_auc_score (one call a bootstrap draw, the draws as sample weights). Outputs are
checked equal on the same rows. pytorch-ood wants torchvision, whose build for graphics cards does
not load beside torch for processors; the one module of it that fails (operators for boxes, which no
detector here uses) is stood in for. Neither belongs to the `peers` extra; they go without their
dependencies into an environment that has statlas and torch 2.13:

    pip install --no-deps pytorch-ood==0.4.0 torchvision==0.28.0
    python benchmarks/bench_unified_ood.py

Floor: reading logits and features once, and for a draw one multiply and add a row; numpy's sum over
the weights of all draws is timed beside the areas.

Medians on two busy cores, one thread, 2026-11, 10,000 rows with 20,000 of training: scores equal to
rounding (1e-4 where the peer works in float32). Peer's time over ours: softmax 3, largest logit 3,
energy and entropy 1.1, GradNorm 100 (a closed form for its gradients), ReAct 0.9, Mahalanobis 3,
nearest neighbours 1.0 (both are scikit-learn's search), ViM 0.2 to 0.7: behind, as its projection
is in float64 here. Areas of 500 draws of 2,000 rows: scikit-learn 130 times as long, ours 30 sums.
"""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from statlas.uncertainty.unified_ood import (
    DetectorSet,
    Head,
    Outputs,
    Protocol,
    fit_detectors,
)
from statlas.uncertainty.unified_ood.evaluation import area_under_curve, draw_weights

sys.modules["torchvision._meta_registrations"] = types.ModuleType("stand-in")

import torch  # noqa: E402
from pytorch_ood import detector as peer  # noqa: E402

FloatArray = NDArray[np.float64]
ROUNDS, CLASSES, FEATURES = 5, 10, 64


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def model(rng: np.random.Generator, n: int) -> tuple[Outputs, NDArray[np.int64], Head]:
    """Rectified features of ten classes, a linear head and its logits."""
    labels = rng.permutation(np.arange(n) % CLASSES)
    means = 2 * np.eye(CLASSES, FEATURES)[labels]
    features = np.maximum(rng.normal(size=(n, FEATURES)) + means, 0)
    head = Head(rng.normal(size=(FEATURES, CLASSES)) / 8, rng.normal(size=CLASSES))
    return Outputs(head.logits(features), features), labels, head


def peers_of(
    training: Outputs, labels: NDArray[np.int64], head: Head, rows: Outputs
) -> dict[str, tuple[Callable[[], Any], float]]:
    """For each detector the peer's call on rows, and the factor from its scores to ours."""
    z, h = torch.from_numpy(rows.logits), torch.from_numpy(rows.features)
    seen, y = torch.from_numpy(training.features), torch.from_numpy(labels)
    weights, bias = torch.from_numpy(head.weights.T.copy()), torch.from_numpy(head.bias)
    last = torch.nn.Linear(FEATURES, CLASSES).double()
    last.weight.data, last.bias.data = weights, bias
    distance = peer.Mahalanobis(None).fit_features(seen.float(), y)
    nearest = peer.KNN(None, k=10).fit_features(seen, y)
    virtual = peer.ViM(None, d=FEATURES // 2, w=weights, b=bias).fit_features(seen, y)
    clipped = peer.ReAct(None, last).fit_feature_maps(seen, y)
    gradient = peer.GradNorm(last, param_filter=lambda name: name == "weight")
    return {
        "max_softmax": (lambda: peer.MaxSoftmax.score(z), 1),
        "tempered_softmax": (lambda: peer.MaxSoftmax.score(z, t=1000.0), 1),
        "entropy": (lambda: peer.Entropy.score(z), 1),
        "max_logit": (lambda: peer.MaxLogit.score(z), 1),
        "energy": (lambda: peer.EnergyBased.score(z), 1),
        "gradnorm": (lambda: gradient.predict(h), 1),
        "react": (lambda: clipped.predict_feature_maps(h), 1),
        "vim": (lambda: virtual.predict_features(h), 1),
        # Half the distance, with the sum of squares in place of their mean.
        "mahalanobis": (lambda: distance.predict_features(h.float()), 2 * len(labels)),
        "knn": (lambda: nearest.predict_features(h), 1),
    }


def compare_scores(n_training: int, n: int) -> None:
    """Equality and times of each detector's scores."""
    rng = np.random.default_rng(0)
    training, labels, head = model(rng, n_training)
    rows = Outputs(head.logits(shifted := rng.normal(size=(n, FEATURES))), shifted)
    ours: DetectorSet = fit_detectors(training, labels, head)
    print(f"{n_training:,} training rows, {n:,} rows")
    for name, (call, factor) in peers_of(training, labels, head, rows).items():
        times: dict[str, list[float]] = {"ours": [], "peer": []}
        for _ in range(ROUNDS):
            times["ours"].append(seconds(lambda: ours.score(name, rows)))  # type: ignore[arg-type]  # noqa: B023
            times["peer"].append(seconds(call))
        mine = ours.score(name, rows)  # type: ignore[arg-type]
        theirs = -factor * np.asarray(call(), dtype=float)
        gap = np.max(np.abs(mine - theirs)) / np.max(np.abs(mine))
        ratio = np.median(np.array(times["peer"]) / np.array(times["ours"]))
        print(
            f"  {name:17s} relative difference {gap:.0e}; ours "
            f"{1e3 * np.median(times['ours']):8.2f} ms, peer {ratio:6.1f} x as long"
        )


def compare_areas(n: int, draws: int) -> None:
    """Equality and times of areas over bootstrap draws."""
    rng = np.random.default_rng(1)
    accept = rng.random(n) < 0.6
    scores = np.round(rng.normal(size=n) + accept, 2)
    protocol = Protocol(accept, ~accept, accept)
    weights = np.concatenate(list(draw_weights(accept.astype(np.int64), None, draws, rng)), axis=1)

    def theirs() -> FloatArray:
        return np.array([roc_auc_score(accept, scores, sample_weight=w) for w in weights.T])

    gap = np.max(np.abs(theirs() - area_under_curve(scores, protocol, weights)))
    times: dict[str, list[float]] = {"ours": [], "peer": [], "floor": []}
    for _ in range(ROUNDS):
        times["ours"].append(seconds(lambda: area_under_curve(scores, protocol, weights)))
        times["peer"].append(seconds(theirs))
        times["floor"].append(seconds(weights.sum))
    ours = np.array(times["ours"])
    print(
        f"areas of {draws} draws, {n:,} rows: difference {gap:.0e}; ours "
        f"{1e3 * np.median(ours):.1f} ms, {np.median(ours / times['floor']):.0f} x one sum, peer "
        f"{np.median(times['peer'] / ours):.1f} x as long"
    )


if __name__ == "__main__":
    compare_scores(2_000, 2_000)
    compare_scores(20_000, 10_000)
    compare_areas(2_000, 500)
    compare_areas(20_000, 100)
