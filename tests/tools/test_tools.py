"""The stubs of a new paper, and the docs' overview."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from statlas.catalog import load_catalogue

ROOT = Path(__file__).parents[2]


def tool(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module(name)


def test_new_paper_writes_stubs_with_counted_to_dos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_paper = tool("new_paper", monkeypatch)
    monkeypatch.setattr(new_paper, "ROOT", tmp_path)
    entry = load_catalogue().get("step-law")
    paths = new_paper.write_stubs(entry)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "src/statlas/scaling/step_law.py",
        "tests/scaling/test_step_law.py",
        "docs/papers/step-law.md",
    ]
    assert all("TODO" in path.read_text("utf-8") for path in paths)
    assert entry.arxiv in paths[0].read_text("utf-8")
    compile(paths[0].read_text("utf-8"), "step_law.py", "exec")
    with pytest.raises(SystemExit, match="exists already"):
        new_paper.write_stubs(entry)


def test_docs_of_a_planned_paper_and_the_overview(monkeypatch: pytest.MonkeyPatch) -> None:
    docs = tool("build_docs", monkeypatch)
    planned = next(entry for entry in load_catalogue().values() if entry.status == "planned")
    page = docs.paper_page(planned, docs.environment())
    assert "planned" in page
    assert "Claims, as measured" not in page
    index = (
        docs.environment()
        .get_template("index.html")
        .render(root="", areas=[("evaluation", "How good?", [planned])])
    )
    assert f'href="papers/{planned.id}.html"' in index


def test_docstring_sections_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    docs = tool("build_docs", monkeypatch)
    text = "One line.\n\nAnswers      What?\nUse when     always;\n             really."
    assert docs.docstring_sections(text) == [("Answers", "What?"), ("Use when", "always;\nreally.")]
