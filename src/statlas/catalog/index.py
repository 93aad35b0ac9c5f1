"""The inverted index behind `find`, built once and cached.

Ranking is BM25 over fields (BM25F): the counts of a term in the fields of a paper are weighted,
normalised by the field's length and added before they saturate. All of it depends on the catalogue
alone, so the index stores for each term and paper the finished share of the score, and a query only
adds.

Reference
---------
S. Robertson and H. Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", Foundations
and Trends in Information Retrieval 3 (2009), Section 3.6.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from statlas.catalog.entries import AREAS, Entry
from statlas.catalog.words import Word, compounds, words

__all__ = ["SYNONYMS", "Index", "Synonyms", "build_index", "index_from_json", "read_synonyms"]

SYNONYMS = Path(__file__).with_name("synonyms.toml")
"""Where the table of synonyms is."""

BREAK = -1
"""Separates fields and phrases in `Index.sequences`: no pair of words spans it."""


class _Field(NamedTuple):
    weight: float
    length_share: float  # 0: the length of the field does not matter; 1: counts become shares


# What a match in each field is worth. `avoid_when` names neighbouring needs that the paper does NOT
# serve, so it stays out of the index.
_FIELDS = {
    "id": _Field(1.5, 0.0),
    "title": _Field(2.0, 0.4),
    "answers": _Field(2.0, 0.4),
    "search": _Field(2.0, 0.4),
    "use_when": _Field(1.0, 0.4),
    "input": _Field(0.7, 0.4),
    "authors": _Field(1.5, 0.0),
    "kind": _Field(0.3, 0.0),
    "area": _Field(0.4, 0.0),
}
_SHARED_FIELDS = frozenset(("area", "kind"))  # the same words for many papers: no say in rarity
_SATURATION = 1.2

Synonyms = dict[str, list[tuple[str, float]]]
"""From a word or phrase (terms joined by blanks) to its alternatives and what each is worth."""


@dataclass(frozen=True)
class Index:
    """What `find` reads.

    Parameters
    ----------
    papers
        Ids by position; every other number below is such a position or a position in `terms`.
    terms
        The stems, sorted.
    postings
        For each term: paper, share of the score, paper, share of the score, ...
    rarity
        For each term: its inverse document frequency.
    sequences
        For each paper: its terms in reading order, `BREAK` between phrases.
    spellings
        Words as written, sorted, for prefixes and misspellings.
    spelling_terms
        For each spelling: its term.
    synonyms
        Alternatives of words and phrases.
    """

    papers: list[str]
    terms: list[str]
    postings: list[list[float]]
    rarity: list[float]
    sequences: list[list[int]]
    spellings: list[str]
    spelling_terms: list[int]
    synonyms: Synonyms

    def to_json(self) -> dict[str, Any]:
        """Return the index as lists and dictionaries."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def term_numbers(self) -> dict[str, int]:
        """Position of each term in `terms`."""
        return {term: number for number, term in enumerate(self.terms)}

    def shares(self, term: str) -> dict[int, float]:
        """Return the papers that hold `term`, each with the share of the score; empty if none."""
        number = self.term_numbers.get(term)
        if number is None:
            return {}
        posting = self.postings[number]
        return {int(paper): share for paper, share in zip(posting[::2], posting[1::2], strict=True)}


def index_from_json(data: Mapping[str, Any]) -> Index:
    """Read what `Index.to_json` returned.

    Raises
    ------
    KeyError, TypeError, ValueError
        The data are not an index.
    """
    synonyms = {
        phrase: [(str(other), float(worth)) for other, worth in others]
        for phrase, others in data["synonyms"].items()
    }
    return Index(**{**data, "synonyms": synonyms})


def build_index(entries: Iterable[Entry], synonyms: Synonyms | None = None) -> Index:
    """Index the entries.

    Parameters
    ----------
    entries
        The papers, in the order in which ties are to be broken.
    synonyms
        Alternatives; by default those of `SYNONYMS`.

    Returns
    -------
    Index
        The index.

    Examples
    --------
    >>> build_index([], {}).papers
    []
    """
    documents = list(entries)
    read = [_read(entry) for entry in documents]
    terms = sorted({word.term for paper in read for field in paper.values() for word in field})
    numbers = {term: number for number, term in enumerate(terms)}
    rarity = _rarity(read)
    postings: list[list[float]] = [[] for _ in terms]
    for paper, counts in enumerate(_weighted_counts(read)):
        for term, count in sorted(counts.items()):
            share = rarity[term] * count / (_SATURATION + count)
            postings[numbers[term]] += [paper, round(share, 4)]
    spellings = _spellings(read)
    return Index(
        papers=[entry.id for entry in documents],
        terms=terms,
        postings=postings,
        rarity=[round(rarity[term], 4) for term in terms],
        sequences=[_sequence(entry, numbers) for entry in documents],
        spellings=list(spellings),
        spelling_terms=[numbers[term] for term in spellings.values()],
        synonyms=read_synonyms(SYNONYMS) if synonyms is None else synonyms,
    )


