"""The service: reads feeds and sends mails, each at its time."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy.exc import OperationalError

from statlas.app.digest.compose import compose_confirmations, compose_digests, compose_passwords
from statlas.app.digest.database import Database, failure_of
from statlas.app.digest.outbox import Sent, send_waiting
from statlas.app.digest.settings import MailSettings
from statlas.app.digest.sources import update_all
from statlas.core.errors import InputError

_ROUND = 60.0  # seconds
_FEEDS_EVERY = 3600.0


def send_round(
    database: Database,
    settings: MailSettings,
    *,
    everyone: bool = False,
    now: float | None = None,
) -> tuple[int, Sent]:
    """Compose what is due and send what waits; return how many were composed, and what was sent."""
    composed = compose_confirmations(database, settings, now=now)
    composed += compose_passwords(database, settings, now=now)
    composed += compose_digests(database, settings, now=now, everyone=everyone)
    return composed, send_waiting(database, settings, now=now)


def serve(
    database: Database,
    settings: MailSettings,
    *,
    say: Callable[[str], None] = lambda line: None,
    rounds: int | None = None,
) -> None:
    """Read addresses once an hour and send mails once a minute, until interrupted.

    Parameters
    ----------
    database, settings
        The digest, and how mails leave.
    say
        Told what was done.
    rounds
        How many minutes to go on; for ever by default.
    """
    next_feeds = 0.0
    done = 0
    while rounds is None or done < rounds:
        start = time.time()
        try:
            if start >= next_feeds:
                next_feeds = start + _FEEDS_EVERY
                for outcome in update_all(database):
                    new = f"{outcome.counts.new:,} new papers"
                    say(f"{outcome.source}: {new} {outcome.note}".rstrip())
            composed, sent = send_round(database, settings)
        except InputError as error:  # another sender is at work
            say(str(error))
        except OperationalError as error:  # the next round may find the database back
            say(str(failure_of(database, error)))
        else:
            if composed or sent.sent or sent.errors:
                say(f"{composed} mails composed, {sent.sent} sent, {len(sent.errors)} with errors")
            for line in sent.errors:
                say(f"  {line}")
        done += 1
        if rounds is None or done < rounds:
            time.sleep(max(0.0, _ROUND - (time.time() - start)))
