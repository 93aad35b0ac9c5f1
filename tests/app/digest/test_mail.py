"""A mail a day: each paper once, no mail twice, none lost, whatever happens in between."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select, update

pytest.importorskip("aiosmtpd")

from mail_server import Mailbox, mail_server, sender_script

from statlas.app.digest.compose import compose_digests
from statlas.app.digest.outbox import outbox_counts, send_waiting, troubled
from statlas.app.digest.readers import (
    change_wishes,
    confirm,
    link_token,
    reader_of,
    reader_of_link,
    readers,
    save,
    stop,
    subscribe,
)
from statlas.app.digest.service import send_round
from statlas.app.digest.settings import MailSettings, mail_settings
from statlas.app.digest.tables import mail, mailed
from statlas.core.errors import InputError

NOW = datetime(2024, 3, 5, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0


@pytest.fixture
def served() -> Iterator[tuple[Mailbox, MailSettings]]:
    with mail_server() as (mailbox, port):
        yield mailbox, MailSettings(
            "127.0.0.1", port, "Papers <digest@example.org>", "https://papers.example.org", "none",
            timeout=10,
        )  # fmt: skip


def subscribed(database, n: int, **wishes) -> list:
    people = []
    for k in range(n):
        person = subscribe(database, f"reader{k}@example.org", now=NOW - DAY, **wishes)
        confirm(database, person, NOW - DAY)
        people.append(reader_of(database, person.email))
    return people


def test_double_opt_in_and_one_click_out(database, add, paper, served) -> None:
    mailbox, settings = served
    add(paper(1), now=NOW - 100)
    person = subscribe(database, "Ada@Example.org", now=NOW - 50)
    assert send_round(database, settings, now=NOW, everyone=True)[0] == 1
    (asking,) = mailbox.received
    text = asking.get_body(("plain",)).get_content()
    assert "/digest/confirm?token=" in text
    token = text.partition("token=")[2].split()[0]
    other = token.swapcase()  # its number and dots stay, its signature does not
    assert reader_of_link(database, other, "confirm") is None
    assert reader_of_link(database, token, "stop") is None
    confirm(database, reader_of_link(database, token, "confirm"))
    send_round(database, settings, now=NOW, everyone=True)
    digest = mailbox.received[1]
    assert digest["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = digest["List-Unsubscribe"].strip("<>")
    assert link.startswith("https://papers.example.org/digest/stop?token=")
    stop(database, reader_of_link(database, link.partition("token=")[2], "stop"))
    add(paper(2), now=NOW + DAY - 10)
    send_round(database, settings, now=NOW + DAY, everyone=True)
    assert len(mailbox.received) == 2
    again = subscribe(database, person.email, now=NOW + 2 * DAY)
    assert again.state == "pending"
    assert reader_of_link(database, token, "confirm") is None, "an old link confirms nothing new"


def test_nobody_is_asked_twice_a_day(database, served) -> None:
    mailbox, settings = served
    for k in range(5):
        subscribe(database, "ada@example.org", now=NOW + k)
        send_round(database, settings, now=NOW + k)
    assert len(mailbox.received) == 1


def test_each_paper_once_and_one_mail_a_day(database, add, paper, served) -> None:
    mailbox, settings = served
    subscribed(database, 2, papers_a_mail=3)
    add(*(paper(n) for n in range(1, 6)), now=NOW - 100)
    for hours in (0, 1, 5, 24, 25, 48):
        send_round(database, settings, now=NOW + hours * 3600)
    texts = [m.get_body(("plain",)).get_content() for m in mailbox.received if "reader0" in m["To"]]
    assert len(texts) == 2
    urls = [word for text in texts for word in text.split() if "arxiv.org/abs" in word]
    assert sorted(urls) == [f"https://arxiv.org/abs/2401.0000{n}" for n in range(1, 6)]


def test_the_hour_is_the_readers_own(database, add, paper, served) -> None:
    mailbox, settings = served
    subscribed(database, 1, timezone="Asia/Tokyo", hour=7)
    add(paper(1), now=NOW - DAY)
    at = datetime(2024, 3, 4, 21, 30, tzinfo=UTC).timestamp()  # 6:30 in Tokyo
    send_round(database, settings, now=at)
    assert not mailbox.received
    send_round(database, settings, now=at + 3600)
    assert "2024-03-05" in mailbox.received[0]["Subject"]


def test_wishes_choose_the_papers(database, add, paper, served) -> None:
    mailbox, settings = served
    (person,) = subscribed(database, 1, query="whales", categories=("q-bio",))
    add(
        paper(1, "Whales sing", categories=("q-bio.PE",)),
        paper(2, "Whales again", categories=("cs.LG",)),
        paper(3, "Calibration", categories=("q-bio.PE",)),
        now=NOW - 100,
    )
    send_round(database, settings, now=NOW)
    text = mailbox.received[0].get_body(("plain",)).get_content()
    assert "Whales sing" in text
    assert "again" not in text
    assert "Calibration" not in text
    with pytest.raises(InputError, match="time zone"):
        change_wishes(
            database, person.id, timezone="Mars", hour=1, query="", categories=(), papers_a_mail=1
        )


def test_taste_puts_what_is_alike_first(database, add, paper, served) -> None:
    mailbox, settings = served
    (person,) = subscribed(database, 1, papers_a_mail=2)
    add(*(paper(n, f"Whale song number {n}", abstract="whale song sea") for n in range(1, 9)),
        now=NOW - 30 * DAY)  # fmt: skip
    for n in range(1, 9):
        save(database, person, n, now=NOW - 20 * DAY)
    add(*(paper(n, f"Tax law {n}", abstract="taxes courts") for n in range(20, 60)),
        paper(70, "The song of a whale", abstract="sea"), now=NOW - 100)  # fmt: skip
    send_round(database, settings, now=NOW)
    text = mailbox.received[0].get_body(("plain",)).get_content()
    assert text.index("The song of a whale") < text.index("Tax law")


def test_scripts_and_newlines_do_no_harm_in_a_mail(database, add, paper, served) -> None:
    mailbox, settings = served
    subscribed(database, 1)
    title = 'Bcc: evil@example.org " & <b x="1 1 < 2'
    add(paper(1, title, abstract=".\nFrom here\n..dots\n" * 3), now=NOW - 100)
    send_round(database, settings, now=NOW)
    (message,) = mailbox.received
    assert message["Bcc"] is None
    assert message["To"] == "reader0@example.org"
    html = message.get_body(("html",)).get_content()
    assert "<b x" not in html
    assert ". From here ..dots" in message.get_body(("plain",)).get_content()


# --- what servers answer -------------------------------------------------------------------------


def test_later_is_tried_later_with_longer_waits(database, add, paper, served) -> None:
    mailbox, settings = served
    subscribed(database, 1)
    add(paper(1), now=NOW - 100)
    mailbox.answers = ["451 later", "451 later"]
    compose_digests(database, settings, now=NOW)
    assert send_waiting(database, settings, now=NOW).later == 1
    assert send_waiting(database, settings, now=NOW + 200).later == 0
    assert send_waiting(database, settings, now=NOW + 301).later == 1
    assert send_waiting(database, settings, now=NOW + 700).sent == 0
    assert send_waiting(database, settings, now=NOW + 1_000).sent == 1
    assert len(mailbox.received) == 1


def test_never_frees_the_papers_and_three_bounces_stop(database, add, paper, served) -> None:
    mailbox, settings = served
    (person,) = subscribed(database, 1)
    mailbox.refuse[person.email] = "550 no such user"
    add(paper(1), now=NOW - 100)
    for day in range(4):
        send_round(database, settings, now=NOW + day * DAY)
    assert outbox_counts(database)["failed"] == 3
    assert readers(database)[0].state == "bouncing"
    assert "no such user" in troubled(database)[0]["error"]
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(mailed)).scalar() == 0


def test_one_bad_address_does_not_stop_the_others(database, add, paper, served) -> None:
    mailbox, settings = served
    people = subscribed(database, 5)
    mailbox.refuse[people[1].email] = "550 no"
    add(paper(1), now=NOW - 100)
    _, sent = send_round(database, settings, now=NOW)
    assert (sent.sent, sent.failed) == (4, 1)


def test_no_server_is_told_and_tried_again(database, add, paper, served) -> None:
    mailbox, settings = served
    subscribed(database, 1)
    add(paper(1), now=NOW - 100)
    nowhere = MailSettings("127.0.0.1", 1, settings.sender, settings.site, "none")
    _, sent = send_round(database, nowhere, now=NOW)
    assert sent.later == 1
    assert "connection failed" in sent.errors[0]
    assert send_waiting(database, settings, now=NOW + 400).sent == 1
    assert len(mailbox.received) == 1


def test_a_server_that_is_away_is_asked_once_a_round(database, add, paper, served) -> None:
    mailbox, settings = served
    subscribed(database, 5)
    add(paper(1), now=NOW - 100)
    nowhere = MailSettings("127.0.0.1", 1, settings.sender, settings.site, "none")
    _, sent = send_round(database, nowhere, now=NOW)
    assert (sent.later, len(sent.errors), sent.no_server) == (1, 1, True)
    assert send_waiting(database, settings, now=NOW + 1).sent == 4
    assert send_waiting(database, settings, now=NOW + 400).sent == 1
    assert len(mailbox.by_address()) == len(mailbox.received) == 5


def test_a_server_without_tls_is_refused_where_tls_is_asked(database, add, paper, served) -> None:
    mailbox, settings = served
    subscribed(database, 1)
    add(paper(1), now=NOW - 100)
    secure = MailSettings("127.0.0.1", settings.port, settings.sender, settings.site, "starttls")
    _, sent = send_round(database, secure, now=NOW)
    assert sent.later == 1
    assert not mailbox.received


def test_two_senders_do_not_work_at_once(database, add, paper, served) -> None:
    mailbox, settings = served
    subscribed(database, 1)
    add(paper(1), now=NOW - 100)
    compose_digests(database, settings, now=NOW)

    def step(name: str) -> None:
        if name == "claimed":
            with pytest.raises(InputError, match="another sender"):
                send_waiting(database, settings, now=NOW)

    assert send_waiting(database, settings, now=NOW, step=step).sent == 1
    assert len(mailbox.received) == 1


# --- killed senders ------------------------------------------------------------------------------

STEPS = (
    "claimed", "connected", "data begun", "data sent", "dot sent", "accepted", "recorded",
)  # fmt: skip


def prepare(database, add, paper, settings, n: int) -> None:
    subscribed(database, n)
    add(paper(1), now=NOW - 100)
    compose_digests(database, settings, now=NOW)


def run_sender(tmp_path, address, port, step="", nth=1) -> subprocess.Popen:
    command = [sys.executable, str(sender_script(tmp_path)), address, str(port), step, str(nth)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step(database, address, add, paper, served, tmp_path, step: str) -> None:
    """Before the last line nothing is lost; after it nothing comes twice, and doubt is told."""
    mailbox, settings = served
    prepare(database, add, paper, settings, 3)
    assert run_sender(tmp_path, address, settings.port, step, 2).wait(60) == -signal.SIGKILL
    time.sleep(0.2)  # the server may still read what the system holds
    sent = send_waiting(database, settings, now=NOW)
    got = mailbox.by_address()
    assert set(got.values()) == {1}
    assert len(got) == 3
    doubtful = step in ("dot sent", "accepted")
    assert sent.uncertain == outbox_counts(database)["uncertain"] == int(doubtful)


def test_a_machine_that_lost_power_is_in_doubt(database, add, paper, served) -> None:
    mailbox, settings = served
    prepare(database, add, paper, settings, 1)
    with database.writing() as connection:
        connection.execute(update(mail).values(state="sending", sender="elsewhere x"))
    assert send_waiting(database, settings, now=NOW).uncertain == 1
    assert not mailbox.received


def kill_at_random(database, address, mailbox, settings, tmp_path, kills: int) -> int:
    """Kill senders at random times until the outbox is empty; return how many were killed."""
    draw = random.Random(0)
    killed = 0
    while outbox_counts(database)["waiting"] or outbox_counts(database)["sending"]:
        process = run_sender(tmp_path, address, settings.port)
        if killed < kills:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(draw.uniform(0.0, 0.05))
            process.kill()
            killed += process.wait(60) == -signal.SIGKILL
        process.wait(60)
    return killed


@pytest.mark.slow
def test_200_kills_lose_and_double_nothing(database, address, add, paper, served, tmp_path) -> None:
    """False alarm: a kill falls between journal and last line, some 10 of 5,000 microseconds.

    With 200 kills that happens about 0.4 times; one such mail is allowed if it is told as
    uncertain, two or more happen in 6 % of the runs of a correct sender.
    """
    mailbox, settings = served
    prepare(database, add, paper, settings, 600)
    killed = kill_at_random(database, address, mailbox, settings, tmp_path, 200)
    time.sleep(0.5)
    got = mailbox.by_address()
    lost = 600 - len(got)
    assert max(got.values()) == 1
    assert lost <= min(1, outbox_counts(database)["uncertain"])
    assert killed >= 150


def test_some_kills_lose_and_double_nothing(
    database, address, add, paper, served, tmp_path
) -> None:
    mailbox, settings = served
    prepare(database, add, paper, settings, 40)
    kill_at_random(database, address, mailbox, settings, tmp_path, 6)
    time.sleep(0.2)
    got = mailbox.by_address()
    assert max(got.values()) == 1
    assert 40 - len(got) <= outbox_counts(database)["uncertain"]


# --- settings ------------------------------------------------------------------------------------


def test_settings_are_read_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMTP", "SENDER", "SITE"):
        monkeypatch.delenv(f"STATLAS_{name}", raising=False)
    with pytest.raises(InputError, match="--smtp or STATLAS_SMTP"):
        mail_settings()
    monkeypatch.setenv("STATLAS_SMTP", "smtps://a%40b:se%3Acret@mail.example.org")
    monkeypatch.setenv("STATLAS_SENDER", "Papers <digest@example.org>")
    monkeypatch.setenv("STATLAS_SITE", "https://papers.example.org/")
    found = mail_settings()
    assert (found.host, found.port, found.security) == ("mail.example.org", 465, "tls")
    assert (found.user, found.password) == ("a@b", "se:cret")
    assert "se:cret" not in repr(found)
    assert found.site == "https://papers.example.org"
    for bad in ({"smtp": "ftp://x"}, {"site": "javascript:x"}, {"sender": "nobody"}):
        with pytest.raises(InputError):
            mail_settings(bad)


def test_links_of_another_reader_open_nothing(database) -> None:
    one, two = subscribed(database, 2)
    token = link_token(one, "stop")
    forged = f"{two.id}.{token.partition('.')[2]}"
    assert reader_of_link(database, forged, "stop") is None
    for text in ("", ".", "x", "1", "1.", "9" * 30 + ".x", "１.x"):
        assert reader_of_link(database, text, "stop") is None
