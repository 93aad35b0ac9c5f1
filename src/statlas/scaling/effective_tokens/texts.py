"""What can be said of a text without training on it: how varied it is, how machine-like."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from statlas.core import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Unit = Literal["words", "characters"]

SAMPLE_CHARACTERS, PASSAGE = 262_144, 2_048
_BYTES = 256
_LONGEST_CONTEXT = 6  # seven bytes are one whole number
_FEWEST_CHARACTERS = 1_000
_LARGEST = 2**62


def _as_bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else text


def compression_ratio(text: str | bytes) -> float:
    """Size of a text over its size when compressed by gzip's method; high where it repeats itself.

    Parameters
    ----------
    text
        The text; only texts of one length compare, since short ones compress less.

    Raises
    ------
    InputError
        For an empty text.

    Examples
    --------
    >>> compression_ratio("to be or not to be " * 200) > 20
    True
    """
    data = _as_bytes(text)
    if not data:
        raise InputError("an empty text has no compression ratio")
    return len(data) / len(zlib.compress(data, 9))


def distinct_ngrams(text: str, n: int = 3, unit: Unit = "words") -> float:
    """Share of different ones among all runs of `n` words or characters; low where text repeats.

    Parameters
    ----------
    text
        The text; only texts of one length compare, since long ones repeat more.
    n
        Length of a run, at least 1.
    unit
        What is counted; words are what white space separates.

    Raises
    ------
    InputError
        Where the text is shorter than one run.

    Examples
    --------
    >>> distinct_ngrams("a rose is a rose is a rose", n=2)
    0.42857142857142855
    """
    codes = _word_codes(text) if unit == "words" else _character_codes(text)
    count = len(codes) - n + 1
    if n < 1 or count < 1:
        raise InputError(f"{len(codes)} {unit} hold no run of {n}")
    size = int(codes.max()) + 1
    runs, largest = codes[:count], size - 1
    for place in range(1, n):
        if largest >= _LARGEST // size:  # numbered again, so that numbers stay small
            runs = np.unique(runs, return_inverse=True)[1].astype(np.int64)
            largest = int(runs.max())
        runs = runs * size + codes[place : place + count]
        largest = largest * size + size - 1
    return float(len(np.unique(runs)) / count)


def _word_codes(text: str) -> IntArray:
    """A number for each word, the same for the same word."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(word, len(numbers)) for word in text.split()], dtype=int)


def _character_codes(text: str) -> IntArray:
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    seen = np.zeros(int(points.max(initial=0)) + 1, dtype=np.int64)
    seen[points] = 1
    return np.asarray((np.cumsum(seen) - 1)[points])


def type_token_ratio(text: str, window: int = 500) -> float:
    """Share of different words in a window, averaged over all windows of the text.

    Parameters
    ----------
    text
        The text; where it is shorter than the window, it is one window.
    window
        Words a window.

    Examples
    --------
    >>> type_token_ratio("a b c a b d", window=3)
    1.0
    """
    codes = _word_codes(text)
    if len(codes) == 0:
        raise InputError("a text without words has no type-token ratio")
    width = min(window, len(codes))
    order = np.argsort(codes, kind="stable")
    # A word is new in a window where its earlier occurrence lies before the window's start.
    before = np.full(len(codes), -1)
    same = codes[order][1:] == codes[order][:-1]
    before[order[1:][same]] = order[:-1][same]
    starts = len(codes) - width + 1
    places = np.arange(len(codes))
    # Occurrence i counts in windows that begin after its earlier one and at or before i.
    first = np.maximum(before + 1, places - width + 1)
    last = np.minimum(places, starts - 1)
    counted = np.maximum(last - np.maximum(first, 0) + 1, 0)
    return float(counted.sum() / (width * starts))


