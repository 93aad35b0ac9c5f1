"""The pages of an account: signing in and out, a new password, and a reader's settings.

Nothing on them tells whether an address is a reader's: neither what they say nor, since the work
is the same, how long they take. Who gets a password wrong too often must wait (`rates`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from zoneinfo import available_timezones

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from statlas.app.web.api import refused, settings_of
from statlas.app.web.digest import BOTH, whole_number
from statlas.app.web.visitors import (
    Work,
    answered,
    digest_page,
    drop_session,
    keep_session,
    onward_path,
    own_reader,
    rates_of,
    session_token,
    sign_in_form,
    told_to_wait,
    too_often,
    wait_message,
)
from statlas.core.errors import InputError

if TYPE_CHECKING:
    from statlas.app.digest.database import Database
    from statlas.app.digest.readers import Reader

_DONE = {
    "wishes": "Your wishes are kept.",
    "stop": "No mails come any more.",
    "resume": "The mails come again.",
    "password": "The password is changed, and all other browsers are signed out.",
    "new": "The password is set; sign in with it.",
    "out": "You are signed out.",
    "everywhere": "You are signed out everywhere.",
    "delete": "Nothing is known of you any more.",
}


def _done(request: Request) -> str:
    return _DONE.get(request.query_params.get("done", ""), "")


def _to(page: str, done: str) -> Response:
    return RedirectResponse(f"/digest/{page}?{urlencode({'done': done})}", 303)


def _refuse_here(request: Request) -> None:
    """Say that there are no accounts on a machine of one's own."""
    if settings_of(request).loopback:
        raise refused(
            403, "nobody signs in on this machine: what is kept belongs to whoever sits here"
        )


def _guess_key(email: str) -> str:
    return email.strip().lower()[:254]


# --- signing in and out --------------------------------------------------------------------------


def sign_in_page(request: Request, database: Database, form: dict[str, str]) -> Response:
    """The form for address and password; a session begins with the right ones."""
    _refuse_here(request)
    if request.method != "POST":
        onward = onward_path(request.query_params.get("onward", ""))
        return sign_in_form(request, onward=onward, notice=_done(request))
    return _sign_in(request, database, form)


def _sign_in(request: Request, database: Database, form: dict[str, str]) -> Response:
    from statlas.app.digest.accounts import end_session, sign_in

    email, onward = form.get("email", ""), onward_path(form.get("onward", ""))
    seconds = too_often(request, "sign in") or too_often(request, "guess", _guess_key(email))
    if seconds:
        said = sign_in_form(request, onward=onward, email=email, problem=wait_message(seconds))
        return told_to_wait(said, seconds)
    token = sign_in(database, email, form.get("password", ""))
    if token is None:
        problem = "Address and password do not fit together."
        return sign_in_form(request, 403, onward=onward, email=email, problem=problem)
    rates_of(request).forgive("guess", _guess_key(email))
    if session_token(request):
        end_session(database, session_token(request))
    return keep_session(request, RedirectResponse(onward, 303), token)


def sign_out(request: Request, database: Database, form: dict[str, str]) -> Response:
    """End the session of this browser."""
    from statlas.app.digest.accounts import end_session

    _refuse_here(request)
    end_session(database, session_token(request))
    return drop_session(request, _to("sign-in", "out"))


# --- a new password ------------------------------------------------------------------------------


def reset_page(request: Request, database: Database, form: dict[str, str]) -> Response:
    """Ask for a mail with a link to a new password."""
    from statlas.app.digest.accounts import request_password

    _refuse_here(request)
    email, problem, seconds = form.get("email", ""), "", 0
    if request.method == "POST":
        seconds = too_often(request, "reset")
        try:
            if seconds:
                raise InputError(wait_message(seconds))
            request_password(database, email)
        except InputError as error:
            problem = str(error)
    asked = request.method == "POST" and not problem
    answer = digest_page(request, "digest_reset.html", email=email, problem=problem, asked=asked)
    return told_to_wait(answer, seconds) if seconds else answer


def password_page(request: Request, database: Database, form: dict[str, str]) -> Response:
    """Set a password with the link of a mail, or of the page that confirmed the address."""
    from statlas.app.digest.accounts import reader_of_password_link, use_password_link

    _refuse_here(request)
    token = request.query_params.get("token", "")[:500]
    person, problem = reader_of_password_link(database, token), ""
    if person is None:
        raise HTTPException(404, "this link is not valid, or not any more")
    if request.method == "POST":
        try:
            _require_same(form)
            if use_password_link(database, token, form.get("password", "")) is None:
                raise HTTPException(404, "this link is not valid, or not any more")
        except InputError as error:
            problem = str(error)
        else:
            rates_of(request).forgive("guess", person.email)
            return drop_session(request, _to("sign-in", "new"))
    return digest_page(request, "digest_password.html", person=person, token=token, problem=problem)


def _require_same(form: dict[str, str]) -> None:
    if form.get("password", "") != form.get("again", ""):
        raise InputError("the two passwords differ", remedy="write the same one twice")


