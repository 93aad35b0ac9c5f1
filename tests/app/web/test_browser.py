"""The workbench in a real browser: what a visitor does, and whether everyone can do it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from chromium import SHOTS, chromium, needs_chromium, overhang, violations, without_errors
from workbench import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("playwright.sync_api")
MODES: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
}

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with without_errors(browser.new_context(accept_downloads=True)) as made:
        yield made


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str, str], str]:
    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def run_example(page: Page, server: Server, paper: str, **options: str) -> str:
    """Run a paper's example through the form; the address of the run."""
    page.goto(f"{server.address}/run/{paper}")
    page.click("#example")
    page.wait_for_selector("#preview table")
    for name, value in options.items():
        page.fill(f"#option-{name}", value)
    page.click("#submit")
    page.wait_for_url("**/runs/*")
    return page.url


def test_find_run_result_download(page: Page, server: Server) -> None:
    page.goto(server.address)
    page.keyboard.type("how good would the best of n random trials be")  # the field has the focus
    first = page.locator(".cards .title").first
    page.wait_for_function("() => document.querySelectorAll('.areas').length === 0")
    assert first.get_attribute("href") == "/papers/show-your-work"
    first.click()
    page.click("text=Run it")
    page.click("#example")
    page.wait_for_selector("#preview table")
    page.click("#submit")
    page.wait_for_selector("figure img")
    assert page.evaluate("document.querySelector('figure img').naturalWidth") > 0
    with page.expect_download() as download:
        page.click("text=table (CSV)")
    assert Path(download.value.path()).read_text().count("\n") > 2
    page.click("#zoom")
    assert page.evaluate("document.querySelector('#zoomed').open")
    page.keyboard.press("Escape")
    assert not page.evaluate("document.querySelector('#zoomed').open")


def test_columns_are_proposed_and_can_be_changed(
    page: Page, server: Server, table: Callable[[str, str], str]
) -> None:
    pairs = [(model, question) for model in ("one", "three") for question in range(40)]
    rows = [f"{m},{q},{(7 * q + len(m)) % 3 % 2},{q % 2}" for m, q in pairs]
    path = table("points.csv", "who,question,right,other\n" + "\n".join(rows) + "\n")
    page.goto(f"{server.address}/run/error-bars")
    page.set_input_files("#file", path)
    page.wait_for_selector("#preview table")
    assert page.input_value("#role-model") == "who"
    assert page.input_value("#role-score") == "right"
    page.select_option("#role-score", "other")
    page.fill("#option-level", "1.5")
    page.wait_for_selector("#problem-level:not(:empty)")
    assert "must be a number above 0 and below 1" in page.inner_text("#problem-level")
    assert page.get_attribute("#option-level", "aria-invalid") == "true"
    page.fill("#option-level", "0.9")
    page.wait_for_function("() => document.querySelector('#problem-level').textContent === ''")
    page.click("#submit")
    page.wait_for_selector("figure img")
    assert "--score other" in page.inner_text("main")
    assert "--level 0.9" in page.inner_text("main")


def test_bad_file_says_what_is_wrong(
    page: Page, server: Server, table: Callable[[str, str], str]
) -> None:
    page.goto(f"{server.address}/run/error-bars")
    page.set_input_files("#file", table("bad.csv", "a,b\n1,2\n1,2,3\n"))
    page.wait_for_selector("#problem-table:not(:empty)")
    assert "bad.csv" in page.inner_text("#problem-table")
    page.set_input_files("#file", table("text.csv", "model,question,score\na,1,x\nb,1,y\n"))
    page.wait_for_selector("#problem-score:not(:empty)")
    assert "must hold numbers" in page.inner_text("#problem-score")


def test_reload_and_cancel_during_a_run(page: Page, server: Server) -> None:
    address = run_example(page, server, "model-collapse", replicates="100000")
    page.wait_for_function(
        "() => document.querySelector('#stage')?.textContent === 'simulating chains'"
    )
    page.reload()
    page.wait_for_function(
        "() => document.querySelector('#stage')?.textContent === 'simulating chains'"
    )
    page.click("text=Cancel")
    page.wait_for_selector("text=This run was cancelled")
    assert page.url == address


def test_two_runs_at_once(page: Page, browser: Browser, server: Server) -> None:
    other = browser.new_context().new_page()
    addresses = [
        run_example(page, server, "show-your-work"),
        run_example(other, server, "no-clt"),
    ]
    for shown, address in zip((page, other), addresses, strict=True):
        shown.wait_for_selector("figure img", timeout=60_000)
        assert shown.url == address
    other.close()


def test_compare_two_papers(page: Page, server: Server) -> None:
    page.goto(f"{server.address}/compare")
    page.select_option("#example", "no-clt")
    for paper in ("no-clt", "error-bars"):
        page.check(f"input[value={paper}]")
    page.click("#submit")
    page.wait_for_url("**/compare?runs=*")
    page.wait_for_function("() => document.querySelectorAll('.sides img').length === 2")
    assert page.locator(".sides h2 a").all_inner_texts() == ["error-bars", "no-clt"]


def test_history_is_sorted_and_deleted_from(page: Page, server: Server) -> None:
    run_example(page, server, "show-your-work")
    page.wait_for_selector("figure img")
    page.goto(f"{server.address}/runs")
    page.click("th button:has-text('Paper')")
    papers = page.locator("tbody td:nth-child(2)").all_inner_texts()
    assert papers == sorted(papers)
    page.on("dialog", lambda dialog: dialog.accept())
    before = page.locator("tbody tr").count()
    page.locator("tbody button:has-text('Delete')").first.click()
    page.wait_for_function(f"() => document.querySelectorAll('tbody tr').length < {before}")


@pytest.fixture(scope="module")
def addresses(browser: Browser, server: Server) -> dict[str, str]:
    """The main pages, with a finished run among them."""
    page = browser.new_page()
    run = run_example(page, server, "error-bars").removeprefix(server.address)
    page.wait_for_selector("figure img", timeout=60_000)
    page.close()
    return {
        "find": "/",
        "found": "/?q=small+benchmark",
        "paper": "/papers/error-bars",
        "form": "/run/error-bars",
        "result": run,
        "runs": "/runs",
        "compare": "/compare",
        "compared": f"/compare?runs={run.rpartition('/')[2]}",
        "about": "/about",
        "error": "/papers/nothing",
    }


@pytest.mark.parametrize("mode", MODES)
def test_pages_are_accessible_and_fit(
    browser: Browser, server: Server, addresses: dict[str, str], mode: str
) -> None:
    """axe-core finds nothing serious; nothing is wider than the screen; screenshots are kept."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    context = browser.new_context(**MODES[mode])
    page = context.new_page()
    for name, address in addresses.items():
        page.goto(server.address + address)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=SHOTS / f"{name}-{mode}.png", full_page=name != "paper")
        serious = [v for v in violations(page) if v["impact"] in ("serious", "critical")]
        assert not serious, [(name, v["id"], v["nodes"][0]["html"]) for v in serious]
        assert overhang(page) <= 0, name
    context.close()


def test_everything_can_be_reached_by_keyboard(page: Page, server: Server) -> None:
    page.goto(f"{server.address}/run/no-clt")
    page.focus("#example")
    page.keyboard.press("Enter")
    page.wait_for_selector("#preview table")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "submit":
            break
    else:
        raise AssertionError("the Tab key does not lead to the button")
    page.keyboard.press("Enter")
    page.wait_for_selector("figure img")
    assert "/runs/" in page.url