class NgramTeacher:
    """Chance of each byte of a text given up to `order` earlier ones, by Witten and Bell's mixture.

    P_k(c | context) = (n(context, c) + t(context) P_{k-1}(c)) / (n(context) + t(context)), where n
    counts occurrences and t the different successors of the last k bytes; P_{-1} is uniform.

    Parameters
    ----------
    order
        Bytes of context, 0 to 6.

    Examples
    --------
    >>> teacher = NgramTeacher(2).fit("the cat sat on the mat. " * 20)
    >>> teacher.loss("the cat sat on the mat. ") < teacher.loss("mtx qzk. wvu plj. okm. b")
    True
    """

    def __init__(self, order: int = 5) -> None:
        if not 0 <= order <= _LONGEST_CONTEXT:
            raise InputError(f"the order must be 0 to {_LONGEST_CONTEXT}; got {order}")
        self.order = order
        self._seen: list[IntArray] = []
        self._changes: list[IntArray] = []

    def fit(self, text: str | bytes) -> Self:
        """Count what follows what.

        Raises
        ------
        InputError
            Where the text is not longer than the context.
        """
        self._seen = [np.sort(keys) for keys in self._keys(text)]
        self._changes = [
            np.concatenate([[0], np.cumsum(np.diff(keys, prepend=-1) != 0)]) for keys in self._seen
        ]
        return self

    def losses(self, *texts: str | bytes) -> FloatArray:
        """Nats of each byte after the first `order` of each text, one text after the other."""
        if not self._seen:
            raise InputError("the teacher has read nothing yet", remedy="call fit first")
        by_text = [self._keys(text) for text in texts]
        chance = np.full(sum(len(keys[0]) for keys in by_text), 1 / _BYTES)
        for order in range(self.order + 1):
            # Each pair of context and byte is looked up once, in order, which is much faster.
            keys, places = np.unique(
                np.concatenate([keys[order] for keys in by_text]), return_inverse=True
            )
            _, total, different = self._counts(order, keys // _BYTES)
            seen = self._seen[order]
            hits = np.searchsorted(seen, keys, "right") - np.searchsorted(seen, keys)
            hits, total, different = (part[places] for part in (hits, total, different))
            mixed = (hits + different * chance) / np.maximum(total + different, 1)
            chance = np.where(total > 0, mixed, chance)
        return np.asarray(-np.log(chance))

    def loss(self, *texts: str | bytes) -> float:
        """Mean nats a byte."""
        return float(self.losses(*texts).mean())

    def perplexity(self, *texts: str | bytes) -> float:
        """exp(loss), at least 1: low for text that the teacher might have written."""
        return float(np.exp(self.loss(*texts)))

    def sample(self, n_bytes: int, rng: np.random.Generator, streams: int = 512) -> bytes:
        """Text of the teacher's own, in `streams` pieces that each begin anew."""
        length = -(-n_bytes // streams)
        known = self._seen[-1]
        # A piece begins with a context that was seen, drawn as often as it was.
        context = known[rng.integers(0, len(known), streams)] // _BYTES
        drawn = np.empty((streams, length), dtype=np.int64)
        for place in range(length):
            fresh = rng.integers(0, _BYTES, streams)
            open_ = np.ones(streams, dtype=bool)
            for order in range(self.order, -1, -1):
                first, total, different = self._counts(order, context % _BYTES**order)
                chance = total / np.maximum(total + different, 1)
                taken = open_ & (rng.random(streams) < chance)
                pick = first + (rng.random(streams) * total).astype(np.int64)
                fresh[taken] = self._seen[order][pick[taken]] % _BYTES
                open_ &= ~taken
            drawn[:, place] = fresh
            context = (context * _BYTES + fresh) % _BYTES**self.order
        return drawn.astype(np.uint8).tobytes()[:n_bytes]

    def _keys(self, text: str | bytes) -> list[IntArray]:
        """For each order a number for the bytes before and the byte itself."""
        data = np.frombuffer(_as_bytes(text), dtype=np.uint8).astype(np.int64)
        size = len(data) - self.order
        if size < 1:
            raise InputError(f"a text of {len(data)} bytes is not longer than {self.order}")
        keys, context = [], np.zeros(size, dtype=np.int64)
        for order in range(self.order + 1):
            if order:
                earlier = data[self.order - order : self.order - order + size]
                context = context + earlier * _BYTES ** (order - 1)
            keys.append(context * _BYTES + data[self.order :])
        return keys

    def _counts(self, order: int, context: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """First occurrence, number of occurrences and of different successors of contexts."""
        seen, changes = self._seen[order], self._changes[order]
        first = np.searchsorted(seen, context * _BYTES)
        last = np.searchsorted(seen, (context + 1) * _BYTES)
        return first, last - first, changes[last] - changes[first]


def passages(text: str, characters: int, rng: np.random.Generator) -> list[str]:
    """Passages of a text at random places, with replacement, as a training draws them.

    Text that is short for what is drawn from it comes again and again, as it does in training.
    """
    if len(text) < _FEWEST_CHARACTERS:
        raise InputError(
            f"a text of {len(text)} characters is too short to be measured",
            remedy=f"give at least {_FEWEST_CHARACTERS}",
        )
    length = min(PASSAGE, len(text))
    count = max(1, characters // length)
    starts = rng.integers(0, len(text) - length + 1, count)
    return [text[start : start + length] for start in starts]


def measure_texts(
    texts: Mapping[str, str],
    teacher: NgramTeacher | None = None,
    *,
    characters: int = SAMPLE_CHARACTERS,
    rng: int | np.random.Generator = 0,
) -> pd.DataFrame:
    """Measures of several texts, on samples of one length.

    Parameters
    ----------
    texts
        Text by name, such as the training data of each recipe.
    teacher
        A fitted teacher, best on text that is in none of the recipes; without one the last
        column is absent.
    characters
        Length of the samples: measures depend on it, so it is the same for all.
    rng
        Source of the passages.

    Returns
    -------
    DataFrame
        A row a text: recipe, characters, compression_ratio, distinct_ngrams (of 8 characters),
        type_token_ratio (windows of 500 words) and teacher_loss (nats a byte).

    Examples
    --------
    >>> texts = {"dull": "all work and no play. " * 500, "other": str(list(range(4000)))}
    >>> rows = measure_texts(texts)
    >>> bool(rows["compression_ratio"][0] > rows["compression_ratio"][1])
    True
    """
    generator = np.random.default_rng(rng)
    seed = int(generator.integers(2**32))
    rows = []
    for name, text in texts.items():
        parts = passages(text, characters, np.random.default_rng(seed))
        whole = "".join(parts)
        row: dict[str, object] = {
            "recipe": name,
            "characters": len(text),
            "compression_ratio": compression_ratio(whole),
            "distinct_ngrams": distinct_ngrams(whole, 8, "characters"),
            "type_token_ratio": type_token_ratio(whole),
        }
        if teacher is not None:
            row["teacher_loss"] = teacher.loss(*parts)
        rows.append(row)
    return pd.DataFrame(rows)
