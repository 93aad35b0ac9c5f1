"""JSON lines in the form of arXiv's metadata snapshot: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from statlas.app.digest.feeds.attempts import attempt
from statlas.app.digest.records import BadRecord, Item, Problem, Record, make_record

LONGEST_LINE = 4_000_000


def read(stream: BinaryIO) -> Iterator[Item]:
    """Read one record a line; lines are not held longer than they are read."""
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        place = f"line {number:,}"
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            yield Problem(place, f"it is longer than {LONGEST_LINE:,} bytes", _shown(line))
            _skip_line(stream)
        elif line.strip():
            yield _item(line, place)


def _skip_line(stream: BinaryIO) -> None:
    while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
        pass


def _item(line: bytes, place: str) -> Item:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Problem(place, f"it is no JSON: {error}", _shown(line))
    if not isinstance(given, dict):
        return Problem(place, "it is no JSON object", _shown(line))
    return attempt(make, given, place)


def _shown(line: bytes) -> str:
    return line[:200].decode("utf-8", "replace")


def make(given: dict[str, Any]) -> Record:
    """A record of one object of arXiv's snapshot."""
    versions = given.get("versions") or [{}]
    return make_record(
        title=given["title"],
        abstract=given.get("abstract"),
        authors=_authors(given),
        categories=_words(given.get("categories")),
        published=versions[0].get("created") or given.get("published") or given.get("update_date"),
        updated=given.get("update_date") or given.get("updated"),
        url=given.get("url"),
        arxiv=given.get("arxiv") or given.get("id"),
        doi=given.get("doi"),
        origin="arxiv" if "categories" in given and "versions" in given else "other",
        signals=tuple((kind, given[kind]) for kind in ("votes", "citations") if kind in given),
    )


def _authors(given: dict[str, Any]) -> list[object]:
    parsed = given.get("authors_parsed")
    if parsed:
        return [
            " ".join(part for part in (first, last, suffix) if part)
            for last, first, suffix in ((*names, "", "")[:3] for names in parsed)
        ]
    authors = given.get("authors") or []
    if isinstance(authors, str):
        return [*authors.replace(" and ", ", ").split(", ")]
    if not isinstance(authors, list):
        raise BadRecord(f"authors were expected where there is {authors!r:.50}")
    return [item.get("name") if isinstance(item, dict) else item for item in authors]


def _words(value: object) -> list[object]:
    if isinstance(value, str):
        return [*value.split()]
    return list(value) if isinstance(value, list) else []
