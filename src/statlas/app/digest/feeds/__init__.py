"""Reading feeds: a file's format is told from its content, and each gives records and problems.

A reader is a generator over a binary stream. It never fails for one bad record: that comes out as a
`Problem` with its place. A file that is no feed at all is an `InputError`.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from statlas.app.digest.feeds import bibliographies, hub, json_lines, oai, syndication, tables
from statlas.app.digest.records import Item, Problem
from statlas.core.errors import InputError

Reader = Callable[[BinaryIO], Iterator[Item]]

READERS: dict[str, Reader] = {
    "arxiv-json": json_lines.read,
    "oai": oai.read,
    "atom-or-rss": syndication.read,
    "daily-papers": hub.read,
    "bibtex": bibliographies.read_bibtex,
    "ris": bibliographies.read_ris,
    "csv": tables.read,
}
_OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
_BROKEN = (OSError, EOFError, lzma.LZMAError, zlib.error)  # what a damaged archive raises
_HEAD = 65_536
_SUFFIXES = {".bib": "bibtex", ".ris": "ris", ".csv": "csv", ".tsv": "csv"}


def _plain(path: Path) -> BinaryIO:
    return path.open("rb")


@contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file, unpacking gzip, bzip2 and xz by its name.

    Raises
    ------
    InputError
        If it does not exist or cannot be read.
    """
    try:
        stream: BinaryIO = _OPENERS.get(path.suffix, _plain)(path)
    except OSError as error:
        raise InputError(
            f"the feed {path} cannot be read: {error.strerror}", remedy="check the name"
        ) from None
    with stream:
        yield stream


def format_of(head: bytes, name: str = "") -> str:
    """The format of a feed, from how it begins and what it is called.

    Parameters
    ----------
    head
        The first bytes, some thousand of them.
    name
        Name of the file or address.

    Raises
    ------
    InputError
        If it is none of the formats that can be read.

    Examples
    --------
    >>> format_of(b'{"id": "0704.0001", "title": "A"}')
    'arxiv-json'
    >>> format_of(b"@article{a, title={B}}")
    'bibtex'
    """
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    plain_name = name.lower().removesuffix(".gz").removesuffix(".bz2").removesuffix(".xz")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or text.startswith(b"<"):
        return "oai" if b"OAI-PMH" in head or b"ListRecords" in head else "atom-or-rss"
    if text.startswith(b"["):
        return "daily-papers"
    if text.startswith(b"{"):
        first_line = text.split(b"\n", 1)[0].rstrip()
        whole_line = first_line.endswith(b"}") or len(first_line) > 1_000
        return "arxiv-json" if whole_line and b'"papers"' not in first_line else "daily-papers"
    suffix = Path(plain_name).suffix
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if text.startswith((b"@", b"%")):
        return "bibtex"
    if text.startswith(b"TY  -"):
        return "ris"
    if tables.has_title_column(head):
        return "csv"
    raise InputError(
        f"{name or 'this'} is no feed that can be read: it begins with {text[:40]!r}",
        remedy="give Atom, RSS, OAI-PMH, arXiv's JSON lines, a hub's daily papers, BibTeX, RIS, "
        "or a CSV table with a column 'title'",
    )


@contextmanager
def read_feed(path: Path, format: str | None = None) -> Iterator[tuple[str, Iterator[Item]]]:
    """Open a feed file and give its format and its records.

    Raises
    ------
    InputError
        If the file cannot be read or is no feed.
    """
    with open_file(path) as stream:
        try:
            head = stream.read(_HEAD)
        except _BROKEN as error:
            raise InputError(f"the feed {path} cannot be unpacked: {error}") from None
        if not head.strip():
            raise InputError(f"the feed {path} is empty")
        found = format or format_of(head, path.name)
        stream.seek(0)
        yield found, _until_it_breaks(READERS[found](stream))


def _until_it_breaks(items: Iterator[Item]) -> Iterator[Item]:
    """The items of a feed; where its archive breaks off, a problem at their end."""
    number = 0
    try:
        for item in items:
            number += 1
            yield item
    except _BROKEN as error:
        yield Problem(f"after record {number:,}", f"the file breaks off: {error}")


def files_of(path: Path) -> list[Path]:
    """The files of a feed: itself, or all files of a folder in the order of their names.

    Raises
    ------
    InputError
        If it does not exist, or is a folder without files.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputError(
            f"there is no file or folder {path!s:.200}: {error.strerror}", remedy="check the name"
        ) from None
    if stat.S_ISREG(mode):
        return [path]
    if not stat.S_ISDIR(mode):
        raise InputError(
            f"{path} is neither file nor folder, and can be read only once",
            remedy="write what it gives to a file, and add that",
        )
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not files:
        raise InputError(f"the folder {path} has no files")
    return files
