"""The compiled catalogue in the user's cache directory.

Reading TOML takes longer than all the rest of a search, so what was compiled once is kept in one
file of three lines of JSON: a header with the key and a checksum, the entries, the search index.
The lines are apart so that a listing need not parse the index. A file that is missing, stale,
damaged or not writable is never an error: the catalogue is then compiled again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

__all__ = ["FORMAT", "cache_directory", "cache_file", "read_cache", "source_key", "write_cache"]

FORMAT = 1
"""Number of the layout of the file; raise it when the layout changes."""


def cache_directory() -> Path | None:
    """Return where caches go, or None if the system offers no place.

    ``STATLAS_CACHE`` names the directory itself. Otherwise it is ``statlas`` in ``LOCALAPPDATA`` on
    Windows and in ``XDG_CACHE_HOME`` or ``~/.cache`` elsewhere.

    Returns
    -------
    Path or None
        An absolute path; it need not exist.
    """
    chosen = os.environ.get("STATLAS_CACHE")
    if chosen:
        return _expanded(chosen).absolute()
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    home = Path(os.environ.get(variable, ""))
    if not home.is_absolute():  # the XDG specification asks to ignore relative paths
        home = _expanded("~") / ".cache"
    return home / "statlas" if home.is_absolute() else None


def _expanded(path: str) -> Path:
    """Return `path` with "~" replaced, or as it is when nobody knows the home directory."""
    with contextlib.suppress(RuntimeError):
        return Path(path).expanduser()
    return Path(path)


def cache_file(root: Path) -> Path | None:
    """Return the cache file of the installation at `root`; each installation has its own."""
    directory = cache_directory()
    name = f"catalogue-{zlib.crc32(os.fsencode(root)):08x}.jsonl"
    return None if directory is None else directory / name


def source_key(files: Iterable[Path], version: str) -> list[Any]:
    """Return what the compiled catalogue depends on.

    Parameters
    ----------
    files
        Everything that is read or that does the reading.
    version
        Version of statlas.

    Returns
    -------
    list
        JSON-able; equal keys mean equal sources.
    """
    stats = [(file.as_posix(), file.stat()) for file in sorted(files)]
    return [FORMAT, version, [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]]


def read_cache(file: Path, key: list[Any]) -> tuple[Any, Callable[[], Any]] | None:
    """Return the entries and a function that parses the index, or None if the file is of no use.

    Parameters
    ----------
    file
        The cache file.
    key
        What `source_key` says now.
    """
    try:
        header, entries, index = file.read_bytes().split(b"\n")
        if json.loads(header) != {"key": key, "check": _checksum(entries, index)}:
            return None
        return json.loads(entries), lambda: json.loads(index)
    except (OSError, ValueError, RecursionError):
        return None


def write_cache(file: Path, key: list[Any], entries: Any, index: Any) -> bool:
    """Keep entries and index for next time; say whether that worked.

    The file is written beside its place and moved there whole, so that a reader never meets half of
    it and of two writers one wins.

    Parameters
    ----------
    file
        The cache file; its directory is made.
    key
        What `source_key` says now.
    entries, index
        JSON-able.
    """
    import tempfile  # not needed when the cache is only read

    body = [_compact(entries), _compact(index)]
    header = _compact({"key": key, "check": _checksum(*body)})
    part: Path | None = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f"{file.name}.", suffix=".part", dir=file.parent)
        part = Path(name)
        with os.fdopen(handle, "wb") as stream:
            stream.write(b"\n".join([header, *body]))
        part.replace(file)
    except OSError:
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink()
        return False
    return True


def _compact(data: Any) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode("ascii")


def _checksum(entries: bytes, index: bytes) -> int:
    return zlib.crc32(index, zlib.crc32(entries))
