"""Asking the database's own full-text index: SQLite's FTS5 and PostgreSQL's tsvector.

Both are asked the same way: papers with all of some matches, at least one of others and none of a
third kind, under further conditions: the best, or the newest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    table,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from statlas.app.digest.tables import paper
from statlas.catalog.words import fold


@dataclass(frozen=True, slots=True)
class Match:
    """A word or phrase.

    Attributes
    ----------
    text
        As written; several words must stand side by side.
    field
        ``title``, ``abstract``, ``authors``, ``categories``, or empty for anywhere.
    """

    text: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a paper must be like.

    Attributes
    ----------
    every, some, none
        It has each of `every`, at least one of `some` (where there are any), and none of `none`.
    conditions
        Further conditions on columns of ``paper``.
    """

    every: tuple[Match, ...] = ()
    some: tuple[Match, ...] = ()
    none: tuple[Match, ...] = ()
    conditions: tuple[ColumnElement[bool], ...] = ()


class FullText(Protocol):
    """What both databases can answer."""

    def best(self, connection: Connection, demand: Demand, limit: int) -> list[int]:
        """Ids of the papers that the index ranks highest."""

    def newest(self, connection: Connection, demand: Demand, limit: int) -> list[int]:
        """Ids of the papers that were added last."""

    def ids(self, connection: Connection, match: Match, at_most: int) -> list[int]:
        """Ids of papers that have it, at most so many."""


def full_text(is_sqlite: bool) -> FullText:
    """The full-text index of a database."""
    return Fts5() if is_sqlite else TextVector()


def without(
    index: FullText, connection: Connection, ids: Sequence[int], none: Sequence[Match]
) -> list[int]:
    """Those of the papers that have none of the matches, in the order given."""
    excluded: set[int] = set()
    for match in none:
        demand = Demand(every=(match,), conditions=(paper.c.id.in_(ids),))
        excluded.update(index.newest(connection, demand, len(ids)))
    return [id for id in ids if id not in excluded]


class Fts5:
    """SQLite's index. A word is quoted, so that nothing in it is an operator."""

    _TABLE: ColumnElement[Any] = literal_column("paper_text")
    _ROW: ColumnElement[Any] = literal_column("paper_text.rowid")
    _RANK: ColumnElement[Any] = literal_column("bm25(paper_text, 4.0, 1.0, 2.0, 1.0)")
    _HAVING = text(
        "SELECT json_group_array(rowid) FROM "
        "(SELECT rowid FROM paper_text WHERE paper_text MATCH :match LIMIT :at_most)"
    )

    def best(self, connection: Connection, demand: Demand, limit: int) -> list[int]:
        """Ids of the papers with the highest BM25."""
        return self._ids(connection, self._select(demand).order_by(self._RANK).limit(limit))

    def newest(self, connection: Connection, demand: Demand, limit: int) -> list[int]:
        """Ids of the papers that were added last."""
        return self._ids(connection, self._select(demand).order_by(self._ROW.desc()).limit(limit))

    def ids(self, connection: Connection, match: Match, at_most: int) -> list[int]:
        """Ids of papers that have it, at most so many."""
        asked = {"match": self._quoted(match), "at_most": at_most}
        found: list[int] = json.loads(connection.execute(self._HAVING, asked).scalar_one())
        return found

    @staticmethod
    def _ids(connection: Connection, statement: Select[Any]) -> list[int]:
        return [int(row[0]) for row in connection.execute(statement)]

    def _select(self, demand: Demand) -> Select[Any]:
        index = table("paper_text")
        statement = select(self._ROW.label("id"))
        if demand.conditions:
            joined = index.join(paper, paper.c.id == self._ROW)
            statement = statement.select_from(joined).where(*demand.conditions)
        else:
            statement = statement.select_from(index)
        return statement.where(self._TABLE.op("MATCH")(literal(self._expression(demand))))

    def _expression(self, demand: Demand) -> str:
        parts = [self._quoted(match) for match in demand.every]
        if demand.some:
            parts.append(self._any(demand.some))
        expression = " AND ".join(parts)
        if demand.none:
            expression = f"({expression}) NOT {self._any(demand.none)}"
        return expression

    def _any(self, matches: Sequence[Match]) -> str:
        return f"({' OR '.join(map(self._quoted, matches))})"

    @staticmethod
    def _quoted(match: Match) -> str:
        inside = match.text.replace('"', " ")
        column = f"{match.field} : " if match.field else ""
        return f'{column}"{inside}"'


_WEIGHTS = {"title": "a", "authors": "b", "categories": "c", "abstract": "d"}


class TextVector:
    """PostgreSQL's index: English stems in titles and abstracts, plain words in the rest."""

    _VECTOR: ColumnElement[Any] = literal_column("paper.text")

    def best(self, connection: Connection, demand: Demand, limit: int) -> list[int]:
        """Ids of the papers that ``ts_rank`` puts highest."""
        asked = self._any([*demand.every, *demand.some])
        rank = func.ts_rank(
            literal_column("'{0.25, 0.25, 0.5, 1.0}'::float4[]"), self._VECTOR, asked
        )
        return self._ids(connection, demand, rank.desc(), limit)

    def newest(self, connection: Connection, demand: Demand, limit: int) -> list[int]:
        """Ids of the papers that were added last."""
        return self._ids(connection, demand, paper.c.id.desc(), limit)

    def ids(self, connection: Connection, match: Match, at_most: int) -> list[int]:
        """Ids of papers that have it, at most so many."""
        having = select(paper.c.id).where(self._has(match)).limit(at_most)
        return [int(id) for id in connection.execute(having).scalars()]

    def _ids(
        self, connection: Connection, demand: Demand, order: ColumnElement[Any], limit: int
    ) -> list[int]:
        statement = select(paper.c.id).where(
            *(self._has(match) for match in demand.every),
            or_(*map(self._has, demand.some)) if demand.some else true(),
            *(not_(self._has(match)) for match in demand.none),
            *demand.conditions,
        )
        found = connection.execute(statement.order_by(order, paper.c.id).limit(limit))
        return [int(row[0]) for row in found]

    def _any(self, matches: Sequence[Match]) -> ColumnElement[Any]:
        asked = self._query(matches[0])
        for match in matches[1:]:
            asked = asked.op("||", return_type=TSQUERY())(self._query(match))
        return asked

    def _has(self, match: Match) -> ColumnElement[bool]:
        asked = self._query(match)
        has: ColumnElement[bool] = self._VECTOR.op("@@")(asked)
        if not match.field:
            return has
        weights: ColumnElement[Any] = literal_column(f"'{{{_WEIGHTS[match.field]}}}'::\"char\"[]")
        return and_(has, func.ts_filter(self._VECTOR, weights).op("@@")(asked))

    @staticmethod
    def _query(match: Match) -> ColumnElement[Any]:
        text = fold(match.text)
        english = func.phraseto_tsquery("english", text)
        plain = func.phraseto_tsquery("simple", text)
        return english.op("||", return_type=TSQUERY())(plain)
