"""Accounts in the workbench: who is let in where, and what tries to get around it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")
pytest.importorskip("argon2")
pytest.importorskip("limits")

import argon2
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from library import fill
from starlette.routing import Route
from starlette.testclient import TestClient
from workbench import HOST, Server, start_server

from statlas.app.digest import accounts
from statlas.app.digest.accounts import (
    check_password,
    has_password,
    password_link,
    reader_of_session,
    set_password,
)
from statlas.app.digest.database import Database
from statlas.app.digest.readers import Reader, confirm, link_token, reader_of, subscribe
from statlas.app.digest.records import make_record
from statlas.app.web import rates
from statlas.app.web.accounts import ROUTES as ACCOUNT_ROUTES
from statlas.app.web.application import create_app
from statlas.app.web.digest import API_ROUTES, ROUTES
from statlas.app.web.settings import Settings

TOKEN = "a-token-of-twenty-signs"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ADA, GOOD, OTHER = "ada@example.org", "four whales sing well", "five stars of the sea"
PUBLIC = ("/digest/confirm", "/digest/password", "/digest/reset", "/digest/sign-in",
          "/digest/sign-out", "/digest/stop")  # fmt: skip
EVIL = {"Origin": "https://evil.example"}
Client = Callable[..., TestClient]


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hashes of little work, where the work is not what is tested."""
    hasher = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    with monkeypatch.context() as patched:
        patched.setattr(accounts, "_hasher", lambda: hasher)
        accounts._nobodys_hash.cache_clear()
        yield
    accounts._nobodys_hash.cache_clear()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Two papers; Ada, who has a password, and Bo, who has none."""
    with Database(tmp_path / "papers.sqlite") as made:
        fill(made, [make_record(title=f"Whales {n}", arxiv=f"2401.0000{n}") for n in (1, 2)])
        for email in (ADA, "bo@example.org"):
            confirm(made, subscribe(made, email))
        set_password(made, reader_of(made, ADA), GOOD)
        yield made


@pytest.fixture
def outside(database: Database, tmp_path: Path) -> Iterator[Client]:
    """Makes visitors of one workbench that others reach, each with cookies of their own."""
    given = Settings(
        folder=tmp_path / "outside", digest=str(tmp_path / "papers.sqlite"), host="0.0.0.0",
        token=TOKEN,
    )  # fmt: skip
    with TestClient(create_app(given), base_url=HOST) as first:

        def make(host: str = "192.0.2.1", base_url: str = HOST) -> TestClient:
            return TestClient(
                first.app, base_url=base_url, follow_redirects=False, client=(host, 5000)
            )

        yield make


@pytest.fixture
def ada(outside: Client) -> TestClient:
    """Ada's browser, signed in."""
    made = outside()
    assert sign_in(made).status_code == 303
    return made


@pytest.fixture
def person(database: Database) -> Reader:
    return reader_of(database, ADA)


def sign_in(client: TestClient, email: str = ADA, password: str = GOOD, **more: str):
    return client.post("/digest/sign-in", data={"email": email, "password": password, **more})


def settings_of(client: TestClient, do: str, **fields: str):
    return client.post("/digest/settings", data={"do": do, **fields})


# --- who is let in where -------------------------------------------------------------------------


def test_all_but_the_public_pages_of_the_digest_are_closed(outside: Client) -> None:
    """Every route there is, so that a new one cannot be forgotten."""
    client, seen = outside(), set()
    prefixed = [("/api", route) for route in API_ROUTES]
    for prefix, route in [*prefixed, *(("", route) for route in (*ROUTES, *ACCOUNT_ROUTES))]:
        assert isinstance(route, Route)
        address = prefix + route.path.replace("{paper:int}", "1")
        if address in PUBLIC:
            seen.add(address)
            continue
        for method in route.methods or ():
            answer = client.request(method, address)
            assert answer.status_code == 401, (method, address)
            assert "Whales" not in answer.text
    assert seen == set(PUBLIC)


