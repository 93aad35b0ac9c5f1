"""The digest's pages: found, kept, subscribed to, and safe from what feeds bring."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")
pytest.importorskip("lxml")

from library import fill
from starlette.testclient import TestClient
from workbench import HOST

from statlas.app.digest.database import Database
from statlas.app.digest.readers import link_token, reader_of
from statlas.app.digest.records import make_record
from statlas.app.web.application import create_app
from statlas.app.web.settings import Settings

TOKEN = "a-token-of-twenty-signs"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with three papers, one of them hostile."""
    path = tmp_path / "papers.sqlite"
    records = [
        make_record(title="Whale songs", abstract="Of the sea.", arxiv="2401.00001",
                    categories=("q-bio.PE",), authors=("Ada",), published="2024-01-01"),
        make_record(title='1 < 2 " onmouseover="alert(1) {{ 7 * 7 }}', arxiv="2401.00002",
                    abstract="<script>alert(1)</script> javascript:alert(1)"),
        make_record(title="Whales again", arxiv="2401.00003", signals=(("votes", 9),),
                    published="2026-11-01"),
    ]  # fmt: skip
    with Database(path) as database:
        fill(database, records)
    return path


@pytest.fixture
def client(path: Path, tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(folder=tmp_path / "workbench", digest=str(path))
    with TestClient(create_app(settings), base_url=HOST, follow_redirects=False) as made:
        yield made


@pytest.fixture
def outside(path: Path, tmp_path: Path) -> Iterator[TestClient]:
    """A workbench that others reach."""
    settings = Settings(folder=tmp_path / "outside", digest=str(path), host="0.0.0.0", token=TOKEN)
    with TestClient(create_app(settings), base_url=HOST, follow_redirects=False) as made:
        yield made


def test_search_and_more(client: TestClient) -> None:
    page = client.get("/digest", params={"q": "whales"}).text
    assert page.index("Whales again") < page.index("Whale songs")
    found = client.get("/api/digest/search", params={"q": "whales -again"}).json()["papers"]
    assert [item["title"] for item in found] == ["Whale songs"]
    assert "Nothing fits" in client.get("/digest", params={"q": "zzzz"}).text
    assert "is no date" in client.get("/digest", params={"q": "after:x"}).text
    assert client.get("/digest", params={"q": "x" * 5_000, "from": "99999"}).status_code == 200


def test_what_feeds_bring_is_text_and_nothing_else(client: TestClient) -> None:
    assert "<script" not in client.get("/digest/atom?q=onmouseover").text
    for address in ("/digest", "/digest/papers/2", "/digest?q=onmouseover"):
        page = client.get(address).text
        assert "49" not in re.sub(r"\d\d\d\d-", "", page)
        assert '" onmouseover="' not in page
        assert "<script>alert" not in page
    assert (
        client.get("/digest/papers/2")
        .headers["content-security-policy"]
        .startswith("default-src 'none'")
    )


def test_a_paper_is_kept_and_tagged(client: TestClient) -> None:
    assert client.post("/digest/papers/1", content="do=save").status_code == 303
    assert client.post("/digest/papers/1", content="do=tag&tag=sea+life").status_code == 303
    page = client.get("/digest/papers/1").text
    assert "Keep no longer" in page
    assert "sea life" in page
    assert "Whale songs" in client.get("/digest/kept").text
    assert "Whale songs" in client.get("/digest/kept", params={"tag": "sea life"}).text
    client.post("/digest/papers/1", content="do=untag&tag=sea+life")
    client.post("/digest/papers/1", content="do=unsave")
    assert "Nothing is kept yet" in client.get("/digest/kept").text
    for body in ("", "do=burn", "do=tag&tag=%3Cb%3E", "do=tag&tag=", "\xff"):
        assert client.post("/digest/papers/1", content=body).status_code == 400
    assert client.post("/digest/papers/1", content="x" * 30_000).status_code == 413
    assert client.post("/digest/papers/99", content="do=save").status_code == 404


def test_trending_and_its_feed(client: TestClient) -> None:
    client.post("/digest/papers/1", content="do=save")
    page = client.get("/digest/trending").text
    assert page.index("Whale songs") < page.index("Whales again")
    assert "saved by 1 reader" in page
    feed_ = client.get("/digest/atom")
    assert feed_.headers["content-type"].startswith("application/atom+xml")
    assert "Whale songs" in feed_.text
    assert client.get("/api/digest/trending", params={"days": "9999"}).status_code == 200


def test_a_change_must_come_from_a_page_of_ours(client: TestClient) -> None:
    headers = {"Origin": "https://evil.example"}
    assert client.post("/digest/papers/1", content="do=save", headers=headers).status_code == 403


def test_subscribing_confirming_and_stopping(client: TestClient, path: Path) -> None:
    answer = client.post("/digest/subscribe", content="email=ada@example.org&hour=7&timezone=UTC")
    assert "asks to confirm" in answer.text
    for bad in ("email=nobody", "email=a@b.org&hour=99", "email=a@b.org&timezone=Mars", "hour=x"):
        assert 'class="problem"' in client.post("/digest/subscribe", content=bad).text
    with Database(path) as database:
        person = reader_of(database, "ada@example.org")
        confirm, stop = link_token(person, "confirm"), link_token(person, "stop")
        assert client.get("/digest/confirm", params={"token": confirm}).status_code == 200
        assert reader_of(database, person.email).state == "pending", "reading changes nothing"
        client.post("/digest/confirm", params={"token": confirm})
        assert reader_of(database, person.email).state == "active"
        client.get("/digest/stop", params={"token": stop})
        assert reader_of(database, person.email).state == "active"
        click = "List-Unsubscribe=One-Click"
        assert client.post("/digest/stop", params={"token": stop}, content=click).status_code == 200
        assert reader_of(database, person.email).state == "stopped"
    assert client.post("/digest/stop", params={"token": confirm}).status_code == 404


def test_beyond_loopback_links_of_mails_need_no_token_and_nothing_else_is_open(
    outside: TestClient, path: Path
) -> None:
    assert outside.get("/digest").status_code == 401
    assert outside.get("/digest/stop", params={"token": "x"}).status_code == 404
    inside = {"Authorization": f"Bearer {TOKEN}"}
    assert outside.get("/digest", headers=inside).status_code == 200
    saving = outside.post("/digest/papers/1", content="do=save", headers=inside)
    assert saving.status_code == 403
    outside.post("/digest/subscribe", content="email=ada@example.org&hour=7", headers=inside)
    with Database(path) as database:
        person = reader_of(database, "ada@example.org")
        answer = outside.post("/digest/confirm", params={"token": link_token(person, "confirm")})
        assert answer.status_code == 200
        assert reader_of(database, person.email).state == "active"
