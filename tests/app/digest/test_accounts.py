"""Accounts: passwords, sessions and links, and nothing that tells who has one."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import insert, inspect

from statlas.app.digest import migrations
from statlas.app.digest.database import Database
from statlas.app.digest.readers import reader_of
from statlas.app.digest.tables import reader


def test_a_database_of_before_gets_accounts_and_keeps_what_it_has(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Config()
    settings.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "bring_up_to_date", lambda database: None)
        with Database(address) as database, database.writing() as connection:
            settings.attributes["connection"] = connection
            command.upgrade(settings, "0001")
            row = {"email": "ada@example.org", "state": "active", "secret": "s", "created": 1.0}
            connection.execute(insert(reader).values(hour=5, **row))
            assert not inspect(connection).has_table("account")
    with Database(address) as database:
        assert reader_of(database, "ada@example.org").hour == 5
        with database.reading() as connection:
            assert inspect(connection).has_table("account")
