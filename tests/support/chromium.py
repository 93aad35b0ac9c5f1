"""A real browser for the tests of pages, and what is asked of every page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# The name of a server beyond this machine: a browser trusts it less than loopback.
AFAR = "papers.test"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    f"--host-resolver-rules=MAP {AFAR} 127.0.0.1",
]  # fmt: skip
SHOTS = Path(os.environ.get("STATLAS_SHOTS", "out/screenshots"))

needs_chromium = [
    pytest.mark.extras,
    pytest.mark.skipif(
        CHROMIUM is None and "STATLAS_NEEDS_BROWSER" not in os.environ,
        reason="no Chromium is installed",
    ),
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@contextmanager
def without_errors(context: BrowserContext) -> Iterator[Page]:
    """A page whose errors, and whose refusals by the content policy, fail the test."""
    context.set_default_timeout(30_000)
    made = context.new_page()
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.on("console", lambda m: errors.append(m.text) if "Content Security" in m.text else None)
    yield made
    context.close()
    assert not errors


def violations(page: Page) -> list[dict[str, Any]]:
    """What axe-core finds on a page."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found: list[dict[str, Any]] = axe.run(page).response["violations"]
    return found


def overhang(page: Page) -> int:
    """How many pixels the page is wider than the screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))
