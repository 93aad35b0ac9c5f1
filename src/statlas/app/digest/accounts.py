"""Accounts: a reader's password, the browsers that are signed in, and links to a new password.

A reader whose address was confirmed can have a password. It is kept as its Argon2 hash, made again
at a sign-in when the library's parameters have changed since. Checking one takes the same work
whether the address is a reader's or not.

A browser that is signed in holds a random token, the database only its SHA-256. A session ends 30
days after it was last used and 90 days after it began at the latest, and all of a reader's end with
a new password.

A link to a new password is signed with the reader's secret and with the hash of the password it
replaces: it is good until there is another one, and for an hour at most. Who asks for one leaves
the address that they typed, whosever it is, in a list which the sender of the mails works off; so
neither the answer nor its time tells who is a reader.
"""

from __future__ import annotations

import hashlib
import secrets
import time
import unicodedata
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any

from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy import Connection, Table, delete, insert, or_, select, update

from statlas.app.digest.database import Database
from statlas.app.digest.ingest import insert_ignoring
from statlas.app.digest.readers import (
    Reader,
    clean_address,
    link_number,
    reader_of,
    reader_with_id,
)
from statlas.app.digest.tables import (
    account,
    mail,
    mailed,
    paper,
    password_request,
    saved,
    session,
    tagged,
)
from statlas.core.errors import InputError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST, LONGEST = 12, 256  # characters of a password
LINK_SECONDS = 3600.0
SESSION_IDLE = 30 * 86_400.0
SESSION_LONGEST = 90 * 86_400.0
_USE_NOTED = 3600.0  # how often a session's use is written down
# A hash takes 64 MB for a moment.
_HASHING = BoundedSemaphore(2)


# --- passwords -----------------------------------------------------------------------------------


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobodys_hash() -> str:
    """What a password is compared with where there is none."""
    return _hash(secrets.token_urlsafe(32))


def _hash(password: str) -> str:
    with _HASHING:
        return _hasher().hash(password)


def _fits(hashed: str, password: str) -> bool:
    from argon2.exceptions import VerifyMismatchError

    with _HASHING:
        try:
            return _hasher().verify(hashed, password)
        except VerifyMismatchError:
            return False


def clean_password(password: str, email: str) -> str:
    """The password as it is hashed, in Unicode's form NFKC: keyboards write one sign in many ways.

    Raises
    ------
    InputError
        If it is too short or too long, blank, the address itself, or has control characters.

    Examples
    --------
    >>> clean_password("ﬁne and long enough", "ada@example.org")
    'fine and long enough'
    """
    cleaned = unicodedata.normalize("NFKC", password)
    if not SHORTEST <= len(cleaned) <= LONGEST or len(password) > LONGEST:
        raise InputError(
            f"a password has {SHORTEST} to {LONGEST} characters; got {len(password)}",
            remedy="some words in a row are easy to keep in mind",
        )
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in cleaned):
        raise InputError("a password has no control characters", remedy="leave them out")
    if not cleaned.strip():
        raise InputError("a password of blanks is none", remedy="add words")
    if cleaned.strip().casefold() == email.casefold():
        raise InputError("the password is the address", remedy="choose what others cannot guess")
    return cleaned


def has_password(database: Database, person: Reader) -> bool:
    """Whether a reader can sign in."""
    return _password_of(database, person) is not None


def _password_of(database: Database, person: Reader) -> str | None:
    with database.reading() as connection:
        return _stored(connection, person)


def _stored(connection: Connection, person: Reader) -> str | None:
    statement = select(account.c.password).where(account.c.reader == person.id)
    found: str | None = connection.execute(statement).scalar()
    return found


def set_password(
    database: Database, person: Reader, password: str, now: float | None = None
) -> None:
    """Give a reader a password, and end all sessions.

    Raises
    ------
    InputError
        If it is no good password, or the reader's address was never confirmed.
    """
    hashed = _new_hash(person, password)
    with database.writing() as connection:
        _write_password(connection, person, hashed, now)


def _new_hash(person: Reader, password: str) -> str:
    if person.confirmed is None:
        raise InputError(
            f"the address {person.email} is not confirmed",
            remedy=f"`statlas digest subscribe {person.email}` asks for that",
        )
    return _hash(clean_password(password, person.email))


