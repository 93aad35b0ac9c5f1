"""Adding feeds and reading them again: files, folders, and addresses fetched with politeness.

A feed is known by its source. A file that was read halfway is resumed where it stopped, as long as
it has not changed. An address is asked only for what changed (``ETag``, ``Last-Modified``), not
before its time (``Retry-After``, and twice as long after each failure), one request every three
seconds, and OAI-PMH lists are followed page by page; each page is written before the next is asked
for.
"""

from __future__ import annotations

import email.utils
import hashlib
import html
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import Connection, delete, insert, select, update

import statlas
from statlas.app.digest.database import Database
from statlas.app.digest.feeds import files_of, read_feed
from statlas.app.digest.ingest import Counts, ingest
from statlas.app.digest.records import web_address
from statlas.app.digest.tables import feed, problem
from statlas.core.errors import InputError, MissingExtra

if TYPE_CHECKING:
    import httpx2

LARGEST_DOWNLOAD = 2 * 2**30
_SECONDS_BETWEEN = 3.0
_TIMEOUT = 60.0
_FIRST_WAIT = 300.0  # after a failure; doubled with each further one
_LONGEST_WAIT = 86_400.0
_TRIES = 3
_TOKEN = re.compile(rb"<resumptionToken[^>]*>\s*([^<]*?)\s*</resumptionToken>")

Report = Callable[[str, Counts], None]


@dataclass
class Outcome:
    """What adding a source did.

    Attributes
    ----------
    source, format
        The feed and what it is.
    counts
        What became of its records.
    note
        What is worth saying, such as that nothing changed.
    """

    source: str
    format: str
    counts: Counts = field(default_factory=Counts)
    note: str = ""


def add_source(
    database: Database,
    source: str,
    *,
    format: str | None = None,
    now: float | None = None,
    report: Report | None = None,
) -> list[Outcome]:
    """Read a file, a folder or an address into the database.

    Parameters
    ----------
    database
        Where to.
    source
        Path or http(s) address.
    format
        One of `feeds.READERS`; by default told from the content.
    now
        The time, in seconds since 1970.
    report
        Called with the source and its counts after each batch.

    Returns
    -------
    list of Outcome
        One for each file, or for the address.

    Raises
    ------
    InputError
        If it cannot be read or is no feed. Other files of a folder are read all the same; the error
        of a file stands in its outcome's `note`.
    """
    if "://" in source:
        return [_add_address(database, source, format, now, report)]
    path = Path(source)
    files = files_of(path)
    if not path.is_dir():
        return [_add_file(database, path, format, now, report)]
    outcomes = []
    for file in files:
        try:
            outcomes.append(_add_file(database, file, format, now, report))
        except InputError as error:
            outcomes.append(Outcome(str(file), "", note=f"not read: {error}"))
    if all(outcome.note.startswith("not read") for outcome in outcomes):
        raise InputError(f"no file of {path} is a feed: {outcomes[0].note}")
    return outcomes


def _add_file(
    database: Database, path: Path, format: str | None, now: float | None, report: Report | None
) -> Outcome:
    source = str(path.resolve())
    fingerprint = _fingerprint(path)
    with read_feed(path, format) as (found, items):
        known = _feed(database, source, found, now)
        resumes = known.position > 0 and known.fingerprint == fingerprint
        skip = known.position if resumes else 0
        _set(database, known.id, format=found, fingerprint=fingerprint, position=skip)
        told = None if report is None else lambda counts: report(source, counts)
        counts = ingest(database, known.id, items, skip=skip, now=now, report=told)
    _set(database, known.id, position=0, last_ok=_now(now), last_error="", failures=0)
    note = f"resumed after {skip:,} records" if skip else "" if counts.read else "no records in it"
    return Outcome(source, found, counts, note)


def _fingerprint(path: Path) -> str:
    """Tells whether a file changed, from its size, time and beginning."""
    state = path.stat()
    with path.open("rb") as stream:
        beginning = stream.read(65_536)
    seen = f"{state.st_size} {state.st_mtime_ns} ".encode() + beginning
    return hashlib.blake2b(seen, digest_size=16).hexdigest()


# --- addresses --------------------------------------------------------------------------------


