"""The digest in a real browser, on a server beyond this machine: with and without scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright.sync_api")
pytest.importorskip("aiosmtpd")
pytest.importorskip("sqlalchemy")
pytest.importorskip("argon2")

from chromium import AFAR, SHOTS, chromium, needs_chromium, overhang, violations, without_errors
from library import fill
from mail_server import Mailbox, mail_server
from workbench import start_server

from statlas.app.digest.accounts import password_link, set_password
from statlas.app.digest.compose import Chosen, render_digest
from statlas.app.digest.database import Database
from statlas.app.digest.readers import Reader, confirm, link_token, reader_of, save, subscribe
from statlas.app.digest.records import make_record
from statlas.app.digest.search import Paper
from statlas.app.digest.service import send_round
from statlas.app.digest.settings import MailSettings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = needs_chromium
TOKEN = "a-token-of-twenty-signs"
ADA, GOOD, OTHER = "ada@example.org", "four whales sing well", "five stars of the sea"
LONG = "a" * 64 + "@" + ".".join(["b" * 60] * 3)  # the longest name of a reader
MODES: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "color_scheme": "light"},
    "phone-dark": {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"},
}
USABLE = "a[href], button, input:not([type=hidden]), select, summary, [tabindex='0']"
SHOWN = f"[...document.querySelectorAll(`{USABLE}`)]"


@dataclass
class Site:
    """A workbench that others reach, its database, and the server of its mails."""

    address: str
    database: Database
    mailbox: Mailbox
    mails: MailSettings

    def link(self, number: int, kind: str) -> str:
        """The link of a mail that came."""
        send_round(self.database, self.mails, everyone=True)
        text = self.mailbox.received[number].get_body(("plain",)).get_content()
        (found,) = re.findall(rf"(http://\S+/digest/{kind}\?token=\S+)", text)
        return str(found)

    def reader(self, email: str, password: str = GOOD) -> Reader:
        """A reader whose address was confirmed and who has a password."""
        confirm(self.database, subscribe(self.database, email))
        person = reader_of(self.database, email)
        set_password(self.database, person, password)
        return person


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    path = folder / "papers.sqlite"
    with Database(path) as database, mail_server() as (mailbox, port):
        fill(
            database,
            [
                make_record(
                    title=f"Error bars for whales, part {n}: " + "Donaudampfschifffahrt" * 3,
                    abstract="How sure is a small benchmark? " * 20,
                    arxiv=f"2401.{n:05d}",
                    authors=("Ada Lovelace", "Bo Who-Has-A-Long-Name"),
                    categories=("stat.ME", "cs.LG"),
                    signals=(("votes", n),),
                )
                for n in range(1, 25)
            ],
        )
        flags = ("--host", "0.0.0.0", "--token", TOKEN, "--digest", str(path))
        server = start_server(folder / "served", *flags)
        served_at = server.address.partition("/?")[0].rpartition(":")[2]
        address = f"http://{AFAR}:{served_at}"
        mails = MailSettings("127.0.0.1", port, "digest@example.org", address, "none")
        yield Site(address, database, mailbox, mails)
        server.process.terminate()
        server.process.communicate(timeout=30)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that tests only look at."""
    with serving(tmp_path_factory.mktemp("shown")) as made:
        yield made


def sign_in(page: Page, site: Site, email: str = ADA, password: str = GOOD) -> None:
    page.goto(f"{site.address}/digest/sign-in")
    page.fill("#email", email)
    page.fill("#password", password)
    page.click("main button:has-text('Sign in')")
    page.wait_for_url("**/digest")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_from_a_subscription_to_the_last_sign_out(
    browser: Browser, site: Site, scripts: bool
) -> None:
    context = browser.new_context(java_script_enabled=scripts)
    with without_errors(context) as page:
        page.goto(f"{site.address}/digest/subscribe?token={TOKEN}")
        page.fill("#email", ADA)
        page.select_option("#timezone", "Europe/Berlin")
        page.click("text=Ask for it")
        assert "one is on its way" in page.inner_text("main")
        context.clear_cookies()  # from here on without the token

        page.goto(site.link(0, "confirm"))
        page.click("text=Yes, send it")
        assert "gets the mail from now on" in page.inner_text("main")
        page.click("text=Choose a password")
        page.fill("#password", GOOD)
        page.fill("#again", GOOD)
        page.click("text=Set it")
        page.fill("#email", ADA)
        page.fill("#password", GOOD)
        page.click("main button:has-text('Sign in')")
        assert ADA in page.inner_text("header")

        page.fill("#q", "whales")
        page.click("text=Search >> nth=-1")
        page.click(".cards .title >> nth=0")
        title = page.inner_text("h1")
        page.click("button:has-text('Keep')")
        page.fill("input[name=tag]", "for later")
        page.click("button:has-text('Add')")
        assert "Take off" in page.inner_text("main")
        page.click("nav >> text=Kept")
        assert title in page.inner_text("main")
        page.click("text=for later (1)")
        assert title in page.inner_text("main")

        page.click("nav >> text=Settings")
        page.fill("#hour", "5")
        page.click("text=Keep these wishes")
        assert "Your wishes are kept" in page.inner_text("main")
        page.click("text=Stop the mails")
        assert "It does not come" in page.inner_text("main")
        person = reader_of(site.database, ADA)
        assert (person.state, person.hour, person.timezone) == ("stopped", 5, "Europe/Berlin")
        page.click("header >> text=Sign out")
        assert "You are signed out" in page.inner_text("main")
        page.goto(f"{site.address}/digest/kept")
        assert "for who is signed in" in page.inner_text("main")
        assert title not in page.inner_text("main")


