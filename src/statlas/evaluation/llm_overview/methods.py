"""Three short methods that no paper of the catalogue holds, on arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtrc, stdtrit

from statlas.core import InputError
from statlas.core.numerics.conformal import conformal_quantile

FloatArray = NDArray[np.float64]


# --- watermark ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class WatermarkTest:
    """Outcome of `green_list_test`.

    Attributes
    ----------
    green, pairs
        Number of green pairs, and of pairs counted.
    z
        Standardised excess of green pairs.
    p_value
        Exact one-sided binomial probability of so many green pairs in unmarked text.
    """

    green: int
    pairs: int
    z: float
    p_value: float


def green_pairs(
    before: ArrayLike, after: ArrayLike, key: int, share: float = 0.5
) -> NDArray[np.bool_]:
    """Whether a token is on the green list that the token before it and a secret key define.

    Parameters
    ----------
    before, after
        Token numbers of at least 0, broadcast against each other.
    key
        Secret of whoever marks the text, from 0 to 2**64 - 1.
    share
        Expected share of green tokens, in (0, 1).

    Returns
    -------
    ndarray of bool
        In the broadcast shape. Distinct pairs are coloured as if independently.

    Examples
    --------
    >>> bool(abs(green_pairs(7, np.arange(10_000), key=1).mean() - 0.5) < 0.02)
    True
    """
    secret = _mixed(np.asarray(key, dtype=np.uint64))
    context = _mixed(np.asarray(before).astype(np.uint64) ^ secret)
    number = _mixed(np.asarray(after).astype(np.uint64) + context)
    green: NDArray[np.bool_] = (number >> np.uint64(11)) * 2.0**-53 < share
    return green


def _mixed(number: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit numbers (finaliser of SplitMix64); arithmetic is modulo 2**64 on purpose."""
    with np.errstate(over="ignore"):
        number = number + np.uint64(0x9E3779B97F4A7C15)
        number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return number ^ (number >> np.uint64(31))


def green_list_test(
    tokens: ArrayLike, key: int, share: float = 0.5, *, distinct: bool = True
) -> WatermarkTest:
    """Test whether a text holds more green tokens than chance, so was marked with this key.

    Parameters
    ----------
    tokens
        Token numbers of the text in order, shape (n_tokens,), at least two.
    key, share
        As they were when the text was marked; see `green_pairs`.
    distinct
        Count a repeated pair of neighbours once. Counting every repeat treats copies of one coin
        toss as new ones and raises false alarms in repetitive text.

    Raises
    ------
    InputError
        If there are fewer than two tokens, a negative one, or `share` is not in (0, 1).

    Examples
    --------
    >>> green_list_test([5, 9, 5, 9, 5, 9], key=3).pairs
    2
    >>> green_list_test([5, 9, 5, 9, 5, 9], key=3, distinct=False).pairs
    5
    """
    text = np.asarray(tokens)
    if text.ndim != 1 or len(text) < 2:
        raise InputError("a text of at least two tokens is needed", remedy="give a longer text")
    if not np.issubdtype(text.dtype, np.integer) or text.min() < 0:
        raise InputError("tokens must be whole numbers of at least 0")
    if not 0 < share < 1:
        raise InputError(f"the green share must be between 0 and 1; got {share}")
    before, after = text[:-1], text[1:]
    if distinct:
        first = _first_of_each_pair(text)
        before, after = before[first], after[first]
    count = len(before)
    green = int(green_pairs(before, after, key, share).sum())
    z = (green - share * count) / np.sqrt(count * share * (1 - share))
    return WatermarkTest(green, count, float(z), float(bdtrc(green - 1, count, share)))


