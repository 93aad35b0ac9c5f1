"""The README says what is true of the catalogue and of the command line."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from statlas.app.cli import main
from statlas.catalog import load_catalogue

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_what_runs_is_what_the_catalogue_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    assert importlib.import_module("write_facts").readme_text() == README, "run `make facts`"


def test_every_paper_that_is_named_exists() -> None:
    named = re.findall(r"statlas (?:show|run|check|cite) ([a-z][a-z-]+)", README)
    assert named
    assert set(named) <= {*load_catalogue().keys(), "ID"}


def test_verbs_of_the_readme_are_those_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in set(re.findall(r"^\$ statlas (\w+)", README, re.MULTILINE)):
        assert verb in text
