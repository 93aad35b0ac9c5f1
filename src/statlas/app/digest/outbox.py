"""Sending what the outbox holds: no mail twice, none lost without a word.

A mail is *waiting*, then *sending*, then *sent*. A server takes a message when it reads the line
with the single dot that ends it, and not before: a connection that breaks earlier leaves nothing
behind. So the sender sends all but that line, notes the mail's number in a journal file, and sends
the line. When a sender died, the next one finds the mail *sending*: where the journal does not name
it, the server has not got it, and it is sent again; where the journal names it, the server has most
likely got it, and it becomes *uncertain*: it is not sent again, and is reported. Between the note
and the line lie a few millionths of a second; no sender can do without such a gap, since the answer
to the line may always be lost. After a power failure (or when another machine takes over) a mail
that was *sending* is uncertain.

One sender at a time holds the lock of the database. An answer that says "later" (4xx) or a failed
connection puts the mail back with twice the wait each time; "never" (5xx) makes it *failed*, and
its papers are free for the next mail. Three refusals of an address stop its mails (*bouncing*).
Where no connection comes about at all, the round ends, and the other mails have lost no attempt.
"""

from __future__ import annotations

import os
import platform
import re
import smtplib
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parseaddr
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, select, text, update

from statlas.app.digest.compose import CONFIRM, DIGEST, PASSWORD, WAITING
from statlas.app.digest.database import Database, default_path
from statlas.app.digest.readers import ACTIVE, BOUNCING, PENDING, STOPPED
from statlas.app.digest.settings import MailSettings
from statlas.app.digest.tables import mail, mailed, reader
from statlas.core.errors import InputError

SENDING, SENT, UNCERTAIN, FAILED = "sending", "sent", "uncertain", "failed"
MOST_ATTEMPTS = 8
MOST_BOUNCES = 3
# The states of a reader in which a mail of each kind goes out.
_WANTED = {
    DIGEST: (ACTIVE,),
    CONFIRM: (ACTIVE, PENDING),
    PASSWORD: (ACTIVE, PENDING, STOPPED, BOUNCING),
}
_FIRST_WAIT = 300.0
_LONGEST_WAIT = 6 * 3600.0
_SENDERS_LOCK = 7_116_202
_LEADING_DOT = re.compile(rb"^\.", re.MULTILINE)
_LINE_END = re.compile(rb"\r\n|\r|\n")

Step = Callable[[str], None]


@dataclass
class Sent:
    """What one round of sending did."""

    sent: int = 0
    later: int = 0
    failed: int = 0
    uncertain: int = 0
    no_server: bool = False
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Mail:
    id: int
    reader: int
    email: str
    content: bytes
    attempts: int


def send_waiting(
    database: Database,
    settings: MailSettings,
    *,
    now: float | None = None,
    step: Step = lambda name: None,
) -> Sent:
    """Send all mails that wait and whose time has come.

    Parameters
    ----------
    database, settings
        The outbox, and the server.
    now
        The time, in seconds since 1970.
    step
        Called with the name of each step; tests end the process there.

    Raises
    ------
    InputError
        If another sender is at work.
    """
    moment = time.time() if now is None else now
    outcome = Sent()
    with _only_sender(database), _Journal(database) as journal:
        outcome.uncertain += recover(database, journal)
        connection: _Server | None = None
        try:
            for id in _due(database, moment):
                item = _claim(database, journal, id)
                step("claimed")
                if item is None:
                    continue
                connection = connection or _Server(settings)
                connection = _deliver(database, connection, journal, item, moment, outcome, step)
                if outcome.no_server:  # the others wait without an attempt
                    break
        finally:
            if connection is not None:
                connection.close()
    return outcome


def recover(database: Database, journal: _Journal) -> int:
    """Settle what a dead sender left; return how many mails are uncertain."""
    uncertain = 0
    with database.writing() as connection:
        rows = connection.execute(
            select(mail.c.id, mail.c.attempts, mail.c.sender).where(mail.c.state == SENDING)
        ).all()
        for id, attempts, sender in rows:
            is_known = sender == journal.machine and not journal.names(id, attempts)
            uncertain += not is_known
            state = WAITING if is_known else UNCERTAIN
            error = "" if is_known else "the sender stopped while the server took the mail"
            connection.execute(update(mail).where(mail.c.id == id).values(state=state, error=error))
    return uncertain


def _due(database: Database, now: float) -> list[int]:
    with database.reading() as connection:
        statement = select(mail.c.id).where(mail.c.state == WAITING, mail.c.next_at <= now)
        return [id for (id,) in connection.execute(statement.order_by(mail.c.id))]


