"""The paper's claims on handwritten digits: other writers, tilted digits, digits never shown.

Each replicate draws writers, known digits and training rows anew and trains its own network on
some 180 rows. The paper has ImageNet and deep networks; these are small ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from statlas.core import Above, Twin, claim
from statlas.core.examples import example_path
from statlas.core.rng import sklearn_seed
from statlas.uncertainty.unified_ood.estimators import inner_view
from statlas.uncertainty.unified_ood.evaluation import (
    COVARIATE,
    IN,
    SEMANTIC,
    BoolArray,
    Cases,
    FloatArray,
    IntArray,
    Protocol,
    against_source,
    area_under_curve,
    class_based,
    kendall_tau,
    measure,
    model_specific,
)
from statlas.uncertainty.unified_ood.scores import DETECTORS, DetectorName, fit_detectors

Training = tuple[FloatArray, IntArray]
Judge = Callable[[Cases], Protocol]

_WRITERS, _KNOWN = 7, 8  # of 14 writers and 10 digits
_TRAIN = 4  # one row in so many of the known digits of these writers trains
_TILT = 20.0  # degrees


# --- digits and models ----------------------------------------------------------------------------


@functools.cache
def _digits() -> tuple[FloatArray, IntArray, NDArray[np.str_]]:
    """Grey values from 0 to 1, the digit and who wrote it."""
    from sklearn.datasets import load_digits

    pixels, digit = load_digits(return_X_y=True)
    answers = pd.read_csv(example_path("digits_scores.csv"), usecols=["question", "writer"])
    first = answers.drop_duplicates("question").sort_values("question")
    return pixels / 16.0, digit, first["writer"].to_numpy(str)


def _tilted(pixels: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Digits turned by 20 degrees, each to a side at random."""
    from scipy.ndimage import rotate

    images = pixels.reshape(-1, 8, 8)
    left, right = (
        rotate(images, sign * _TILT, axes=(2, 1), reshape=False, order=1) for sign in (-1, 1)
    )
    side = rng.random(len(images)) < 0.5
    return np.asarray(np.where(side[:, None, None], left, right).reshape(len(images), -1))


def _perceptron(training: Training, rng: np.random.Generator) -> Any:
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((32,), solver="lbfgs", alpha=1e-3, max_iter=1000,
                          random_state=sklearn_seed(rng))  # fmt: skip
    return model.fit(*training)


def _logistic(training: Training, rng: np.random.Generator) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000).fit(*training)


def _taught_tilt(training: Training, rng: np.random.Generator) -> Any:
    """A perceptron that was also shown its training digits tilted."""
    pixels, digit = training
    both = np.concatenate([pixels, _tilted(pixels, rng)]), np.concatenate([digit, digit])
    return _perceptron(both, rng)


@dataclass(frozen=True)
class _World:
    """Training rows and rows to judge."""

    training: Training
    pixels: FloatArray
    digit: IntArray
    source: IntArray