def _first_of_each_pair(text: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each distinct pair of neighbours stands for the first time."""
    known, number = np.unique(text, return_inverse=True)
    first: NDArray[np.int64] = np.unique(number[:-1] * len(known) + number[1:], return_index=True)[
        1
    ]
    return first


# --- sets of answers ---------------------------------------------------------------------------


def conformal_sets(
    checked_probabilities: ArrayLike,
    right_answers: ArrayLike,
    probabilities: ArrayLike,
    level: float = 0.9,
) -> NDArray[np.bool_]:
    """Sets of answers that hold the right one with probability `level` (split conformal).

    Parameters
    ----------
    checked_probabilities
        Probability of each answer to the questions whose right answer is known, shape
        (n_checked, n_answers); they may be badly calibrated.
    right_answers
        Column of the right answer, shape (n_checked,).
    probabilities
        The same for new questions, shape (n_new, n_answers).
    level
        Wanted coverage in (0, 1). The actual one lies between `level` and
        `level` + 1 / (n_checked + 1) when checked and new questions are exchangeable and no two
        scores tie. It is an average over questions, not a promise for each kind of question.

    Returns
    -------
    ndarray of bool
        Shape (n_new, n_answers); whether the answer belongs to the set. With fewer checked
        questions than level / (1 - level), every set holds every answer.

    Raises
    ------
    InputError
        If shapes disagree or `level` is not in (0, 1).

    Examples
    --------
    >>> checked = [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]
    >>> conformal_sets(checked, [0, 0, 1], [[0.7, 0.3], [0.5, 0.5]], level=0.75)
    array([[ True, False],
           [False, False]])
    """
    checked = np.asarray(checked_probabilities, dtype=float)
    right = np.asarray(right_answers)
    new = np.asarray(probabilities, dtype=float)
    if checked.ndim != 2 or right.shape != checked.shape[:1] or new.shape[1:] != checked.shape[1:]:
        raise InputError(
            "probabilities need a row a question, a column an answer, and one right answer a row"
        )
    if not 0 < level < 1:
        raise InputError(f"the level must be between 0 and 1; got {level}")
    scores = 1 - checked[np.arange(len(checked)), right]
    inside: NDArray[np.bool_] = 1 - new <= conformal_quantile(scores, level)
    return inside


# --- labels made by a model --------------------------------------------------------------------


@dataclass(frozen=True)
class MeanInterval:
    """A mean and its confidence interval."""

    estimate: float
    low: float
    high: float


def rectified_mean(
    checked: ArrayLike, model_on_checked: ArrayLike, model_on_rest: ArrayLike, level: float = 0.95
) -> MeanInterval:
    """Mean of a label that a model gave to all texts and people to a random few of them.

    Parameters
    ----------
    checked
        People's labels of a random sample of the texts, shape (n,), n at least 2.
    model_on_checked
        The model's labels of the same texts, shape (n,).
    model_on_rest
        The model's labels of the other texts, shape (n_rest,), at least 2.
    level
        Confidence level in (0, 1).

    Raises
    ------
    InputError
        If the shapes disagree, there are too few labels, or one is not finite.

    Examples
    --------
    The model says 1 too often, by a quarter on the checked texts:

    >>> rectified_mean([1, 0, 0, 1], [1, 1, 0, 1], [1, 1, 1, 0]).estimate
    0.5
    """
    people, model, rest = (
        np.asarray(labels, dtype=float) for labels in (checked, model_on_checked, model_on_rest)
    )
    if people.ndim != 1 or people.shape != model.shape or rest.ndim != 1:
        raise InputError("one label of people and one of the model are needed a checked text")
    if min(len(people), len(rest)) < 2:
        raise InputError("at least two checked and two other texts are needed")
    if not all(np.isfinite(labels).all() for labels in (people, model, rest)):
        raise InputError("labels must be finite numbers", remedy="remove texts without a label")
    if not 0 < level < 1:
        raise InputError(f"the level must be between 0 and 1; got {level}")
    correction = people - model
    centre = rest.mean() + correction.mean()
    error = np.sqrt(rest.var(ddof=1) / len(rest) + correction.var(ddof=1) / len(people))
    half = stdtrit(len(people) - 1, (1 + level) / 2) * error
    return MeanInterval(float(centre), float(centre - half), float(centre + half))
