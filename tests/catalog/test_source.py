"""Reading `papers.toml`: what is right is read, what is wrong is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from statlas.catalog.source import CatalogueError, read_catalogue

Write = Callable[..., Path]
Paper = Callable[..., str]


def test_a_right_file_is_read_whole(write_area: Write, paper: Paper) -> None:
    root = write_area(paper(2, "second"), paper(1, "first", answers="Where is “x²”?"))
    first, second = read_catalogue(root)
    assert (first.id, first.number, second.id) == ("first", 1, "second")
    assert first.area == "evaluation"
    assert first.authors == ("Ødegård", "Pineda Arango")
    assert first.answers == "Where is “x²”?"
    assert first.implementation is None


def test_no_files_give_no_entries(tmp_path: Path) -> None:
    assert read_catalogue(tmp_path) == []


WRONG = {
    "unknown field": ("year = 2024", "year = 2024\ncolour = 1", "colour", "unknown field"),
    "missing field": ("year = 2024", "", "year", "missing"),
    "string for integer": ("year = 2024", 'year = "2024"', "year", "must be an integer, got str"),
    "boolean for integer": ("year = 2024", "year = true", "year", "must be an integer, got bool"),
    "float for integer": ("number = 1", "number = 1.0", "number", "must be an integer, got float"),
    "year out of range": ("year = 2024", "year = 24", "year", "must lie in 1900 to 2100"),
    "integer for boolean": ("more_authors = false", "more_authors = 0", "more_authors", "true or"),
    "integer for text": ('title = "A Title"', "title = 1", "title", "must be a string, got int"),
    "empty text": ('input = "A table."', 'input = ""', "input", "neither empty nor padded"),
    "padded text": ('input = "A table."', 'input = " A."', "input", "neither empty nor padded"),
    "text for list": ("needs = []", 'needs = "nn"', "needs", "must be a list, got str"),
    "wrong item": ("needs = []", "needs = [1]", "needs", "item 1: must be a string"),
    "unknown extra": ("needs = []", 'needs = ["gpu"]', "needs", "item 1: must be one of nn, jit"),
    "extra twice": ("needs = []", 'needs = ["nn", "nn"]', "needs", "'nn' occurs twice"),
    "no author": ('authors = ["Ødegård", "Pineda Arango"]', "authors = []", "authors", "at least"),
    "et al.": ('"Pineda Arango"]', '"et al."]', "authors", "item 2: 'et al.' is not a name"),
    "bad arXiv": ('"2411.00640"', '"2411.0064012"', "arxiv", "an arXiv number"),
    "old arXiv": ('"2411.00640"', '"stat/0101001"', "arxiv", "an arXiv number"),
    "bad id": ('id = "first"', 'id = "First One"', "id", "lower-case words"),
    "bad kind": ('kind = "method"', 'kind = "novel"', "kind", "must be one of method, law"),
    "builds on nothing": ("builds_on = []", 'builds_on = ["zzz"]', "builds_on", "'zzz' is not a"),
    "builds on itself": ("builds_on = []", 'builds_on = ["first"]', "builds_on", "names the paper"),
    "bad object": ("needs = []", 'needs = []\nimplementation = "x"', "implementation", "of the"),
    "foreign object": (
        "needs = []",
        'needs = []\nimplementation = "statlas.scaling.first:run"',
        "implementation",
        r"must start with 'statlas\.evaluation\.'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_name_file_paper_and_field(write_area: Write, paper: Paper, case: str) -> None:
    old, new, field, problem = WRONG[case]
    text = paper()
    assert old in text
    with pytest.raises(CatalogueError, match=f"field '{field}': .*{problem}") as caught:
        read_catalogue(write_area(text.replace(old, new, 1)))
    name = "First One" if case == "bad id" else "first"
    assert str(caught.value).startswith(f"evaluation/papers.toml, paper '{name}', field ")


def test_a_paper_without_id_is_named_by_its_position(write_area: Write, paper: Paper) -> None:
    root = write_area(paper(), paper(2, "second").replace('id = "second"', ""))
    with pytest.raises(CatalogueError, match="paper 'at position 2', field 'id': missing"):
        read_catalogue(root)


def test_twins_in_one_file(write_area: Write, paper: Paper) -> None:
    with pytest.raises(CatalogueError, match="field 'id': 'first' occurs twice"):
        read_catalogue(write_area(paper(1), paper(2)))
    with pytest.raises(CatalogueError, match="'second', field 'number': 1 occurs twice"):
        read_catalogue(write_area(paper(1), paper(1, "second")))


@pytest.mark.parametrize(("number", "id", "field"), [(2, "first", "id"), (1, "other", "number")])
def test_twins_in_two_files(
    write_area: Write, paper: Paper, number: int, id: str, field: str
) -> None:
    write_area(paper())
    root = write_area(paper(number, id), area="scaling")
    message = f"scaling/papers.toml, paper '{id}', field '{field}': already used in evaluation/"
    with pytest.raises(CatalogueError, match=message):
        read_catalogue(root)


def test_builds_on_stays_in_the_area(write_area: Write, paper: Paper) -> None:
    write_area(paper())
    text = paper(2, "second").replace("builds_on = []", 'builds_on = ["first"]')
    with pytest.raises(CatalogueError, match="'first' is not a paper of the area 'scaling'"):
        read_catalogue(write_area(text, area="scaling"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[paper]\n", "not valid TOML"),
        ("[paper]\nid = 1\n", "must be an array of tables"),
        ("[[papers]]\nid = 1\n", "unknown key 'papers'"),
    ],
)
def test_files_of_the_wrong_shape(write_area: Write, text: str, problem: str) -> None:
    with pytest.raises(CatalogueError, match=f"evaluation/papers.toml: .*{problem}"):
        read_catalogue(write_area(text))


def test_a_file_that_is_not_utf8(write_area: Write, paper: Paper) -> None:
    root = write_area(paper())
    (root / "evaluation" / "papers.toml").write_bytes(b'x = "\xff"')
    with pytest.raises(CatalogueError, match="not valid TOML"):
        read_catalogue(root)
