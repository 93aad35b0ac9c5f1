"""Who visits the pages of the digest, and what every one of them asks first.

On a workbench that only this machine reaches, one *local reader* stands for whoever sits here.
Beyond it there are two keys. The shared *token* opens the whole workbench, also what runs code
here; it does not say who someone is. A *session*, begun with a reader's own password, opens the
pages of the digest and nothing else, and gives what is kept to that reader. Signing in, the links
of mails and the way to a new password are open to all.

`security` lets requests for the digest pass without the token and notes whether it came; here they
are let in (`answered`). A route that is not said to be public is closed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache, wraps
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from statlas.app.web.api import refused, settings_of
from statlas.app.web.rates import Attempt, Rates, in_words, visitor_key
from statlas.core.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from statlas.app.digest.database import Database
    from statlas.app.digest.readers import Reader

Work = Callable[[Request, "Database", dict[str, str]], Response]
Page = Callable[[Request], Awaitable[Response]]
_PACKAGES = ("sqlalchemy", "alembic", "nh3", "lxml", "itsdangerous", "argon2", "limits")
_LARGEST_FORM = 20_000
_LOCAL = "you@localhost"
_COOKIE_SECONDS = 90 * 86_400  # the database ends a session, at the latest then


class NobodySignedIn(Exception):
    """A page of a reader's own was asked for, and nobody is signed in."""


@cache
def _missing() -> str:
    """The first package of the extra that is not installed, or nothing."""
    return next((name for name in _PACKAGES if find_spec(name) is None), "")


def answered(work: Work, *, public: bool = False) -> Page:
    """An endpoint that lets its visitor in, reads its form and works beside the event loop.

    Parameters
    ----------
    work
        What makes the answer.
    public
        Whether it needs neither token nor session.
    """

    @wraps(work)
    async def answer(request: Request) -> Response:
        if _missing():
            raise refused(409, str(MissingExtra(_missing(), "digest")))
        # PostgreSQL keeps no null character, and no word has one.
        if any("\0" in text for pair in request.query_params.multi_items() for text in pair):
            raise refused(400, "the address has a null character")
        form = await _form(request) if request.method == "POST" else {}
        database = await run_in_threadpool(_database, request)
        try:
            return await run_in_threadpool(_let_in, work, public, request, database, form)
        except InputError as error:
            raise refused(400, str(error)) from None

    return answer


def _let_in(
    work: Work, public: bool, request: Request, database: Database, form: dict[str, str]
) -> Response:
    request.state.reader = _signed_in(request, database)
    if not public and not request.state.has_token and request.state.reader is None:
        return _ask_to_sign_in(request, 401)
    try:
        return work(request, database, form)
    except NobodySignedIn:
        return _ask_to_sign_in(request, 403)


def _ask_to_sign_in(request: Request, code: int) -> Response:
    if request.url.path.startswith("/api/"):
        message = "a token or a session is needed"
        return JSONResponse({"errors": [{"field": "", "message": message}]}, code)
    if settings_of(request).loopback:
        raise refused(code, "a token is needed; use the address that the server printed")
    path, query = request.url.path, request.url.query
    onward = f"{path}?{query}".rstrip("?") if request.method == "GET" else "/digest"
    return sign_in_form(request, code, onward=onward)


def sign_in_form(
    request: Request,
    code: int = 200,
    *,
    onward: str,
    email: str = "",
    problem: str = "",
    notice: str = "",
) -> Response:
    """The page on which a reader signs in; `onward` is where it leads to."""
    return digest_page(
        request,
        "digest_sign_in.html",
        code,
        onward=onward,
        email=email,
        problem=problem,
        notice=notice,
        needed=code in (401, 403) and not problem,
    )