def _claim(database: Database, journal: _Journal, id: int) -> _Mail | None:
    """Mark a mail as being sent; None where its reader wants none any more."""
    with database.writing() as connection:
        row = connection.execute(
            select(
                mail.c.id,
                mail.c.reader,
                reader.c.email,
                mail.c.content,
                mail.c.attempts,
                mail.c.kind,
                reader.c.state,
            )
            .select_from(mail.join(reader, reader.c.id == mail.c.reader))
            .where(mail.c.id == id, mail.c.state == WAITING)
        ).first()
        if row is None:
            return None
        if row.state not in _WANTED[row.kind]:
            _fail(connection, id, "the reader wants no mails any more")
            return None
        connection.execute(
            update(mail)
            .where(mail.c.id == id)
            .values(state=SENDING, attempts=row.attempts + 1, sender=journal.machine)
        )
    return _Mail(row.id, row.reader, row.email, bytes(row.content), row.attempts + 1)


def _deliver(
    database: Database,
    server: _Server,
    journal: _Journal,
    item: _Mail,
    now: float,
    outcome: Sent,
    step: Step,
) -> _Server | None:
    """Send one mail and write down what became of it; None where a new connection is needed."""
    try:
        server.send(item, journal, step)
    except _Refused as refused:
        step("refused")
        outcome.no_server = refused.of_server
        if refused.for_ever or item.attempts >= MOST_ATTEMPTS:
            outcome.failed += 1
            _give_up(database, item, refused)
        else:
            outcome.later += 1
            _put_back(database, item, now, str(refused))
        outcome.errors.append(f"{item.email}: {refused}")
        return server if refused.keeps_connection else None
    except _NoAnswer as error:
        outcome.uncertain += 1
        outcome.errors.append(f"{item.email}: {error}")
        _set_state(database, item.id, state=UNCERTAIN, error=str(error))
        return None
    step("accepted")
    with database.writing() as connection:
        connection.execute(
            update(mail).where(mail.c.id == item.id).values(state=SENT, sent=now, error="")
        )
        connection.execute(update(reader).where(reader.c.id == item.reader).values(bounces=0))
    outcome.sent += 1
    step("recorded")
    return server


def _put_back(database: Database, item: _Mail, now: float, error: str) -> None:
    wait = min(_FIRST_WAIT * 2 ** (item.attempts - 1), _LONGEST_WAIT)
    _set_state(database, item.id, state=WAITING, next_at=now + wait, error=error)


def _give_up(database: Database, item: _Mail, refused: _Refused) -> None:
    with database.writing() as connection:
        _fail(connection, item.id, str(refused))
        if refused.of_address:
            bounces = reader.c.bounces + 1
            connection.execute(
                update(reader).where(reader.c.id == item.reader).values(bounces=bounces)
            )
            connection.execute(
                update(reader)
                .where(
                    reader.c.id == item.reader,
                    reader.c.bounces >= MOST_BOUNCES,
                    reader.c.state == ACTIVE,
                )
                .values(state=BOUNCING)
            )


def _fail(connection: Connection, id: int, error: str) -> None:
    """Mark a mail as failed, and free its papers for the next one."""
    connection.execute(update(mail).where(mail.c.id == id).values(state=FAILED, error=error))
    connection.execute(delete(mailed).where(mailed.c.mail == id))


def _set_state(database: Database, id: int, **values: object) -> None:
    with database.writing() as connection:
        connection.execute(update(mail).where(mail.c.id == id).values(**values))


# --- the server ----------------------------------------------------------------------------------


class _Refused(Exception):
    """The server did not take the mail, and does not have it."""

    def __init__(
        self,
        message: str,
        *,
        for_ever: bool = False,
        of_address: bool = False,
        of_server: bool = False,
        keeps_connection: bool = False,
    ):
        super().__init__(message)
        self.of_server = of_server
        self.for_ever = for_ever
        self.of_address = of_address
        self.keeps_connection = keeps_connection


class _NoAnswer(Exception):
    """The server may have taken the mail; its answer did not come."""


class _Server:
    """A connection to the mail server, made when it is first needed."""

    def __init__(self, settings: MailSettings):
        self._settings = settings
        self._smtp: smtplib.SMTP | None = None

    def send(self, item: _Mail, journal: _Journal, step: Step) -> None:
        """Hand one mail over.

        Raises
        ------
        _Refused
            If the server did not take it.
        _NoAnswer
            If it may have taken it.
        """
        try:
            smtp = self._connected()
        except (OSError, smtplib.SMTPException) as error:
            raise _Refused(f"the connection failed: {error}", of_server=True) from None
        try:
            step("connected")
            sender = parseaddr(self._settings.sender)[1]
            self._expect(smtp.mail(sender), "MAIL")
            self._expect(smtp.rcpt(item.email), "RCPT", of_address=True)
            self._expect(smtp.docmd("DATA"), "DATA", good=(354,))
            step("data begun")
            smtp.send(_as_data(item.content))
            step("data sent")
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            raise _Refused(f"the connection failed: {error}") from None
        journal.note(item.id, item.attempts)
        try:
            smtp.send(b".\r\n")
            step("dot sent")
            answer = smtp.getreply()
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            raise _NoAnswer(f"the server took the mail without an answer: {error}") from None
        self._expect(answer, "the message")

    def _expect(
        self,
        answer: tuple[int, bytes],
        what: str,
        *,
        good: tuple[int, ...] = (250, 251),
        of_address: bool = False,
    ) -> None:
        code, said = answer
        if code in good:
            return
        keeps = self._reset()
        raise _Refused(
            f"the server answers {code} to {what}: {said.decode('utf-8', 'replace'):.200}",
            for_ever=500 <= code < 600,
            of_address=of_address and 500 <= code < 600,
            keeps_connection=keeps,
        )

    def _reset(self) -> bool:
        """Forget the message that was begun; False where the connection is of no use any more."""
        try:
            assert self._smtp is not None
            if self._smtp.rset()[0] == 250:
                return True
        except (OSError, smtplib.SMTPException):
            pass
        self.close()
        return False

    def _connected(self) -> smtplib.SMTP:
        if self._smtp is None:
            self._smtp = _connect(self._settings)
        return self._smtp

    def close(self) -> None:
        """Say good-bye where the server still listens."""
        if self._smtp is not None:
            try:
                self._smtp.quit()
            except (OSError, smtplib.SMTPException):
                self._smtp.close()
            self._smtp = None


