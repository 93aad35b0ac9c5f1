"""Composing the mails: which papers, for whom, and how they read.

A mail and the papers in it are written to the outbox in one transaction, with one mail a reader
and day and each paper once a reader; whatever happens later, neither is composed twice.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from functools import cache, partial
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
import numpy as np
from sqlalchemy import and_, delete, exists, insert, select

from statlas.app.digest.accounts import password_link
from statlas.app.digest.database import Database
from statlas.app.digest.for_you import FEWEST_KEPT, Features, Taste, kept_ids
from statlas.app.digest.queries import parse_query
from statlas.app.digest.readers import ACTIVE, PENDING, Reader, link_token, readers
from statlas.app.digest.search import Paper, papers, search
from statlas.app.digest.settings import MailSettings
from statlas.app.digest.tables import mail, mailed, paper, password_request, reader
from statlas.app.digest.trending import DAY, trending

DIGEST, CONFIRM, PASSWORD = "digest", "confirm", "password"
WAITING, NOTHING = "waiting", "nothing"
_FRESH_DAYS = 7  # papers that were first seen longer ago are no news
_MOST_FRESH = 3_000
_MATCHES = 200
_MOST_REQUESTS = 1_000  # for a password, in one round


@dataclass(frozen=True)
class Chosen:
    """A paper of a mail, and why it is there."""

    paper: Paper
    why: str


def day_of(person: Reader, now: float) -> str:
    """The day that it is for a reader."""
    return datetime.fromtimestamp(now, ZoneInfo(person.timezone)).date().isoformat()


def is_due(person: Reader, now: float) -> bool:
    """Whether the hour of the reader's mail has come."""
    return datetime.fromtimestamp(now, ZoneInfo(person.timezone)).hour >= person.hour


def compose_digests(
    database: Database, settings: MailSettings, *, now: float | None = None, everyone: bool = False
) -> int:
    """Compose the mails that are due and have not been composed, and return how many.

    Parameters
    ----------
    database
        With readers and papers.
    settings
        Sender and site.
    now
        The time, in seconds since 1970.
    everyone
        Also for readers whose hour has not come.
    """
    moment = time.time() if now is None else now
    due = [
        person
        for person in readers(database)
        if person.state == ACTIVE and (everyone or is_due(person, moment))
    ]
    due = _without_mail(database, due, moment)
    if not due:
        return 0
    chooser = _Chooser(database, due, moment)
    composed = 0
    for person in due:
        chosen = chooser.choose(person)
        composed += _write_digest(database, settings, person, chosen, moment)
    return composed


def _without_mail(database: Database, due: Sequence[Reader], now: float) -> list[Reader]:
    days = {day_of(person, now) for person in due}
    with database.reading() as connection:
        statement = select(mail.c.reader, mail.c.day)
        rows = connection.execute(statement.where(mail.c.kind == DIGEST, mail.c.day.in_(days)))
        have = {(id, day) for id, day in rows}
    return [person for person in due if (person.id, day_of(person, now)) not in have]


