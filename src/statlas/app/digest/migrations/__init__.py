"""Changes of the schema, in order, by Alembic; `bring_up_to_date` applies what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from statlas.core.errors import InputError

if TYPE_CHECKING:
    from statlas.app.digest.database import Database

HEAD = "0003"


def bring_up_to_date(database: Database) -> None:
    """Apply the migrations that the database lacks.

    Raises
    ------
    InputError
        If a newer statlas made the database.
    """
    with database.reading() as connection:
        current = _version(connection)
    if current == HEAD:
        return
    if current is not None and current > HEAD:
        raise InputError(
            f"the database {database.shown} was made by a newer statlas (version {current})",
            remedy="update statlas, or choose another database with --db",
        )
    from alembic import command
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent))
    with database.writing() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")


def _version(connection: Connection) -> str | None:
    """The migration that was applied last; None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)
