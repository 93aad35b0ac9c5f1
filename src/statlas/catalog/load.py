"""Loading the catalogue: from the cache when that is fresh, otherwise from the `papers.toml`."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import statlas
from statlas.catalog import cache
from statlas.catalog.entries import AREAS, Catalogue, Entry

__all__ = ["load_catalogue"]

_PACKAGE = Path(__file__).resolve().parent.parent
_FIELDS = tuple(field.name for field in fields(Entry))
_TUPLES = frozenset(("authors", "needs", "builds_on", "search"))


def load_catalogue(root: Path | None = None) -> Catalogue:
    """Return the catalogue of all papers.

    Parameters
    ----------
    root
        The directory with one directory for each area. By default the installed package.

    Returns
    -------
    Catalogue
        Papers in the order of their numbers; an area without `papers.toml` has none.

    Raises
    ------
    CatalogueError
        A `papers.toml` breaks a rule.

    Examples
    --------
    >>> from statlas.catalog import load_catalogue
    >>> load_catalogue().get("error-bars").year
    2024
    """
    root = _PACKAGE if root is None else root.resolve()
    file = cache.cache_file(root)
    key = cache.source_key(_sources(root), statlas.__version__)
    kept = None if file is None else cache.read_cache(file, key)
    if kept is not None:
        rows, read_index = kept
        return Catalogue(map(_entry, rows), index=lambda: _index(read_index()))
    return _compile(root, file, key)


def _sources(root: Path) -> list[Path]:
    """Return the files that a compiled catalogue depends on, this package's own code among them."""
    papers = [root / area / "papers.toml" for area in AREAS]
    own = [file for file in Path(__file__).parent.iterdir() if file.suffix in (".py", ".toml")]
    return [file for file in papers if file.is_file()] + own


def _compile(root: Path, file: Path | None, key: list[Any]) -> Catalogue:
    """Read, check and index the `papers.toml` files, and keep the outcome if there is a place."""
    from statlas.catalog.index import build_index  # with tomllib: not needed when cached
    from statlas.catalog.source import read_catalogue

    entries = read_catalogue(root)
    index = build_index(entries)
    if file is not None:
        cache.write_cache(file, key, [_row(entry) for entry in entries], index.to_json())
    return Catalogue(entries, index=lambda: index)


def _index(data: Any) -> Any:
    from statlas.catalog.index import index_from_json

    return index_from_json(data)


def _row(entry: Entry) -> list[Any]:
    return [getattr(entry, name) for name in _FIELDS]


def _entry(row: list[Any]) -> Entry:
    values = dict(zip(_FIELDS, row, strict=True))
    values.update({name: tuple(values[name]) for name in _TUPLES})
    return Entry(**values)