def test_who_is_signed_in_uses_the_digest_and_runs_nothing(ada: TestClient) -> None:
    for address in ("/digest", "/digest/trending", "/digest/papers/1", "/digest/kept",
                    "/digest/atom", "/digest/subscribe", "/digest/settings",
                    "/api/digest/search?q=whales", "/api/digest/trending"):  # fmt: skip
        assert ada.get(address).status_code == 200, address
    for address in ("/", "/runs", "/about", "/run/error-bars", "/papers/error-bars", "/api/papers",
                    "/api/runs", "/digest/../runs", "/digestive", "/api/digestive"):  # fmt: skip
        assert ada.get(address).status_code in (401, 404), address
    assert ada.post("/api/runs", json={"paper": "error-bars"}).status_code == 401
    said = ada.get("/runs", headers={"Accept": "text/html"})
    assert said.status_code == 401
    assert "a token is needed" in said.text
    assert 'href="/runs"' not in said.text, "no way is shown that does not lead there"


def test_the_token_alone_looks_and_does_not_keep(outside: Client) -> None:
    client = outside()
    client.headers.update(BEARER)
    assert client.get("/digest/papers/1").status_code == 200
    for address in ("/digest/kept", "/digest/settings", "/digest/settings/data"):
        answer = client.get(address)
        assert answer.status_code == 403
        assert 'action="/digest/sign-in"' in answer.text
    assert client.post("/digest/papers/1", data={"do": "save"}).status_code == 403
    assert settings_of(client, "delete", current=GOOD).status_code == 403
    assert client.get("/digest?token=wrong").status_code == 401
    assert outside().get(f"/digest?q=a&token={TOKEN}").headers["location"] == "/digest?q=a"


def test_both_keys_open_everything(ada: TestClient) -> None:
    page = ada.get("/digest/papers/1", headers=BEARER).text
    assert ADA in page
    assert 'href="/runs"' in page
    assert 'href="/runs"' not in ada.get("/digest/papers/1").text


def test_each_reader_has_papers_of_their_own(
    ada: TestClient, outside: Client, database: Database
) -> None:
    set_password(database, reader_of(database, "bo@example.org"), OTHER)
    bo = outside()
    sign_in(bo, "bo@example.org", OTHER)
    ada.post("/digest/papers/1", data={"do": "save"})
    bo.post("/digest/papers/2", data={"do": "tag", "tag": "for later"})
    bo.post("/digest/papers/2", data={"do": "save"})
    assert "Whales 1" in ada.get("/digest/kept").text
    assert "for later" not in ada.get("/digest/kept").text
    assert "Whales 2" in bo.get("/digest/kept?tag=for+later").text
    assert "Whales 1" not in bo.get("/digest/kept").text
    assert "Keep no longer" in ada.get("/digest/papers/1").text
    assert "bo@example.org" not in json.dumps(ada.get("/digest/settings/data").json())


def test_on_this_machine_nobody_signs_in(database: Database, tmp_path: Path) -> None:
    given = Settings(folder=tmp_path / "local", digest=str(tmp_path / "papers.sqlite"))
    token = password_link(database, reader_of(database, ADA))
    with TestClient(create_app(given), base_url=HOST, follow_redirects=False) as client:
        for address in ("/digest/sign-in", "/digest/reset", f"/digest/password?token={token}"):
            assert client.get(address).status_code == 403
        assert sign_in(client).status_code == 403
        assert client.post("/digest/sign-out").status_code == 403
        assert client.get("/digest/settings").status_code == 200
        client.post("/digest/papers/1", data={"do": "save"})
        assert client.get("/digest/settings/data").json()["saved"][0]["title"] == "Whales 1"
        for do in ("stop", "wishes", "password", "everywhere", "", "delete"):
            assert settings_of(client, do).status_code in (200, 400)
        assert "Whales 1" in client.get("/digest/kept").text
        assert settings_of(client, "delete", sure="on").status_code == 303
        assert "Whales 1" not in client.get("/digest/kept").text
        assert reader_of(database, ADA).state == "active"


# --- sessions and cookies ------------------------------------------------------------------------


