"""Opening, migrating and refusing databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from statlas.app.digest.database import Database
from statlas.app.digest.tables import metadata
from statlas.core.errors import InputError


def test_migrations_make_what_the_tables_say(database) -> None:
    own = set(metadata.tables)

    def ours(name, kind, *_):
        return kind != "table" or name in own

    def known(item, name, kind, *_):
        return not (kind == "column" and name == "text") and name != "ix_paper_text"

    with database.reading() as connection:
        options = {"include_name": ours, "include_object": known, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_opening_twice_changes_nothing(address: str) -> None:
    for _ in range(2):
        with Database(address) as database, database.reading() as connection:
            assert connection.execute(text("SELECT version_num FROM alembic_version")).all()


def test_a_newer_database_is_refused(address: str) -> None:
    with Database(address) as database, database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InputError, match="newer statlas"):
        Database(address)


def test_a_failed_transaction_leaves_nothing(database, add, paper) -> None:
    add(paper(1))
    with pytest.raises(RuntimeError), database.writing() as connection:
        connection.execute(text("DELETE FROM paper"))
        raise RuntimeError
    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM paper")).scalar() == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("mysql://a@b/c", "mysql"),
        ("sqlite://", "no file"),
        ("postgresql://nobody:secret@127.0.0.1:1/none", "cannot be opened"),
        ("://", "not the address"),
    ],
)
def test_what_is_no_database_is_refused_without_its_password(given: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Database(given)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, long enough to be read as a header of a database" * 10)
    with pytest.raises(InputError, match="cannot be opened"):
        Database(path)


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    Database(tmp_path / "folder" / "digest.sqlite").close()
    assert (tmp_path / "folder" / "digest.sqlite").stat().st_mode & 0o077 == 0
