"""Finding papers by need: a question in the user's words, ranked ids out.

A query becomes a list of *concepts*. A concept is a word or known phrase with its alternatives:
synonyms, and for a word that the catalogue does not know, what it may be the beginning of or a
misspelling of. A paper earns the best alternative of each concept, a bonus for words that stand
side by side as in the query, and keeps more of the sum the more of the query it covers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from statlas.catalog.entries import AREAS, KINDS, Catalogue
from statlas.catalog.index import Index
from statlas.catalog.words import Word, fold, words

__all__ = ["Hit", "edit_distance", "find"]

_MOST_WORDS = 60  # of a query; what follows is not read
_LONGEST_PHRASE = 4  # words of a synonym
_PREFIX_WORTH = 0.7
_SHORTEST_PREFIX = 3
_MOST_COMPLETIONS = 8
_EDIT_WORTH = (1.0, 0.7, 0.5)  # by number of edits
_SHORTEST_FOR_EDITS = (5, 8)  # letters that a word needs for one edit, for two
_SECOND_BEST = 0.2  # what the alternatives after the best one add
_NEIGHBOURS = 0.25  # bonus for a pair of words, in units of their rarities
_COVERED = 0.5  # share of the score that depends on how much of the query is covered
_PHRASES_FOR = 60  # best papers whose neighbouring words are looked at

_Alternative = tuple[tuple[str, ...], float]  # terms, and what they are worth


@dataclass(frozen=True)
class Hit:
    """One answer: a paper's id and its score (above 0, comparable within one query only)."""

    id: str
    score: float


@dataclass(frozen=True)
class _Concept:
    """A word or phrase of the query: its alternatives, each as terms and what it is worth."""

    own: tuple[str, ...]
    alternatives: tuple[_Alternative, ...]


