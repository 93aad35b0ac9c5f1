"""Every test of the digest's data runs on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")
pytest.importorskip("lxml")
pytest.importorskip("feedparser")

from postgres import Server, find_server

from statlas.app.digest.database import Database
from statlas.app.digest.ingest import Counts, ingest
from statlas.app.digest.records import Item, make_record
from statlas.app.digest.tables import feed

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    programs = find_server()
    if programs is None:
        if os.environ.get("STATLAS_NEEDS_POSTGRES"):
            pytest.fail("no PostgreSQL server is installed here")
        pytest.skip("no PostgreSQL server is installed here")
    folder = Path(tempfile.mkdtemp(prefix="statlas-pg-"))  # a short path: sockets need one
    server = Server(programs, folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty database."""
    if request.param == "sqlite":
        return str(tmp_path / "digest.sqlite")
    server: Server = request.getfixturevalue("postgres")
    return server.new_database(f"test_{os.getpid()}_{next(_numbers)}")


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    with Database(address) as opened:
        yield opened


@pytest.fixture
def add(database: Database) -> Callable[..., Counts]:
    """Writes items as one feed and returns what became of them."""

    def write(*items: Item, now: float = 1_700_000_000.0) -> Counts:
        with database.writing() as connection:
            id = connection.execute(
                feed.insert()
                .values(source=f"test {next(_numbers)}", format="test", added=0.0)
                .returning(feed.c.id)
            ).scalar_one()
        return ingest(database, id, items, now=now)

    return write


@pytest.fixture
def paper() -> Callable[..., Item]:
    """Makes a record; the number is its arXiv number."""

    def make(number: int, title: str = "", **given: object) -> Item:
        fields = {"title": title or f"Paper {number}", "arxiv": f"2401.{number:05d}"} | given
        return make_record(**fields)  # type: ignore[arg-type]

    return make
