"""Who is let in, what may change state, and what every answer carries."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient
from workbench import HOST

Limited = Callable[..., TestClient]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:9", "LOCALHOST"])
def test_loopback_names_are_admitted(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[", "10.0.0.1"])
def test_other_names_are_refused(client: TestClient, host: str) -> None:
    """A page of another site whose name points at this machine (DNS rebinding)."""
    assert client.get("/", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {"Origin": "http://["},
    ],
)
def test_changes_from_other_pages_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    body = b'{"paper": "error-bars", "example": true}'
    for method, address in (
        ("POST", "/api/runs"),
        ("POST", "/api/uploads?name=a.csv"),
        ("POST", "/api/papers/error-bars/check"),
        ("DELETE", "/api/runs/1"),
    ):
        answer = client.request(method, address, content=body, headers=headers)
        assert answer.status_code == 403, (method, address)
    assert client.get("/api/runs").json() == {"runs": []}


def test_changes_from_own_pages_are_admitted(client: TestClient) -> None:
    for headers in ({}, {"Origin": HOST}, {"Sec-Fetch-Site": "same-origin", "Origin": HOST}):
        answer = client.post("/api/papers/error-bars/check", json={}, headers=headers)
        assert answer.status_code == 200


def test_every_answer_carries_the_policy(client: TestClient) -> None:
    for address in ("/", "/api/papers", "/static/style.css", "/nowhere", "/papers/nothing"):
        headers = client.get(address).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"


def test_pages_load_nothing_from_elsewhere(client: TestClient) -> None:
    for address in ("/", "/papers/error-bars", "/run/error-bars", "/runs", "/compare", "/about"):
        text = client.get(address).text
        assert 'src="http' not in text
        assert 'href="http' not in text
        assert "<style" not in text
        assert "style=" not in text
        assert "onclick" not in text


def test_a_token_is_asked_for(limited: Limited) -> None:
    with limited(host="0.0.0.0", token="a-long-enough-token") as client:
        assert client.get("/").status_code == 401
        assert client.get("/api/papers").status_code == 401
        assert client.get("/static/style.css").status_code == 200, "signing in has a style"
        assert client.get("/?token=wrong").status_code == 401
        assert client.get("/", headers={"Authorization": "Bearer wrong"}).status_code == 401
        bearer = {"Authorization": "Bearer a-long-enough-token"}
        assert client.get("/api/papers", headers=bearer).status_code == 200


def test_a_token_is_kept_in_a_cookie_and_out_of_the_address(limited: Limited) -> None:
    with limited(host="0.0.0.0", token="a-long-enough-token") as client:
        answer = client.get("/?q=a&token=a-long-enough-token", follow_redirects=False)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/?q=a"
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert client.get("/").status_code == 200


def test_a_token_in_the_address_does_not_lead_elsewhere(limited: Limited) -> None:
    with limited(host="0.0.0.0", token="a-long-enough-token") as client:
        answer = client.get("//evil.example/?token=a-long-enough-token", follow_redirects=False)
        assert not answer.headers.get("location", "").startswith("//")
