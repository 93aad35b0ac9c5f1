"""Accounts: passwords, sessions and links, and nothing that tells who has one."""

from __future__ import annotations

import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("argon2")
pytest.importorskip("aiosmtpd")

import argon2
from alembic import command
from alembic.config import Config
from itsdangerous import URLSafeSerializer
from mail_server import mail_server
from sqlalchemy import insert, inspect, select

from statlas.app.cli import main
from statlas.app.digest import accounts, migrations
from statlas.app.digest.accounts import (
    change_password,
    check_password,
    clean_password,
    end_session,
    end_sessions,
    known_of,
    password_link,
    reader_of_password_link,
    reader_of_session,
    request_password,
    set_password,
    sign_in,
    use_password_link,
)
from statlas.app.digest.compose import compose_digests, compose_passwords
from statlas.app.digest.database import Database
from statlas.app.digest.readers import (
    Reader,
    confirm,
    forget,
    link_token,
    reader_of,
    reader_of_link,
    resume,
    save,
    stop,
    subscribe,
    tag,
)
from statlas.app.digest.service import send_round
from statlas.app.digest.settings import MailSettings
from statlas.app.digest.tables import account, password_request, reader, session
from statlas.core.errors import InputError

GOOD, OTHER = "four whales sing well", "five stars of the sea"
NOW = datetime(2024, 3, 5, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> argon2.PasswordHasher:
    """Hashes of little work, where the work is not what is tested."""
    hasher = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(accounts, "_hasher", lambda: hasher)
    accounts._nobodys_hash.cache_clear()
    return hasher


@pytest.fixture
def person(database) -> Reader:
    """A reader whose address was confirmed."""
    confirm(database, subscribe(database, "ada@example.org", now=NOW - DAY), NOW - DAY)
    return reader_of(database, "ada@example.org")


def test_a_database_of_before_gets_accounts_and_keeps_what_it_has(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Config()
    settings.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "bring_up_to_date", lambda database: None)
        with Database(address) as database, database.writing() as connection:
            settings.attributes["connection"] = connection
            command.upgrade(settings, "0001")
            row = {"email": "ada@example.org", "state": "active", "secret": "s", "created": 1.0}
            connection.execute(insert(reader).values(hour=5, **row))
            assert not inspect(connection).has_table("account")
    with Database(address) as database:
        assert reader_of(database, "ada@example.org").hour == 5
        with database.reading() as connection:
            assert inspect(connection).has_table("account")


def test_a_password_is_kept_as_its_hash_alone(database, person) -> None:
    set_password(database, person, GOOD)
    with database.reading() as connection:
        (stored,) = connection.execute(select(account.c.password)).scalars()
    assert stored.startswith("$argon2id$")
    assert GOOD not in stored
    assert check_password(database, "ADA@example.org ", GOOD) == person
    for wrong in ("", GOOD + "x", GOOD.upper(), "x" * 10_000, "\0" * 20, "\ud800" * 20):
        assert check_password(database, person.email, wrong) is None


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("elevensigns", "12 to 256 characters; got 11"),
        ("x" * 257, "got 257"),
        ("ﷺ" * 100, "12 to 256"),  # 18 characters each in the form NFKC
        (" " * 12, "blanks"),
        ("\u3000\u00a0" * 8, "blanks"),
        ("long enough\0and more", "control characters"),
        ("long enough\nand more", "control characters"),
        ("long enough \ud800 and more", "control characters"),
        ("Ada@Example.org", "is the address"),
        (" ada@example.org ", "is the address"),
        ("ａｄａ@example.org", "is the address"),
    ],
)
def test_bad_passwords_are_refused(password: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        clean_password(password, "ada@example.org")


def test_one_password_however_a_keyboard_writes_it(database, person) -> None:
    set_password(database, person, "Zürich, Ⅷ Bahnhöfe")
    for written in ("Zürich, Ⅷ Bahnhöfe", "Zu\u0308rich, VIII Bahnho\u0308fe"):
        assert check_password(database, person.email, written) == person
    assert clean_password("  twelve signs ", "") == "  twelve signs ", "blanks are signs"


def test_who_was_never_confirmed_has_no_password(database) -> None:
    pending = subscribe(database, "bo@example.org")
    with pytest.raises(InputError, match="not confirmed"):
        set_password(database, pending, GOOD)


def test_a_wrong_password_takes_the_same_work_for_everybody(
    database, person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One comparison, of a hash with the parameters of today, whatever was typed for whomever."""
    set_password(database, person, GOOD)
    bo = subscribe(database, "bo@example.org")
    confirm(database, bo)
    compared: list[str] = []
    fits = accounts._fits
    monkeypatch.setattr(
        accounts, "_fits", lambda hashed, text: compared.append(hashed) or fits(hashed, text)
    )
    tries = [
        (person.email, "a wrong password"),
        (person.email, "short"),
        ("bo@example.org", GOOD),
        ("nobody@example.org", GOOD),
        ("no address", GOOD),
        ("nobody@example.org", "x" * 5_000),
    ]
    for email, password in tries:
        assert sign_in(database, email, password) is None
    assert len(compared) == len(tries)
    assert len({hashed.rpartition("$")[0].rpartition("$")[0] for hashed in compared}) == 1


def test_no_password_fits_where_there_is_none(database, monkeypatch) -> None:
    """Even one that the stand-in's hash fits."""
    confirm(database, subscribe(database, "bo@example.org"))
    monkeypatch.setattr(accounts, "_nobodys_hash", lambda: accounts._hash(GOOD))
    assert sign_in(database, "bo@example.org", GOOD) is None
    assert check_password(database, "nobody@example.org", GOOD) is None


def test_a_hash_is_renewed_when_the_parameters_change(database, person, monkeypatch) -> None:
    set_password(database, person, GOOD)

    def stored() -> str:
        with database.reading() as connection:
            return connection.execute(select(account.c.password)).scalar_one()

    old = stored()
    assert "m=64," in old
    monkeypatch.setattr(accounts, "_hasher", argon2.PasswordHasher)
    assert sign_in(database, person.email, "a wrong password") is None
    assert stored() == old
    assert sign_in(database, person.email, GOOD)
    renewed = stored()
    assert not argon2.PasswordHasher().check_needs_rehash(renewed)
    assert sign_in(database, person.email, GOOD)
    assert stored() == renewed


def test_the_usual_hash_is_one_that_rfc_9106_recommends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    parameters = argon2.extract_parameters(accounts._hasher().hash(GOOD))
    assert parameters == argon2.profiles.RFC_9106_LOW_MEMORY


# --- sessions ------------------------------------------------------------------------------------


def test_a_session_is_kept_as_the_hash_of_its_token(database, person) -> None:
    set_password(database, person, GOOD, NOW)
    token = sign_in(database, person.email, GOOD, NOW)
    assert token
    assert len(token) >= 43, "32 random bytes"
    with database.reading() as connection:
        (kept,) = connection.execute(select(session.c.token)).scalars()
    assert kept == hashlib.sha256(token.encode()).hexdigest()
    assert reader_of_session(database, token, NOW) == person
    for wrong in ("", kept, token[:-1], token + "x", "é" * 50):
        assert reader_of_session(database, wrong, NOW) is None


def test_sessions_slide_and_end(database, person) -> None:
    set_password(database, person, GOOD, NOW)
    token = sign_in(database, person.email, GOOD, NOW)
    idle = sign_in(database, person.email, GOOD, NOW)
    for days in (29, 58, 87, 89.9):
        assert reader_of_session(database, token, NOW + days * DAY) == person
    assert reader_of_session(database, token, NOW + 90 * DAY) is None
    assert reader_of_session(database, idle, NOW + 30 * DAY) is None
    assert reader_of_session(database, idle, NOW + 29.9 * DAY) is None, "removed by another's use"


def test_an_ended_session_is_removed(database, person) -> None:
    set_password(database, person, GOOD, NOW)
    for _ in range(3):
        sign_in(database, person.email, GOOD, NOW)
    new = sign_in(database, person.email, GOOD, NOW + 31 * DAY)
    with database.reading() as connection:
        kept = connection.execute(select(session.c.token)).scalars().all()
    assert kept == [hashlib.sha256(new.encode()).hexdigest()]


def test_signing_out_here_and_everywhere(database, person) -> None:
    set_password(database, person, GOOD)
    one, two, three = (sign_in(database, person.email, GOOD) for _ in range(3))
    assert len({one, two, three}) == 3
    end_session(database, one)
    assert reader_of_session(database, one) is None
    assert reader_of_session(database, two) == person
    end_sessions(database, person)
    assert reader_of_session(database, two) is None
    assert reader_of_session(database, three) is None


def test_a_new_password_ends_all_sessions(database, person) -> None:
    set_password(database, person, GOOD)
    old = sign_in(database, person.email, GOOD)
    new = change_password(database, person, OTHER)
    assert reader_of_session(database, old) is None
    assert reader_of_session(database, new) == person
    assert sign_in(database, person.email, GOOD) is None
    assert sign_in(database, person.email, OTHER)


def test_a_password_that_changes_during_a_sign_in_lets_nobody_in(
    database, person, monkeypatch
) -> None:
    set_password(database, person, GOOD)
    fits = accounts._fits

    def slow(hashed: str, text: str) -> bool:
        answer = fits(hashed, text)
        monkeypatch.setattr(accounts, "_fits", fits)
        set_password(database, person, OTHER)
        return answer

    monkeypatch.setattr(accounts, "_fits", slow)
    assert sign_in(database, person.email, GOOD) is None


def test_mails_end_and_the_account_stays_until_it_is_forgotten(database, person) -> None:
    set_password(database, person, GOOD)
    token = sign_in(database, person.email, GOOD)
    stop(database, person)
    assert reader_of_session(database, token).state == "stopped"
    resume(database, person)
    assert reader_of(database, person.email).state == "active"
    request_password(database, person.email)
    forget(database, person)
    assert reader_of_session(database, token) is None
    with database.reading() as connection:
        for table in (account, session, password_request):
            assert connection.execute(select(table)).all() == []


# --- links to a new password ---------------------------------------------------------------------


def test_a_link_is_good_once_and_for_an_hour(database, person) -> None:
    token = password_link(database, person, NOW)
    assert reader_of_password_link(database, token, NOW + 3599) == person
    assert reader_of_password_link(database, token, NOW + 3600) is None
    with pytest.raises(InputError, match="12 to 256"):
        use_password_link(database, token, "short", NOW)
    assert use_password_link(database, token, GOOD, NOW + 60) == person, "a mistake costs nothing"
    signed_in = sign_in(database, person.email, GOOD, NOW + 60)
    assert use_password_link(database, token, OTHER, NOW + 61) is None
    assert reader_of_session(database, signed_in, NOW + 61) == person
    again = password_link(database, person, NOW + 100)
    use_password_link(database, again, OTHER, NOW + 110)
    assert reader_of_session(database, signed_in, NOW + 120) is None, "all sessions end"
    assert use_password_link(database, again, GOOD, NOW + 120) is None


def test_of_two_browsers_one_uses_a_link(database, person) -> None:
    token = password_link(database, person)
    with ThreadPoolExecutor(4) as browsers:
        used = list(
            browsers.map(
                lambda n: use_password_link(database, token, f"password number {n}"), range(4)
            )
        )
    assert sum(found is not None for found in used) == 1


def test_links_of_other_kinds_and_forgeries_are_refused(database, person) -> None:
    confirm(database, subscribe(database, "bo@example.org"))
    token = password_link(database, person)
    number, _, signed = token.partition(".")
    other = str(reader_of(database, "bo@example.org").id)
    strange = URLSafeSerializer(person.secret, salt="password None").dumps("for ever")
    bad = [
        "", ".", number, f"{other}.{signed}", f"{number}.{signed[:-2]}", f"-1.{signed}",
        f"{'9' * 30}.{signed}", f"{number}.{strange}", link_token(person, "confirm"),
        link_token(person, "stop"),
    ]  # fmt: skip
    for wrong in bad:
        assert reader_of_password_link(database, wrong) is None, wrong
    assert reader_of_link(database, token, "confirm") is None
    assert reader_of_link(database, token, "stop") is None


def test_a_mail_a_day_leads_to_a_new_password(database, person) -> None:
    stop(database, person)
    with mail_server() as (mailbox, port):
        settings = MailSettings(
            "127.0.0.1", port, "digest@example.org", "https://papers.example.org", "none"
        )
        for hours in (0, 1, 2):
            for email in ("Ada@Example.org", "nobody@example.org"):
                request_password(database, email, NOW + hours * 3600)
            send_round(database, settings, now=NOW + hours * 3600)
        assert mailbox.by_address() == {"ada@example.org": 1}
        request_password(database, person.email, NOW + DAY)
        send_round(database, settings, now=NOW + DAY)
        assert mailbox.by_address() == {"ada@example.org": 2}
    text = mailbox.received[1].get_body(("plain",)).get_content()
    assert "https://papers.example.org/digest/password?token=" in text
    assert "List-Unsubscribe" not in mailbox.received[1]
    token = text.partition("token=")[2].split()[0]
    assert use_password_link(database, token, GOOD, NOW + DAY + 60) is not None
    assert reader_of(database, person.email).state == "stopped", "a password is no subscription"


def test_who_is_not_confirmed_gets_no_link(database) -> None:
    subscribe(database, "bo@example.org", now=NOW)
    request_password(database, "bo@example.org", NOW)
    settings = MailSettings("127.0.0.1", 1, "digest@example.org", "http://127.0.0.1", "none")
    assert compose_passwords(database, settings, now=NOW) == 0


def test_requests_are_kept_for_an_hour_at_most(database) -> None:
    for n in range(3):
        request_password(database, f"nobody{n}@example.org", NOW)
    request_password(database, "nobody9@example.org", NOW + 3600)
    with database.reading() as connection:
        rows = connection.execute(select(password_request.c.email)).scalars().all()
    assert rows == ["nobody9@example.org"]
    with pytest.raises(InputError, match="no mail address"):
        request_password(database, "nobody")


# --- the rest ------------------------------------------------------------------------------------


def test_all_that_is_known_and_no_secret(database, person, add, paper) -> None:
    add(paper(1, "Whale songs"), paper(2, "Sea stars"))
    save(database, person, 1, NOW)
    tag(database, person, 2, "sea life", NOW)
    set_password(database, person, GOOD, NOW)
    token = sign_in(database, person.email, GOOD, NOW)
    settings = MailSettings("127.0.0.1", 1, "digest@example.org", "http://127.0.0.1", "none")
    add(paper(3, "Plankton"), now=NOW - 10)
    compose_digests(database, settings, now=NOW, everyone=True)
    known = json.loads(json.dumps(asdict(known_of(database, person))))
    assert known["reader"]["email"] == "ada@example.org"
    assert known["password_changed"].startswith("2024-03-05T12:00:00")
    assert known["saved"][0]["title"] == "Whale songs"
    assert [(t["title"], t["tag"]) for t in known["tags"]] == [("Sea stars", "sea life")]
    assert [(m["kind"], m["day"], m["state"]) for m in known["mails"]] == [
        ("digest", "2024-03-05", "waiting")
    ]
    assert known["mails"][0]["papers"] == ["Plankton"]
    assert len(known["sessions"]) == 1
    told = json.dumps(known)
    assert person.secret not in told
    assert "argon2" not in told
    assert token not in told


@pytest.mark.parametrize(
    ("typed", "code", "message"),
    [
        (GOOD + "\n", 0, "can sign in"),
        (GOOD + "\r\nmore\n", 0, "can sign in"),
        ("short\n", 2, "12 to 256 characters"),
        ("", 2, "12 to 256 characters"),
    ],
)
def test_the_operator_gives_a_password_on_standard_input(
    address: str, database, person, capsys, monkeypatch, typed: str, code: int, message: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert main(["digest", "password", person.email, "--db", address]) == code
    printed = capsys.readouterr()
    assert message in printed.out + printed.err
    assert (check_password(database, person.email, GOOD) is not None) == (code == 0)


def test_the_operator_is_asked_twice_on_a_terminal(
    address: str, database, person, capsys, monkeypatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    typed = iter([GOOD, OTHER, GOOD, GOOD])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    command_line = ["digest", "password", person.email, "--db", address]
    assert main(command_line) == 2
    assert "differ" in capsys.readouterr().err
    assert main(command_line) == 0
    assert check_password(database, person.email, GOOD) is not None
    assert main([*command_line, GOOD]) == 2, "as an argument others could see it"
