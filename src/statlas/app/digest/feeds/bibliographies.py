"""BibTeX and RIS, as reference managers write them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import Any, BinaryIO

from statlas.app.digest.feeds.attempts import attempt
from statlas.app.digest.records import Item, Problem, Record, make_record
from statlas.core.errors import InputError

for _library in ("bibtexparser", "pylatexenc"):  # what they say on their own is told as a problem
    logging.getLogger(_library).addHandler(logging.NullHandler())

LARGEST = 64 * 2**20
_PERCENT = re.compile(r"(?<!\\)%")
MOST_UNTAGGED = 1_000  # each is added to all lines before it, which would take hours
_RIS_TAG = re.compile(r"[A-Z][A-Z0-9]  -")
_RIS_BEGIN = re.compile(r"^TY  -", re.MULTILINE)
_SAYS_ARXIV = re.compile(r"arxiv.*", re.IGNORECASE | re.DOTALL)
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
    repeated = []
    for block in library.failed_blocks:
        if isinstance(block.ignore_error_block, bibtexparser.model.Entry):
            repeated.append(block.ignore_error_block)
            continue
        yield Problem(
            f"line {(block.start_line or 0) + 1:,}",
            f"it is no BibTeX entry: {getattr(block.error, 'abort_reason', block.error)!s:.200}",
            str(block.raw or "")[:200],
        )
    for entry in [*library.entries, *_with_own_keys(repeated, library.strings, steps)]:
        yield attempt(_from_bibtex, entry, f"entry {entry.key!s:.80}")


def _with_own_keys(entries: list[Any], strings: list[Any], steps: list[Any]) -> list[Any]:
    """Entries whose key another has, or that have a field twice: the parser has set them aside."""
    from bibtexparser import Library, middlewares

    for number, entry in enumerate(entries, 1):
        entry.key = f"{entry.key!s:.60}, repetition {number:,}"
    library = Library([*strings, *entries])
    for step in [
        middlewares.ResolveStringReferencesMiddleware(allow_inplace_modification=True),
        middlewares.RemoveEnclosingMiddleware(allow_inplace_modification=True),
        *steps,
    ]:
        library = step.transform(library)
    return list(library.entries)


def _from_bibtex(entry: Any) -> Record:
    fields = {field.key: field.value for field in entry.fields}
    authors = fields.get("author") or fields.get("editor") or []
    archive = str(fields.get("archiveprefix", fields.get("eprinttype", "arxiv"))).lower()
    where = " ".join(str(fields.get(name, "")) for name in ("journal", "howpublished", "note"))
    address = _ADDRESS.search(f"{fields.get('url', '')} {where}")
    said = _SAYS_ARXIV.search(where)
    return make_record(
        title=_with_subtitle(_plain(fields.get("title")), _plain(fields.get("subtitle"))),
        abstract=_plain(fields.get("abstract")),
        authors=[first_name_first(_plain(name)) for name in _listed(authors)],
        categories=[word.strip() for word in _plain(fields.get("keywords")).split(",")],
        published=_plain(fields.get("date") or fields.get("year")),
        url=_plain(address.group(0)) if address else "",
        arxiv=(fields.get("eprint") if archive == "arxiv" else "")
        or (said.group(0) if said else ""),
        doi=_plain(fields.get("doi")),
    )


def _with_subtitle(title: str, subtitle: str) -> str:
    if not title or not subtitle or subtitle in title:
        return title
    return f"{title}{'' if title.rstrip().endswith(('?', '!', ':')) else ':'} {subtitle}"


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


def first_name_first(name: str) -> str:
    """A name as it is spoken.

    Examples
    --------
    >>> first_name_first("Lovelace, Ada")
    'Ada Lovelace'
    """
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
            first_name_first(name)
            for name in entry.get("authors") or entry.get("first_authors") or ()
        ],
        categories=entry.get("keywords") or (),
        published=str(entry.get("date") or entry.get("year") or "").strip("/"),
        url=urls[0] if urls else entry.get("url"),
        doi=entry.get("doi"),
    )
