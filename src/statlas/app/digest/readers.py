"""Readers: who gets mail, when, about what; what they saved and tagged.

A reader who asks for mail is *pending* until the link of a first mail was followed (double opt-in),
then *active*, and *stopped* from the moment of an unsubscription. Links in mails are signed with a
secret of the reader's own. A link that confirms is good for one subscription; a link that
unsubscribes is good for ever.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy import ColumnElement, Connection, Table, delete, insert, select, update

from statlas.app.digest.database import Database
from statlas.app.digest.ingest import insert_ignoring
from statlas.app.digest.queries import parse_query
from statlas.app.digest.search import Paper, papers
from statlas.app.digest.tables import password_request, reader, saved, tagged
from statlas.core.errors import InputError

PENDING, ACTIVE, STOPPED, BOUNCING = "pending", "active", "stopped", "bouncing"

# What mail servers take in practice; the confirmation shows whether it is someone's.
_ADDRESS = re.compile(r"[^\s@<>()\[\]\\,;:\"\x00-\x1f]{1,64}@(?:[a-z0-9-]{1,63}\.)*[a-z0-9-]{1,63}")
_TAG = re.compile(r"[\w .+-]{1,50}")
MOST_TAGS = 50
LONGEST_QUERY = 1_000
MOST_CATEGORIES = 50


@dataclass(frozen=True)
class Reader:
    """One reader and the wishes for the daily mail.

    Attributes
    ----------
    state
        ``pending``, ``active``, ``stopped`` or ``bouncing``.
    timezone, hour
        The mail goes out from this hour on, 0 to 23, in this time zone.
    query, categories
        What the mail is about, as for a search; both empty for the whole of the feeds.
    papers_a_mail
        The most papers in a mail.
    """

    id: int
    email: str
    state: str
    timezone: str
    hour: int
    query: str
    categories: str
    papers_a_mail: int
    secret: str
    created: float
    confirmed: float | None


_COLUMNS = [reader.c[name] for name in Reader.__dataclass_fields__]


def clean_address(email: str) -> str:
    """The address in lower case.

    Raises
    ------
    InputError
        If it is none.

    Examples
    --------
    >>> clean_address(" Ada@Example.org ")
    'ada@example.org'
    """
    address = email.strip().lower()
    if len(address) > 254 or not address.isascii() or not _ADDRESS.fullmatch(address):
        raise InputError(
            f"{email.strip()!r:.100} is no mail address", remedy="write it as name@example.org"
        )
    return address


def subscribe(
    database: Database,
    email: str,
    *,
    timezone: str = "UTC",
    hour: int = 7,
    query: str = "",
    categories: Sequence[str] = (),
    papers_a_mail: int = 10,
    now: float | None = None,
) -> Reader:
    """Note that someone wants the mail; it comes once the address is confirmed.

    A reader who is active already keeps the wishes of before: anybody can type anybody's address.

    Raises
    ------
    InputError
        If a value is none or out of range.
    """
    address = clean_address(email)
    _check_wishes(timezone, hour, query, categories, papers_a_mail)
    values = {
        "timezone": timezone,
        "hour": hour,
        "query": query.strip(),
        "categories": " ".join(categories),
        "papers_a_mail": papers_a_mail,
    }
    moment = time.time() if now is None else now
    with database.writing() as connection:
        known = _find(connection, reader.c.email == address)
        if known is None:
            connection.execute(
                insert(reader).values(
                    email=address,
                    state=PENDING,
                    secret=secrets.token_urlsafe(24),
                    created=moment,
                    **values,
                )
            )
        elif known.state != ACTIVE:
            connection.execute(
                update(reader)
                .where(reader.c.id == known.id)
                .values(state=PENDING, created=moment, **values)
            )
        found = _find(connection, reader.c.email == address)
    assert found is not None
    return found


def _check_wishes(
    timezone: str, hour: int, query: str, categories: Sequence[str], papers_a_mail: int
) -> None:
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(
            f"there is no time zone {timezone!r:.60}", remedy="write it as Europe/Berlin or UTC"
        ) from None
    if not 0 <= hour <= 23:
        raise InputError(f"the hour must be 0 to 23; got {hour}")
    if not 1 <= papers_a_mail <= 50:
        raise InputError(f"a mail has 1 to 50 papers; got {papers_a_mail}")
    if len(query) > LONGEST_QUERY:
        raise InputError(
            f"a query has at most {LONGEST_QUERY} characters; got {len(query)}",
            remedy="use fewer words",
        )
    parse_query(query)
    if len(categories) > MOST_CATEGORIES or any(len(name) > 100 for name in categories):
        raise InputError(
            f"there are at most {MOST_CATEGORIES} categories of up to 100 characters",
            remedy="write them as stat.ME cs.LG",
        )


def change_wishes(
    database: Database,
    reader_id: int,
    *,
    timezone: str,
    hour: int,
    query: str,
    categories: Sequence[str],
    papers_a_mail: int,
) -> None:
    """Change what an active reader's mail is about and when it comes.

    Raises
    ------
    InputError
        If a value is none or out of range.
    """
    _check_wishes(timezone, hour, query, categories, papers_a_mail)
    with database.writing() as connection:
        connection.execute(
            update(reader)
            .where(reader.c.id == reader_id)
            .values(
                timezone=timezone,
                hour=hour,
                query=query.strip(),
                categories=" ".join(categories),
                papers_a_mail=papers_a_mail,
            )
        )


def readers(database: Database) -> list[Reader]:
    """All readers, in the order in which they came."""
    with database.reading() as connection:
        rows = connection.execute(select(*_COLUMNS).order_by(reader.c.id)).mappings()
        return [Reader(**row) for row in rows]


def reader_of(database: Database, email: str) -> Reader:
    """The reader with this address.

    Raises
    ------
    InputError
        If there is none.
    """
    address = clean_address(email)
    with database.reading() as connection:
        found = _find(connection, reader.c.email == address)
    if found is None:
        raise InputError(
            f"there is no reader {address}",
            remedy=f"`statlas digest subscribe {address}` makes one",
        )
    return found


def reader_with_id(database: Database, id: int) -> Reader | None:
    """The reader with this number."""
    with database.reading() as connection:
        return _find(connection, reader.c.id == id)


def _find(connection: Connection, condition: ColumnElement[bool]) -> Reader | None:
    row = connection.execute(select(*_COLUMNS).where(condition)).mappings().first()
    return None if row is None else Reader(**row)


# --- links ---------------------------------------------------------------------------------------


def link_token(person: Reader, purpose: str) -> str:
    """What a link in a mail carries, for ``confirm`` or ``stop``."""
    signed = _signer(person, purpose).dumps(person.id)
    return f"{person.id}.{signed if isinstance(signed, str) else signed.decode()}"


def _signer(person: Reader, purpose: str) -> URLSafeSerializer:
    salt = f"{purpose} {person.created}" if purpose == "confirm" else purpose
    return URLSafeSerializer(person.secret, salt=salt)


def reader_of_link(database: Database, token: str, purpose: str) -> Reader | None:
    """The reader whose link this is; None where it is nobody's, or of an earlier subscription."""
    number = link_number(token)
    person = None if number is None else reader_with_id(database, number)
    if person is None:
        return None
    try:
        said = _signer(person, purpose).loads(token.partition(".")[2])
    except BadSignature:
        return None
    return person if said == person.id else None


