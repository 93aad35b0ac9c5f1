"""Files are resumed, addresses are asked politely, and what fails is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx2")

from statlas.app.digest import sources
from statlas.app.digest.search import search
from statlas.app.digest.sources import add_source, feeds_with_problems, update_all
from statlas.core.errors import InputError

NOW = 1_700_000_000.0
PAGE = """<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/"><ListRecords>{records}
<resumptionToken cursor="0">{token}</resumptionToken></ListRecords></OAI-PMH>"""
RECORD = """<record><header><identifier>oai:arXiv.org:{n}</identifier></header><metadata>
<arXiv xmlns="http://arxiv.org/OAI/arXiv/"><id>2401.{n:05d}</id><title>Paper {n}</title></arXiv>
</metadata></record>"""


class Site:
    """What the server answers, and what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.address = ""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            code, headers, body = made.answers.pop(0) if made.answers else (404, {}, b"")
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made.address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(sources, "_SECONDS_BETWEEN", 0.0)
    yield made
    server.shutdown()
    server.server_close()


def page(numbers: range, token: str = "") -> bytes:
    return PAGE.format(records="".join(RECORD.format(n=n) for n in numbers), token=token).encode()


def line(n: int) -> bytes:
    return json.dumps({"id": f"2401.{n:05d}", "title": f"Paper {n}"}).encode() + b"\n"


def test_a_folder_is_read_and_a_file_that_is_no_feed_is_told(database, tmp_path: Path) -> None:
    folder = tmp_path / "feeds"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(line(1) + b"{\n")
    (folder / "b.txt").write_text("no feed")
    first, second = add_source(database, str(folder), now=NOW)
    assert (first.counts.new, first.counts.problems) == (1, 1)
    assert second.note.startswith("not read")
    listed = feeds_with_problems(database)
    assert listed[0]["problems"][0]["place"] == "line 2"
    (folder / "a.jsonl").unlink()
    with pytest.raises(InputError, match="no file of"):
        add_source(database, str(folder), now=NOW)


def test_a_changed_file_is_read_from_its_start(database, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("statlas.app.digest.ingest.BATCH", 2)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(line(n) for n in range(6)))

    def interrupt(source: str, counts: Any) -> None:
        if counts.read >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_source(database, str(path), report=interrupt)
    (outcome,) = add_source(database, str(path))
    assert outcome.note == "resumed after 4 records"
    assert outcome.counts.read == 2
    with pytest.raises(KeyboardInterrupt):
        add_source(database, str(path), report=interrupt)
    path.write_bytes(b"".join(line(n) for n in range(20, 27)))
    (outcome,) = add_source(database, str(path))
    assert (outcome.note, outcome.counts.new) == ("", 7)


def test_only_what_changed_is_fetched(database, site: Site) -> None:
    headers = {"ETag": '"one"', "Last-Modified": "Tue, 14 Nov 2023 00:00:00 GMT"}
    site.answers = [(200, headers, line(1)), (304, {}, b""), (200, {}, line(1) + line(2))]
    address = f"{site.address}/feed.jsonl"
    assert add_source(database, address, now=NOW)[0].counts.new == 1
    assert add_source(database, address, now=NOW + 1)[0].note == "nothing changed"
    assert site.asked[1][1]["if-none-match"] == '"one"'
    assert site.asked[1][1]["if-modified-since"] == headers["Last-Modified"]
    assert site.asked[0][1]["user-agent"].startswith("statlas-digest/")
    assert update_all(database, now=NOW + 2)[0].counts.new == 1


def test_a_busy_server_is_left_alone_as_long_as_it_asks(database, site: Site) -> None:
    site.answers = [(503, {"Retry-After": "1000"}, b""), (200, {}, line(1))]
    address = f"{site.address}/feed.jsonl"
    with pytest.raises(InputError, match="asks to wait"):
        add_source(database, address, now=NOW)
    assert "not asked again" in add_source(database, address, now=NOW + 999)[0].note
    assert len(site.asked) == 1
    assert add_source(database, address, now=NOW + 1_001)[0].counts.new == 1


def test_failures_double_the_wait(database, site: Site) -> None:
    address = f"{site.address}/feed.jsonl"
    with pytest.raises(InputError, match="404"):
        add_source(database, address, now=NOW)
    assert "not asked" in add_source(database, address, now=NOW + 299)[0].note
    with pytest.raises(InputError):
        add_source(database, address, now=NOW + 301)
    assert "not asked" in add_source(database, address, now=NOW + 301 + 599)[0].note
    (failed,) = update_all(database, now=NOW + 1_000)
    assert failed.note.startswith("not read")
    assert "404" in feeds_with_problems(database)[0]["last_error"]


def test_a_server_that_breaks_is_tried_three_times(database, site: Site) -> None:
    site.answers = [(500, {}, b""), (502, {}, b""), (200, {}, line(1))]
    assert add_source(database, f"{site.address}/f.jsonl", now=NOW)[0].counts.new == 1
    assert len(site.asked) == 3


def test_a_list_of_pages_is_followed_and_resumed(database, site: Site) -> None:
    address = f"{site.address}/oai?verb=ListRecords&metadataPrefix=arXiv"
    site.answers = [(200, {}, page(range(3), "a b|2&amp;c")), (404, {}, b"")]
    with pytest.raises(InputError):
        add_source(database, address, now=NOW)
    assert len(search(database, "paper")) == 3, "what came before the failure is kept"
    site.answers = [(200, {}, page(range(3, 5)))]
    assert add_source(database, address, now=NOW + 400)[0].counts.new == 2
    assert (
        site.asked[1][0]
        == site.asked[2][0]
        == "/oai?verb=ListRecords&resumptionToken=a%20b%7C2%26c"
    )


def test_a_list_that_never_ends_is_left(database, site: Site) -> None:
    site.answers = [(200, {}, page(range(3), "again"))] * 9
    with pytest.raises(InputError, match="just read"):
        add_source(database, f"{site.address}/oai?verb=ListRecords", now=NOW)
    assert len(site.asked) == 2
    site.answers = [(200, {}, page(range(3, 5)))]
    assert add_source(database, f"{site.address}/oai?verb=ListRecords", now=NOW + 400)[0].counts.new
    assert site.asked[2][0] == "/oai?verb=ListRecords", "it begins anew"


@pytest.mark.parametrize("wait", ["Fri, 31 Dec 9999 23:59:59 GMT", "9" * 400])
def test_no_server_can_ask_to_be_left_for_ever(database, site: Site, wait: str) -> None:
    site.answers = [(429, {"Retry-After": wait}, b""), (200, {}, line(1))]
    address = f"{site.address}/feed.jsonl"
    with pytest.raises(InputError, match="asks to wait"):
        add_source(database, address, now=NOW)
    assert add_source(database, address, now=NOW + 86_401)[0].counts.new == 1


@pytest.mark.parametrize(
    "source", ["ftp://x.org/feed", "file:///etc/passwd", "http://u:p@x.org/", "http://"]
)
def test_other_addresses_are_refused(database, source: str) -> None:
    with pytest.raises(InputError, match="no http or https address"):
        add_source(database, source)


def test_an_answer_that_is_too_large_is_refused(database, site: Site, monkeypatch) -> None:
    monkeypatch.setattr(sources, "LARGEST_DOWNLOAD", 10)
    site.answers = [(200, {}, line(1))]
    with pytest.raises(InputError, match="more than 10 bytes"):
        add_source(database, f"{site.address}/f.jsonl", now=NOW)