def _add_address(
    database: Database, source: str, format: str | None, now: float | None, report: Report | None
) -> Outcome:
    address = web_address(source)
    if not address:
        raise InputError(
            f"{source!r:.200} is no http or https address",
            remedy="check it, without a password in it",
        )
    known = _feed(database, address, format or "", now)
    wait = known.next_at - _now(now)
    if wait > 0:
        return Outcome(
            address, known.format, note=f"not asked again before {_clock(known.next_at)} UTC"
        )
    total = Counts()
    found = known.format
    try:
        with _client() as client:
            for page in _pages(client, database, known):
                found, counts = _ingest_page(database, known, page, format, now, report, total)
                _add_counts(total, counts)
    except _Unavailable as error:
        failures = known.failures + 1
        wait = max(error.wait, min(_FIRST_WAIT * 2 ** (failures - 1), _LONGEST_WAIT))
        _set(database, known.id, failures=failures, last_error=str(error), next_at=_now(now) + wait)
        raise InputError(
            f"{address} cannot be fetched: {error}",
            remedy=f"it is asked again after {_clock(_now(now) + wait)} UTC",
        ) from None
    _set(database, known.id, failures=0, last_error="", last_ok=_now(now), next_at=0.0)
    return Outcome(address, found, total, "" if total.read else "nothing changed")


class _Unavailable(Exception):
    """The address gave nothing now; it may later, after `wait` seconds."""

    def __init__(self, message: str, wait: float = 0.0):
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class _Page:
    """What was fetched, in a file, and what to remember once it is written."""

    path: Path
    remember: dict[str, Any]


def _client() -> httpx2.Client:
    try:
        import httpx2
    except ImportError:
        raise MissingExtra("httpx2", "digest") from None
    return httpx2.Client(
        follow_redirects=True,
        max_redirects=5,
        timeout=_TIMEOUT,
        headers={"User-Agent": f"statlas-digest/{statlas.__version__} (feed reader)"},
    )


def _pages(client: httpx2.Client, database: Database, known: _Feed) -> Iterator[_Page]:
    """The pages of a feed; one, but for OAI-PMH lists."""
    next_address = _continued(known.source, known.fingerprint) or known.source
    conditional = {"If-None-Match": known.etag, "If-Modified-Since": known.modified}
    headers = {} if known.fingerprint else {k: v for k, v in conditional.items() if v}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page"
        while next_address:
            answer = _fetch(client, next_address, headers, path)
            if answer is None:  # nothing changed
                return
            token = _resumption_token(path)
            repeats = token != "" and _continued(known.source, token) == next_address
            yield _Page(path, {"fingerprint": "" if repeats else token, **answer})
            if repeats:
                raise _Unavailable("the list goes on with the page that was just read")
            next_address, headers = _continued(known.source, token), {}
            if next_address:
                time.sleep(_SECONDS_BETWEEN)


def _continued(source: str, token: str) -> str:
    """The address of the next page of an OAI-PMH list; empty where there is none."""
    if not token:
        return ""
    return f"{source.partition('?')[0]}?verb=ListRecords&resumptionToken={quote(token, safe='')}"


def _resumption_token(path: Path) -> str:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 10_000))
        found = _TOKEN.search(stream.read())
    return html.unescape(found.group(1).decode("utf-8", "replace")) if found else ""


def _fetch(
    client: httpx2.Client, address: str, headers: dict[str, str], path: Path
) -> dict[str, str] | None:
    """Fetch to a file; what to send next time, or None where nothing changed."""
    import httpx2

    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_SECONDS_BETWEEN * 2**attempt)
        try:
            with client.stream("GET", address, headers=headers) as answer:
                if answer.status_code == 304:
                    return None
                if answer.status_code in (429, 503):
                    raise _Unavailable(
                        f"the server asks to wait ({answer.status_code})", _retry_after(answer)
                    )
                if 500 <= answer.status_code < 600:
                    continue
                if answer.status_code != 200:
                    raise _Unavailable(f"the server answers {answer.status_code}")
                _keep(answer, path)
                return {
                    "etag": answer.headers.get("etag", ""),
                    "modified": answer.headers.get("last-modified", ""),
                }
        except httpx2.HTTPError as error:
            last = f"{type(error).__name__}: {error}"
            if attempt == _TRIES - 1:
                raise _Unavailable(last) from None
    raise _Unavailable(f"the server failed {_TRIES} times")