def link_number(token: str) -> int | None:
    """The number of the reader whose link this says to be."""
    number = token.partition(".")[0]
    is_number = number.isascii() and number.isdigit() and len(number) <= 18
    return int(number) if is_number else None


def confirm(database: Database, person: Reader, now: float | None = None) -> bool:
    """Make a pending reader active; False where the reader was not pending."""
    moment = time.time() if now is None else now
    with database.writing() as connection:
        changed = connection.execute(
            update(reader)
            .where(reader.c.id == person.id, reader.c.state.in_((PENDING, BOUNCING)))
            .values(state=ACTIVE, confirmed=moment, bounces=0)
        )
        return changed.rowcount > 0


def resume(database: Database, person: Reader) -> None:
    """Let the mails come again, for a reader whose address was confirmed before.

    Raises
    ------
    InputError
        If it never was.
    """
    if person.confirmed is None:
        raise InputError(
            f"the address {person.email} is not confirmed",
            remedy=f"`statlas digest subscribe {person.email}` asks for that",
        )
    with database.writing() as connection:
        connection.execute(
            update(reader).where(reader.c.id == person.id).values(state=ACTIVE, bounces=0)
        )


def stop(database: Database, person: Reader) -> None:
    """End the mails; what the reader saved stays."""
    with database.writing() as connection:
        connection.execute(update(reader).where(reader.c.id == person.id).values(state=STOPPED))