def test_a_forgotten_password(browser: Browser, site: Site) -> None:
    site.reader(ADA)
    with without_errors(browser.new_context()) as page:
        page.goto(f"{site.address}/digest/sign-in")
        page.click("text=Forgotten, or none yet")
        page.fill("#email", ADA)
        page.click("text=Send me a link")
        assert "a link is on its way" in page.inner_text("main")
        page.goto(site.link(0, "password"))
        page.fill("#password", OTHER)
        page.fill("#again", OTHER)
        page.click("text=Set it")
        assert "The password is set" in page.inner_text("main")
        sign_in(page, site, ADA, OTHER)


def test_a_mail_ends_the_mails_with_one_click(browser: Browser, site: Site) -> None:
    site.reader(ADA)
    with without_errors(browser.new_context()) as page:
        page.goto(site.link(0, "stop"))
        page.click("text=Yes, end them")
        assert "gets no mails any more" in page.inner_text("main")
    assert reader_of(site.database, ADA).state == "stopped"


def test_password_data_and_deletion_in_the_settings(browser: Browser, site: Site) -> None:
    site.reader(ADA)
    with without_errors(browser.new_context(accept_downloads=True)) as page:
        sign_in(page, site)
        page.goto(f"{site.address}/digest/settings")
        page.fill("#current", "a wrong password")
        page.fill("#password", OTHER)
        page.fill("#again", OTHER)
        page.click("text=Change it")
        assert "not your current password" in page.inner_text("[role=alert]")
        page.fill("#current", GOOD)
        page.fill("#password", OTHER)
        page.fill("#again", OTHER)
        page.click("text=Change it")
        assert "The password is changed" in page.inner_text("main")
        with page.expect_download() as download:
            page.click("text=Download all")
        assert json.loads(Path(download.value.path()).read_text())["reader"]["email"] == ADA
        page.fill("#delete-password", OTHER)
        page.click("text=Delete my account")
        assert "Nothing is known of you" in page.inner_text("main")
        page.fill("#email", ADA)
        page.fill("#password", OTHER)
        page.click("main button:has-text('Sign in')")
        assert "do not fit together" in page.inner_text("[role=alert]")


def test_too_many_guesses_are_told_in_words(browser: Browser, site: Site) -> None:
    with without_errors(browser.new_context()) as page:
        page.goto(f"{site.address}/digest/sign-in")
        for _ in range(11):
            page.fill("#email", "eve@example.org")
            page.fill("#password", "a wrong password")
            page.click("main button:has-text('Sign in')")
        assert "tried too often; please wait" in page.inner_text("[role=alert]")


@pytest.fixture(scope="module")
def addresses(shown: Site) -> dict[str, str]:
    """All pages of the digest, with all that they can show."""
    person = shown.reader(LONG)
    for number in range(1, 12):
        save(shown.database, person, number)
    pending = subscribe(shown.database, "bo@example.org")
    return {
        "search": "/digest?q=whales",
        "trending": "/digest/trending",
        "paper": "/digest/papers/1",
        "kept": "/digest/kept",
        "subscribe": "/digest/subscribe",
        "settings": "/digest/settings?done=wishes",
        "confirm": f"/digest/confirm?token={link_token(pending, 'confirm')}",
        "stop": f"/digest/stop?token={link_token(person, 'stop')}",
        "password": f"/digest/password?token={password_link(shown.database, person)}",
        "reset": "/digest/reset",
        "sign-in": "/digest/sign-in?done=out",
        "not-this-way": "/digest/papers/999",
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("signed_in", [True, False], ids=["signed in", "nobody"])
def test_pages_are_accessible_and_fit(
    browser: Browser, shown: Site, addresses: dict[str, str], mode: str, signed_in: bool
) -> None:
    """axe-core finds nothing at all; nothing is wider than the screen; screenshots are kept."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    with without_errors(browser.new_context(**MODES[mode])) as page:
        if signed_in:
            sign_in(page, shown, LONG)
        for name, address in addresses.items():
            page.goto(shown.address + address)
            who = "reader" if signed_in else "nobody"
            page.screenshot(path=SHOTS / f"digest-{name}-{who}-{mode}.png", full_page=True)
            found = violations(page)
            assert not found, [(name, v["id"], v["nodes"][0]["html"]) for v in found]
            assert overhang(page) <= 0, name


def test_everything_is_reached_by_keyboard(
    browser: Browser, shown: Site, addresses: dict[str, str]
) -> None:
    """The Tab key leads to all that can be used, and a reader signs in with keys alone."""
    with without_errors(browser.new_context()) as page:
        page.goto(f"{shown.address}/digest/sign-in")
        page.focus("#email")
        page.keyboard.type(LONG)
        page.keyboard.press("Tab")
        page.keyboard.type(GOOD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/digest")
        for name, address in addresses.items():
            page.goto(shown.address + address)
            n = page.evaluate(f"{SHOWN}.filter(e => e.checkVisibility()).length")
            reached = set()
            for _ in range(n):
                page.keyboard.press("Tab")
                reached.add(page.evaluate(f"{SHOWN}.indexOf(document.activeElement)"))
            assert len(reached - {-1}) == n, name


def test_a_mail_with_words_that_never_end_fits_a_phone(browser: Browser) -> None:
    settings = MailSettings("127.0.0.1", 1, "digest@example.org", "https://papers.test", "none")
    person = Reader(1, ADA, "active", "UTC", 7, "w" * 900, "", 10, "secret", 0.0, 0.0)
    item = Paper(1, "W" * 900, "x" * 900, ("n" * 400,), (), "2024-01-01", "")
    content = render_digest(settings, person, [Chosen(item, "new")], "2024-01-01", "<1@x>", 0.0)
    html = message_from_bytes(content, policy=default).get_body(("html",)).get_content()
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.set_content(html)
    assert overhang(page) == 0
    page.close()