def _connect(settings: MailSettings) -> smtplib.SMTP:
    context = ssl.create_default_context()
    place = (settings.host, settings.port)
    if settings.security == "tls":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(*place, timeout=settings.timeout, context=context)
    else:
        smtp = smtplib.SMTP(*place, timeout=settings.timeout)
    try:
        smtp.ehlo_or_helo_if_needed()
        if settings.security == "starttls":
            smtp.starttls(context=context)
            smtp.ehlo()
        if settings.user:
            smtp.login(settings.user, settings.password)
    except BaseException:
        smtp.close()
        raise
    return smtp


def _as_data(content: bytes) -> bytes:
    """A message as it goes over the line: line ends of two characters, leading dots doubled."""
    lines = _LINE_END.sub(b"\r\n", content)
    lines = _LEADING_DOT.sub(b"..", lines)
    return lines if lines.endswith(b"\r\n") else lines + b"\r\n"


# --- one sender, and its journal -----------------------------------------------------------------


class _Journal:
    """Names the mail whose last line is being sent; it outlives the process, not the machine."""

    def __init__(self, database: Database):
        folder = (
            Path(database.url.database or "").parent
            if database.is_sqlite
            else default_path().parent
        )
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = folder / "sending.journal"
        self.machine = _machine()
        self._handle = -1

    def __enter__(self) -> _Journal:
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def note(self, id: int, attempts: int) -> None:
        """Write the number of a mail; one write of the system, so that it is there or not."""
        os.lseek(self._handle, 0, os.SEEK_SET)
        os.write(self._handle, _line(id, attempts))

    def names(self, id: int, attempts: int) -> bool:
        """Whether this attempt of this mail was noted last."""
        os.lseek(self._handle, 0, os.SEEK_SET)
        return os.read(self._handle, 100) == _line(id, attempts)


def _line(id: int, attempts: int) -> bytes:
    return f"{id} {attempts}".ljust(40).encode() + b"\n"


def _machine() -> str:
    """Names this machine since it was last started."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        boot = ""
    return f"{platform.node()} {boot}"


@contextmanager
def _only_sender(database: Database) -> Iterator[None]:
    """Hold the lock of the senders of a database.

    Raises
    ------
    InputError
        If another sender holds it.
    """
    busy = InputError("another sender is at work on this outbox", remedy="let it finish")
    if database.is_sqlite:
        from filelock import FileLock, Timeout

        lock = FileLock(f"{database.url.database}.sender", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise busy from None
        try:
            yield
        finally:
            lock.release()
        return
    with database.engine.connect() as connection:
        query = text("SELECT pg_try_advisory_lock(:lock)")
        if not connection.execute(query, {"lock": _SENDERS_LOCK}).scalar():
            raise busy
        connection.commit()
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _SENDERS_LOCK})
            connection.commit()


# --- looking into the outbox ---------------------------------------------------------------------


def outbox_counts(database: Database) -> Counter[str]:
    """How many mails are in each state."""
    with database.reading() as connection:
        rows = connection.execute(
            select(mail.c.state, func.count().label("n")).group_by(mail.c.state)
        )
        return Counter({row.state: row.n for row in rows})


_TOLD = ("id", "kind", "day", "state", "attempts", "error")


def troubled(database: Database, limit: int = 100) -> list[dict[str, Any]]:
    """Mails that failed, are uncertain or had to be put back, the latest first."""
    statement = (
        select(
            mail.c.id,
            reader.c.email,
            mail.c.kind,
            mail.c.day,
            mail.c.state,
            mail.c.attempts,
            mail.c.error,
        )
        .select_from(mail.join(reader, reader.c.id == mail.c.reader))
        .where(mail.c.error != "")
        .order_by(mail.c.id.desc())
        .limit(limit)
    )
    with database.reading() as connection:
        return [dict(row) for row in connection.execute(statement).mappings()]