def forget(database: Database, person: Reader) -> None:
    """Delete a reader and all that is known of them."""
    with database.writing() as connection:
        connection.execute(delete(reader).where(reader.c.id == person.id))
        connection.execute(delete(password_request).where(password_request.c.email == person.email))


# --- what they keep ------------------------------------------------------------------------------


def save(database: Database, person: Reader, paper_id: int, now: float | None = None) -> None:
    """Keep a paper; keeping it twice changes nothing."""
    _mark(database, saved, {"reader": person.id, "paper": paper_id}, now)


def unsave(database: Database, person: Reader, paper_id: int) -> None:
    """Keep a paper no longer."""
    with database.writing() as connection:
        connection.execute(
            delete(saved).where(saved.c.reader == person.id, saved.c.paper == paper_id)
        )


def tag(
    database: Database, person: Reader, paper_id: int, name: str, now: float | None = None
) -> None:
    """Put a tag on a paper.

    Raises
    ------
    InputError
        If the tag is empty, too long or has odd characters, or the reader has too many.
    """
    name = " ".join(name.split())
    if not _TAG.fullmatch(name):
        raise InputError(
            f"{name!r:.60} is no tag", remedy="use up to 50 letters, digits, blanks and . + - _"
        )
    known = tags(database, person)
    if name not in known and len(known) >= MOST_TAGS:
        raise InputError(f"there are {MOST_TAGS} tags already", remedy="use one of them")
    _mark(database, tagged, {"reader": person.id, "paper": paper_id, "tag": name}, now)


def untag(database: Database, person: Reader, paper_id: int, name: str) -> None:
    """Take a tag off a paper."""
    with database.writing() as connection:
        connection.execute(
            delete(tagged).where(
                tagged.c.reader == person.id, tagged.c.paper == paper_id, tagged.c.tag == name
            )
        )


def _mark(database: Database, table: Table, key: dict[str, object], now: float | None) -> None:
    moment = time.time() if now is None else now
    with database.writing() as connection:
        insert_ignoring(connection, database.is_sqlite, table, [{**key, "at": moment}])


def tags(database: Database, person: Reader) -> dict[str, int]:
    """The reader's tags, in order, and how many papers have each."""
    counts: dict[str, int] = {}
    with database.reading() as connection:
        statement = select(tagged.c.tag).where(tagged.c.reader == person.id).order_by(tagged.c.tag)
        for (name,) in connection.execute(statement):
            counts[name] = counts.get(name, 0) + 1
    return counts


@dataclass(frozen=True)
class Marks:
    """What a reader did with a paper."""

    saved: bool
    tags: tuple[str, ...]


def marks_of(database: Database, person: Reader, paper_id: int) -> Marks:
    """Whether a reader saved a paper, and the tags on it."""
    with database.reading() as connection:
        is_saved = connection.execute(
            select(saved.c.at).where(saved.c.reader == person.id, saved.c.paper == paper_id)
        ).first()
        names = connection.execute(
            select(tagged.c.tag)
            .where(tagged.c.reader == person.id, tagged.c.paper == paper_id)
            .order_by(tagged.c.tag)
        )
        return Marks(is_saved is not None, tuple(name for (name,) in names))


def kept(database: Database, person: Reader, tag: str = "", limit: int = 1_000) -> list[Paper]:
    """The papers that a reader saved, or put a tag on, the latest first."""
    table = tagged if tag else saved
    conditions = [table.c.reader == person.id, *([tagged.c.tag == tag] if tag else [])]
    statement = select(table.c.paper).where(*conditions).order_by(table.c.at.desc()).limit(limit)
    with database.reading() as connection:
        return papers(connection, [id for (id,) in connection.execute(statement)])
