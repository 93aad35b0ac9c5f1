"""Bytes and lines of a file: compression, encodings, JSON lines, and the errors that name a place.

Everything here reads in pieces of bounded size, so that a damaged or hostile file ends in an
`InputError` and not in exhausted memory.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

import pandas as pd
import pyarrow as pa

from statlas.core.errors import InputError, MissingExtra

MAX_DECOMPRESSED = 16 * 2**30
"""Most bytes that a compressed table may unfold to."""
MAX_LINE = 256 * 2**20
"""Most characters in one line of a JSON-lines file."""

Note = tuple[str, str, str]
"""Code, message and advice: what a reader has to say about what it read."""

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_BOMS = (  # UTF-32 first: its mark starts with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def label_frame(
    frame: pd.DataFrame, path: Path, kind: str, notes: Iterable[Note] = ()
) -> pd.DataFrame:
    """Write source, format and notes into ``frame.attrs`` and return the frame."""
    frame.attrs.update(source=path.name, format=kind, notes=list(notes))
    return frame


def files_under(folder: Path, depth: int = 3) -> list[Path]:
    """Regular files at most `depth` folders down, sorted; links to folders are not followed."""
    found: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if depth > 1:
                        found += files_under(Path(entry.path), depth - 1)
                elif entry.is_file():
                    found.append(Path(entry.path))
    except PermissionError:
        return []
    return sorted(found)


# --- compression -----------------------------------------------------------------------------


def zstd_stream(source: Any) -> BinaryIO:
    """Open zstd data (a binary file object) for reading; frames that follow each other are joined.

    pyarrow holds the decoder in all its published builds; one that was built without it needs the
    extra ``logs``.

    Raises
    ------
    MissingExtra
        If neither pyarrow's decoder nor the package `zstandard` is there.
    """
    if _arrow_knows("zstd"):
        return cast(BinaryIO, io.BufferedReader(pa.CompressedInputStream(source, "zstd")))
    try:
        import zstandard
    except ImportError:
        raise MissingExtra("zstandard", "logs") from None
    reader = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
    return cast(BinaryIO, io.BufferedReader(_Translated(reader, zstandard.ZstdError)))


class _Translated(io.RawIOBase):
    """A reader whose own kind of error comes out as `OSError`, like that of the others."""

    def __init__(self, reader: Any, error: type[Exception]):
        self._reader, self._error = reader, error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            return int(self._reader.readinto(buffer))
        except self._error as error:
            raise OSError(str(error)) from None


def _arrow_knows(codec: str) -> bool:
    return bool(pa.Codec.is_available(codec))


def open_binary(path: Path) -> BinaryIO:
    """Open a file, decompressing gzip and zstd by their first bytes whatever the name says."""
    stream = path.open("rb")
    magic = stream.read(4)
    stream.seek(0)
    if magic.startswith(GZIP_MAGIC):
        return cast(BinaryIO, gzip.GzipFile(fileobj=stream))
    if magic == ZSTD_MAGIC:
        return zstd_stream(stream)
    return stream


def broken_compression(path: Path, error: Exception) -> InputError:
    """Error for compressed data that cannot be unfolded."""
    return InputError(
        f"{path.name} cannot be decompressed: {error}",
        remedy="the file may be cut short; copy or download it again",
    )


DECOMPRESSION_ERRORS = (EOFError, gzip.BadGzipFile, pa.ArrowException, OSError)


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of the (decompressed) content; fewer when the file is shorter."""
    try:
        with open_binary(path) as stream:
            return stream.read(count)
    except PermissionError:
        raise
    except DECOMPRESSION_ERRORS as error:
        raise broken_compression(path, error) from None


