"""The command line of the digest, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from statlas.app.cli import main
from statlas.app.digest import service
from statlas.app.digest.database import Database
from statlas.app.digest.settings import MailSettings

PAPERS = """title,abstract,authors,date,url
Error bars for evals,Intervals.,Evan Miller,2024-11-01,https://arxiv.org/abs/2411.00640
Bars and errors of Lisbon,A guide.,Ada Lovelace,2023-01-01,https://example.org/lisbon
"""


@pytest.fixture
def digest(address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Runs one command on an own database; returns its exit code and what it printed."""
    (tmp_path / "papers.csv").write_text(PAPERS)

    def run(command: str, *words: str) -> tuple[int, str]:
        code = main(["digest", command, "--db", address, *words])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    assert run("add", str(tmp_path / "papers.csv"))[0] == 0
    return run


def titles(answer: tuple[int, str]) -> list[str]:
    return [item["title"] for item in json.loads(answer[1])]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("error", "bars", "evals"), ["Error bars for evals"]),
        (('"error bars"',), ["Error bars for evals"]),
        (('"error bars"', "author:Miller", "after:2024"), ["Error bars for evals"]),
        (('author:"Ada Lovelace"',), ["Bars and errors of Lisbon"]),
        (("before:2023-06",), ["Bars and errors of Lisbon"]),
        (("errors lisbon guide",), ["Bars and errors of Lisbon"]),
    ],
)
def test_searches_as_typed(digest, words, expected) -> None:
    assert titles(digest("search", *words, "--json"))[:1] == expected


def test_a_paper_and_a_reader(digest) -> None:
    code, shown = digest("show", "2411.00640")
    assert code == 0
    assert "error-bars" in shown
    assert digest("subscribe", "ada@example.org", "--confirmed")[0] == 0
    assert digest("save", "ada@example.org", "2411.00640")[0] == 0
    assert "saved by 1 reader" in digest("trending")[1]
    assert "ada@example.org" in digest("readers")[1]
    assert "Error bars for evals" in digest("atom", "evals")[1]
    assert digest("unsubscribe", "ada@example.org", "--forget")[0] == 0
    assert digest("readers")[1].strip() == "none"


def test_a_feed_is_forgotten_and_its_papers_stay(digest, tmp_path: Path) -> None:
    assert str(tmp_path / "papers.csv") in digest("feeds")[1]
    assert digest("remove", str(tmp_path / "papers.csv"))[0] == 0
    assert "There are no feeds yet" in digest("feeds")[1]
    assert titles(digest("search", "evals", "--json")) == ["Error bars for evals"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("add", "nowhere.xml"), "there is no file"),
        (("add", "x", "--format", "odd"), "no format 'odd'"),
        (("remove", "https://example.org/feed"), "there is no feed"),
        (("search", "after:soon"), "is no date"),
        (("search", "x", "--limit", "0"), "--limit must be 1"),
        (("show", "99999"), "there is no paper"),
        (("subscribe", "nobody"), "no mail address"),
        (("save", "bo@example.org", "1"), "there is no reader"),
        (("send",), "need --smtp"),
    ],
)
def test_mistakes_are_told_in_one_line(digest, command, message, monkeypatch) -> None:
    monkeypatch.delenv("STATLAS_SMTP", raising=False)
    code, printed = digest(*command)
    assert code == 2
    assert message in printed
    assert "Traceback" not in printed


def test_a_database_that_fails_is_told(digest, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    monkeypatch.setattr("statlas.app.digest.search.search", full)
    code, printed = digest("search", "evals")
    assert code == 2
    assert "disk is full; look whether" in printed
    assert "fault in statlas" not in printed


def test_the_service_outlives_a_failure_of_its_database(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise OperationalError("SELECT", {}, Exception("server closed the connection"))

    said: list[str] = []
    settings = MailSettings("127.0.0.1", 1, "digest@example.org", "http://127.0.0.1:1", "none")
    monkeypatch.setattr(service, "_ROUND", 0.0)
    with Database(address) as database:
        monkeypatch.setattr(service, "update_all", gone)
        service.serve(database, settings, say=said.append, rounds=2)
    assert len(said) == 1, "feeds wait for their hour, mails do not"
    assert "server closed the connection" in said[0]
