"""Writing the records of a feed: streaming, in batches, and the same record twice changes nothing.

Two records are of the same paper where they share a key (arXiv number, DOI, web address, or title,
first author and year where one of them has no number) and nothing speaks against it. A record that
says something new of a known paper either *revises* it, and the old text is kept as a version,
or *completes* it, where only empty fields are filled. It revises where it comes from the same
origin (or from arXiv, which outweighs the others), it is not older, and the paper was never like
that before: so an old file read after a new one changes nothing, and a hub's summary does not
replace an abstract of arXiv's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Table, bindparam, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from statlas.app.digest.database import Database, in_parts
from statlas.app.digest.records import Item, Problem, Record, may_be_one
from statlas.app.digest.tables import (
    feed,
    paper,
    paper_category,
    paper_key,
    paper_version,
    problem,
    signal,
)

BATCH = 10_000
MOST_PROBLEMS = 1_000  # kept of one feed; the count goes on
_WEIGHT = {"arxiv": 2, "hub": 1, "other": 1}
_FIELDS = ("title", "abstract", "authors", "categories", "published", "updated", "url")


@dataclass
class Counts:
    """What became of the records of a feed."""

    read: int = 0
    new: int = 0
    revised: int = 0
    completed: int = 0
    unchanged: int = 0
    problems: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Records read in a second."""
        return self.read / self.seconds if self.seconds > 0 else 0.0


def ingest(
    database: Database,
    feed_id: int,
    items: Iterable[Item],
    *,
    skip: int = 0,
    now: float | None = None,
    report: Callable[[Counts], None] | None = None,
) -> Counts:
    """Write the records and problems of a feed and return what became of them.

    Parameters
    ----------
    database, feed_id
        Where to, and the feed that they are of.
    items
        What a reader of feeds gives.
    skip
        Items that an interrupted run has already written. The feed's `position` is moved with each
        batch, in the batch's own transaction.
    now
        The time, in seconds since 1970.
    report
        Called after each batch.
    """
    counts = Counts()
    start = time.perf_counter()
    position = skip
    batches = _batches(islice(items, skip, None))
    with ThreadPoolExecutor(1) as reader:
        batch = next(batches, None)
        while batch is not None:
            records = [item for item in batch if isinstance(item, Record)]
            problems = [item for item in batch if isinstance(item, Problem)]
            position += len(batch)
            with database.writing() as connection:
                moment = time.time() if now is None else now
                first_new = _write_records(connection, database.is_sqlite, records, moment, counts)
                _write_problems(connection, database.is_sqlite, feed_id, problems, moment)
                place = update(feed).where(feed.c.id == feed_id).values(position=position)
                connection.execute(place)
                # Indexing runs in the database's own code, beside which Python can read on.
                coming = reader.submit(next, batches, None)
                if database.is_sqlite:
                    _index_text(connection, first_new)
            counts.read += len(batch)
            counts.problems += len(problems)
            counts.seconds = time.perf_counter() - start
            if report is not None:
                report(counts)
            batch = coming.result()
    counts.seconds = time.perf_counter() - start
    return counts


def _batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    while batch := list(islice(items, BATCH)):
        yield batch


@dataclass
class _Stored:
    """What is known of a paper before the batch, and what the batch makes of it."""

    id: int
    row: dict[str, Any]
    is_new: bool
    was_revised: bool = False
    was_completed: bool = False
    versions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def was_changed(self) -> bool:
        return self.was_revised or self.was_completed