def all_bytes(path: Path) -> bytes:
    """The whole (decompressed) content.

    Raises
    ------
    InputError
        If compressed data is damaged or unfolds to more than `MAX_DECOMPRESSED` bytes.
    """
    try:
        with open_binary(path) as stream:
            if isinstance(stream, io.BufferedReader) and isinstance(stream.raw, io.FileIO):
                return stream.read()
            pieces, size = [], 0
            while piece := stream.read(2**24):
                size += len(piece)
                if size > MAX_DECOMPRESSED:
                    raise InputError(
                        f"{path.name} unfolds to more than {MAX_DECOMPRESSED:,} bytes",
                        remedy="decompress it yourself and give a part of it",
                    )
                pieces.append(piece)
            return b"".join(pieces)
    except DECOMPRESSION_ERRORS as error:
        raise broken_compression(path, error) from None


# --- text ------------------------------------------------------------------------------------


def encoding_of(start: bytes) -> str:
    """Encoding by the byte order mark; UTF-8 without one."""
    return next((name for mark, name in _BOMS if start.startswith(mark)), "utf-8")


def wrong_encoding(path: Path, data: bytes, encoding: str = "utf-8") -> InputError | None:
    """Error that names the first byte that cannot be decoded; None when all can."""
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        at = error.start
        line = data.count(b"\n", 0, at) + 1
        return InputError(
            f"{path.name} is not valid {encoding.removesuffix('-sig').upper()}: byte "
            f"0x{data[at]:02X} at position {at} (line {line})",
            remedy="save it as UTF-8; if it is Latin-1 or Windows-1252: "
            "iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW",
        )
    return None


def utf8_bytes(path: Path) -> bytes:
    """The whole content as UTF-8 bytes without byte order mark.

    UTF-16 and UTF-32 with a mark are converted. UTF-8 is not checked here: the parsers do that.
    """
    data = all_bytes(path)
    encoding = encoding_of(data)
    if encoding == "utf-8":
        return data
    if encoding == "utf-8-sig":
        return data[len(codecs.BOM_UTF8) :]
    if (wrong := wrong_encoding(path, data, encoding)) is not None:
        raise wrong
    return data.decode(encoding).encode()


def _open_text(path: Path) -> TextIO:
    encoding = encoding_of(first_bytes(path, 4))
    return io.TextIOWrapper(open_binary(path), encoding=encoding, newline="\n")


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Parse a JSON-lines file one line at a time.

    Yields
    ------
    line, value
        Line number from 1, and the parsed value. Blank lines are skipped.

    Raises
    ------
    InputError
        Naming the line that is not JSON, too long, or not decodable.
    """
    number = 0
    try:
        with _open_text(path) as stream:
            while text := stream.readline(MAX_LINE):
                number += 1
                if len(text) == MAX_LINE:
                    raise InputError(
                        f"line {number} of {path.name} has more than {MAX_LINE:,} characters"
                    )
                if not text.isspace():
                    yield number, parse_json(text, f"line {number} of {path.name}")
    except UnicodeDecodeError:
        data = all_bytes(path)
        wrong = wrong_encoding(path, data, encoding_of(data))
        raise wrong or InputError(f"{path.name} cannot be decoded") from None
    except DECOMPRESSION_ERRORS as error:
        raise broken_compression(path, error) from None


def holds_json_lines(path: Path) -> bool:
    """Whether an object follows an object on a new line, which no JSON document has."""
    data = utf8_bytes(path)
    return b"}\n{" in data or b"}\r\n{" in data


def parse_json(text: str | bytes, where: str) -> Any:
    """Parse one JSON value.

    Raises
    ------
    InputError
        Naming `where` and what is wrong there.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"column {error.colno}"
        if error.lineno > 1:
            place = f"line {error.lineno}, {place}"
        raise InputError(
            f"{where} is not valid JSON: {error.msg} ({place})",
            remedy="correct it; at the end of the file it may have been cut short",
        ) from None
    except (ValueError, RecursionError) as error:  # huge integers, thousands of brackets
        raise InputError(f"{where} cannot be read as JSON: {error}") from None


def as_mapping(value: object) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty one: logs of other versions differ."""
    return value if isinstance(value, dict) else {}


def as_float(value: float) -> float:
    """A JSON number as float64; whole numbers beyond its range become infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