def _keep(answer: httpx2.Response, path: Path) -> None:
    size = 0
    with path.open("wb") as stream:
        for part in answer.iter_bytes():
            size += len(part)
            if size > LARGEST_DOWNLOAD:
                raise _Unavailable(f"it has more than {LARGEST_DOWNLOAD:,} bytes")
            stream.write(part)


def _retry_after(answer: httpx2.Response) -> float:
    text = answer.headers.get("retry-after", "").strip()
    if text.isdigit():
        return min(float(text), _LONGEST_WAIT)
    try:
        wait = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        return min(max(0.0, wait), _LONGEST_WAIT)
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _ingest_page(
    database: Database,
    known: _Feed,
    page: _Page,
    format: str | None,
    now: float | None,
    report: Report | None,
    before: Counts,
) -> tuple[str, Counts]:
    def told(counts: Counts) -> None:
        if report is not None:
            so_far = Counts()
            _add_counts(so_far, before)
            _add_counts(so_far, counts)
            report(known.source, so_far)

    with read_feed(page.path, format) as (found, items):
        counts = ingest(database, known.id, items, now=now, report=told)
    _set(database, known.id, format=found, position=0, **page.remember)
    return found, counts


def _add_counts(total: Counts, more: Counts) -> None:
    for name, value in vars(more).items():
        setattr(total, name, getattr(total, name) + value)


# --- the table of feeds ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Feed:
    id: int
    source: str
    format: str
    etag: str
    modified: str
    fingerprint: str
    position: int
    failures: int
    next_at: float


def _feed(database: Database, source: str, format: str, now: float | None) -> _Feed:
    """The feed of this source, made where it is new."""
    with database.writing() as connection:
        known = _find(connection, source)
        if known is None:
            connection.execute(insert(feed).values(source=source, format=format, added=_now(now)))
            known = _find(connection, source)
    assert known is not None
    return known


def _find(connection: Connection, source: str) -> _Feed | None:
    columns = [feed.c[name] for name in _Feed.__dataclass_fields__]
    row = connection.execute(select(*columns).where(feed.c.source == source)).mappings().first()
    return None if row is None else _Feed(**row)


def _set(database: Database, id: int, **values: object) -> None:
    with database.writing() as connection:
        connection.execute(update(feed).where(feed.c.id == id).values(**values))


def _now(now: float | None) -> float:
    return time.time() if now is None else now


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at))


def update_all(database: Database, now: float | None = None) -> list[Outcome]:
    """Ask again all addresses whose time has come; an error stands in the outcome's `note`."""
    with database.reading() as connection:
        rows = connection.execute(select(feed.c.source).where(feed.c.source.contains("://")))
        addresses = [source for (source,) in rows]
    outcomes = []
    for address in addresses:
        try:
            outcomes += add_source(database, address, now=now)
        except InputError as error:
            outcomes.append(Outcome(address, "", note=f"not read: {error}"))
    return outcomes


def remove_source(database: Database, source: str) -> str:
    """Forget a feed, so that it is not read again; its papers stay. Return what it was known as.

    Raises
    ------
    InputError
        If there is no such feed.
    """
    known_as = web_address(source) if "://" in source else str(Path(source).resolve())
    with database.writing() as connection:
        removed = connection.execute(delete(feed).where(feed.c.source == known_as)).rowcount
    if not removed:
        raise InputError(
            f"there is no feed {source!r:.200}", remedy="`statlas digest feeds` lists them"
        )
    return known_as


def feeds_with_problems(database: Database, most: int = 5) -> list[dict[str, Any]]:
    """All feeds, each with the first problems of its records."""
    with database.reading() as connection:
        listed = [
            dict(row) for row in connection.execute(select(feed).order_by(feed.c.id)).mappings()
        ]
        for item in listed:
            statement = select(problem.c.place, problem.c.message, problem.c.excerpt)
            rows = connection.execute(
                statement.where(problem.c.feed == item["id"]).order_by(problem.c.id).limit(most)
            )
            item["problems"] = [dict(row) for row in rows.mappings()]
    return listed
