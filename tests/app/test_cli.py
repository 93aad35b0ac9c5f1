"""The command line: exit codes, no tracebacks, JSON that scripts can rely on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from statlas.app.cli import main
from statlas.catalog import load_catalogue
from statlas.core.claims import Claim, Twin
from statlas.core.results import Result

PLANNED = next(entry.id for entry in load_catalogue().values() if entry.status == "planned")
HEAVY = ("numpy", "scipy", "pandas", "sklearn", "matplotlib", "torch", "pydantic")


@pytest.fixture
def scores(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.integers(0, 2, 60), "b": rng.integers(0, 2, 60)})
    frame.to_csv(tmp_path / "scores.csv", index=False)
    return str(tmp_path / "scores.csv")


def output(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """What the command prints; the exit code is checked."""
    got = main(list(words))
    captured = capsys.readouterr()
    assert got == code, captured.err
    return captured.out


def refusal(capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> str:
    """What the command says on standard error when it refuses."""
    got = main(list(words))
    captured = capsys.readouterr()
    assert got == code, captured.out + captured.err
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert captured.err.startswith(("statlas: ", "usage: "))
    return captured.err


# --- browsing --------------------------------------------------------------------------------


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    from statlas import __version__

    assert output(capsys, "--version") == f"statlas {__version__}\n"
    for words in ([], ["--help"]):
        text = output(capsys, *words)
        assert all(command in text for command in ("list", "find", "show", "run", "check", "cite"))
    for command in ("list", "find", "show", "check", "cite", "run"):
        assert "usage: statlas " + command in output(capsys, command, "--help")
    text = output(capsys, "run", "error-bars", "--help")
    assert "--level" in text
    assert "above 0 and below 1" in text
    assert "--seed" not in text  # it draws no random numbers


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(output(capsys, "list", "--json"))
    assert [entry["id"] for entry in listed] == [e.id for e in load_catalogue().values()]
    assert set(listed[0]) == {"id", "title", "area", "kind", "status", "claims"}
    here = json.loads(output(capsys, "list", "--area", "evaluation", "--json"))
    assert {entry["area"] for entry in here} == {"evaluation"}
    done = json.loads(output(capsys, "list", "--status", "implemented", "--json"))
    assert "error-bars" in {entry["id"] for entry in done}
    assert {entry["status"] for entry in done} == {"implemented"}
    text = output(capsys, "list", "--area", "evaluation")
    assert "error-bars" in text
    assert "scaling:" not in text
    assert "there is no area 'evil'" in refusal(capsys, "list", "--area", "evil")
    assert "invalid choice" in refusal(capsys, "list", "--status", "done")


def test_find(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["error", "bars", "benchmark", "scores"]
    hits = json.loads(output(capsys, "find", *words, "--limit", "3", "--json"))
    assert len(hits) == 3
    assert {"id", "score"} <= set(hits[0])
    assert "error-bars" in {hit["id"] for hit in hits}
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    assert "error-bars" in output(capsys, "find", " ".join(words))
    assert "Nothing fits" in output(capsys, "find", "qqqqzzzz")
    assert json.loads(output(capsys, "find", "qqqqzzzz", "--json")) == []
    assert "at least 1" in refusal(capsys, "find", "x", "--limit", "0")


def test_show_and_cite(capsys: pytest.CaptureFixture[str]) -> None:
    for paper in ("error-bars", PLANNED):
        shown = json.loads(output(capsys, "show", paper, "--json"))
        assert shown["id"] == paper
        assert {"status", "recipe", "claims", "answers"} <= set(shown)
        text = output(capsys, "show", paper)
        assert "Answers" in text
        assert shown["status"] in text
    text = output(capsys, "cite", "error-bars", PLANNED, "error-bars")
    assert text.count("@") == 2


@pytest.mark.parametrize("command", ["show", "cite", "run", "check"])
def test_unknown_papers_get_suggestions(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert "did you mean 'error-bars'" in refusal(capsys, command, "error-barz")
    assert "no paper has the id" in refusal(capsys, command, "qqqqqqqqq")


@pytest.mark.parametrize("command", ["run", "check"])
def test_planned_papers_say_so(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert f"{PLANNED} is planned" in refusal(capsys, command, PLANNED)


@pytest.mark.parametrize("words", [["fly"], ["show"], ["cite"], ["find"], ["run"], ["list", "--x"]])
def test_usage_errors(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert "usage:" in refusal(capsys, *words)


# --- run -------------------------------------------------------------------------------------


def test_run_prints_the_answer(capsys: pytest.CaptureFixture[str], scores: str) -> None:
    text = output(capsys, "run", "error-bars", scores, "--level", "0.9")
    assert "90 % interval" in text
    assert "Rows: 120 used of 120 read." in text
    assert "Note (wide-table)" in text


def test_run_json(capsys: pytest.CaptureFixture[str], scores: str) -> None:
    plain = json.loads(output(capsys, "run", "error-bars", scores, "--json"))
    assert {"headline", "status", "values", "table", "warnings", "seed"} <= set(plain)
    assert plain["status"] == "ok"
    assert plain["source"] == "scores.csv"
    assert Result.from_dict(plain).to_dict() == plain


def test_run_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert "clustered by writer" in output(capsys, "run", "error-bars", "--example")


def test_run_writes_files(capsys: pytest.CaptureFixture[str], scores: str, tmp_path: Path) -> None:
    targets = {"--report": "r.html", "--figure": "f.svg", "--csv": "t.csv"}
    words = [word for flag, name in targets.items() for word in (flag, str(tmp_path / name))]
    output(capsys, "run", "error-bars", scores, *words)
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert "<svg" in (tmp_path / "f.svg").read_text()
    assert "difference" in pd.read_csv(tmp_path / "t.csv").columns


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--level", "2"], "option 'level' must be a number above 0 and below 1; got 2.0"),
        (["--level", "high"], "option 'level'"),
        (["--interval", "wald"], "one of auto, student, normal"),
        (["--missing", "guess"], "one of refuse, drop"),
        (["--score", "acuracy"], "there is no such column"),
        (["--layout", "long"], "no column was found"),
        (["--seed", "1"], "--seed"),
        (["--nonsense", "1"], "--nonsense"),
        (["--lev", "0.5"], "--lev"),
        (["--example"], "not both"),
        (["--report", "r.pdf"], "--report must end in .html"),
        (["--figure", "f.gif"], "--figure must end in .svg"),
        (["--csv", "/no/such/folder/t.csv"], "there is no folder"),
    ],
)
def test_run_refuses(
    capsys: pytest.CaptureFixture[str], scores: str, words: list[str], message: str
) -> None:
    assert message in refusal(capsys, "run", "error-bars", scores, *words)


def test_run_without_input(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "an input is needed" in refusal(capsys, "run", "error-bars")
    missing = str(tmp_path / "missing.csv")
    assert "missing.csv" in refusal(capsys, "run", "error-bars", missing)


def test_output_targets_are_checked_before_the_run(
    capsys: pytest.CaptureFixture[str], scores: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from statlas.core.recipes import Recipe

    monkeypatch.setattr(Recipe, "__call__", lambda *a, **k: pytest.fail("the recipe was run"))
    (tmp_path / "d.csv").mkdir()
    for flag, name in (("--csv", "d.csv"), ("--csv", "no/t.csv"), ("--report", "t.txt")):
        refusal(capsys, "run", "error-bars", scores, flag, str(tmp_path / name))
    assert not (tmp_path / "no").exists()


def test_a_result_that_is_not_computable_is_exit_code_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = {"model": ["a"] * 2, "question": [1, 1], "repeat": [1, 2], "score": [1, 0]}
    pd.DataFrame(rows).to_csv(tmp_path / "one.csv", index=False)
    text = output(capsys, "run", "error-bars", str(tmp_path / "one.csv"), code=1)
    assert "Status: not computable" in text


def test_faults_are_told_from_bad_input(
    capsys: pytest.CaptureFixture[str], scores: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from statlas.core.recipes import Recipe

    def fault(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(Recipe, "__call__", fault)
    said = refusal(capsys, "run", "error-bars", scores, code=1)
    assert "a fault in statlas, not in your input: ZeroDivisionError: oops" in said
    with pytest.raises(ZeroDivisionError):
        main(["run", "error-bars", scores, "--debug"])
    with pytest.raises(LookupError):
        main(["--debug", "show", "error-barz"])
    monkeypatch.setattr(
        Recipe, "__call__", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    assert "interrupted" in refusal(capsys, "run", "error-bars", scores, code=130)


# --- check -----------------------------------------------------------------------------------


@pytest.fixture
def few_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many replicates as are needed for the machinery, not for a verdict."""
    monkeypatch.setattr(Claim, "replicates", lambda self, budget: 8)


