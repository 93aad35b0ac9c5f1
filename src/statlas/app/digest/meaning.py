"""Searching by meaning: papers near a query in the space of a sentence-embedding model.

`embed` keeps a vector of each paper's title and abstract, of half precision, beside the model's
name: vectors of another model are never compared. A search reads the query by the same model and
takes the nearest papers by an exact inner product with all vectors, which stay in memory from the
first search on (for 200,000 papers 307 MB) and follow what is written since. The conditions of the
query hold as they do for words. Words and meaning are then one list by reciprocal rank fusion, so
papers that have no vector yet are found by their words.

Reference
---------
G. Cormack, C. Clarke, S. Büttcher, Reciprocal rank fusion outperforms Condorcet and individual rank
learning methods, SIGIR 2009, 758-759.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, and_, func, select

from statlas.app.digest.database import Database, in_parts
from statlas.app.digest.fulltext import Demand, Match, full_text, without
from statlas.app.digest.ingest import insert_of
from statlas.app.digest.queries import Query, parse_query
from statlas.app.digest.search import Paper, conditions_of, papers, search
from statlas.app.digest.tables import paper, paper_vector
from statlas.core.errors import InputError
from statlas.models.sentences import (
    FloatVectors,
    SentenceModel,
    missing_package,
    model_name,
    sentence_model,
)

BATCH = 128  # papers that are written together
_RANK_OFFSET = 60  # k of the fusion
# Nothing less near is an answer. The right papers of the queries that weights were chosen by are at
# 0.22 and above, the nearest to texts on other matters mostly below 0.2.
_LEAST = 0.2
_DEPTH = 100  # best of each list that are fused
_FEW = 2_000  # papers that pass a query's conditions and are compared one by one
_FIRST_LOOK = 500
_LARGEST_LOOK = 10_000
_PORTION = 10_000  # vectors that are read at once
_STORED = np.dtype("<f2")


# --- making vectors ------------------------------------------------------------------------------


@dataclass
class Embedded:
    """How far the making of vectors is."""

    done: int
    total: int
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Papers embedded in a second."""
        return self.done / self.seconds if self.seconds > 0 else 0.0


def embed(
    database: Database,
    *,
    limit: int | None = None,
    model: SentenceModel | None = None,
    report: Callable[[Embedded], None] | None = None,
) -> Embedded:
    """Make the vectors of papers that have none of this model or were changed since, newest first.

    Each batch is a transaction of its own: what was stopped goes on where it was.

    Parameters
    ----------
    database
        Whose papers.
    limit
        At most so many.
    model
        What reads them.
    report
        Called after each batch.

    Raises
    ------
    MissingExtra
        If the extra ``meaning`` is not installed.
    """
    name = model_name() if model is None else model.name
    with database.reading() as connection:
        ids = _without_vector(connection, name, limit)
    made = Embedded(0, len(ids))
    if not ids:
        return made
    model = model or sentence_model()
    start = time.perf_counter()
    for part in in_parts(ids, BATCH):
        _embed_batch(database, model, part)
        made.done += len(part)
        made.seconds = time.perf_counter() - start
        if report is not None:
            report(made)
    return made


def _without_vector(connection: Connection, model: str, limit: int | None) -> list[int]:
    fits = and_(
        paper_vector.c.paper == paper.c.id,
        paper_vector.c.model == model,
        paper_vector.c.digest == paper.c.digest,
    )
    statement = (
        select(paper.c.id)
        .select_from(paper.outerjoin(paper_vector, fits))
        .where(paper_vector.c.paper.is_(None))
        .order_by(paper.c.published.desc(), paper.c.id.desc())
        .limit(limit)
    )
    return [int(row.id) for row in connection.execute(statement)]


