"""BibTeX and RIS, as reference managers write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from statlas.app.digest.feeds.attempts import attempt
from statlas.app.digest.records import Item, Problem, Record, make_record
from statlas.core.errors import InputError

LARGEST = 64 * 2**20


def _text(stream: BinaryIO) -> str:
    content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise InputError(
            f"the bibliography has more than {LARGEST:,} bytes", remedy="give it in several files"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def read_bibtex(stream: BinaryIO) -> Iterator[Item]:
    """Read the entries of a BibTeX file of at most 64 MiB."""
    import bibtexparser
    from bibtexparser import middlewares

    steps = [
        middlewares.NormalizeFieldKeys(),
        middlewares.LatexDecodingMiddleware(allow_inplace_modification=True),
        middlewares.SeparateCoAuthors(allow_inplace_modification=True),
    ]
    library = bibtexparser.parse_string(_text(stream), append_middleware=steps)
    for block in library.failed_blocks:
        yield Problem(
            f"line {(block.start_line or 0) + 1:,}",
            f"it is no BibTeX entry: {getattr(block, 'error', '')!s:.200}",
            str(block.raw or "")[:200],
        )
    for entry in library.entries:
        yield attempt(_from_bibtex, entry, f"entry {entry.key!s:.80}")


def _from_bibtex(entry: Any) -> Record:
    fields = {field.key: field.value for field in entry.fields}
    authors = fields.get("author") or fields.get("editor") or []
    date = fields.get("date") or "-".join(str(fields[name]) for name in ("year",) if name in fields)
    is_arxiv = str(fields.get("archiveprefix", fields.get("eprinttype", ""))).lower() == "arxiv"
    return make_record(
        title=_plain(fields.get("title")),
        abstract=_plain(fields.get("abstract")),
        authors=[_first_name_first(_plain(name)) for name in _listed(authors)],
        categories=[word.strip() for word in str(fields.get("keywords", "")).split(",")],
        published=date,
        url=fields.get("url"),
        arxiv=fields.get("eprint") if is_arxiv else fields.get("url"),
        doi=fields.get("doi"),
    )


def _listed(authors: object) -> list[str]:
    if isinstance(authors, list):
        return [str(name) for name in authors]
    return str(authors).split(" and ")


def _plain(value: object) -> str:
    return str(value or "").replace("{", "").replace("}", "")


def _first_name_first(name: str) -> str:
    last, comma, first = name.partition(", ")
    return f"{first} {last}" if comma else name


def read_ris(stream: BinaryIO) -> Iterator[Item]:
    """Read the entries of a RIS file of at most 64 MiB."""
    import rispy

    try:
        entries = rispy.loads(_text(stream))
    except (ValueError, OSError, KeyError) as error:
        raise InputError(f"the file is no RIS: {error}") from None
    for number, entry in enumerate(entries, 1):
        yield attempt(_from_ris, entry, f"entry {number:,}")


def _from_ris(entry: dict[str, Any]) -> Record:
    urls = entry.get("urls") or []
    return make_record(
        title=entry.get("title") or entry.get("primary_title"),
        abstract=entry.get("abstract") or entry.get("notes_abstract"),
        authors=[
            _first_name_first(name)
            for name in entry.get("authors") or entry.get("first_authors") or ()
        ],
        categories=entry.get("keywords") or (),
        published=str(entry.get("date") or entry.get("year") or "").strip("/"),
        url=urls[0] if urls else entry.get("url"),
        doi=entry.get("doi"),
    )