# --- settings ------------------------------------------------------------------------------------


def settings_page(request: Request, database: Database, form: dict[str, str]) -> Response:
    """A reader's wishes, password and data; ``do`` names what is to be changed."""
    person = own_reader(request, database)
    problem, seconds = "", 0
    if request.method == "POST":
        change = _change_of(request, form.get("do", ""))
        if form.get("do") in ("password", "delete"):
            seconds = too_often(request, "guess", person.email)
        try:
            if seconds:
                raise InputError(wait_message(seconds))
            return change(request, database, form)
        except InputError as error:
            problem = str(error)
    answer = digest_page(
        request,
        "digest_settings.html",
        person=person,
        local=settings_of(request).loopback,
        wanted=_wanted(person, form),
        problem=problem,
        notice=_done(request),
        timezones=sorted(available_timezones()),
    )
    return told_to_wait(answer, seconds) if seconds else answer


def _wanted(person: Reader, form: dict[str, str]) -> dict[str, str]:
    """The wishes in the form: those of before, or what was just typed."""
    kept = {
        "query": person.query,
        "categories": person.categories,
        "timezone": person.timezone,
        "hour": str(person.hour),
        "papers": str(person.papers_a_mail),
    }
    return {name: form.get(name, value) for name, value in kept.items()}


def _change_of(request: Request, name: str) -> Work:
    local = settings_of(request).loopback
    changes = {"delete": _delete_local} if local else _CHANGES
    if name not in changes:
        raise refused(400, f"'do' must be one of {', '.join(changes)}")
    return changes[name]


def _change_wishes(request: Request, database: Database, form: dict[str, str]) -> Response:
    from statlas.app.digest.readers import change_wishes

    change_wishes(
        database,
        own_reader(request, database).id,
        timezone=form.get("timezone", ""),
        hour=whole_number(form.get("hour", "")),
        query=form.get("query", ""),
        categories=form.get("categories", "").split(),
        papers_a_mail=whole_number(form.get("papers", "")),
    )
    return _to("settings", "wishes")


def _stop(request: Request, database: Database, form: dict[str, str]) -> Response:
    from statlas.app.digest.readers import stop

    stop(database, own_reader(request, database))
    return _to("settings", "stop")


def _resume(request: Request, database: Database, form: dict[str, str]) -> Response:
    from statlas.app.digest.readers import resume

    resume(database, own_reader(request, database))
    return _to("settings", "resume")


def _change_password(request: Request, database: Database, form: dict[str, str]) -> Response:
    from statlas.app.digest.accounts import change_password

    person = _with_current_password(request, database, form)
    _require_same(form)
    token = change_password(database, person, form.get("password", ""))
    return keep_session(request, _to("settings", "password"), token)


def _sign_out_everywhere(request: Request, database: Database, form: dict[str, str]) -> Response:
    from statlas.app.digest.accounts import end_sessions

    end_sessions(database, own_reader(request, database))
    return drop_session(request, _to("sign-in", "everywhere"))


def _delete(request: Request, database: Database, form: dict[str, str]) -> Response:
    from statlas.app.digest.readers import forget

    forget(database, _with_current_password(request, database, form))
    return drop_session(request, _to("sign-in", "delete"))


def _delete_local(request: Request, database: Database, form: dict[str, str]) -> Response:
    from statlas.app.digest.readers import forget

    if "sure" not in form:
        raise InputError("nothing was deleted", remedy="tick the box that says that you are sure")
    forget(database, own_reader(request, database))
    return _to("settings", "delete")


def _with_current_password(request: Request, database: Database, form: dict[str, str]) -> Reader:
    from statlas.app.digest.accounts import check_password

    person = own_reader(request, database)
    if check_password(database, person.email, form.get("current", "")) is None:
        raise InputError("this is not your current password")
    rates_of(request).forgive("guess", person.email)
    return person


_CHANGES: dict[str, Work] = {
    "wishes": _change_wishes,
    "stop": _stop,
    "resume": _resume,
    "password": _change_password,
    "everywhere": _sign_out_everywhere,
    "delete": _delete,
}


def known_json(request: Request, database: Database, form: dict[str, str]) -> Response:
    """All that is known of the reader, as a file."""
    from statlas.app.digest.accounts import known_of

    known = known_of(database, own_reader(request, database))
    return Response(
        json.dumps(asdict(known), indent=2, ensure_ascii=False),
        media_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="statlas-digest.json"'},
    )


ROUTES = [
    Route("/digest/sign-in", answered(sign_in_page, public=True), methods=BOTH),
    Route("/digest/sign-out", answered(sign_out, public=True), methods=["POST"]),
    Route("/digest/reset", answered(reset_page, public=True), methods=BOTH),
    Route("/digest/password", answered(password_page, public=True), methods=BOTH),
    Route("/digest/settings", answered(settings_page), methods=BOTH),
    Route("/digest/settings/data", answered(known_json)),
]