def _embed_batch(database: Database, model: SentenceModel, ids: Sequence[int]) -> None:
    columns = (paper.c.id, paper.c.title, paper.c.abstract, paper.c.digest)
    with database.reading() as connection:
        rows = connection.execute(select(*columns).where(paper.c.id.in_(ids))).all()
    vectors = model.vectors([f"{row.title}. {row.abstract}" for row in rows]).astype(_STORED)
    with database.writing() as connection:
        newest = connection.execute(select(func.max(paper_vector.c.written))).scalar() or 0
        written = max(int(newest) + 1, time.time_ns() // 1_000)
        insert = insert_of(database.is_sqlite)(paper_vector)
        names = ("model", "digest", "written", "vector")
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["paper"], set_={name: insert.excluded[name] for name in names}
            ),
            [
                {
                    "paper": row.id,
                    "model": model.name,
                    "digest": row.digest,
                    "written": written,
                    "vector": vector.tobytes(),
                }
                for row, vector in zip(rows, vectors, strict=True)
            ],
        )


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many papers have a vector of the model that is installed, and how many there are."""

    embedded: int
    papers: int


def coverage(database: Database) -> Coverage:
    """How many of the papers can be found by meaning.

    Raises
    ------
    MissingExtra
        If the extra ``meaning`` is not installed.
    """
    with database.reading() as connection:
        of_model = paper_vector.c.model == model_name()
        embedded = connection.execute(select(func.count()).where(of_model)).scalar_one()
        every = connection.execute(select(func.count()).select_from(paper)).scalar_one()
    return Coverage(int(embedded), int(every))


def coverage_if_any(database: Database) -> Coverage | None:
    """The coverage, or None where nothing can be found by meaning: no extra, or no vectors."""
    if missing_package() is not None:
        return None
    covered = coverage(database)
    return covered if covered.embedded else None


# --- vectors in memory ---------------------------------------------------------------------------


class _Matrix:
    """The vectors of one model, in memory and up to date."""

    def __init__(self, model: str, dimensions: int):
        self._model = model
        self._dimensions = dimensions
        self._lock = Lock()
        self._forget()

    def _forget(self) -> None:
        self._seen = -1  # the highest `written`
        self._places: dict[int, int] = {}
        self._ids = np.zeros(0, dtype=np.int64)
        self._rows = np.zeros((0, self._dimensions), dtype=np.float32)

    def similarities(
        self, connection: Connection, asked: FloatVectors
    ) -> tuple[NDArray[np.int64], FloatVectors]:
        """Ids of the papers that have a vector, and its inner product with `asked`."""
        with self._lock:
            self._follow(connection)
            n = len(self._places)
            return self._ids[:n].copy(), self._rows[:n] @ asked

    def _follow(self, connection: Connection) -> None:
        """Read what was written since the last time; all of it where vectors have gone."""
        of_model = paper_vector.c.model == self._model
        written = paper_vector.c.written
        state = select(func.count(), func.max(written)).where(of_model)
        count, newest = connection.execute(state).one()
        if count == len(self._places) and newest == self._seen:
            return
        self._read(connection, count)
        if count != len(self._places):
            self._forget()
            self._read(connection, count)

    def _read(self, connection: Connection, count: int) -> None:
        columns = (paper_vector.c.paper, paper_vector.c.written, paper_vector.c.vector)
        new = and_(paper_vector.c.model == self._model, paper_vector.c.written > self._seen)
        in_portions = select(*columns).where(new).execution_options(yield_per=_PORTION)
        rows = connection.execute(in_portions)
        self._make_room(count)
        for part in rows.partitions():
            block = np.frombuffer(b"".join(row.vector for row in part), dtype=_STORED)
            places = [self._places.setdefault(row.paper, len(self._places)) for row in part]
            self._make_room(len(self._places))
            self._ids[places] = [row.paper for row in part]
            self._rows[places] = block.reshape(len(part), self._dimensions)
            self._seen = max(self._seen, *(row.written for row in part))

    def _make_room(self, n: int) -> None:
        if n <= len(self._ids):
            return
        spare = n // 8  # memory that is not used until it is needed
        ids = np.empty(n + spare, dtype=np.int64)
        rows = np.empty((n + spare, self._dimensions), dtype=np.float32)
        ids[: len(self._ids)], rows[: len(self._rows)] = self._ids, self._rows
        self._ids, self._rows = ids, rows


_matrices: WeakKeyDictionary[Database, _Matrix] = WeakKeyDictionary()
_making = Lock()


def _matrix_of(database: Database, model: SentenceModel) -> _Matrix:
    with _making:
        if database not in _matrices:
            _matrices[database] = _Matrix(model.name, model.dimensions)
        return _matrices[database]


# --- searching -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FusedHit:
    """A paper found by words, by meaning, or by both.

    Attributes
    ----------
    paper
        What was found.
    score
        Of the fusion; comparable within one query only.
    by
        ``words``, ``meaning`` or ``both``; empty where the query has nothing to be ranked by.
    """

    paper: Paper
    score: float
    by: str

    @property
    def why(self) -> str:
        """By what it was found, in words."""
        return {"": "", "both": "by words and meaning"}.get(self.by, f"by {self.by}")


def search_fused(
    database: Database, query: str | Query, *, limit: int = 10, offset: int = 0
) -> list[FusedHit]:
    """Papers that answer a query by their words or by their meaning, the best first.

    Parameters
    ----------
    database
        Where to look.
    query
        As `parse_query` reads it. What has to hold holds for both lists.
    limit, offset
        How many, and how many of the best to leave out.

    Raises
    ------
    MissingExtra
        If the extra ``meaning`` is not installed.
    InputError
        If the query cannot be read, or no paper has a vector.
    """
    asked = parse_query(query) if isinstance(query, str) else query
    if not coverage(database).embedded:
        raise InputError(
            "no paper can be found by its meaning yet",
            remedy="`statlas digest embed` makes the vectors that this needs",
        )
    depth = max(_DEPTH, offset + limit)
    by_words = search(database, asked, limit=depth)
    if not (text := _meant(asked)):
        return [FusedHit(hit.paper, 0.0, "") for hit in by_words[offset : offset + limit]]
    by_meaning = nearest(database, text, asked, depth)
    lists = {"words": [hit.paper.id for hit in by_words], "meaning": by_meaning}
    best = fuse(lists.values())[offset : offset + limit]
    with database.reading() as connection:
        found = {item.id: item for item in papers(connection, [id for id, _ in best])}
    return [FusedHit(found[id], score, _by(id, lists)) for id, score in best if id in found]


def _meant(asked: Query) -> str:
    """What the query says of a paper's content, its phrases included."""
    phrases = [term.text for term in asked.required if term.field not in ("authors", "category")]
    return " ".join([asked.words, *phrases]).strip()