def _write_password(connection: Connection, person: Reader, hashed: str, now: float | None) -> None:
    moment = time.time() if now is None else now
    connection.execute(delete(account).where(account.c.reader == person.id))
    connection.execute(insert(account).values(reader=person.id, password=hashed, changed=moment))
    connection.execute(delete(session).where(session.c.reader == person.id))


def check_password(database: Database, email: str, password: str) -> Reader | None:
    """The reader with this address and password; as much work where there is none."""
    checked = _check(database, email, password)
    return None if checked is None else checked[0]


def _check(database: Database, email: str, password: str) -> tuple[Reader, str] | None:
    """The reader and the hash that the password fits.

    A hash with parameters of before takes the work of before, until its reader signs in.
    """
    try:
        person = reader_of(database, email)
    except InputError:
        person = None
    stored = None if person is None else _password_of(database, person)
    try:
        cleaned = clean_password(password, "")
    except InputError:
        stored, cleaned = None, ""
    fits = _fits(stored or _nobodys_hash(), cleaned)
    return (person, stored) if fits and person is not None and stored is not None else None


# --- sessions ------------------------------------------------------------------------------------


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def sign_in(database: Database, email: str, password: str, now: float | None = None) -> str | None:
    """Begin a session, and return the token that the browser keeps; None for a wrong password."""
    checked = _check(database, email, password)
    if checked is None:
        return None
    person, stored = checked
    renewed = stored
    if _hasher().check_needs_rehash(stored):
        renewed = _hash(clean_password(password, person.email))
    with database.writing() as connection:
        if _stored(connection, person) != stored:
            return None  # it was changed while it was compared
        connection.execute(
            update(account).where(account.c.reader == person.id).values(password=renewed)
        )
        return _begin(connection, person, now)


def change_password(
    database: Database, person: Reader, password: str, now: float | None = None
) -> str:
    """Give a reader a new password, end all sessions, and return the token of a new one.

    Raises
    ------
    InputError
        If it is no good password.
    """
    hashed = _new_hash(person, password)
    with database.writing() as connection:
        _write_password(connection, person, hashed, now)
        return _begin(connection, person, now)


def _begin(connection: Connection, person: Reader, now: float | None) -> str:
    moment = time.time() if now is None else now
    _remove_expired(connection, moment)
    token = secrets.token_urlsafe(32)
    row = {"token": _digest(token), "reader": person.id, "created": moment, "used": moment}
    connection.execute(insert(session).values(row))
    return token


def reader_of_session(database: Database, token: str, now: float | None = None) -> Reader | None:
    """The reader who is signed in with this token."""
    moment = time.time() if now is None else now
    with database.reading() as connection:
        row = connection.execute(
            select(session.c.reader, session.c.used).where(
                session.c.token == _digest(token),
                session.c.used > moment - SESSION_IDLE,
                session.c.created > moment - SESSION_LONGEST,
            )
        ).first()
    if row is None:
        return None
    if row.used < moment - _USE_NOTED:
        _note_use(database, token, moment)
    return reader_with_id(database, row.reader)


def _note_use(database: Database, token: str, now: float) -> None:
    with database.writing() as connection:
        _remove_expired(connection, now)
        connection.execute(
            update(session).where(session.c.token == _digest(token)).values(used=now)
        )


def _remove_expired(connection: Connection, now: float) -> None:
    connection.execute(
        delete(session).where(
            or_(
                session.c.used <= now - SESSION_IDLE,
                session.c.created <= now - SESSION_LONGEST,
            )
        )
    )


def end_session(database: Database, token: str) -> None:
    """Sign one browser out."""
    with database.writing() as connection:
        connection.execute(delete(session).where(session.c.token == _digest(token)))


def end_sessions(database: Database, person: Reader) -> None:
    """Sign a reader out everywhere."""
    with database.writing() as connection:
        connection.execute(delete(session).where(session.c.reader == person.id))


# --- links to a new password ---------------------------------------------------------------------


def request_password(database: Database, email: str, now: float | None = None) -> None:
    """Note that someone asked for a link to a new password for this address.

    Raises
    ------
    InputError
        If it is no mail address.
    """
    moment = time.time() if now is None else now
    row = {"email": clean_address(email), "at": moment}
    with database.writing() as connection:
        connection.execute(
            delete(password_request).where(password_request.c.at <= moment - LINK_SECONDS)
        )
        insert_ignoring(connection, database.is_sqlite, password_request, [row])