class _Batch:
    """The papers of a batch of records, as they are and as they will be."""

    def __init__(self, connection: Connection, records: list[Record], now: float):
        self.now = now
        keys = {key for record in records for key in record.keys}
        self.by_key = _ids_of_keys(connection, keys)
        self.papers = {
            row["id"]: _Stored(row["id"], row, is_new=False)
            for row in _stored_rows(connection, set(self.by_key.values()))
        }
        self.new_keys: dict[str, int] = {}
        self.signals: dict[tuple[int, str], float] = {}
        self.next_id = int(connection.execute(select(func.max(paper.c.id))).scalar() or 0) + 1
        self._earlier: dict[int, set[str]] | None = None
        self._connection = connection

    def take(self, record: Record, counts: Counts) -> None:
        known = next((id for key in record.keys if (id := self._paper_of(key, record))), None)
        if known is None:
            stored = self._add(record)
            counts.new += 1
        else:
            stored = self.papers[known]
            self._meet(stored, record, counts)
        for key in record.keys:
            if key not in self.by_key:
                self.by_key[key] = self.new_keys[key] = stored.id
        for kind, amount in record.signals:
            place = (stored.id, kind)
            self.signals[place] = max(amount, self.signals.get(place, 0.0))

    def _paper_of(self, key: str, record: Record) -> int | None:
        """The paper that has the key, unless it is another than the record's."""
        id = self.by_key.get(key)
        if id is None:
            return None
        row = self.papers[id].row
        # Works of one title, author and year with different numbers are mostly editions of one, but
        # an editorial is not: they stay apart.
        if key.startswith("work:") and record.url and row["url"]:
            return None
        authors = "\n".join(record.authors)
        return id if may_be_one(key, record.title, authors, row["title"], row["authors"]) else None

    def _add(self, record: Record) -> _Stored:
        row = _row_of(record) | {
            "id": self.next_id,
            "origin": record.origin,
            "digest": record.digest,
            "version": 1,
            "first_seen": self.now,
            "changed": self.now,
        }
        stored = _Stored(self.next_id, row, is_new=True)
        self.papers[stored.id] = stored
        self.next_id += 1
        return stored

    def _meet(self, stored: _Stored, record: Record, counts: Counts) -> None:
        """Let a record say something of a known paper."""
        old = stored.row
        digest = record.digest
        if digest == old["digest"] and (old["url"] or not record.url):
            counts.unchanged += 1
            return
        given = _row_of(record)
        weight, stored_weight = _WEIGHT[record.origin], _WEIGHT[old["origin"]]
        fresh = not (record.updated and old["updated"]) or record.updated >= old["updated"]
        # A feed that knows less than before does not take away what is known.
        merged = {name: given[name] or old[name] for name in _FIELDS}
        speaks = weight > stored_weight or (record.origin == old["origin"] and fresh)
        if not speaks:
            merged = {name: old[name] or given[name] for name in _FIELDS}
        ignored = ("updated", "url") if old["url"] else ("updated",)
        if all(merged[name] == old[name] for name in _FIELDS if name not in ignored):
            counts.unchanged += 1
            return
        merged_digest = _digest_of(merged)
        speaks = speaks and merged_digest != old["digest"]  # a new address is no revision
        if speaks and merged_digest in self._earlier_digests(stored):
            counts.unchanged += 1
            return
        if speaks:
            stored.versions.append(_version_of(old, self.now))
            stored.row = old | merged | {"origin": record.origin, "version": old["version"] + 1}
            stored.was_revised = True
            counts.revised += 1
        else:
            stored.row = old | merged
            stored.was_completed = True
            counts.completed += 1
        stored.row |= {"digest": merged_digest, "changed": self.now}

    def _earlier_digests(self, stored: _Stored) -> set[str]:
        """The digests that a paper had before."""
        if self._earlier is None:
            known = [id for id, item in self.papers.items() if not item.is_new]
            self._earlier = {}
            for part in in_parts(known):
                rows = self._connection.execute(
                    select(paper_version.c.paper, paper_version.c.digest).where(
                        paper_version.c.paper.in_(part)
                    )
                )
                for id, digest in rows:
                    self._earlier.setdefault(id, set()).add(digest)
        return self._earlier.get(stored.id, set()) | {item["digest"] for item in stored.versions}


def _write_records(
    connection: Connection, is_sqlite: bool, records: list[Record], now: float, counts: Counts
) -> int:
    """Write a batch, but for SQLite's index of new papers; return the first id they could have."""
    batch = _Batch(connection, records, now)
    first_new = batch.next_id
    for record in records:
        batch.take(record, counts)
    new = [item.row for item in batch.papers.values() if item.is_new]
    changed = [item for item in batch.papers.values() if item.was_changed and not item.is_new]
    if new:
        _insert_many(connection, paper, new)
    if changed:
        connection.execute(
            update(paper).where(paper.c.id == bindparam("at_id")),
            [
                {name: v for name, v in i.row.items() if name != "id"} | {"at_id": i.id}
                for i in changed
            ],
        )
        connection.execute(
            paper_category.delete().where(paper_category.c.paper == bindparam("at_id")),
            [{"at_id": item.id} for item in changed],
        )
    versions = [version for item in batch.papers.values() for version in item.versions]
    if versions:
        connection.execute(insert(paper_version), versions)
    categories = [
        {"category": category, "paper": row["id"]}
        for row in [*new, *(item.row for item in changed)]
        for category in dict.fromkeys(row["categories"].split())
    ]
    if categories:
        _insert_many(connection, paper_category, categories)
    if batch.new_keys:
        keys = [{"key": key, "paper": id} for key, id in batch.new_keys.items()]
        _insert_many(connection, paper_key, keys)
    _write_signals(connection, is_sqlite, batch.signals, now)
    return first_new