def _read(entry: Entry) -> dict[str, list[Word]]:
    """Return the words of each field."""
    texts = {
        "id": entry.id,
        "title": entry.title,
        "answers": entry.answers,
        "search": " . ".join(entry.search),
        "use_when": entry.use_when,
        "input": entry.input,
        "authors": " ".join(entry.authors),
        "kind": entry.kind,
        "area": f"{entry.area} {AREAS[entry.area]}",
    }
    return {field: words(text) + compounds(text) for field, text in texts.items()}


def _rarity(read: list[dict[str, list[Word]]]) -> dict[str, float]:
    """Return the inverse document frequency of each term."""
    own: Counter[str] = Counter()
    shared: Counter[str] = Counter()
    for paper in read:
        own.update({w.term for name in paper.keys() - _SHARED_FIELDS for w in paper[name]})
        shared.update({w.term for name in _SHARED_FIELDS for w in paper[name]})
    frequency = {term: own[term] or shared[term] for term in own | shared}
    total = len(read)
    return {t: math.log(1 + (total - df + 0.5) / (df + 0.5)) for t, df in frequency.items()}


def _weighted_counts(read: list[dict[str, list[Word]]]) -> list[dict[str, float]]:
    """Return for each paper the field-weighted, length-normalised count of each term."""
    total = max(len(read), 1)
    mean_length = {
        name: max(sum(len(paper[name]) for paper in read) / total, 1.0) for name in _FIELDS
    }
    results = []
    for paper in read:
        counts: dict[str, float] = defaultdict(float)
        for name, (weight, length_share) in _FIELDS.items():
            relative = len(paper[name]) / mean_length[name]
            worth = weight / (1 - length_share + length_share * relative)
            for word in paper[name]:
                counts[word.term] += worth
        results.append(dict(counts))
    return results


def _sequence(entry: Entry, numbers: Mapping[str, int]) -> list[int]:
    """Return the term numbers of the texts in which neighbouring words mean something together."""
    sequence: list[int] = []
    for text in (entry.title, entry.answers, entry.use_when, *entry.search):
        sequence += [numbers[word.term] for word in words(text)]
        sequence.append(BREAK)
    return sequence


def _spellings(read: list[dict[str, list[Word]]]) -> dict[str, str]:
    """Return every word as written with its term, sorted."""
    written = {word.surface: word.term for paper in read for f in paper.values() for word in f}
    return dict(sorted(written.items()))


def read_synonyms(file: Path) -> Synonyms:
    """Read the table of synonyms.

    ``[[same]]`` tables hold `words` that replace each other; ``[[narrow]]`` tables hold `words`
    (what people type) that lead to `to` (what entries say) but not back. `worth` lies in 0 to 1.

    Parameters
    ----------
    file
        A TOML file.

    Returns
    -------
    dict
        For each word or phrase its alternatives, as terms joined by blanks.
    """
    import tomllib  # only needed when the index is built, and not free to load

    document = tomllib.loads(file.read_text(encoding="utf-8"))
    worth: dict[tuple[str, str], float] = {}
    for group in document.get("same", []):
        for source in group["words"]:
            for target in group["words"]:
                _add(worth, source, target, group.get("worth", 0.7))
    for group in document.get("narrow", []):
        for source in group["words"]:
            for target in group["to"]:
                _add(worth, source, target, group.get("worth", 0.5))
    table: Synonyms = defaultdict(list)
    for (source, target), value in sorted(worth.items()):
        table[source].append((target, value))
    return dict(table)


def _add(worth: dict[tuple[str, str], float], source: str, target: str, value: float) -> None:
    pair = (_phrase(source), _phrase(target))
    if pair[0] != pair[1]:
        worth[pair] = max(value, worth.get(pair, 0.0))


def _phrase(text: str) -> str:
    return " ".join(word.term for word in words(text))
