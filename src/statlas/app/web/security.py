"""What every request must pass, and what every answer carries.

* The ``Host`` header must be one that the workbench was started for: a foreign page cannot reach a
  loopback server under a name of its own (DNS rebinding).
* Where a token is set, every request must bring it: once as ``?token=`` (it then lives in a
  cookie), or as ``Authorization: Bearer``. Style and icon are open to all. The pages of the digest
  are told whether it came, and let in by themselves who is signed in or follows the link of a mail
  (`visitors`).
* A request that changes state must come from a page of the workbench itself.
* No page may load or send anything from or to anywhere else.
"""

from __future__ import annotations

import secrets
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from statlas.app.web.settings import Settings, is_loopback

_READING = ("GET", "HEAD", "OPTIONS")
_COOKIE = "statlas_token"
_OPEN = ("/static",)
_DIGEST = ("/digest", "/api/digest")
# What is `token` in the address of others is there the signature of a link in a mail.
_LINKS = ("/digest/confirm", "/digest/stop", "/digest/password")

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: a browser then hides the origin of our own forms from us as well.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Security:
    """The gate around the application."""

    def __init__(self, app: ASGIApp, settings: Settings):
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
                headers.setdefault("Cache-Control", "no-store")
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        request = Request(scope)
        answer = self._refusal(request)
        await (answer or self._app)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if not self._host_is_ours(request.headers):
            return _refuse(421, "this host name is not one that the workbench was started for")
        path = request.scope["path"]
        answer = self._token_answer(request) if self._settings.token else None
        request.state.has_token = answer is None
        is_for_digest = _is_under(path, _DIGEST) and (path in _LINKS or not _brings_token(request))
        if answer is not None and not is_for_digest and not _is_under(path, _OPEN):
            return answer
        if request.method not in _READING and not _same_origin(request.headers):
            return _refuse(403, "a change must come from a page of the workbench itself")
        return None

    def _host_is_ours(self, headers: Headers) -> bool:
        try:
            name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        except ValueError:
            return False
        if self._settings.loopback:
            return is_loopback(name)
        # Behind a token any name of this machine will do: a foreign page does not have the cookie.
        return bool(name)

    def _token_answer(self, request: Request) -> Response | None:
        """None where the token came with the request; else what to say or do."""
        if _brings_token(request) and request.scope["path"] not in _LINKS:
            if not self._is_token(request.query_params["token"]):
                return _refuse(401, "this is not the token; use the address that was printed")
            return self._keep_token(request)
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(bearer):
            return None
        if self._is_token(request.cookies.get(_COOKIE, "")):
            return None
        return _ask_for_token(request)

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._settings.token.encode())

    def _keep_token(self, request: Request) -> Response | None:
        if request.method not in _READING:
            return None
        rest = [(k, v) for k, v in parse_qsl(request.url.query) if k != "token"]
        # One slash only: two would make a path a foreign host.
        path = "/" + request.url.path.lstrip("/\\") + ("?" + urlencode(rest) if rest else "")
        answer = RedirectResponse(path, 303)
        answer.set_cookie(_COOKIE, self._settings.token, httponly=True, samesite="strict")
        return answer


def _is_under(path: str, places: tuple[str, ...]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def _brings_token(request: Request) -> bool:
    return "token" in request.query_params


def _ask_for_token(request: Request) -> Response:
    message = "a token is needed; use the address that the server printed"
    is_page = "text/html" in request.headers.get("accept", "")
    if not is_page or _is_under(request.scope["path"], ("/api",)):
        return _refuse(401, message)
    from statlas.app.web.pages import error_page

    request.state.has_token = False
    return error_page(request, 401, message)


def _same_origin(headers: Headers) -> bool:
    """Whether a browser says that the request is of our own page; programs say nothing at all."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    except ValueError:
        return False


def _refuse(code: int, message: str) -> Response:
    return JSONResponse({"errors": [{"field": "", "message": message}]}, code)