def password_link(database: Database, person: Reader, now: float | None = None) -> str:
    """What a link to a new password carries."""
    moment = time.time() if now is None else now
    signed = _signer(person, _password_of(database, person)).dumps(moment + LINK_SECONDS)
    return f"{person.id}.{signed if isinstance(signed, str) else signed.decode()}"


def _signer(person: Reader, stored: str | None) -> URLSafeSerializer:
    return URLSafeSerializer(person.secret, salt=f"password {stored}")


def reader_of_password_link(
    database: Database, token: str, now: float | None = None
) -> Reader | None:
    """The reader who may set a new password with this; None where it is not good any more."""
    number = link_number(token)
    person = None if number is None else reader_with_id(database, number)
    if person is None or not _is_good(person, _password_of(database, person), token, now):
        return None
    return person


def _is_good(person: Reader, stored: str | None, token: str, now: float | None) -> bool:
    moment = time.time() if now is None else now
    try:
        until = _signer(person, stored).loads(token.partition(".")[2])
    except BadSignature:
        return False
    return isinstance(until, float) and moment < until


def use_password_link(
    database: Database, token: str, password: str, now: float | None = None
) -> Reader | None:
    """Set a new password and end all sessions; None where the link is not good any more.

    Raises
    ------
    InputError
        If it is no good password; the link stays good.
    """
    person = reader_of_password_link(database, token, now)
    if person is None:
        return None
    hashed = _new_hash(person, password)
    with database.writing() as connection:
        if not _is_good(person, _stored(connection, person), token, now):
            return None  # another browser was quicker
        _write_password(connection, person, hashed, now)
    return person


# --- what is known of a reader -------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """All that the database holds of a reader, but for secrets; times are of UTC."""

    reader: dict[str, Any]
    password_changed: str | None
    sessions: list[dict[str, Any]]
    saved: list[dict[str, Any]]
    tags: list[dict[str, Any]]
    mails: list[dict[str, Any]]


def known_of(database: Database, person: Reader) -> Known:
    """All that is known of a reader."""
    wishes = asdict(person)
    del wishes["id"], wishes["secret"]
    wishes |= {name: _moment(wishes[name]) for name in ("created", "confirmed")}
    with database.reading() as connection:
        changed = connection.execute(
            select(account.c.changed).where(account.c.reader == person.id)
        ).scalar()
        sessions = connection.execute(
            select(session.c.created, session.c.used)
            .where(session.c.reader == person.id)
            .order_by(session.c.created)
        ).all()
        return Known(
            reader=wishes,
            password_changed=_moment(changed),
            sessions=[{"began": _moment(a), "last_used": _moment(b)} for a, b in sessions],
            saved=_marked(connection, saved, person),
            tags=_marked(connection, tagged, person),
            mails=_mails(connection, person),
        )


def _marked(connection: Connection, table: Table, person: Reader) -> list[dict[str, Any]]:
    columns = [table.c.at, paper.c.title, paper.c.url, *([tagged.c.tag] if table is tagged else [])]
    statement = (
        select(*columns)
        .select_from(table.join(paper, paper.c.id == table.c.paper))
        .where(table.c.reader == person.id)
        .order_by(table.c.at, paper.c.id)
    )
    return [
        dict(row) | {"at": _moment(row["at"])} for row in connection.execute(statement).mappings()
    ]


def _mails(connection: Connection, person: Reader) -> list[dict[str, Any]]:
    titles: dict[int, list[str]] = {}
    papers_of_mails = (
        select(mailed.c.mail, paper.c.title)
        .select_from(mailed.join(paper, paper.c.id == mailed.c.paper))
        .where(mailed.c.reader == person.id)
        .order_by(mailed.c.mail, paper.c.id)
    )
    for id, title in connection.execute(papers_of_mails):
        titles.setdefault(id, []).append(title)
    rows = connection.execute(
        select(mail.c.id, mail.c.kind, mail.c.day, mail.c.state, mail.c.sent)
        .where(mail.c.reader == person.id)
        .order_by(mail.c.id)
    )
    return [
        {
            "kind": row.kind,
            "day": row.day,
            "state": row.state,
            "sent": _moment(row.sent),
            "papers": titles.get(row.id, []),
        }
        for row in rows
    ]


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