def _insert_many(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows of the same columns, without what SQLAlchemy does for each of them anew."""
    statement = insert(table).compile(dialect=connection.dialect, column_keys=list(rows[0]))
    names = statement.positiontup
    connection.exec_driver_sql(
        str(statement), rows if names is None else list(map(itemgetter(*names), rows))
    )


def _index_text(connection: Connection, first: int) -> None:
    """Put the papers from the id `first` on into SQLite's full-text index."""
    connection.execute(
        text(
            "INSERT INTO paper_text(rowid, title, abstract, authors, categories) "
            "SELECT id, title, abstract, authors, categories FROM paper WHERE id >= :first"
        ),
        {"first": first},
    )


def _write_signals(
    connection: Connection, is_sqlite: bool, signals: dict[tuple[int, str], float], now: float
) -> None:
    """Keep the highest count of each day; a count that says what was known already is left out."""
    if not signals:
        return
    latest: dict[tuple[int, str], float] = {}
    for part in in_parts(list({id for id, _ in signals})):
        rows = connection.execute(
            select(signal.c.paper, signal.c.kind, func.max(signal.c.amount))
            .where(signal.c.paper.in_(part))
            .group_by(signal.c.paper, signal.c.kind)
        )
        latest.update({(id, kind): amount for id, kind, amount in rows})
    day = time.strftime("%Y-%m-%d", time.gmtime(now))
    rows_to_write = [
        {"paper": id, "kind": kind, "day": day, "amount": amount}
        for (id, kind), amount in signals.items()
        if amount > latest.get((id, kind), 0.0)
    ]
    if rows_to_write:
        statement = insert_of(is_sqlite)(signal)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["paper", "kind", "day"],
                set_={"amount": statement.excluded.amount},
            ),
            rows_to_write,
        )


def _write_problems(
    connection: Connection, is_sqlite: bool, feed_id: int, problems: list[Problem], now: float
) -> None:
    if not problems:
        return
    kept = int(
        connection.execute(
            select(func.count()).select_from(problem).where(problem.c.feed == feed_id)
        ).scalar_one()
    )
    rows = [
        {
            "feed": feed_id,
            "place": item.place[:200],
            "message": item.message[:500],
            "excerpt": item.excerpt[:200],
            "at": now,
        }
        for item in problems[: max(0, MOST_PROBLEMS - kept)]
    ]
    if rows:
        insert_ignoring(connection, is_sqlite, problem, rows)


def insert_ignoring(
    connection: Connection, is_sqlite: bool, table: Table, rows: list[dict[str, Any]]
) -> None:
    """Insert the rows that are not there yet."""
    connection.execute(insert_of(is_sqlite)(table).on_conflict_do_nothing(), rows)


def insert_of(is_sqlite: bool) -> Any:
    """The database's own INSERT, which knows what to do about rows that are there."""
    return sqlite.insert if is_sqlite else postgresql.insert


def _ids_of_keys(connection: Connection, keys: set[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in in_parts(list(keys)):
        rows = connection.execute(
            select(paper_key.c.key, paper_key.c.paper).where(paper_key.c.key.in_(part))
        )
        found.update((row.key, row.paper) for row in rows)
    return found


def _stored_rows(connection: Connection, ids: set[int]) -> Iterator[dict[str, Any]]:
    for part in in_parts(list(ids)):
        rows = connection.execute(select(paper).where(paper.c.id.in_(part))).mappings()
        yield from map(dict, rows)


def _row_of(record: Record) -> dict[str, Any]:
    return {
        "title": record.title,
        "abstract": record.abstract,
        "authors": "\n".join(record.authors),
        "categories": " ".join(record.categories),
        "published": record.published,
        "updated": record.updated,
        "url": record.url,
    }


def _digest_of(row: dict[str, Any]) -> str:
    return Record(
        title=row["title"],
        keys=(),
        abstract=row["abstract"],
        authors=tuple(row["authors"].split("\n")) if row["authors"] else (),
        categories=tuple(row["categories"].split()),
        published=row["published"],
    ).digest


def _version_of(row: dict[str, Any], now: float) -> dict[str, Any]:
    content = {name: row[name] for name in (*_FIELDS, "origin")}
    return {
        "paper": row["id"],
        "version": row["version"],
        "digest": row["digest"],
        "until": now,
        "content": json.dumps(content, ensure_ascii=False),
    }
