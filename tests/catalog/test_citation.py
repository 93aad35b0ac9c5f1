"""Citations as LaTeX and people expect them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from statlas.catalog import Catalogue, Entry, bibtex, text_citation


def field(text: str, name: str) -> str:
    found = re.search(rf"^  {name} += \{{(.*)\}},$", text, re.MULTILINE)
    assert found is not None
    return found.group(1)


def test_the_whole_entry(make_entry: Callable[..., Entry]) -> None:
    entry = make_entry(title="On Markov chains", authors=("Müller", "Li"), more_authors=True)
    assert bibtex(entry) == (
        "@misc{first-2024,\n"
        "  title         = {{On} {Markov} chains},\n"
        "  author        = {Müller and Li and others},\n"
        "  year          = {2024},\n"
        "  eprint        = {2411.00640},\n"
        "  archivePrefix = {arXiv},\n"
        "  url           = {https://arxiv.org/abs/2411.00640},\n"
        "}"
    )


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("scaling laws for LLMs", "scaling laws for {LLMs}"),
        ("the role of macOS-like things", "the role of {macOS-like} things"),
        ("Étude of naïve Øresund", "{Étude} of naïve {Øresund}"),
        ("R&D at 50% & more_or #1", r"{R\&D} at 50\% \& more\_or \#1"),
        ("across CO_2 forcing", "across {CO$_{2}$} forcing"),
        ("for MS$^2$-based work", "for {MS$^2$-based} work"),
        ('a growing "Brain" here', "a growing {``Brain''} here"),
        ("it costs $5", r"it costs \$5"),
    ],
)
def test_titles(make_entry: Callable[..., Entry], title: str, expected: str) -> None:
    assert field(bibtex(make_entry(title=title)), "title") == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Pineda Arango", "Shen"), "{Pineda Arango} and Shen"),
        (("van der Schaar",), "van der Schaar"),
        (("O'Brien", "S V"), "O'Brien and {S V}"),
        (("Dominguez-Olmedo",), "Dominguez-Olmedo"),
    ],
)
def test_names(make_entry: Callable[..., Entry], names: tuple[str, ...], expected: str) -> None:
    assert field(bibtex(make_entry(authors=names)), "author") == expected


@pytest.mark.parametrize(
    ("names", "more", "expected"),
    [
        (("A",), False, "A (2024)"),
        (("A", "B"), False, "A and B (2024)"),
        (("A", "B", "C"), False, "A, B, and C (2024)"),
        (("A", "B"), True, "A, B, et al. (2024)"),
    ],
)
def test_text(
    make_entry: Callable[..., Entry], names: tuple[str, ...], more: bool, expected: str
) -> None:
    text = text_citation(make_entry(authors=names, more_authors=more, title="Is it?"))
    assert text == f"{expected}. Is it? arXiv:2411.00640."
    assert ". A Title. arXiv:" in text_citation(make_entry())


def test_every_paper_can_be_cited(catalogue: Catalogue) -> None:
    keys = set()
    for entry in catalogue.values():
        text = bibtex(entry)
        keys.add(text.splitlines()[0])
        bare = re.sub(r"\\[&%#_$]", "", text)
        assert bare.count("{") == bare.count("}")
        assert bare.count("$") % 2 == 0
        outside = re.sub(r"\$[^$]*\$", "", field(bare, "title"))
        assert not re.search(r"[&%#_]", outside), entry.id
    assert len(keys) == len(catalogue)