def find(
    text: str,
    *,
    catalogue: Catalogue,
    limit: int = 10,
    area: str | None = None,
    kind: str | None = None,
) -> list[Hit]:
    """Return the papers that answer `text`, the best first.

    Parameters
    ----------
    text
        A question, some words, an id or an arXiv number. Only the first 60 content words count.
    catalogue
        Where to look.
    limit
        Largest number of answers, at least 1.
    area, kind
        Keep only papers of this area or kind.

    Returns
    -------
    list of Hit
        Empty when no word of `text` is known. An exact id or arXiv number comes first; equal scores
        are ordered by the papers' numbers.

    Raises
    ------
    ValueError
        `limit` is below 1, or `area` or `kind` does not exist.

    Examples
    --------
    >>> from statlas.catalog import find, load_catalogue
    >>> find("", catalogue=load_catalogue())
    []
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    _check_choice("area", area, tuple(AREAS))
    _check_choice("kind", kind, KINDS)
    index = catalogue.index
    scores = _scores(text, index)
    _put_named_first(text, catalogue, index, scores)
    ranked = sorted(scores.items(), key=lambda item: (-round(item[1], 6), item[0]))
    hits = [Hit(index.papers[paper], round(score, 6)) for paper, score in ranked]
    kept = [hit for hit in hits if _passes(catalogue, hit.id, area, kind)]
    return kept[:limit]


def _check_choice(name: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise ValueError(f"unknown {name} {value!r}; choose one of {', '.join(choices)}")


def _passes(catalogue: Catalogue, id: str, area: str | None, kind: str | None) -> bool:
    entry = catalogue[id]
    return area in (None, entry.area) and kind in (None, entry.kind)


def _put_named_first(
    text: str, catalogue: Catalogue, index: Index, scores: dict[int, float]
) -> None:
    """Raise the paper whose id or arXiv number is the whole query above all others."""
    asked = fold(text).strip()
    ids = {asked, "-".join(asked.split()), asked.replace("_", "-")}
    arxiv = asked.removeprefix("arxiv:").strip()
    for paper, id in enumerate(index.papers):
        if id in ids or catalogue[id].arxiv == arxiv:
            scores[paper] = 1.0 + max(scores.values(), default=0.0)


def _scores(text: str, index: Index) -> dict[int, float]:
    """Return the score of each paper that shares a concept with `text`."""
    typed = words(text)[:_MOST_WORDS]
    being_typed = bool(text) and text[-1].isalnum()
    concepts = _concepts(typed, index, being_typed)
    scores: dict[int, float] = {}
    covered: dict[int, float] = {}
    total = 0.0
    for concept in concepts:
        earned = _earned(concept, index)
        if not earned:
            continue
        most = max(earned.values())
        total += most
        for paper, share in earned.items():
            scores[paper] = scores.get(paper, 0.0) + share
            covered[paper] = covered.get(paper, 0.0) + most * (share > 0.25 * most)
    _add_neighbours(concepts, index, scores)
    return {
        paper: score * (1 - _COVERED + _COVERED * covered[paper] / total)
        for paper, score in scores.items()
    }


def _earned(concept: _Concept, index: Index) -> dict[int, float]:
    """Return what each paper earns for one concept: the best alternative and a bit of the rest."""
    best: dict[int, float] = {}
    rest: dict[int, float] = {}
    for terms, worth in concept.alternatives:
        for paper, share in _joint(terms, index, partly=terms == concept.own).items():
            value = worth * share
            low, high = sorted((value, best.get(paper, 0.0)))
            best[paper] = high
            rest[paper] = max(low, rest.get(paper, 0.0))
    return {paper: share + _SECOND_BEST * rest[paper] for paper, share in best.items()}


def _joint(terms: Sequence[str], index: Index, *, partly: bool) -> dict[int, float]:
    """Return the summed shares of `terms`, for papers with all of them, or `partly` with some."""
    columns = [index.shares(term) for term in terms]
    papers = set(columns[0])
    for column in columns[1:]:
        papers = papers | column.keys() if partly else papers & column.keys()
    return {paper: sum(column.get(paper, 0.0) for column in columns) for paper in papers}


def _add_neighbours(concepts: Sequence[_Concept], index: Index, scores: dict[int, float]) -> None:
    """Add the bonus for words that stand side by side in the query and in the paper."""
    numbers = [index.term_numbers.get(term) for concept in concepts for term in concept.own]
    pairs = {
        (a, b): _NEIGHBOURS * (index.rarity[a] + index.rarity[b])
        for a, b in pairwise(numbers)
        if a is not None and b is not None and a != b
    }
    best = sorted(scores, key=lambda paper: (-scores[paper], paper))[:_PHRASES_FOR]
    for paper in best if pairs else ():
        sequence = index.sequences[paper]
        present = set(pairwise(sequence))
        scores[paper] += sum(bonus for pair, bonus in pairs.items() if pair in present)


def _concepts(typed: Sequence[Word], index: Index, being_typed: bool) -> list[_Concept]:
    """Group the words of the query into concepts, longest known phrase first."""
    concepts: dict[tuple[str, ...], _Concept] = {}
    position = 0
    while position < len(typed):
        length = _phrase_length(typed, position, index)
        own = tuple(word.term for word in typed[position : position + length])
        last = position + length == len(typed)
        concept = _Concept(own, _alternatives(own, typed[position], index, being_typed and last))
        concepts.setdefault(own, concept)
        position += length
    return list(concepts.values())


def _phrase_length(typed: Sequence[Word], position: int, index: Index) -> int:
    for length in range(min(_LONGEST_PHRASE, len(typed) - position), 1, -1):
        if " ".join(word.term for word in typed[position : position + length]) in index.synonyms:
            return length
    return 1


def _alternatives(
    own: tuple[str, ...], word: Word, index: Index, being_typed: bool
) -> tuple[_Alternative, ...]:
    """Return the concept itself, its synonyms, and guesses for one unknown word."""
    synonyms = _synonyms(own, 1.0, index)
    if len(own) > 1 or synonyms or own[0] in index.term_numbers:
        return ((own, 1.0), *synonyms)
    guesses = _completions(word.surface, index) if being_typed else []
    guesses = guesses or _split(word.surface, index) or _corrections(word.surface, index)
    theirs = (_synonyms(terms, worth, index) for terms, worth in guesses)
    return ((own, 1.0), *guesses, *chain.from_iterable(theirs))


def _synonyms(terms: tuple[str, ...], worth: float, index: Index) -> list[_Alternative]:
    """Return the alternatives of `terms`, which are worth `worth` themselves."""
    others = index.synonyms.get(" ".join(terms), ())
    return [(tuple(other.split()), worth * share) for other, share in others]


def _completions(prefix: str, index: Index) -> list[_Alternative]:
    """Return what the word being typed may become."""
    if len(prefix) < _SHORTEST_PREFIX:
        return []
    found: dict[str, None] = {}
    for position in range(bisect_left(index.spellings, prefix), len(index.spellings)):
        if not index.spellings[position].startswith(prefix):
            break
        found.setdefault(index.terms[index.spelling_terms[position]])
    return [((term,), _PREFIX_WORTH) for term in list(found)[:_MOST_COMPLETIONS]]


def _split(surface: str, index: Index) -> list[_Alternative]:
    """Return the two known words that were written as one, if any."""
    for cut in range(3, len(surface) - 2):
        parts = words(f"{surface[:cut]} {surface[cut:]}")
        if len(parts) == 2 and all(part.surface in _known(index, part) for part in parts):
            return [((parts[0].term, parts[1].term), 1.0)]
    return []


def _known(index: Index, word: Word) -> tuple[str, ...]:
    position = bisect_left(index.spellings, word.surface)
    return tuple(index.spellings[position : position + 1])


def _corrections(surface: str, index: Index) -> list[_Alternative]:
    """Return the known words at the smallest edit distance that the length of the word permits."""
    most = sum(len(surface) >= length for length in _SHORTEST_FOR_EDITS)
    if not most:
        return []
    found: dict[int, dict[str, None]] = {1: {}, 2: {}}
    for spelling, number in zip(index.spellings, index.spelling_terms, strict=True):
        if abs(len(spelling) - len(surface)) > most or spelling[0] != surface[0]:
            continue
        distance = edit_distance(surface, spelling, most)
        if 1 <= distance <= most:
            found[distance].setdefault(index.terms[number])
    for distance, terms in found.items():
        if terms:
            return [((term,), _EDIT_WORTH[distance]) for term in terms]
    return []


def edit_distance(first: str, second: str, most: int) -> int:
    """Return the number of edits between two words, or `most` + 1 when there are more than `most`.

    An edit inserts, drops or replaces a letter or swaps two neighbours (optimal string alignment).

    Parameters
    ----------
    first, second
        The words.
    most
        Where counting stops, at least 0.

    Returns
    -------
    int
        0 to `most` + 1.

    Examples
    --------
    >>> edit_distance("calibraton", "calibration", 2), edit_distance("form", "from", 2)
    (1, 1)
    """
    before: list[int] = []
    previous = list(range(len(second) + 1))
    for i, letter in enumerate(first, start=1):
        current = [i]
        for j, other in enumerate(second, start=1):
            cost = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == second[j - 2] and first[i - 2] == other:
                cost = min(cost, before[j - 2] + 1)
            current.append(cost)
        if min(current) > most:
            return most + 1
        before, previous = previous, current
    return min(previous[-1], most + 1)
