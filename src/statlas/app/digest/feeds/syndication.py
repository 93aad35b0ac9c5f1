"""Atom and RSS of any site, and arXiv's Atom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from statlas.app.digest.feeds.attempts import attempt
from statlas.app.digest.records import Item, Problem, Record, make_record
from statlas.core.errors import InputError

LARGEST = 32 * 2**20
MOST_TAGS = 10_000  # of an entry
MOST_ATTRIBUTES = 1_000  # of a tag
_ENTITY = re.compile(rb"<!ENTITY", re.IGNORECASE)
_ENTRY = re.compile(rb"<(?:[\w.-]+:)?(?:item|entry)\b", re.IGNORECASE)
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
    _refuse_traps(content)
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


def _refuse_traps(content: bytes) -> None:
    """Refuse entities, and what the parser would take hours for: its time grows with the square."""
    parts = content.replace(b"\x00", b"").split(b"<![CDATA[")  # two-byte encodings as well
    markup = b"".join([parts[0], *(part.partition(b"]]>")[2] for part in parts[1:])])
    if _ENTITY.search(markup):
        raise InputError(
            "the feed defines XML entities, which no feed of papers needs",
            remedy="take it from its publisher again",
        )
    most_tags = max(part.count(b"<") for part in _ENTRY.split(markup))
    most_attributes = max(tag.partition(b">")[0].count(b"=") for tag in markup.split(b"<"))
    if most_tags > MOST_TAGS or most_attributes > MOST_ATTRIBUTES:
        raise InputError(
            f"the feed has an entry with {most_tags:,} tags, or a tag with {most_attributes:,} "
            f"attributes; at most {MOST_TAGS:,} and {MOST_ATTRIBUTES:,} are read",
            remedy="take it from its publisher again",
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
