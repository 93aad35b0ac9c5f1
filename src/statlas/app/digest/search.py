"""Searching the papers: the database proposes candidates, and they are ranked here.

A full-text index answers rare words fast and common words slowly, since it must visit every paper
that has them, and its own rank costs more than the visit. So the words of a query are ordered by
how rare they are; papers with two of the rare ones are the candidates, then papers with one of the
rarest (where all words are common, the newest papers that have all of them). These are scored with
all words, their synonyms, the field they stand in and whether they stand side by side as in the
query.

The score is the BM25F of `statlas.catalog.index`, over title, authors and abstract, with the
catalogue's synonyms.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate, pairwise
from string import punctuation
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from statlas.app.digest.database import Database
from statlas.app.digest.fulltext import Demand, Match, full_text, without
from statlas.app.digest.queries import Query, parse_query
from statlas.app.digest.tables import paper, paper_category
from statlas.catalog.index import SYNONYMS, Synonyms, read_synonyms
from statlas.catalog.words import Word, fold, term, words

_COMMON = 4_000  # papers from which on a word is too common to propose candidates
_MOST_PROPOSED = 4_000  # papers that single words of a query may propose together
_MOST_PAIRED = 1_000  # papers that pairs of words may propose
_SCORED = 100  # candidates that are scored
_FEW = 1_000  # papers of a category below which their ids are looked up
_PROPOSING_WORTH = 0.5  # synonyms worth less add to scores, but propose nothing
_TITLE_WEIGHT = 3.0
_AUTHORS_WEIGHT = 2.0
_SATURATION = 1.2
_LENGTH_SHARE = 0.4
_USUAL_LENGTH = 150.0  # words of title and abstract
_PART_OF_PHRASE = 0.5
_BEGINNING = 3  # letters
_SECOND_BEST = 0.2
_NEIGHBOURS = 0.25
_COVERED = 0.5
_LONGEST_PHRASE = 4
_MOST_WORDS = 30
_FEWEST_READ = 5  # words of a query that has none of content

_BLANKS = {ord(mark): " " for mark in punctuation + "‐‑–—“”„«»·•→×"}
_Others = tuple[tuple[tuple[str, ...], float], ...]


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper as lists show it."""

    id: int
    title: str
    abstract: str
    authors: tuple[str, ...]
    categories: tuple[str, ...]
    published: str
    url: str

    def address(self, site: str) -> str:
        """Where to read it; on the workbench at `site` where nothing else is known."""
        return self.url or f"{site.rstrip('/')}/digest/papers/{self.id}"


@dataclass(frozen=True, slots=True)
class Hit:
    """A paper and its score, comparable within one query only."""

    paper: Paper
    score: float


def search(
    database: Database, query: str | Query, *, limit: int = 10, offset: int = 0
) -> list[Hit]:
    """Papers that answer a query, the best first.

    Parameters
    ----------
    database
        Where to look.
    query
        As `parse_query` reads it. Without words the newest papers that pass its conditions.
    limit, offset
        How many, and how many of the best to leave out.

    Raises
    ------
    InputError
        If the query cannot be read.
    """
    asked = parse_query(query) if isinstance(query, str) else query
    with database.reading() as connection:
        found = _Search(connection, database.is_sqlite, asked).best(offset + limit)
    return found[offset:]


def papers(connection: Connection, ids: Sequence[int]) -> list[Paper]:
    """The papers of these ids, in this order."""
    rows = connection.execute(select(paper).where(paper.c.id.in_(ids))).mappings()
    found = {row["id"]: _paper(dict(row)) for row in rows}
    return [found[id] for id in ids if id in found]


def _paper(row: Mapping[str, Any]) -> Paper:
    return Paper(
        id=row["id"],
        title=row["title"],
        abstract=row["abstract"],
        authors=tuple(row["authors"].split("\n")) if row["authors"] else (),
        categories=tuple(row["categories"].split()),
        published=row["published"],
        url=row["url"],
    )


