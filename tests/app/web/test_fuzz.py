"""Nothing that a visitor sends is a fault of the server: no answer is 5xx."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from statlas.catalog import load_catalogue

READY = [entry.id for entry in load_catalogue().values() if entry.status == "implemented"]
N_REQUESTS = int(os.environ.get("STATLAS_FUZZ_REQUESTS", "250"))

many = settings(
    max_examples=N_REQUESTS,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
texts = st.text(max_size=40)
papers = st.sampled_from(READY) | texts
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
plain = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
names = (
    st.sampled_from(["level", "missing", "score", "model", "interval", "seed", "layout"]) | texts
)
forms = st.fixed_dictionaries(
    {},
    optional={
        "paper": papers | plain,
        "papers": st.lists(papers, max_size=3) | plain,
        "upload": texts | plain,
        "example_of": papers | plain,
        "columns": st.dictionaries(names, texts | st.lists(texts, max_size=3), max_size=3) | plain,
        "options": st.dictionaries(names, texts, max_size=3) | plain,
        "seed": texts | plain,
    },
)
filenames = texts | st.sampled_from(
    [
        "a.csv",
        "a.tsv",
        "a.parquet",
        "a.jsonl",
        "a.json",
        "a.eval",
        "a.csv.gz",
        "a.csv.zst",
        "a.arrow",
    ]
)
STARTS = (b"", b"PAR1", b"ARROW1", b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"{", b"[",
          b"\xef\xbb\xbf", b"\xff\xfe", b"model,score\n", b'{"samples": ')  # fmt: skip
starts = st.sampled_from(STARTS)
files = st.tuples(starts, st.binary(max_size=300) | texts.map(str.encode)).map(b"".join)


def fine(answer: Any) -> None:
    assert answer.status_code < 500, answer.text
    assert answer.headers["content-security-policy"]


@many
@given(body=forms | plain, paper=papers)
def test_forms(client: TestClient, body: Any, paper: str) -> None:
    from json import dumps
    from urllib.parse import quote

    content = dumps(body).encode()
    fine(client.post("/api/runs", content=content))
    fine(client.post(f"/api/papers/{quote(paper, safe='')}/check", content=content))


@many
@given(body=st.binary(max_size=200))
def test_bodies_that_are_no_forms(client: TestClient, body: bytes) -> None:
    fine(client.post("/api/runs", content=body))
    fine(client.post("/api/papers/error-bars/check", content=body))


@settings(many, max_examples=max(12, N_REQUESTS // 20))
@given(name=filenames, body=files, paper=st.sampled_from(["", *READY]))
def test_uploads(client: TestClient, name: str, body: bytes, paper: str) -> None:
    answer = client.post("/api/uploads", params={"name": name, "paper": paper}, content=body)
    fine(answer)
    if answer.status_code == 201:
        table = answer.json()["upload"]
        fine(client.get(f"/api/uploads/{table}"))
        form = {"paper": "error-bars", "upload": table}
        fine(client.post("/api/papers/error-bars/check", json=form))
        client.app.state.store.drop_unused_uploads()  # type: ignore[attr-defined]


ADDRESSES = (
    "/", "/papers/{}", "/run/{}", "/runs/{}", "/compare", "/papers/{}/code", "/api/papers",
    "/api/papers/{}", "/api/papers/{}/form", "/api/runs", "/api/runs/{}", "/api/uploads/{}",
    "/api/fitting", "/static/{}", "/{}",
)  # fmt: skip
WORDS = (
    "q", "area", "kind", "needs", "verdict", "status", "part", "runs", "before", "paper", "upload",
    "example", "token", "inline", "result",
)  # fmt: skip


@many
@given(
    path=st.sampled_from(ADDRESSES),
    part=papers | st.integers().map(str) | st.sampled_from(["../../etc/passwd", "..", "%00"]),
    query=st.dictionaries(
        st.sampled_from(WORDS), texts | st.integers().map(str) | papers, max_size=4
    ),
)
def test_addresses(client: TestClient, path: str, part: str, query: dict[str, str]) -> None:
    from urllib.parse import quote

    fine(client.get(path.format(quote(part, safe="")), params=query))


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"])
@pytest.mark.parametrize("address", ["/", "/api/runs", "/api/uploads", "/runs/1", "/static/app.js"])
def test_other_methods(client: TestClient, method: str, address: str) -> None:
    fine(client.request(method, address))
