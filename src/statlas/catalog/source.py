"""Reading and checking the `papers.toml` files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from statlas.catalog.entries import AREAS, EXTRAS, KINDS, Entry

__all__ = ["CatalogueError", "area_files", "read_area", "read_catalogue"]

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ARXIV = re.compile(r"\d{4}\.\d{4,5}")
_OPTIONAL = frozenset(("implementation",))
_FIRST_YEAR, _LAST_YEAR = 1900, 2100


class CatalogueError(ValueError):
    """A `papers.toml` breaks a rule; the message names file, paper and field."""


def area_files(root: Path) -> dict[str, Path]:
    """Return the `papers.toml` that exist under `root`, by area, in the order of `AREAS`."""
    files = {area: root / area / "papers.toml" for area in AREAS}
    return {area: file for area, file in files.items() if file.is_file()}


def read_catalogue(root: Path) -> list[Entry]:
    """Read every area's `papers.toml` under `root`.

    Parameters
    ----------
    root
        The directory that holds one directory for each area.

    Returns
    -------
    list of Entry
        In the order of the numbers.

    Raises
    ------
    CatalogueError
        A file breaks a rule.
    """
    homes: dict[object, str] = {}
    entries: list[Entry] = []
    for area, file in area_files(root).items():
        for entry in read_area(file, area):
            for label, value in (("id", entry.id), ("number", entry.number)):
                if value in homes:
                    problem = f"already used in {homes[value]}"
                    raise CatalogueError(_at(area, entry.id, label, problem))
                homes[value] = f"{area}/papers.toml"
            entries.append(entry)
    return sorted(entries, key=lambda entry: entry.number)


def read_area(file: Path, area: str) -> list[Entry]:
    """Read and check one `papers.toml`.

    Parameters
    ----------
    file
        The file.
    area
        The area its papers belong to, one of `AREAS`.

    Returns
    -------
    list of Entry
        In the order of the file.

    Raises
    ------
    CatalogueError
        The file is not TOML, or a paper breaks a rule.
    """
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogueError(f"{area}/papers.toml: not valid TOML: {error}") from error
    papers = document.pop("paper", [])
    if document:
        raise CatalogueError(f"{area}/papers.toml: unknown key {min(document)!r}")
    if not isinstance(papers, list) or not all(isinstance(paper, dict) for paper in papers):
        raise CatalogueError(f"{area}/papers.toml: 'paper' must be an array of tables")
    entries = [_entry(paper, area, position) for position, paper in enumerate(papers, start=1)]
    _check_within(entries, area)
    return entries


def _at(area: str, paper: str, field: str, problem: str) -> str:
    return f"{area}/papers.toml, paper {paper!r}, field {field!r}: {problem}"


def _entry(paper: dict[str, Any], area: str, position: int) -> Entry:
    """Check one table and make it an entry."""
    name = paper.get("id")
    label = name if isinstance(name, str) else f"at position {position}"
    for field in sorted(paper.keys() - _CHECKS.keys()):
        raise CatalogueError(_at(area, label, field, "unknown field"))
    for field in _CHECKS:
        if field not in paper and field not in _OPTIONAL:
            raise CatalogueError(_at(area, label, field, "missing"))
    for field, value in paper.items():
        problem = _CHECKS[field](value)
        if problem:
            raise CatalogueError(_at(area, label, field, problem))
    implementation = paper.get("implementation")
    if implementation is not None and not implementation.startswith(f"statlas.{area}."):
        problem = f"must start with 'statlas.{area}.', got {implementation!r}"
        raise CatalogueError(_at(area, label, "implementation", problem))
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in paper.items()}
    return Entry(area=area, **values)


def _check_within(entries: list[Entry], area: str) -> None:
    """Check what one file can say about itself: no double ids or numbers, known `builds_on`."""
    ids = {entry.id for entry in entries}
    for label in ("id", "number"):
        seen = set()
        for entry in entries:
            value = getattr(entry, label)
            if value in seen:
                raise CatalogueError(_at(area, entry.id, label, f"{value!r} occurs twice"))
            seen.add(value)
    for entry in entries:
        for other in entry.builds_on:
            if other not in ids:
                problem = f"{other!r} is not a paper of the area {area!r}"
                raise CatalogueError(_at(area, entry.id, "builds_on", problem))
            if other == entry.id:
                raise CatalogueError(_at(area, entry.id, "builds_on", "names the paper itself"))


# Each check returns what is wrong, or None.
_Check = Callable[[object], str | None]


def _kind_of(value: object) -> str:
    return f"{type(value).__name__} {value!r}"


def _integer(low: int, high: int) -> _Check:
    def check(value: object) -> str | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return f"must be an integer, got {_kind_of(value)}"
        return None if low <= value <= high else f"must lie in {low} to {high}, got {value}"

    return check


def _boolean(value: object) -> str | None:
    return None if isinstance(value, bool) else f"must be true or false, got {_kind_of(value)}"


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        return f"must be a string, got {_kind_of(value)}"
    return None if value and value == value.strip() else "must be neither empty nor padded"


def _matching(pattern: re.Pattern[str], about: str) -> _Check:
    def check(value: object) -> str | None:
        problem = _text(value)
        if problem or (isinstance(value, str) and pattern.fullmatch(value)):
            return problem
        return f"must be {about}, got {value!r}"

    return check


def _one_of(choices: tuple[str, ...]) -> _Check:
    def check(value: object) -> str | None:
        problem = _text(value)
        return problem or (
            None if value in choices else f"must be one of {', '.join(choices)}, got {value!r}"
        )

    return check


def _list_of(check_item: _Check, *, at_least: int = 0, unique: bool = True) -> _Check:
    def check(value: object) -> str | None:
        if not isinstance(value, list):
            return f"must be a list, got {_kind_of(value)}"
        if len(value) < at_least:
            return f"must have at least {at_least} item, got {len(value)}"
        problems = (f"item {n}: {check_item(v)}" for n, v in enumerate(value, 1) if check_item(v))
        return next(problems, _repeated(value) if unique else None)

    return check


def _repeated(values: Iterable[object]) -> str | None:
    seen: list[object] = []
    for value in values:
        if value in seen:
            return f"{value!r} occurs twice"
        seen.append(value)
    return None


def _author(value: object) -> str | None:
    if isinstance(value, str) and "et al" in value:
        return "'et al.' is not a name; say more_authors = true"
    return _text(value)


_ID_CHECK = _matching(_ID, "lower-case words joined by hyphens")
_CHECKS: dict[str, _Check] = {
    "number": _integer(1, 9999),
    "id": _ID_CHECK,
    "title": _text,
    "authors": _list_of(_author, at_least=1, unique=False),  # namesakes write papers together
    "more_authors": _boolean,
    "year": _integer(_FIRST_YEAR, _LAST_YEAR),
    "arxiv": _matching(_ARXIV, "an arXiv number such as 2411.00640"),
    "kind": _one_of(KINDS),
    "answers": _text,
    "use_when": _text,
    "avoid_when": _text,
    "input": _text,
    "needs": _list_of(_one_of(EXTRAS)),
    "builds_on": _list_of(_ID_CHECK),
    "search": _list_of(_text, at_least=1),
    "implementation": _matching(
        re.compile(r"statlas(\.[A-Za-z_]\w*)+:[A-Za-z_]\w*"),
        "of the form 'statlas.area.module:object'",
    ),
}