# --- concepts ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Concept:
    """A word or known phrase of a query.

    Attributes
    ----------
    own
        Its terms.
    written
        As typed.
    others
        What may stand for it, as terms, and what each is worth.
    """

    own: tuple[str, ...]
    written: str
    others: _Others = ()

    @cached_property
    def words(self) -> list[tuple[str, float]]:
        """The single terms that it or what stands for it has, and what each is worth."""
        return [(terms[0], worth) for terms, worth in self._all if len(terms) == 1]

    @cached_property
    def phrases(self) -> _Others:
        """The same for several terms, which must all be there."""
        return tuple((terms, worth) for terms, worth in self._all if len(terms) > 1)

    @property
    def _all(self) -> _Others:
        return ((self.own, 1.0), *self.others)


@cache
def _synonyms() -> Synonyms:
    return read_synonyms(SYNONYMS)


def concepts_of(text: str) -> list[Concept]:
    """The concepts of a query, each once, longest known phrases first."""
    parts = fold(text).translate(_BLANKS).split()[:_FEWEST_READ]  # nothing but "the", or "C++"
    typed = words(text)[:_MOST_WORDS] or [Word(part, term(part)) for part in parts]
    found: dict[tuple[str, ...], Concept] = {}
    at = 0
    while at < len(typed):
        length = _phrase_length(typed, at)
        own = tuple(word.term for word in typed[at : at + length])
        written = " ".join(word.surface for word in typed[at : at + length])
        others = tuple(
            (tuple(other.split()), worth) for other, worth in _synonyms().get(" ".join(own), ())
        )
        found.setdefault(own, Concept(own, written, others))
        at += length
    return list(found.values())


def _phrase_length(typed: Sequence[Word], at: int) -> int:
    for length in range(min(_LONGEST_PHRASE, len(typed) - at), 1, -1):
        if " ".join(word.term for word in typed[at : at + length]) in _synonyms():
            return length
    return 1


# --- candidates ----------------------------------------------------------------------------------