class _Chooser:
    """Chooses papers for many readers; what they share is computed once."""

    def __init__(self, database: Database, due: Sequence[Reader], now: float):
        self._database = database
        self._now = now
        with database.reading() as connection:
            fresh = select(paper.c.id).where(
                paper.c.first_seen > now - _FRESH_DAYS * DAY, paper.c.first_seen <= now
            )
            ids = connection.execute(
                fresh.order_by(paper.c.first_seen.desc(), paper.c.id.desc()).limit(_MOST_FRESH)
            )
            self._fresh = papers(connection, [row.id for row in ids])
        self._place = {item.id: place for place, item in enumerate(self._fresh)}
        self._kept = kept_ids(database, [person.id for person in due])
        self._sent = self._already_sent([person.id for person in due])
        self._trending = {
            item.paper.id: item
            for item in trending(database, days=_FRESH_DAYS, limit=100, now=now)
            if item.paper.id in self._place
        }
        learners = any(len(ids) >= FEWEST_KEPT for ids in self._kept.values())
        self._features = Features(self._fresh) if learners and self._fresh else None
        self._matches: dict[str, list[int]] = {}

    def _already_sent(self, ids: Sequence[int]) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {id: set() for id in ids}
        with self._database.reading() as connection:
            statement = select(mailed.c.reader, mailed.c.paper).select_from(
                mailed.join(paper, paper.c.id == mailed.c.paper)
            )
            rows = connection.execute(
                statement.where(paper.c.first_seen > self._now - _FRESH_DAYS * DAY)
            )
            for reader, id in rows:
                if reader in found:
                    found[reader].add(id)
        return found

    def choose(self, person: Reader) -> list[Chosen]:
        """The papers of a reader's mail, the best first."""
        seen = self._sent[person.id] | set(self._kept[person.id])
        open_ids = [id for id in self._wanted(person) if id not in seen]
        if not open_ids:
            return []
        order, why = self._order(person, open_ids)
        by_id = self._fresh
        return [
            Chosen(by_id[self._place[id]], self._reason(id, why))
            for id in order[: person.papers_a_mail]
        ]

    def _wanted(self, person: Reader) -> list[int]:
        """Fresh papers that the reader asked for: by query and categories, or all."""
        asked = parse_query(person.query)
        if person.categories:
            asked = replace(asked, categories=tuple(person.categories.split()))
        if asked.is_empty:
            return list(self._place)
        key = f"{person.query}\n{person.categories}"
        if key not in self._matches:
            hits = search(self._database, asked, limit=_MATCHES)
            self._matches[key] = [hit.paper.id for hit in hits if hit.paper.id in self._place]
        return self._matches[key]

    def _order(self, person: Reader, ids: list[int]) -> tuple[list[int], str]:
        """Fresh papers by the reader's taste; without one by trend, then as they were found."""
        own = self._kept[person.id]
        if self._features is not None and len(own) >= FEWEST_KEPT:
            with self._database.reading() as connection:
                kept = papers(connection, own)
            taste = Taste(self._features, kept, np.random.default_rng([0, person.id]))
            rows = np.array([self._place[id] for id in ids])
            scores = taste.scores_of(self._features.matrix[rows])
            return [ids[i] for i in np.argsort(-scores, kind="stable")], "like what you keep"
        place = {id: at for at, id in enumerate(self._trending)}
        return sorted(ids, key=lambda id: place.get(id, len(place))), (
            "fits your query" if person.query else "new"
        )

    def _reason(self, id: int, otherwise: str) -> str:
        explained = self._trending.get(id)
        trend = explained.why() if explained is not None else ""
        return f"{otherwise}; {trend}" if trend else otherwise


def _write_digest(
    database: Database,
    settings: MailSettings,
    person: Reader,
    chosen: Sequence[Chosen],
    now: float,
) -> int:
    """Put a mail into the outbox, or the note that there is none today; return 1 for a mail."""
    day = day_of(person, now)
    message_id = _message_id(settings)
    content = render_digest(settings, person, chosen, day, message_id, now) if chosen else b""
    with database.writing() as connection:
        taken = and_(mail.c.reader == person.id, mail.c.kind == DIGEST, mail.c.day == day)
        if connection.execute(select(mail.c.id).where(taken)).first() is not None:
            return 0
        id = connection.execute(
            insert(mail)
            .values(
                reader=person.id,
                kind=DIGEST,
                day=day,
                state=WAITING if chosen else NOTHING,
                message_id=message_id,
                content=content,
                composed=now,
            )
            .returning(mail.c.id)
        ).scalar_one()
        if chosen:
            connection.execute(
                insert(mailed),
                [{"reader": person.id, "paper": item.paper.id, "mail": id} for item in chosen],
            )
    return int(bool(chosen))


def compose_confirmations(
    database: Database, settings: MailSettings, *, now: float | None = None
) -> int:
    """Compose the mails that ask to confirm, for subscriptions that none has asked about yet."""
    asked = exists().where(
        mail.c.reader == reader.c.id, mail.c.kind == CONFIRM, mail.c.composed >= reader.c.created
    )
    with database.reading() as connection:
        statement = select(reader.c.id).where(reader.c.state == PENDING, ~asked)
        ids = {id for (id,) in connection.execute(statement)}
    people = [person for person in readers(database) if person.id in ids]
    return sum(compose_confirmation(database, settings, person, now) for person in people)


def compose_confirmation(
    database: Database, settings: MailSettings, person: Reader, now: float | None = None
) -> bool:
    """Put the mail that asks to confirm into the outbox; False where one went out today.

    One a day at most, whoever asks: the form must not be a way to fill someone's mailbox.
    """
    if person.state != PENDING:
        return False
    return _write_asked(database, settings, person, CONFIRM, render_confirmation, now)


