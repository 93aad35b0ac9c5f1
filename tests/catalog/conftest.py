"""The real catalogue, and a maker of small ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from statlas.catalog import Catalogue, Entry, load_catalogue

PAPER = """
[[paper]]
number = {number}
id = "{id}"
title = "{title}"
authors = ["Ødegård", "Pineda Arango"]
more_authors = false
year = 2024
arxiv = "2411.00640"
kind = "method"
answers = "{answers}"
use_when = "Always."
avoid_when = "Never use it for submarine hydraulics."
input = "A table."
needs = []
builds_on = []
search = ["error bar"]
"""


@pytest.fixture(scope="session")
def catalogue(own_folders: None) -> Catalogue:
    """The catalogue of the package."""
    return load_catalogue()


@pytest.fixture(scope="session")
def make_entry() -> Callable[..., Entry]:
    """A valid entry, with changes."""

    def make(**changes: Any) -> Entry:
        values: dict[str, Any] = {
            "number": 1,
            "id": "first",
            "area": "evaluation",
            "kind": "method",
            "title": "A Title",
            "authors": ("Miller",),
            "more_authors": False,
            "year": 2024,
            "arxiv": "2411.00640",
            "answers": "How sure is a score?",
            "use_when": "Always.",
            "avoid_when": "Never.",
            "input": "A table.",
        }
        return Entry(**{**values, **changes})

    return make


@pytest.fixture
def write_area(tmp_path: Path) -> Callable[..., Path]:
    """Write `papers.toml` of one area below a fresh root and return the root."""

    def write(*papers: str, area: str = "evaluation") -> Path:
        folder = tmp_path / "root" / area
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "papers.toml").write_text("".join(papers), encoding="utf-8")
        return tmp_path / "root"

    return write


@pytest.fixture
def paper() -> Callable[..., str]:
    """One valid paper in TOML."""

    def make(
        number: int = 1,
        id: str = "first",
        title: str = "A Title",
        answers: str = "How sure is a score?",
    ) -> str:
        return PAPER.format(number=number, id=id, title=title, answers=answers)

    return make