def onward_path(text: str) -> str:
    """Where a sign-in leads to: a page of the digest, whatever the form says.

    Examples
    --------
    >>> [onward_path(text) for text in ("/digest/kept?tag=a", "//evil.example", "/digest/../runs")]
    ['/digest/kept?tag=a', '/digest', '/digest']
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/digest"
    is_ours = not parts.scheme and not parts.netloc and (parts.path + "/").startswith("/digest/")
    if not is_ours or ".." in text or "\\" in text or not text.isprintable():
        return "/digest"
    return text


def _database(request: Request) -> Database:
    from statlas.app.digest.database import Database

    state = request.app.state
    if state.digest is None:
        state.digest = Database(settings_of(request).digest or None)
    database: Database = state.digest
    return database


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_FORM:
            raise refused(413, "the form is too large")
    try:
        form = dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=50))
    except ValueError:
        raise refused(400, "the form cannot be read") from None
    if any("\0" in text for pair in form.items() for text in pair):
        raise refused(400, "the form has a null character")
    return form


def digest_page(request: Request, template: str, code: int = 200, **context: Any) -> Response:
    """A rendered page of the digest."""
    from statlas.app.web.pages import page

    return page(request, template, code, may_save=may_keep(request), **context)


# --- readers -------------------------------------------------------------------------------------


def may_keep(request: Request) -> bool:
    """Whether there is a reader to keep papers for."""
    return settings_of(request).loopback or request.state.reader is not None


def own_reader(request: Request, database: Database) -> Reader:
    """The reader who visits: the local one on this machine, beyond it who is signed in.

    Raises
    ------
    NobodySignedIn
        If nobody is.
    """
    if settings_of(request).loopback:
        return _local_reader(database)
    person: Reader | None = request.state.reader
    if person is None:
        raise NobodySignedIn
    return person


def _local_reader(database: Database) -> Reader:
    """The reader that stands for whoever sits at this machine; no mail goes to it."""
    from statlas.app.digest.readers import reader_of, stop, subscribe

    try:
        return reader_of(database, _LOCAL)
    except InputError:
        stop(database, subscribe(database, _LOCAL))
        return reader_of(database, _LOCAL)


# --- sessions ------------------------------------------------------------------------------------


def session_token(request: Request) -> str:
    """The session that the browser says it has, or nothing."""
    return request.cookies.get(_cookie_name(request), "")


def _cookie_name(request: Request) -> str:
    # A browser takes a name with this beginning from this host over TLS alone.
    return "__Host-statlas_session" if _is_https(request) else "statlas_session"


def _is_https(request: Request) -> bool:
    return request.url.scheme == "https"


def _signed_in(request: Request, database: Database) -> Reader | None:
    from statlas.app.digest.accounts import reader_of_session

    token = session_token(request)
    if not token or settings_of(request).loopback:
        return None
    return reader_of_session(database, token)


def keep_session(request: Request, answer: Response, token: str) -> Response:
    """Give a session to the browser."""
    answer.set_cookie(
        _cookie_name(request),
        token,
        max_age=_COOKIE_SECONDS,
        path="/",
        secure=_is_https(request),
        httponly=True,
        samesite="lax",
    )
    return answer


def drop_session(request: Request, answer: Response) -> Response:
    """Take the session from the browser."""
    answer.delete_cookie(
        _cookie_name(request),
        path="/",
        secure=_is_https(request),
        httponly=True,
        samesite="lax",
    )
    return answer


# --- rates ---------------------------------------------------------------------------------------


def too_often(request: Request, attempt: Attempt, who: str | None = None) -> int:
    """Count an attempt; the seconds to wait where it is one too many, and else 0.

    Counted for the visitor where nobody is named. On this machine there is nobody to keep out.
    """
    if settings_of(request).loopback:
        return 0
    host = request.client.host if request.client else ""
    return rates_of(request).wait(attempt, visitor_key(host) if who is None else who)


def rates_of(request: Request) -> Rates:
    """The application's counts."""
    rates: Rates = request.app.state.rates
    return rates


def told_to_wait(answer: Response, seconds: int) -> Response:
    """The page, as one that says: later."""
    answer.status_code = 429
    answer.headers["Retry-After"] = str(seconds)
    return answer


def wait_message(seconds: int) -> str:
    """What the page says."""
    return f"That was tried too often; please wait {in_words(seconds)}."
