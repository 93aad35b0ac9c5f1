"""Opening the digest's database: SQLite by default, PostgreSQL by address.

All statements go through SQLAlchemy Core. What the two databases do differently (full-text search,
locks) is asked for with `is_sqlite` in the module that needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from statlas.core.errors import InputError
from statlas.core.ledger import data_folder

Key = TypeVar("Key", int, str)
_WRITERS_LOCK = 7_116_201  # any number that no other use of the same database takes


def default_path() -> Path:
    """The SQLite file of this user."""
    return data_folder() / "digest" / "digest.sqlite"


class Database:
    """An open database whose tables are up to date.

    Parameters
    ----------
    address
        ``postgresql://...``, ``sqlite:///path``, the path of a SQLite file, or nothing for the
        user's own.

    Raises
    ------
    InputError
        If the database cannot be opened, or a newer statlas made it.
    """

    def __init__(self, address: str | Path | None = None):
        self.url = _url(address)
        self.shown = self.url.render_as_string(hide_password=True)
        self.engine = _engine(self.url)
        try:
            from statlas.app.digest.migrations import bring_up_to_date

            bring_up_to_date(self)
        except (SQLAlchemyError, OSError) as error:
            raise InputError(
                f"the database {self.shown} cannot be opened: {_cause(error)}",
                remedy="check the address with --db, and that you may write there",
            ) from None

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite and not PostgreSQL."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database."""
        with self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN")
            else:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in one transaction; writers wait for each other."""
        with self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _WRITERS_LOCK}
                )
            yield connection
            connection.commit()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _url(address: str | Path | None) -> URL:
    if address is None or isinstance(address, Path) or "://" not in address:
        path = default_path() if address is None else Path(address)
        return URL.create("sqlite", database=str(path))
    try:
        url = make_url(address)
    except ArgumentError:
        raise InputError(
            "--db is not the address of a database",
            remedy="give a file, or postgresql://USER:PASSWORD@HOST/NAME",
        ) from None
    if url.drivername in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        raise InputError(
            f"--db names the database {url.drivername!r}",
            remedy="SQLite and PostgreSQL are supported: postgresql://USER:PASSWORD@HOST/NAME",
        )
    return url


def _engine(url: URL) -> Engine:
    if url.drivername != "sqlite":
        try:
            return create_engine(url, pool_pre_ping=True)
        except NoSuchModuleError as error:
            raise InputError(str(error)) from None
    if not url.database:
        raise InputError("--db sqlite:// has no file", remedy="give sqlite:///FILE")
    path = Path(url.database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            path.touch(mode=0o600)  # it will hold the readers' addresses
    except OSError as error:
        raise InputError(
            f"the database {path} cannot be written: {error.strerror}",
            remedy="choose another file with --db, or set STATLAS_DATA",
        ) from None
    engine = create_engine(url, connect_args={"timeout": 60})
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, not where the driver does
    cursor = connection.cursor()
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",  # a mail marked as being sent stays so when the power fails
        "foreign_keys = ON",
        "secure_delete = ON",
        "cache_size = -65536",
        "mmap_size = 268435456",
        "temp_store = MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def in_parts(ids: Sequence[Key], size: int = 10_000) -> Iterator[Sequence[Key]]:
    """Ids in parts that one statement can take."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def failure_of(database: Database, error: Exception) -> InputError:
    """What to tell of a database that fails while it is used."""
    return InputError(
        f"the database {database.shown} fails: {_cause(error)}",
        remedy="look whether its disk is full and its server runs; what was written before is kept",
    )


def _cause(error: Exception) -> str:
    original = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return str(original).strip().splitlines()[0] if str(original).strip() else type(error).__name__
