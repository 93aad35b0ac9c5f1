"""A hub's daily papers: a JSON array of entries with paper, votes and comments."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from statlas.app.digest.feeds.attempts import attempt
from statlas.app.digest.records import Item, Record, make_record
from statlas.core.errors import InputError

LARGEST = 64 * 2**20


def read(stream: BinaryIO) -> Iterator[Item]:
    """Read the entries of a file of at most 64 MiB.

    Raises
    ------
    InputError
        If it is larger, or no JSON of entries.
    """
    content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise InputError(
            f"the daily papers have more than {LARGEST:,} bytes",
            remedy="give one file a day, or JSON lines for many papers",
        )
    try:
        given = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the daily papers are no JSON: {error}") from None
    entries = given.get("papers", given.get("data")) if isinstance(given, dict) else given
    if not isinstance(entries, list):
        raise InputError(
            "the daily papers are no list of entries", remedy="give what the hub's API returns"
        )
    for number, entry in enumerate(entries, 1):
        yield attempt(make, entry, f"entry {number:,}")


def make(entry: dict[str, Any]) -> Record:
    """A record of one entry, with its votes and comments."""
    inner = entry.get("paper")
    told: dict[str, Any] = inner if isinstance(inner, dict) else entry
    counts = {
        "votes": told.get("upvotes", entry.get("upvotes")),
        "comments": entry.get("numComments"),
        "code": 1 if told.get("githubRepo") else None,
        "stars": told.get("githubStars"),
    }
    return make_record(
        title=told.get("title") or entry["title"],
        abstract=told.get("summary") or told.get("abstract"),
        authors=[
            author.get("name") if isinstance(author, dict) else author
            for author in told.get("authors") or ()
        ],
        published=told.get("publishedAt") or entry.get("publishedAt"),
        arxiv=told.get("id"),
        url=told.get("url"),
        origin="hub",
        signals=tuple((kind, count) for kind, count in counts.items() if count is not None),
    )
