"""CSV and tab-separated tables with a header that names the columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from statlas.app.digest.feeds.attempts import attempt
from statlas.app.digest.feeds.bibliographies import first_name_first
from statlas.app.digest.records import Item, Problem, Record, iso_date, make_record
from statlas.core.errors import InputError

LONGEST_LINE = 4_000_000
# As people name them, and as Zotero, Scopus, IEEE Xplore, PubMed, Lens and Publish or Perish do.
_NAMES = {
    "title": ("title", "paper_title", "article_title", "document_title", "name"),
    "abstract": ("abstract", "abstract_note", "summary", "description"),
    "authors": ("authors", "author", "author/s", "creators"),
    "categories": (
        "categories", "category", "tags", "keywords", "subjects", "author_keywords", "manual_tags",
        "fields_of_study",
    ),
    "published": ("published", "date", "publication_date", "date_published", "created"),
    "year": ("publication_year", "year"),
    "updated": ("updated", "modified", "update_date"),
    "url": ("url", "link", "href", "articleurl", "pdf_link"),
    "arxiv": ("arxiv", "arxiv_id", "eprint"),
    "doi": ("doi",),
    "votes": ("votes", "upvotes"),
    "citations": (
        "citations", "citation_count", "cited_by", "times_cited", "cites", "citing_works_count",
        "article_citation_count",
    ),
}  # fmt: skip
_SIGNALS = ("votes", "citations")


def has_title_column(head: bytes) -> bool:
    """Whether the first line is a header with a column for the title."""
    line = head.split(b"\n", 1)[0].decode("utf-8-sig", "replace")
    return any(name in _NAMES["title"] for name in _header(line))


def _header(line: str) -> list[str]:
    separator = "\t" if "\t" in line else ";" if line.count(";") > line.count(",") else ","
    row = next(csv.reader([line.strip("\r\n")], delimiter=separator), [])
    return [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in row]


def read(stream: BinaryIO) -> Iterator[Item]:
    """Read one record a row.

    Raises
    ------
    InputError
        If no column is called 'title'.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
    first = text.readline(LONGEST_LINE)
    columns = _columns(_header(first))
    separator = "\t" if "\t" in first else ";" if first.count(";") > first.count(",") else ","
    rows = csv.reader(text, delimiter=separator)
    number = 1
    while True:
        number += 1
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            yield Problem(f"row {number:,}", f"it cannot be read: {error}")
            continue
        if row:
            given = {role: row[at] for role, at in columns.items() if at < len(row)}
            yield attempt(make, given, f"row {number:,}")
    text.detach()


def _columns(header: list[str]) -> dict[str, int]:
    found = {
        role: header.index(next(name for name in names if name in header))
        for role, names in _NAMES.items()
        if any(name in header for name in names)
    }
    if "title" not in found:
        raise InputError(
            f"the table has no column 'title'; its columns: {', '.join(header)[:200]}",
            remedy="name the columns title, abstract, authors, date, url, doi, arxiv",
        )
    return found


def make(given: dict[str, str]) -> Record:
    """A record of one row."""
    authors = given.get("authors", "")
    separator = ";" if ";" in authors else " and " if " and " in authors else ","
    categories = given.get("categories", "")
    return make_record(
        title=given.get("title"),
        abstract=given.get("abstract"),
        authors=[first_name_first(name.strip()) for name in authors.split(separator)],
        categories=re.split(r"[;,]" if re.search("[;,]", categories) else r"\s", categories),
        published=iso_date(given.get("published")) or given.get("year"),
        updated=given.get("updated"),
        url=given.get("url"),
        arxiv=given.get("arxiv"),
        doi=given.get("doi"),
        signals=[(kind, float(given[kind])) for kind in _SIGNALS if given.get(kind, "").strip()],
    )