def _world(rng: np.random.Generator) -> _World:
    pixels, digit, writer = _digits()
    own = np.isin(writer, rng.choice(np.unique(writer), _WRITERS, replace=False))
    known = np.isin(digit, rng.choice(10, _KNOWN, replace=False))
    rows = rng.permutation(np.flatnonzero(own & known))
    train, test = np.split(rows, [len(rows) // _TRAIN])
    others, unseen = np.flatnonzero(~own & known), np.flatnonzero(~known)
    parts = [
        (IN, test, pixels[test]),
        (COVARIATE, others, pixels[others]),
        (COVARIATE, test, _tilted(pixels[test], rng)),
        (SEMANTIC, unseen, pixels[unseen]),
    ]
    return _World(
        (pixels[train], digit[train]),
        np.concatenate([x for _, _, x in parts]),
        digit[np.concatenate([at for _, at, _ in parts])],
        np.repeat([source for source, _, _ in parts], [len(at) for _, at, _ in parts]),
    )


def _judged(
    world: _World, model: Any, wanted: tuple[DetectorName, ...] = DETECTORS
) -> tuple[Cases, FloatArray]:
    """Right and wrong answers of a model, and the scores of detectors, a row a detector."""
    view = inner_view(model)
    training = view.outputs(world.training[0])
    found = fit_detectors(training, world.training[1], view.head, wanted)
    outputs = view.outputs(world.pixels)
    right = model.classes_[outputs.logits.argmax(axis=1)] == world.digit
    scores = np.array([found.score(name, outputs) for name in found.names])
    return Cases(world.source, right), scores


@functools.lru_cache(maxsize=2)
def _network_at(seed: int) -> tuple[_World, Cases, FloatArray]:
    """A world and its network, the same for subject and twin; some errors are in-distribution."""
    rng = np.random.default_rng(seed)
    while True:
        world = _world(rng)
        cases, scores = _judged(world, _perceptron(world.training, rng))
        if np.sum(~cases.right & (cases.source == IN)) >= 2:
            return world, cases, scores


def _network(rng: np.random.Generator) -> tuple[_World, Cases, FloatArray]:
    return _network_at(int(rng.integers(2**63 - 1)))


def _areas(scores: FloatArray, protocol: Protocol, rows: BoolArray | None = None) -> FloatArray:
    """AUROC of each detector, on some of the rows."""
    kept = np.ones(scores.shape[1], dtype=bool) if rows is None else rows
    part = Protocol(protocol.accept & kept, protocol.reject & kept, protocol.reference & kept)
    one = np.ones((len(kept), 1))
    return np.array([area_under_curve(row, part, one)[0] for row in scores])


def _halves(cases: Cases, rng: np.random.Generator) -> tuple[BoolArray, BoolArray]:
    """Two halves of the rows, each with its share of every source and of right and wrong."""
    kind = 2 * cases.source + cases.right
    first = np.zeros(len(kind), dtype=bool)
    for level in np.unique(kind):
        members = rng.permutation(np.flatnonzero(kind == level))
        first[members[: len(members) // 2]] = True
    return first, ~first


# --- claims ---------------------------------------------------------------------------------------


def _agreement_lost(first: list[FloatArray], second: list[FloatArray]) -> float:
    """Kendall's tau of one measure on two halves, minus that of two measures on two halves."""
    within = [kendall_tau(*first), kendall_tau(*second)]
    between = [kendall_tau(first[0], second[1]), kendall_tau(second[0], first[1])]
    return float(np.mean(within) - np.mean(between))


@claim(
    "unified-ood",
    says="judged by what the model gets right or wrong, detectors are ranked otherwise than by "
    "telling unknown classes from known ones",
    where="Introduction: unified framework; comparison of detectors",
    expect=Above(0.1),
    unit="Kendall's tau of a ranking with itself on other rows, minus that of the two rankings",
    subject=model_specific,
    twin=Twin("the ranking by class in place of that by right or wrong", class_based),
    quick=8,
    full=120,
)
def ranking_changes(rng: np.random.Generator, judge: Judge) -> float:
    """Agreement of rankings of eleven detectors that is lost from one protocol to the other."""
    _, cases, scores = _network(rng)
    halves = _halves(cases, rng)
    by_class = [_areas(scores, class_based(cases), half) for half in halves]
    return _agreement_lost(by_class, [_areas(scores, judge(cases), half) for half in halves])


def _by_judge(judge: Judge) -> Callable[..., int]:
    def choose(scores: FloatArray, cases: Cases, rows: BoolArray, rng: Any) -> int:
        return int(np.argmax(_areas(scores, judge(cases), rows)))

    return choose


def _at_random(scores: FloatArray, cases: Cases, rows: BoolArray, rng: np.random.Generator) -> int:
    return int(rng.integers(len(scores)))


@claim(
    "unified-ood",
    says="a detector chosen for unknown classes is not the best for the model's errors: choosing "
    "by right or wrong is better",
    where="Introduction: detect what the deployed model cannot predict correctly",
    expect=Above(0),
    unit="AUROC, right against wrong on other rows, gained over the choice by class",
    subject=_by_judge(model_specific),
    twin=Twin("a detector drawn at random", _at_random),
    quick=20,  # most gains are 0, a few large: fewer replicates may miss all of these
    full=120,
)
def choosing_by_right_or_wrong(rng: np.random.Generator, choose: Callable[..., int]) -> float:
    """Gain on one half of the rows of a choice made on the other."""
    _, cases, scores = _network(rng)
    first, second = _halves(cases, rng)
    areas = _areas(scores, model_specific(cases), second)
    by_class = _by_judge(class_based)(scores, cases, first, rng)
    return float(areas[choose(scores, cases, first, rng)] - areas[by_class])


@claim(
    "unified-ood",
    says="the plain maximum softmax probability is better than other detectors at the model's own "
    "errors in-distribution",
    where="Experiments: wrongly classified in-distribution data",
    expect=Above(0),
    unit="AUROC at in-distribution errors minus the mean of the ten other detectors",
    subject="max_softmax",
    twin=Twin("the distance to the nearest training rows in its place", "knn"),
    quick=8,
    full=120,
)
def softmax_at_own_errors(rng: np.random.Generator, name: DetectorName) -> float:
    """Advantage of a detector at errors on rows like those of training."""
    _, cases, scores = _network(rng)
    areas = _areas(scores, against_source(cases, IN))
    place = DETECTORS.index(name)
    return float(areas[place] - np.delete(areas, place).mean())


@claim(
    "unified-ood",
    says="which detector is better depends on the source: the energy gains on the maximum softmax "
    "probability from own errors to unknown classes",
    where="Experiments: sources of rejection cases",
    expect=Above(0),
    unit="AUROC of softmax minus that of energy, at own errors minus at unknown classes",
    subject=IN,
    twin=Twin("unknown classes in place of in-distribution errors", SEMANTIC),
    quick=8,
    full=120,
)
def source_decides(rng: np.random.Generator, source: int) -> float:
    """How the gap of two detectors differs between two sources, on two halves of the rows."""
    _, cases, scores = _network(rng)
    pair = scores[[DETECTORS.index("max_softmax"), DETECTORS.index("energy")]]
    gaps = [
        np.subtract(*_areas(pair, against_source(cases, kind), half))
        for kind, half in zip((source, SEMANTIC), _halves(cases, rng), strict=True)
    ]
    return float(gaps[0] - gaps[1])


def _right_only(cases: Cases, rng: np.random.Generator) -> BoolArray:
    return np.asarray(cases.right | (cases.source != IN))


def _as_many_at_random(cases: Cases, rng: np.random.Generator) -> BoolArray:
    inside = np.flatnonzero(cases.source == IN)
    kept = np.ones(len(cases.source), dtype=bool)
    kept[rng.choice(inside, int(np.sum(~cases.right[inside])), replace=False)] = False
    return kept


@claim(
    "unified-ood",
    says="errors in-distribution make unknown classes look harder to detect than they are: without "
    "these rows they are told apart better",
    where="Experiments: in-distribution data, right and wrong, against semantic shift",
    expect=Above(0),
    unit="AUROC by class of the maximum softmax probability gained by leaving the errors out",
    subject=_right_only,
    twin=Twin("as many in-distribution rows left out at random", _as_many_at_random),
    quick=8,
    full=120,
)
def errors_left_out(rng: np.random.Generator, keep: Callable[..., BoolArray]) -> float:
    """Gain of area by leaving some in-distribution rows out."""
    _, cases, scores = _network(rng)
    row, protocol = scores[[DETECTORS.index("max_softmax")]], class_based(cases)
    return float((_areas(row, protocol, keep(cases, rng)) - _areas(row, protocol))[0])


Trainer = Callable[[Training, np.random.Generator], Any]


@claim(
    "unified-ood",
    says="the ranking of detectors depends on the model: it differs between a network and a "
    "logistic regression on the same rows",
    where="Experiments: model architectures",
    expect=Above(0.1),
    unit="Kendall's tau of a ranking with itself on other rows, minus that of two models' rankings",
    subject=_logistic,
    twin=Twin("the same network in its place", None),
    quick=8,
    full=120,
)
def model_decides(rng: np.random.Generator, other: Trainer | None) -> float:
    """Agreement of rankings by right or wrong that is lost from a network to another model."""
    world, cases, scores = _network(rng)
    judged = [(cases, scores)]
    judged += judged if other is None else [_judged(world, other(world.training, rng))]
    seed, areas = int(rng.integers(2**63 - 1)), []
    for cases, scores in judged:
        halves = _halves(cases, np.random.default_rng(seed))
        areas.append([_areas(scores, model_specific(cases), half) for half in halves])
    return _agreement_lost(*areas)


@claim(
    "unified-ood",
    says="a model that is robust to the shift has more of its right answers there accepted, not "
    "only more right answers",
    where="Introduction: acceptance region of a robust classifier",
    expect=Above(0),
    unit="share of right answers on tilted digits and other writers' accepted, gained",
    subject=_taught_tilt,
    twin=Twin("a second network with other initial weights", _perceptron),
    quick=8,
    full=120,
)
def robust_models_accept_more(rng: np.random.Generator, other: Trainer) -> float:
    """Share accepted by the maximum softmax probability at 95 % of right in-distribution rows."""
    world, cases, scores = _network(rng)
    robust = _judged(world, other(world.training, rng), ("max_softmax",))
    row = scores[[DETECTORS.index("max_softmax")]]
    return _accepted_right(*robust) - _accepted_right(cases, row)


def _accepted_right(cases: Cases, scores: FloatArray) -> float:
    """Share of right covariate rows that the (one) detector accepts."""
    threshold = measure(scores[0], model_specific(cases)).threshold[0]
    shifted = cases.right & (cases.source == COVARIATE)
    return float(np.mean(scores[0][shifted] >= threshold))
