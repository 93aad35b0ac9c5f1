"""A database of papers for the tests of pages."""

from __future__ import annotations

from collections.abc import Iterable

from statlas.app.digest.database import Database
from statlas.app.digest.ingest import ingest
from statlas.app.digest.records import Record
from statlas.app.digest.tables import feed


def fill(database: Database, records: Iterable[Record]) -> None:
    """Write records as those of a feed."""
    with database.writing() as connection:
        values = {"source": "s", "format": "f", "added": 0.0}
        id = connection.execute(feed.insert().values(values).returning(feed.c.id)).scalar_one()
    ingest(database, id, records)