class _Search:
    """One search on one connection."""

    def __init__(self, connection: Connection, is_sqlite: bool, asked: Query):
        self._connection = connection
        self._index = full_text(is_sqlite)
        self._asked = asked
        self._every = tuple(Match(term.text, term.field) for term in asked.required)
        self._none = tuple(Match(term.text, term.field) for term in asked.excluded)
        self._conditions = conditions_of(connection, asked)

    def best(self, limit: int) -> list[Hit]:
        """The papers with the highest score; the newest where there are no words."""
        concepts = concepts_of(self._asked.words) if self._asked.words else []
        if not concepts:
            return [Hit(found, 0.0) for found in papers(self._connection, self._newest(limit))]
        matches = {match for concept in concepts for match in _proposals(concept)}
        having = {match: self._index.ids(self._connection, match, _COMMON) for match in matches}
        total = int(self._connection.execute(select(func.max(paper.c.id))).scalar() or 0)
        rarity = [_rarity(len(having[_proposals(concept)[0]]), total) for concept in concepts]
        ids = self._candidates(concepts, having, max(_SCORED, limit))
        return rank(concepts, rarity, papers(self._connection, ids))[:limit]

    def _newest(self, limit: int) -> list[int]:
        if self._every:
            demand = Demand(every=self._every, none=self._none, conditions=self._conditions)
            return self._index.newest(self._connection, demand, limit)
        statement = select(paper.c.id).where(*self._conditions)
        newest = statement.order_by(paper.c.published.desc(), paper.c.id.desc()).limit(limit)
        if not self._none:
            return [int(row.id) for row in self._connection.execute(newest)]
        many = [int(row.id) for row in self._connection.execute(newest.limit(20 * limit))]
        kept = without(self._index, self._connection, many, self._none)
        return kept[:limit]

    def _candidates(
        self, concepts: Sequence[Concept], having: Mapping[Match, list[int]], limit: int
    ) -> list[int]:
        """Papers with two of the rare concepts, and where they are few, the best with one."""
        groups = [
            {
                match: having[match]
                for match in _proposals(concept)
                if 0 < len(having[match]) < _COMMON
            }
            for concept in concepts
        ]
        groups = sorted(filter(None, groups), key=_size)
        if not groups:
            return self._common_candidates(concepts, limit)
        ids: dict[int, None] = {}
        if not (self._every or self._none):
            ids |= dict.fromkeys(self._passing(_with_two(groups)))
        if len(ids) < limit:
            some = tuple(match for group in _few(groups) for match in group)
            demand = Demand(self._every, some, self._none, self._conditions)
            ids |= dict.fromkeys(self._index.best(self._connection, demand, limit))
        return list(ids)[:limit]

    def _passing(self, ids: list[int]) -> list[int]:
        """The papers that the conditions hold for, in the order given."""
        if not self._conditions:
            return ids
        statement = select(paper.c.id).where(paper.c.id.in_(ids), *self._conditions)
        passing = {int(row.id) for row in self._connection.execute(statement)}
        return [id for id in ids if id in passing]

    def _common_candidates(self, concepts: Sequence[Concept], limit: int) -> list[int]:
        """The newest papers with all words in the title, then those with all words anywhere."""
        ids: dict[int, None] = {}
        for field in ("title", ""):
            every = tuple(Match(concept.written, field) for concept in concepts)
            demand = Demand(self._every + every, none=self._none, conditions=self._conditions)
            ids |= dict.fromkeys(self._index.newest(self._connection, demand, limit // 2))
        return list(ids)


def _proposals(concept: Concept) -> list[Match]:
    """The matches that may propose candidates; the concept's own words first."""
    near = [Match(" ".join(terms)) for terms, worth in concept.others if worth >= _PROPOSING_WORTH]
    return [Match(concept.written), *near]


_Group = Mapping[Match, list[int]]  # what stands for a concept, and the papers that have it


def _size(group: _Group) -> int:
    return sum(map(len, group.values()))


def _with_two(groups: Sequence[_Group]) -> list[int]:
    """Papers of at least two groups, those of the smallest groups first, then the newest."""
    each: list[set[int]] = [set().union(*group.values()) for group in groups]
    counts: Counter[int] = Counter()
    for ids in each:
        counts.update(ids)
    weighted = [(ids, 1 / math.log2(2 + len(ids))) for ids in each]
    worth = {
        id: sum(weight for ids, weight in weighted if id in ids)
        for id, n in counts.items()
        if n > 1
    }
    return sorted(worth, key=lambda id: (-worth[id], -id))[:_MOST_PAIRED]


def _few(groups: Sequence[_Group]) -> list[_Group]:
    """The smallest groups, which together propose few enough papers; at least one."""
    proposed = accumulate(map(_size, groups))
    return [
        group
        for at, (group, n) in enumerate(zip(groups, proposed, strict=True))
        if at == 0 or n <= _MOST_PROPOSED
    ]


def _rarity(n: int, total: int) -> float:
    return math.log(1 + (total - min(n, total) + 0.5) / (n + 0.5))


def conditions_of(connection: Connection, asked: Query) -> tuple[ColumnElement[bool], ...]:
    """What a query asks of the columns of a paper."""
    dates = (
        (asked.after, paper.c.published >= asked.after),
        (asked.before, and_(paper.c.published <= asked.before, paper.c.published != "")),
    )
    found = [condition for day, condition in dates if day]
    if asked.categories:
        found.append(category_condition(connection, asked.categories))
    return tuple(found)


def category_condition(connection: Connection, names: Sequence[str]) -> ColumnElement[bool]:
    """That a paper is of one of the categories; ``cs`` stands for all of ``cs.*``.

    A category of few papers gives their ids, so that not all papers are gone through for them.
    """
    own = paper_category.c.category
    # A slash is the sign after the dot.
    of_any = or_(*(or_(own == n, and_(own > f"{n}.", own < f"{n}/")) for n in names))
    some = connection.execute(select(paper_category.c.paper).where(of_any).limit(_FEW)).scalars()
    ids = set(some)
    if len(ids) < _FEW:
        return paper.c.id.in_(sorted(ids))
    return exists().where(paper_category.c.paper == paper.c.id, of_any)


# --- scores --------------------------------------------------------------------------------------


def rank(concepts: Sequence[Concept], rarity: Sequence[float], found: Sequence[Paper]) -> list[Hit]:
    """Score papers and sort them, the best first; equal scores by date, the newest first."""
    scorer = _Scorer(concepts, rarity)
    hits = [Hit(item, score) for item in found if (score := scorer.score(item)) > 0]
    return sorted(
        hits, key=lambda hit: (hit.score, hit.paper.published, hit.paper.id), reverse=True
    )


class _Scorer:
    """The score of a paper for the concepts of a query."""

    def __init__(self, concepts: Sequence[Concept], rarity: Sequence[float]):
        self._weighted = list(zip(concepts, rarity, strict=True))
        self._total = sum(rarity)
        own = [(term, weight) for concept, weight in self._weighted for term in concept.own]
        self._pairs = {
            (a, b): _NEIGHBOURS * (a_weight + b_weight)
            for (a, a_weight), (b, b_weight) in pairwise(own)
            if a != b
        }
        asked = {term for concept in concepts for term in concept.own}
        asked |= {term for concept in concepts for other, _ in concept.others for term in other}
        self._finder = _Finder(asked)

    def score(self, item: Paper) -> float:
        title, abstract = self._finder.read(item.title), self._finder.read(item.abstract)
        authors = self._finder.read(" ".join(item.authors))
        fields = ((title, _TITLE_WEIGHT), (abstract, 1.0), (authors, _AUTHORS_WEIGHT))
        counts: dict[str, float] = defaultdict(float)
        for found, weight in fields:
            for name in found.terms:
                counts[name] += weight
        if not counts:
            return 0.0
        n_words = title.n_words + abstract.n_words
        norm = 1 - _LENGTH_SHARE + _LENGTH_SHARE * n_words / _USUAL_LENGTH
        worth = {term: _saturated(count / norm) for term, count in counts.items()}
        score = covered = 0.0
        for concept, weight in self._weighted:
            share = _share(concept, worth)
            score += weight * share
            covered += weight * (share > 0)
        beside = set().union(*(found.beside for found, _ in fields))
        score += sum(bonus for pair, bonus in self._pairs.items() if pair in beside)
        return score * (1 - _COVERED + _COVERED * covered / self._total)


@dataclass(frozen=True, slots=True)
class _Found:
    """The terms of a query in a text, in order; pairs with at most one word between; all words."""

    terms: list[str]
    beside: set[tuple[str, str]]
    n_words: int


class _Finder:
    """Finds the terms of a query in texts.

    A stem begins like its word, so only words that begin like a term are looked at, and a text is
    searched for these beginnings as it is.
    """

    def __init__(self, asked: Iterable[str]):
        self._asked = set(asked)
        self._beginnings = {f" {term[:_BEGINNING]}" for term in self._asked}
        self._term_of: dict[str, str] = {}

    def read(self, text: str) -> _Found:
        blanked = f" {fold(text).translate(_BLANKS)} "
        places: dict[int, str] = {}
        for beginning in self._beginnings:
            at = blanked.find(beginning)
            while at >= 0:
                end = blanked.find(" ", at + 1)
                if found := self._term(blanked[at + 1 : end]):
                    places[at] = found
                at = blanked.find(beginning, end)
        ordered = sorted(places.items())
        beside = {
            (a, b) for (at, a), (then, b) in pairwise(ordered) if blanked.count(" ", at, then) <= 2
        }
        return _Found([found for _, found in ordered], beside, blanked.count(" "))

    def _term(self, word: str) -> str:
        """The asked term that a word stands for, or nothing."""
        if word not in self._term_of:
            found = term(word)
            self._term_of[word] = found if found in self._asked else ""
        return self._term_of[word]


def _share(concept: Concept, found: Mapping[str, float]) -> float:
    """What a paper earns for a concept, 0 to 1.2: the best alternative and a bit of the next."""
    earned = [worth * found[word] for word, worth in concept.words if word in found]
    earned += [
        worth * min(found[word] for word in terms)
        for terms, worth in concept.phrases
        if all(word in found for word in terms)
    ]
    if len(concept.own) > 1:  # a known phrase of which only some words are there
        parts = [found.get(word, 0.0) for word in concept.own]
        earned.append(_PART_OF_PHRASE * sum(parts) / len(parts))
    earned.sort(reverse=True)
    return sum(earned[:1]) + _SECOND_BEST * sum(earned[1:2])


def _saturated(count: float) -> float:
    return count / (_SATURATION + count)