def compose_passwords(
    database: Database, settings: MailSettings, *, now: float | None = None
) -> int:
    """Compose the mails with a link to a new password that were asked for since the last time.

    Who is no reader, or had such a mail today, gets none, and nobody is told.
    """
    with database.reading() as connection:
        statement = select(password_request.c.email).order_by(password_request.c.at)
        asked = {email for (email,) in connection.execute(statement.limit(_MOST_REQUESTS))}
    composed = 0
    for person in readers(database) if asked else ():
        if person.email in asked and person.confirmed is not None:
            link = password_link(database, person, now)
            render = partial(render_password, link=link)
            composed += _write_asked(database, settings, person, PASSWORD, render, now)
    with database.writing() as connection:
        connection.execute(delete(password_request).where(password_request.c.email.in_(asked)))
    return composed


def _write_asked(
    database: Database,
    settings: MailSettings,
    person: Reader,
    kind: str,
    render: Callable[[MailSettings, Reader, str, float], bytes],
    now: float | None,
) -> bool:
    """Put a mail that someone asked for into the outbox; False where one of its kind went today."""
    moment = time.time() if now is None else now
    day = datetime.fromtimestamp(moment, UTC).date().isoformat()
    message_id = _message_id(settings)
    content = render(settings, person, message_id, moment)
    with database.writing() as connection:
        taken = and_(mail.c.reader == person.id, mail.c.kind == kind, mail.c.day == day)
        if connection.execute(select(mail.c.id).where(taken)).first() is not None:
            return False
        connection.execute(
            insert(mail).values(
                reader=person.id,
                kind=kind,
                day=day,
                state=WAITING,
                message_id=message_id,
                content=content,
                composed=moment,
            )
        )
    return True


# --- how they read -------------------------------------------------------------------------------


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("statlas.app.digest"),
        autoescape=lambda name: bool(name and name.endswith(".html")),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def _message_id(settings: MailSettings) -> str:
    domain = parseaddr(settings.sender)[1].rpartition("@")[2]
    return f"<{secrets.token_hex(16)}@{domain}>"


def render_digest(
    settings: MailSettings,
    person: Reader,
    chosen: Sequence[Chosen],
    day: str,
    message_id: str,
    now: float,
) -> bytes:
    """The mail as it goes out, HTML and text, with the headers of RFC 8058."""
    stop = f"{settings.site}/digest/stop?token={link_token(person, 'stop')}"
    shown = {
        "chosen": chosen,
        "day": day,
        "site": settings.site,
        "stop": stop,
        "query": person.query,
    }
    message = _message(settings, person, message_id, now)
    plural = "s" * (len(chosen) != 1)
    message["Subject"] = f"{len(chosen)} paper{plural} for {day}: {chosen[0].paper.title:.80}"
    message["List-Id"] = (
        f"Papers of the day <digest.{parseaddr(settings.sender)[1].replace('@', '.')}>"
    )
    message["List-Unsubscribe"] = f"<{stop}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    _fill(message, "digest_mail", shown)
    return message.as_bytes()


def render_confirmation(
    settings: MailSettings, person: Reader, message_id: str, now: float
) -> bytes:
    """The mail that asks whether the address is the reader's own."""
    message = _message(settings, person, message_id, now)
    message["Subject"] = "Please confirm: a mail a day with new papers"
    link = f"{settings.site}/digest/confirm?token={link_token(person, 'confirm')}"
    _fill(message, "confirmation_mail", {"link": link, "site": settings.site, "person": person})
    return message.as_bytes()


def render_password(
    settings: MailSettings, person: Reader, message_id: str, now: float, *, link: str
) -> bytes:
    """The mail with a link to a new password."""
    message = _message(settings, person, message_id, now)
    message["Subject"] = "A new password for your papers"
    address = f"{settings.site}/digest/password?token={link}"
    _fill(message, "password_mail", {"link": address, "site": settings.site})
    return message.as_bytes()


def _message(settings: MailSettings, person: Reader, message_id: str, now: float) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = settings.sender
    message["To"] = person.email
    message["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"
    return message


def _fill(message: EmailMessage, template: str, shown: dict[str, Any]) -> None:
    text = _templates().get_template(f"{template}.txt").render(shown)
    html = _templates().get_template(f"{template}.html").render(shown)
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    # The library would draw the boundary from Python's global generator.
    message.set_boundary(f"==={secrets.token_hex(16)}===")