def _by(id: int, lists: dict[str, list[int]]) -> str:
    names = [name for name, ids in lists.items() if id in ids]
    return names[0] if len(names) == 1 else "both"


def fuse(rankings: Iterable[Sequence[int]]) -> list[tuple[int, float]]:
    """One ranking of several: each adds ``1 / (60 + rank)`` to the score of what it holds.

    Examples
    --------
    >>> [(id, round(score, 4)) for id, score in fuse([[7, 8], [8, 9]])]
    [(8, 0.0325), (7, 0.0164), (9, 0.0161)]
    """
    scores: dict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, id in enumerate(ranking, start=1):
            scores[id] += 1 / (_RANK_OFFSET + rank)
    return sorted(scores.items(), key=lambda item: (-item[1], -item[0]))


def nearest(database: Database, text: str, asked: Query, limit: int) -> list[int]:
    """Ids of the papers nearest in meaning to a text, of those that pass a query's conditions.

    Raises
    ------
    MissingExtra
        If the extra ``meaning`` is not installed.
    """
    model = sentence_model()
    vector = model.vectors([text])[0]
    with database.reading() as connection:
        ids, similarities = _matrix_of(database, model).similarities(connection, vector)
        answers = similarities >= _LEAST
        ids, similarities = ids[answers], similarities[answers]
        conditions = _Conditions(connection, database.is_sqlite, asked)
        if not conditions:
            return _best(ids, similarities, limit)
        if (few := conditions.few()) is not None:
            among = np.isin(ids, few)
            return _best(ids[among], similarities[among], limit)
        return _best_passing(ids, similarities, conditions, limit)


def _best(ids: NDArray[np.int64], similarities: FloatVectors, n: int) -> list[int]:
    """The ids of the highest similarities, the best first; equals by id, the highest first."""
    if n < len(ids):
        top = np.argpartition(-similarities, n)[:n]
        ids, similarities = ids[top], similarities[top]
    return [int(id) for id in ids[np.lexsort((-ids, -similarities))]]


def _best_passing(
    ids: NDArray[np.int64], similarities: FloatVectors, conditions: _Conditions, limit: int
) -> list[int]:
    """Look at the nearest papers, in ever larger parts, until enough of them pass."""
    order = _best(ids, similarities, len(ids))
    passed: list[int] = []
    start, size = 0, _FIRST_LOOK
    while start < len(order) and len(passed) < limit:
        passed += conditions.among(order[start : start + size])
        start, size = start + size, min(2 * size, _LARGEST_LOOK)
    return passed[:limit]


class _Conditions:
    """What must hold of every paper that a query finds, whatever it is ranked by."""

    def __init__(self, connection: Connection, is_sqlite: bool, asked: Query):
        self._connection = connection
        self._index = full_text(is_sqlite)
        self._every = tuple(Match(term.text, term.field) for term in asked.required)
        self._none = tuple(Match(term.text, term.field) for term in asked.excluded)
        self._columns = conditions_of(connection, asked)

    def __bool__(self) -> bool:
        return bool(self._every or self._none or self._columns)

    def few(self) -> list[int] | None:
        """The papers that pass, or None where they are many."""
        if not self._every and not self._columns:
            return None
        demand = Demand(self._every, conditions=self._columns)
        ids = self._holding(demand, _FEW + 1)
        return None if len(ids) > _FEW else without(self._index, self._connection, ids, self._none)

    def among(self, ids: list[int]) -> list[int]:
        """Those of the papers that pass, in the order given."""
        of_these = (*self._columns, paper.c.id.in_(ids))
        held = set(self._holding(Demand(self._every, conditions=of_these), len(ids)))
        kept = [id for id in ids if id in held]
        return without(self._index, self._connection, kept, self._none)

    def _holding(self, demand: Demand, limit: int) -> list[int]:
        if demand.every:
            return self._index.newest(self._connection, demand, limit)
        statement = select(paper.c.id).where(*demand.conditions).limit(limit)
        return [int(row.id) for row in self._connection.execute(statement)]