def test_the_cookie_is_for_this_server_alone(outside: Client, database: Database) -> None:
    plain = sign_in(outside()).headers["set-cookie"]
    name, _, rest = plain.partition("=")
    assert name == "statlas_session"
    flags = {part.strip().lower() for part in rest.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/", f"max-age={90 * 86_400}"} <= flags
    assert "secure" not in flags, "over http a browser would not send it back"
    assert not any(flag.startswith("domain") for flag in flags)
    over_tls = outside(base_url="https://papers.example.org")
    strict = sign_in(over_tls).headers["set-cookie"]
    assert strict.startswith("__Host-statlas_session=")
    assert "secure" in {part.strip().lower() for part in strict.split(";")}
    assert over_tls.get("/digest/settings").status_code == 200
    out = over_tls.post("/digest/sign-out").headers["set-cookie"]
    assert out.startswith('__Host-statlas_session="";')
    assert "Secure" in out
    token = plain.partition("=")[2].partition(";")[0]
    injected = outside(base_url="https://papers.example.org")
    injected.cookies.set("statlas_session", token)
    assert reader_of_session(database, token) is not None
    assert injected.get("/digest/settings").status_code == 401, "a cookie of http is none here"


def test_signing_in_begins_a_new_session(outside: Client, database: Database) -> None:
    """What the browser had before, its own or put there by another, is worth nothing."""
    client = outside()
    client.cookies.set("statlas_session", "chosen-by-another")
    sign_in(client)
    assert reader_of_session(database, "chosen-by-another") is None
    client = outside()
    first = sign_in(client).cookies["statlas_session"]
    second = sign_in(client).cookies["statlas_session"]
    assert first != second
    assert reader_of_session(database, first) is None, "the one before has ended"
    assert reader_of_session(database, second) is not None


def test_signing_out(ada: TestClient, outside: Client, database: Database) -> None:
    token, other = ada.cookies["statlas_session"], outside()
    sign_in(other)
    assert ada.get("/digest/sign-out").status_code == 405, "no picture signs anybody out"
    assert ada.post("/digest/sign-out").status_code == 303
    assert reader_of_session(database, token) is None
    assert "statlas_session" not in ada.cookies
    assert ada.get("/digest/settings").status_code == 401
    assert other.get("/digest/settings").status_code == 200
    assert settings_of(other, "everywhere").status_code == 303
    assert other.get("/digest/settings").status_code == 401


def test_where_a_sign_in_leads_to(outside: Client) -> None:
    page = outside().get("/digest/kept?tag=a%22b")
    assert page.status_code == 401
    assert 'name="onward" value="/digest/kept?tag=a%22b"' in page.text
    assert sign_in(outside(), onward="/digest/kept?tag=a").headers["location"] == (
        "/digest/kept?tag=a"
    )
    for evil in ("https://evil.example", "//evil.example", "/\\evil.example", "/runs", "/digestive",
                 "/digest/../runs", "javascript:alert(1)", "/digest/\nSet-Cookie: a=b", "http://[",
                 "/digest\t//evil.example"):  # fmt: skip
        assert sign_in(outside(evil), onward=evil).headers["location"] == "/digest", evil


# --- nothing tells who is a reader ---------------------------------------------------------------


def test_answers_tell_nothing_about_who_is_a_reader(outside: Client) -> None:
    def alike(address: str, fields: dict[str, str]) -> set[tuple[int, str]]:
        answers = set()
        for number, email in enumerate((ADA, "bo@example.org", "nobody@example.org")):
            answer = outside(f"192.0.2.{number}").post(
                address, data={**fields, "email": email}, headers=BEARER
            )
            assert "set-cookie" not in answer.headers
            answers.add((answer.status_code, answer.text.replace(email, "")))
        return answers

    assert len(alike("/digest/sign-in", {"password": "a wrong password"})) == 1
    assert len(alike("/digest/reset", {})) == 1
    assert len(alike("/digest/subscribe", {})) == 1


def test_the_time_of_an_answer_tells_nothing(
    outside: Client, database: Database, person: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Medians of a wrong password for a reader and for nobody lie within a factor of two.

    Without work for nobody the factor is above twenty. Seven interleaved pairs: the medians of
    equal work lie further apart only if four of seven are slowed to double on one side alone, which
    for a chance of 5 % each has a false-alarm rate below 1e-3.
    """
    monkeypatch.setattr(accounts, "_hasher", lambda: argon2.PasswordHasher(memory_cost=32_768))
    set_password(database, person, GOOD)
    times: dict[str, list[float]] = {ADA: [], "nobody@example.org": []}
    client = outside()
    client.post("/digest/sign-in", data={"email": "first@example.org", "password": "x" * 12})
    for turn in range(7):
        for email, taken in times.items():
            visitor = outside(f"192.0.2.{turn}")
            started = time.perf_counter()
            sign_in(visitor, email, "a wrong password")
            taken.append(time.perf_counter() - started)
    reader_, nobody = (float(np.median(taken)) for taken in times.values())
    assert 0.5 < reader_ / nobody < 2


# --- changes come from our own pages -------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [EVIL, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}],
)
def test_forms_of_other_sites_change_nothing(
    outside: Client, ada: TestClient, database: Database, person: Reader, headers: dict[str, str]
) -> None:
    link = password_link(database, person)
    forms = [
        ("/digest/papers/1", {"do": "save"}),
        ("/digest/settings", {"do": "stop"}),
        ("/digest/settings", {"do": "delete", "current": GOOD}),
        ("/digest/settings", {"do": "password", "current": GOOD, "password": OTHER,
                              "again": OTHER}),
        ("/digest/settings", {"do": "everywhere"}),
        ("/digest/sign-out", {}),
        ("/digest/reset", {"email": ADA}),
        ("/digest/subscribe", {"email": "eve@example.org"}),
        (f"/digest/password?token={link}", {"password": OTHER, "again": OTHER}),
    ]  # fmt: skip
    for address, fields in forms:
        assert ada.post(address, data=fields, headers=headers).status_code == 403, address
    assert ada.get("/digest/settings").status_code == 200
    assert reader_of(database, ADA).state == "active"
    assert "Whales 1" not in ada.get("/digest/kept").text
    foreign = outside().post(
        "/digest/sign-in", data={"email": ADA, "password": GOOD}, headers=headers
    )
    assert foreign.status_code == 403, "nobody is signed in as another by a foreign page"
    assert "set-cookie" not in foreign.headers
    assert sign_in(outside()).status_code == 303


# --- passwords -----------------------------------------------------------------------------------


def test_confirming_leads_to_a_password_once(outside: Client, database: Database) -> None:
    client, person = outside(), subscribe(database, "cy@example.org")
    confirming = {"token": link_token(person, "confirm")}
    assert "password" not in client.get("/digest/confirm", params=confirming).text
    page = client.post("/digest/confirm", params=confirming).text
    (link,) = re.findall(r'href="(/digest/password\?token=[^"]+)"', page)
    again = client.post("/digest/confirm", params=confirming).text
    assert "/digest/password" not in again, "the mail of before sets no passwords"
    assert client.get(link).status_code == 200
    assert not has_password(database, person), "reading changes nothing"
    fields = {"password": GOOD, "again": OTHER}
    assert "differ" in client.post(link, data=fields).text
    done = client.post(link, data={"password": GOOD, "again": GOOD})
    assert done.headers["location"] == "/digest/sign-in?done=new"
    assert client.post(link, data={"password": OTHER, "again": OTHER}).status_code == 404
    assert client.get(link).status_code == 404
    assert sign_in(client, "cy@example.org").status_code == 303


def test_who_has_a_password_gets_none_by_confirming_again(
    outside: Client, database: Database, person: Reader
) -> None:
    client = outside()
    client.post("/digest/stop", params={"token": link_token(person, "stop")})
    old = link_token(reader_of(database, ADA), "confirm")
    assert client.post("/digest/confirm", params={"token": old}).status_code == 404
    token = link_token(subscribe(database, ADA), "confirm")
    page = client.post("/digest/confirm", params={"token": token}).text
    assert "gets the mail from now on" in page
    assert "/digest/password" not in page
    assert check_password(database, ADA, GOOD) is not None


def test_a_link_to_a_new_password_ends_all_sessions(
    ada: TestClient, outside: Client, database: Database, person: Reader
) -> None:
    link = f"/digest/password?token={password_link(database, person)}"
    assert outside().post(link, data={"password": OTHER, "again": OTHER}).status_code == 303
    assert ada.get("/digest/settings").status_code == 401
    assert sign_in(ada).status_code == 403
    assert sign_in(ada, password=OTHER).status_code == 303


def test_changing_the_password(ada: TestClient, outside: Client, database: Database) -> None:
    other = outside()
    sign_in(other)
    new = {"password": OTHER, "again": OTHER}
    for fields, message in (
        (new | {"current": OTHER}, "not your current password"),
        (new, "not your current password"),
        ({"current": GOOD, "password": "short", "again": "short"}, "12 to 256"),
        ({"current": GOOD, "password": OTHER, "again": GOOD}, "differ"),
        ({"current": GOOD, "password": ADA, "again": ADA}, "is the address"),
    ):
        answer = settings_of(ada, "password", **fields)
        assert message in answer.text
        assert GOOD not in answer.text
        assert OTHER not in answer.text
    before = ada.cookies["statlas_session"]
    assert settings_of(ada, "password", current=GOOD, **new).status_code == 303
    assert ada.get("/digest/settings").status_code == 200
    assert reader_of_session(database, before) is None
    assert other.get("/digest/settings").status_code == 401
    assert sign_in(outside()).status_code == 403
    assert sign_in(outside(), password=OTHER).status_code == 303


# --- settings ------------------------------------------------------------------------------------


def test_wishes_are_changed_and_mistakes_told(ada: TestClient, database: Database) -> None:
    wishes = {"timezone": "Asia/Tokyo", "hour": "5", "query": "whales -again",
              "categories": "q-bio  stat.ME", "papers": "3"}  # fmt: skip
    assert settings_of(ada, "wishes", **wishes).status_code == 303
    person = reader_of(database, ADA)
    assert (person.timezone, person.hour, person.query) == ("Asia/Tokyo", 5, "whales -again")
    assert (person.categories, person.papers_a_mail) == ("q-bio stat.ME", 3)
    for wrong, message in (
        ({"timezone": "Mars/Olympus"}, "no time zone"),
        ({"timezone": "../../etc/passwd"}, "no time zone"),
        ({"hour": "24"}, "0 to 23"),
        ({"hour": "9" * 5_000}, "0 to 23"),
        ({"hour": "٣"}, "0 to 23"),
        ({"papers": "0"}, "1 to 50"),
        ({"query": "after:soon"}, "is no date"),
        ({"query": "x " * 501}, "at most 1000 characters"),
        ({"categories": "a " * 51}, "at most 50 categories"),
        ({"categories": "a" * 101}, "at most 50 categories"),
    ):
        answer = settings_of(ada, "wishes", **(wishes | wrong))
        assert message in answer.text
        assert reader_of(database, ADA) == person
    assert settings_of(ada, "burn").status_code == 400


def test_mails_stop_and_come_again(ada: TestClient, database: Database) -> None:
    settings_of(ada, "stop")
    assert reader_of(database, ADA).state == "stopped"
    assert "Let them come again" in ada.get("/digest/settings").text
    settings_of(ada, "resume")
    assert reader_of(database, ADA).state == "active"


def test_an_account_is_deleted_with_its_password(ada: TestClient, database: Database) -> None:
    ada.post("/digest/papers/1", data={"do": "save"})
    assert "not your current" in settings_of(ada, "delete", current=OTHER).text
    assert settings_of(ada, "delete").status_code == 200
    assert reader_of(database, ADA)
    assert settings_of(ada, "delete", current=GOOD).status_code == 303
    assert ada.get("/digest/settings").status_code == 401
    assert sign_in(ada).status_code == 403
    with pytest.raises(Exception, match="no reader"):
        reader_of(database, ADA)


def test_the_data_are_a_file(ada: TestClient) -> None:
    answer = ada.get("/digest/settings/data")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["reader"]["email"] == ADA


# --- rates ---------------------------------------------------------------------------------------


def test_passwords_are_not_tried_for_ever(outside: Client) -> None:
    eve = outside("198.51.100.1")
    for _ in range(10):
        assert sign_in(eve, "nobody@example.org", "a wrong password").status_code == 403
    refused = sign_in(eve, ADA, GOOD)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 900
    assert re.search(r"tried too often; please wait (a minute|\d+ minutes)", refused.text)
    assert "set-cookie" not in refused.headers
    assert sign_in(outside("203.0.113.5")).status_code == 303, "others are let in"


def test_one_address_is_not_tried_from_everywhere(
    outside: Client, database: Database, person: Reader
) -> None:
    """Ten guesses for an address, and the reader comes back by a link."""
    for number in range(10):
        assert sign_in(outside(f"198.51.100.{number}"), ADA, "a wrong one").status_code == 403
    assert sign_in(outside("203.0.113.5"), " ADA@example.org").status_code == 429
    assert sign_in(outside("203.0.113.6"), "bo@example.org", GOOD).status_code == 403
    link = f"/digest/password?token={password_link(database, person)}"
    assert outside("203.0.113.5").post(
        link, data={"password": OTHER, "again": OTHER}
    ).status_code == 303  # fmt: skip
    assert sign_in(outside("203.0.113.5"), ADA, OTHER).status_code == 303


def test_the_right_password_is_no_guess(outside: Client) -> None:
    for number in range(25):
        assert sign_in(outside(f"198.51.100.{number}")).status_code == 303


def test_a_stolen_session_does_not_guess_the_password(ada: TestClient) -> None:
    for _ in range(10):
        assert settings_of(ada, "delete", current="a wrong password").status_code == 200
    for do in ("delete", "password"):
        answer = settings_of(ada, do, current=GOOD, password=OTHER, again=OTHER)
        assert answer.status_code == 429
        assert answer.headers["retry-after"]


@pytest.mark.parametrize(("address", "most"), [("/digest/reset", 10), ("/digest/subscribe", 20)])
def test_mails_are_not_asked_for_for_ever(outside: Client, address: str, most: int) -> None:
    eve = outside("198.51.100.1")
    for number in range(most):
        fields = {"email": f"nobody{number}@example.org"}
        assert eve.post(address, data=fields, headers=BEARER).status_code == 200
    refused = eve.post(address, data={"email": "one@example.org"}, headers=BEARER)
    assert refused.status_code == 429
    assert refused.headers["retry-after"]
    assert "please wait" in refused.text
    other = outside("203.0.113.5").post(address, data={"email": ADA}, headers=BEARER)
    assert other.status_code == 200


def test_a_household_of_ipv6_is_one_visitor(outside: Client) -> None:
    for number in range(10):
        visitor = outside(f"2001:db8::{number}")
        sign_in(visitor, f"nobody{number}@example.org", "a wrong password")
    assert sign_in(outside("2001:db8::ffff")).status_code == 429
    assert sign_in(outside("2001:db8:0:1::1")).status_code == 303


def test_the_window_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    counts = rates.Rates()
    waits = []
    for _ in range(12):
        waits.append(counts.wait("sign in", "a"))
        now[0] += 1
    assert waits[:10] == [0] * 10
    assert waits[10:] == [50, 49]
    now[0] += waits[-1]
    assert counts.wait("sign in", "a") == 0
    assert counts.wait("sign in", "b") == 0


# --- the address of the visitor ------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path, database: Database) -> Iterator[Callable[..., Server]]:
    """Starts workbenches as processes."""
    started: list[Server] = []

    def start(*flags: str) -> Server:
        given = ("--token", TOKEN, "--digest", str(tmp_path / "papers.sqlite"), *flags)
        made = start_server(tmp_path / f"served{len(started)}", *given)
        started.append(made)
        return made

    yield start
    for made in started:
        made.process.terminate()
        made.process.communicate(timeout=30)


def _visit(server: Server, **headers: str) -> int:
    """The answer to a request for a reset; the headers say who asks."""
    import httpx2

    port = server.address.partition("?")[0].rstrip("/").rpartition(":")[2]
    answer = httpx2.post(
        f"http://127.0.0.1:{port}/digest/reset", data={"email": "a@b.org"}, headers=headers
    )
    return int(answer.status_code)


def test_a_visitor_does_not_choose_the_address(served: Callable[..., Server]) -> None:
    server = served("--host", "0.0.0.0")
    codes = [_visit(server, **{"X-Forwarded-For": f"198.51.100.{n}"}) for n in range(11)]
    assert codes == [200] * 10 + [429]


def test_the_word_of_a_named_proxy_counts(served: Callable[..., Server]) -> None:
    """The last address is the proxy's own word; those before it are the visitor's."""
    server = served("--host", "127.0.0.1", "--proxy", "127.0.0.1")
    forged = [_visit(server, **{"X-Forwarded-For": f"203.0.113.{n}, 198.51.100.7"})
              for n in range(11)]  # fmt: skip
    assert forged == [200] * 10 + [429]
    assert _visit(server, **{"X-Forwarded-For": "198.51.100.8"}) == 200
    import httpx2

    address = server.address.partition("?")[0].rstrip("/")
    with httpx2.Client(headers={"Host": "papers.example.org"}) as client:
        form = {"email": ADA, "password": GOOD}
        said = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.9"}
        answer = client.post(f"{address}/digest/sign-in", data=form, headers=said)
        assert answer.headers["set-cookie"].startswith("__Host-statlas_session=")


# --- hostile forms -------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/digest/kept?tag=", "/digest?q=", "/digest/confirm?token="])
def test_a_null_character_is_told(ada: TestClient, address: str) -> None:
    answer = ada.get(f"{address}a%00b")
    assert answer.status_code == 400
    assert "null character" in answer.text


texts = st.text(max_size=60)
FIELDS = ("do", "email", "password", "again", "current", "onward", "timezone", "hour", "query",
          "categories", "papers", "tag", "sure", "token")  # fmt: skip
CHANGES = ("wishes", "stop", "resume", "password", "everywhere", "delete", "save", "tag")
ADDRESSES = ("/digest/sign-in", "/digest/sign-out", "/digest/reset", "/digest/password",
             "/digest/settings", "/digest/confirm", "/digest/stop", "/digest/subscribe",
             "/digest/papers/1")  # fmt: skip
values = texts | st.sampled_from([ADA, GOOD, *CHANGES, "9" * 6_000, "\0", "UTC", "-1"])


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    address=st.sampled_from(ADDRESSES),
    fields=st.dictionaries(st.sampled_from(FIELDS), values, max_size=6),
    raw=st.none() | st.binary(max_size=200),
    token=texts | st.none(),
    cookie=st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=90),
)
def test_no_form_is_a_fault(
    outside: Client, address: str, fields: dict[str, str], raw: bytes | None,
    token: str | None, cookie: str | None,
) -> None:  # fmt: skip
    client = outside()
    if cookie is not None:
        client.headers["Cookie"] = f"statlas_session={cookie}"
    body = {"content": raw} if raw is not None else {"data": fields}
    query = {} if token is None else {"token": token}
    for headers in ({}, BEARER):
        answer = client.post(address, params=query, headers=headers, **body)
        assert answer.status_code < 500, answer.text
        assert answer.headers["content-security-policy"]


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    do=st.sampled_from(["wishes", "stop", "resume", "password"]) | texts,
    fields=st.dictionaries(st.sampled_from(FIELDS[1:]), values, max_size=6),
)
def test_no_form_of_a_reader_is_a_fault(ada: TestClient, do: str, fields: dict[str, str]) -> None:
    answer = settings_of(ada, do, **fields)
    assert answer.status_code < 500, answer.text
    if "location" not in answer.headers and answer.status_code == 200:
        assert "<script>" not in answer.text
