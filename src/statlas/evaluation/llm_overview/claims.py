"""Statements of the survey that a simulation can decide, each about one of the short methods."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from statlas.core import Twin, Within, claim
from statlas.core.numerics.conformal import conformal_quantile
from statlas.evaluation.llm_overview.methods import (
    MeanInterval,
    WatermarkTest,
    green_list_test,
    rectified_mean,
)

FloatArray = NDArray[np.float64]


def repetitive_text(rng: np.random.Generator, n_phrases: int = 40) -> NDArray[np.int64]:
    """Unmarked text of phrases of ten tokens that come back, as in lists, code and forms."""
    phrases = np.minimum(rng.zipf(1.3, (20, 10)), 5_000)
    return phrases[rng.integers(20, size=n_phrases)].ravel().astype(np.int64)


@claim(
    "llm-overview",
    says="testing for a watermark is a test whose null distribution is known: unmarked text raises "
    "a false alarm at about the level chosen, here 5 %",
    where="the part on watermarks; green lists, text that repeats phrases",
    expect=Within(0.03, 0.055),
    unit="share of unmarked texts called marked",
    subject=green_list_test,
    twin=Twin("counting every repeat of a pair", partial(green_list_test, distinct=False)),
    quick=60,
    full=600,
)
def watermark_false_alarms(
    rng: np.random.Generator, test: Callable[[NDArray[np.int64], int], WatermarkTest]
) -> float:
    """Share of 200 unmarked texts of 400 tokens, each with a key of its own, with p <= 0.05."""
    keys = rng.integers(2**63, size=200)
    alarms = [test(repetitive_text(rng), int(key)).p_value <= 0.05 for key in keys]
    return float(np.mean(alarms))


def overconfident_answers(
    rng: np.random.Generator, shape: tuple[int, ...]
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Probabilities of four answers, too far from even, and right answers drawn from milder ones.

    Returns
    -------
    stated, right
        Stated probabilities, shape (*shape, 4), and the right answer, shape (*shape,).
    """
    logits = 1.2 * rng.standard_normal((*shape, 4))
    # Adding Gumbel noise and taking the largest draws from the softmax of the logits.
    right = np.argmax(logits + rng.gumbel(size=logits.shape), axis=-1)
    stated = np.exp(2.5 * logits)
    return stated / stated.sum(axis=-1, keepdims=True), right


def _plain_quantile(scores: FloatArray, level: float) -> float:
    """The ceil(n level)-th smallest score: right for endless checked answers only."""
    rank = int(np.ceil(len(scores) * level - 1e-9))
    return float(np.sort(scores)[rank - 1])


@claim(
    "llm-overview",
    says="conformal sets built from 15 checked answers of an overconfident model hold the right "
    "answer at least nine times in ten, and at most 1 / 16 more often",
    where="the part on uncertainty; conformal prediction",
    expect=Within(0.9, 0.9 + 1 / 16),
    unit="share of new questions whose set holds the right answer, nominal 0.9",
    subject=conformal_quantile,
    twin=Twin("quantile without the correction for finite samples", _plain_quantile),
    quick=60,
    full=600,
)
def conformal_coverage(
    rng: np.random.Generator, cut: Callable[[FloatArray, float], float]
) -> float:
    """Coverage over 100 calibration samples of 15 answers, each with 50 new questions."""
    stated, right = overconfident_answers(rng, (100, 65))
    scores = 1 - np.take_along_axis(stated, right[..., None], axis=-1)[..., 0]
    cuts = np.array([cut(sample, 0.9) for sample in scores[:, :15]])
    return float(np.mean(scores[:, 15:] <= cuts[:, None]))


def annotated_texts(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
    """Labels of people, 30 % ones, and of a model that finds 90 % of the ones and 85 % of zeros."""
    people = rng.random(n) < 0.3
    model = np.where(people, rng.random(n) < 0.9, rng.random(n) < 0.15)
    return people.astype(float), model.astype(float)


def _trusting_mean(
    checked: FloatArray, model_on_checked: FloatArray, model_on_rest: FloatArray
) -> MeanInterval:
    """The model's labels taken for the truth."""
    labels = np.concatenate([model_on_checked, model_on_rest])
    half = stats.norm.ppf(0.975) * labels.std(ddof=1) / np.sqrt(len(labels))
    return MeanInterval(labels.mean(), labels.mean() - half, labels.mean() + half)


@claim(
    "llm-overview",
    says="labels of a model support valid intervals once a random sample checked by people "
    "corrects them",
    where="the part on language models for data collection and annotation",
    expect=Within(0.93, 0.97),
    unit="share of simulated studies whose 95 % interval holds the true share",
    subject=rectified_mean,
    twin=Twin("taking the model's labels for the truth", _trusting_mean),
    quick=60,
    full=600,
)
def rectified_coverage(
    rng: np.random.Generator,
    mean_interval: Callable[[FloatArray, FloatArray, FloatArray], MeanInterval],
) -> float:
    """Coverage of the true 0.3 over 200 studies of 1,000 texts of which 100 were checked."""
    covered = []
    for _ in range(200):
        people, model = annotated_texts(rng, 1_000)
        interval = mean_interval(people[:100], model[:100], model[100:])
        covered.append(interval.low <= 0.3 <= interval.high)
    return float(np.mean(covered))