CHECK_KEYS = {
    "paper", "claim", "verdict", "estimate", "interval", "twin_verdict", "replicates", "seconds",
}  # fmt: skip


@pytest.mark.usefixtures("few_replicates")
def test_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["check", "error-bars", "--ledger", str(tmp_path / "ledger")]
    records = json.loads(output(capsys, *words, "--json"))
    assert len(records) >= 3
    for record in records:
        assert set(record) >= CHECK_KEYS
        assert record["replicates"] == 8
        assert len(record["interval"]) == 2
    assert (tmp_path / "ledger" / "error-bars.json").is_file()
    again = json.loads(output(capsys, *words, "--json", "--resume"))
    assert again == records
    text = output(capsys, *words, "--resume")
    assert all(record["claim"] in text for record in records)
    assert "0 fails" in text
    assert "with probability at most 5e-05" in text


def test_a_failing_claim_is_exit_code_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from statlas.app.cli import check
    from statlas.evaluation.error_bars import clustered_coverage as real

    swapped = replace(
        real, subject=real.twin.subject, twin=Twin("right", lambda *a: 0.0), quick=600
    )
    monkeypatch.setattr(check, "load_claims", lambda paper: [swapped])
    text = output(capsys, "check", "error-bars", "--ledger", str(tmp_path), code=1)
    assert "FAILS      error-bars/clustered-coverage" in text
    assert "1 fails" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name papers"),
        (["error-bars", "--all"], "name papers"),
        (["--area", "evil"], "there is no area"),
        (["error-bars", "--seed", "-1"], "--seed"),
        (["error-bars", "--jobs", "0"], "at least 1"),
        (["error-bars", "--budget", "tiny"], "invalid choice"),
        (["error-bars", "--backend", "mpi"], "backend must be one of"),
        (["error-bars", "--ledger", "/dev/null/x"], "cannot make the folder"),
    ],
)
@pytest.mark.usefixtures("few_replicates")
def test_check_refuses(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert message in refusal(capsys, "check", *words)


# --- the process -----------------------------------------------------------------------------


def start(*words: str, code: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    program = ["-c", code] if code else ["-m", "statlas"]
    return subprocess.run(
        [sys.executable, *program, *words], capture_output=True, text=True, check=False, **options
    )


BROWSE = [
    ["--help"], ["list"], ["find", "is the difference between two models real"],
    ["show", "error-bars"], ["cite", "error-bars"],
]  # fmt: skip


@pytest.mark.parametrize("words", BROWSE, ids=lambda words: words[0])
def test_browsing_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys\nfrom statlas.app.cli import main\n"
        f"assert main({words!r}) == 0\n"
        f"print('LOADED', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    ended = start(code=code)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("LOADED []\n")


@pytest.mark.parametrize("words", BROWSE, ids=lambda words: words[0])
def test_browsing_answers_at_once(words: list[str]) -> None:
    start(*words)  # the first call compiles the catalogue
    assert min(seconds_used(*words) for _ in range(5)) <= 0.2


def seconds_used(*words: str) -> float:
    """Seconds of a command: of a processor where that is known, so that a busy machine is fair."""
    began, before = time.perf_counter(), os.times()
    assert start(*words).returncode == 0
    after = os.times()
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    return used if used > 0 else time.perf_counter() - began


@pytest.mark.parametrize("words", [["list", "--json"], ["cite", "error-bars"]])
@pytest.mark.skipif(os.name == "nt", reason="pipes break differently")
def test_a_reader_that_goes_away_is_not_an_error(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as gone:
        ended = subprocess.run(
            [sys.executable, "-m", "statlas", *words], stdout=gone, stderr=subprocess.PIPE,
            check=False,
        )  # fmt: skip
    assert ended.returncode == 0
    assert ended.stderr == b""


def test_output_that_the_terminal_cannot_encode_is_replaced() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ended = start("show", "error-bars", env=environment)
    assert ended.returncode == 0, ended.stderr
