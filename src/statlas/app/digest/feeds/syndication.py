"""Atom and RSS of any site, and arXiv's Atom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from statlas.app.digest.feeds.attempts import attempt
from statlas.app.digest.records import Item, Problem, Record, make_record
from statlas.core.errors import InputError

LARGEST = 32 * 2**20
_ENTITY = re.compile(rb"<!ENTITY", re.IGNORECASE)
_ARXIV_RSS = re.compile(r"^arXiv:\S+ Announce Type: \S+\s+Abstract: ", re.IGNORECASE)


def read(stream: BinaryIO) -> Iterator[Item]:
    """Read the entries of a file of at most 32 MiB.

    Raises
    ------
    InputError
        If it is larger, defines XML entities, or is neither Atom nor RSS.
    """
    content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise InputError(
            f"the feed has more than {LARGEST:,} bytes", remedy="use arXiv's OAI-PMH or JSON lines"
        )
    head = content.replace(b"\x00", b"")[:65_536]  # two-byte encodings as well
    if _ENTITY.search(head):
        raise InputError(
            "the feed defines XML entities, which no feed of papers needs",
            remedy="take it from its publisher again",
        )
    import feedparser

    parsed = feedparser.parse(content, sanitize_html=True, resolve_relative_uris=False)
    if not parsed.get("version") and not parsed.entries:
        raise InputError(
            "the feed is neither Atom nor RSS",
            remedy="give the address of the feed, not of the page",
        )
    for number, entry in enumerate(parsed.entries, 1):
        yield attempt(make, entry, f"entry {number:,}")
    error = parsed.get("bozo_exception")
    if parsed.get("bozo") and error is not None and "CharacterEncoding" not in type(error).__name__:
        yield Problem(
            f"after entry {len(parsed.entries):,}", f"the XML is not well formed: {error!s:.200}"
        )


def make(entry: Any) -> Record:
    """A record of one entry."""
    link = str(entry.get("link") or "")
    name = str(entry.get("id") or "")
    number = name if "arxiv.org" in name.lower() else link if "arxiv.org" in link else ""
    summary = entry.get("summary") or next(
        (part.get("value") for part in entry.get("content", ())), ""
    )
    authors = [author.get("name") for author in entry.get("authors", ()) if author.get("name")]
    if len(authors) == 1 and "arxiv.org" in link:  # arXiv's RSS gives all names as one
        authors = authors[0].split(", ")
    return make_record(
        title=entry.get("title"),
        abstract=_ARXIV_RSS.sub("", str(summary)),
        authors=authors,
        categories=[tag.get("term") for tag in entry.get("tags", ()) if tag.get("term")],
        published=entry.get("published") or entry.get("updated"),
        updated=entry.get("updated"),
        url=link if number == "" else f"https://arxiv.org/abs/{number}",
        arxiv=number,
        doi=entry.get("arxiv_doi") or entry.get("prism_doi") or entry.get("dc_identifier"),
        origin="arxiv" if number else "other",
    )
