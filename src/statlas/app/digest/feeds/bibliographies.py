"""BibTeX and RIS, as reference managers write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import Any, BinaryIO

from statlas.app.digest.feeds.attempts import attempt
from statlas.app.digest.records import Item, Problem, Record, make_record
from statlas.core.errors import InputError

LARGEST = 64 * 2**20
_PERCENT = re.compile(r"(?<!\\)%")
MOST_UNTAGGED = 1_000  # each is added to all lines before it, which would take hours
_RIS_TAG = re.compile(r"[A-Z][A-Z0-9]  -")
_RIS_BEGIN = re.compile(r"^TY  -", re.MULTILINE)
_ADDRESS = re.compile(r"https?://[^\s{}]+")


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
    is_arxiv = str(fields.get("archiveprefix", fields.get("eprinttype", ""))).lower() == "arxiv"
    where = " ".join(str(fields.get(name, "")) for name in ("journal", "howpublished", "note"))
    address = _ADDRESS.search(f"{fields.get('url', '')} {where}")
    return make_record(
        title=_plain(fields.get("title")),
        abstract=_plain(fields.get("abstract")),
        authors=[_first_name_first(_plain(name)) for name in _listed(authors)],
        categories=[word.strip() for word in _plain(fields.get("keywords")).split(",")],
        published=_plain(fields.get("date") or fields.get("year")),
        url=_plain(address.group(0)) if address else "",
        arxiv=fields.get("eprint") if is_arxiv else where if "arxiv" in where.lower() else "",
        doi=_plain(fields.get("doi")),
    )


def _listed(authors: object) -> list[str]:
    if isinstance(authors, list):
        return [str(name) for name in authors]
    return str(authors).split(" and ")


@cache
def _latex() -> Any:
    from pylatexenc.latex2text import LatexNodes2Text

    return LatexNodes2Text(math_mode="verbatim")


def _plain(value: object) -> str:
    r"""The text of a field.

    Examples
    --------
    >>> _plain(r"{G}\"odel's \emph{proof}")
    "Gödel's proof"
    """
    text = str(value or "")
    if "\\" in text:  # the decoder reads letter by letter, and most texts have nothing to decode
        text = _latex().latex_to_text(_PERCENT.sub(r"\\%", text))  # no comments in BibTeX
    return text.replace("{", "").replace("}", "").replace("~", " ")


def _first_name_first(name: str) -> str:
    last, comma, first = name.partition(", ")
    return f"{first} {last}" if comma else name


def read_ris(stream: BinaryIO) -> Iterator[Item]:
    """Read the entries of a RIS file of at most 64 MiB."""
    import rispy

    text = _text(stream).replace("\r\n", "\n")
    runs = groupby(text.split("\n"), lambda line: _RIS_TAG.match(line) is not None)
    if any(sum(1 for _ in lines) > MOST_UNTAGGED for is_tagged, lines in runs if not is_tagged):
        raise InputError(
            f"the file is no RIS: it has more than {MOST_UNTAGGED:,} lines in a row without a tag",
            remedy="export it again",
        )
    try:
        # An entry that nobody ended would run into the next one, or be lost.
        entries = rispy.loads(_RIS_BEGIN.sub("ER  - \nTY  -", text) + "\nER  - \n")
    except (ValueError, OSError, KeyError) as error:
        raise InputError(f"the file is no RIS: {error}") from None
    for number, entry in enumerate(entries, 1):
        yield attempt(_from_ris, entry, f"entry {number:,}")


_RIS_TITLES = ("title", "primary_title", "short_title")


def _from_ris(entry: dict[str, Any]) -> Record:
    urls = entry.get("urls") or []
    return make_record(
        title=next((entry[name] for name in _RIS_TITLES if entry.get(name)), ""),
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
