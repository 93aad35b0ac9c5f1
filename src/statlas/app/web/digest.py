"""The pages of the digest: search, trending, papers, tags, and the mail's links.

Forms are plain HTML and work without scripts. Who may see a page, and whose papers are kept there,
says `visitors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from zoneinfo import available_timezones

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from statlas.app.web.api import refused, settings_of
from statlas.app.web.visitors import (
    answered,
    digest_page,
    may_keep,
    own_reader,
    told_to_wait,
    too_often,
    wait_message,
)
from statlas.core.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from statlas.app.digest.database import Database
    from statlas.app.digest.readers import Reader
    from statlas.app.digest.search import Paper

PER_PAGE = 20
_WINDOWS = (1, 7, 30, 90)
_FIRST_WISHES = {"query": "", "categories": "", "timezone": "UTC", "hour": "7"}


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, "")
    if text.isascii() and text.isdigit() and len(text) < 10:
        return min(int(text), most)
    return default


def whole_number(text: str) -> int:
    """A number of a form; -1 where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


# --- pages ---------------------------------------------------------------------------------------


def search_page(request: Request, database: Database, form: dict[str, str]) -> Response:
    """Search; without a query the newest papers."""
    from statlas.app.digest.meaning import coverage_if_any

    text = request.query_params.get("q", "")[:1_000]
    start = _number(request, "from", 0, 1_000)
    by_meaning = _by_meaning(request)
    problem, cards = "", []
    try:
        cards = _found(database, text, by_meaning, PER_PAGE + 1, start)
    except (InputError, MissingExtra) as error:
        problem = str(error)
    again = f"/digest?q={quote(text)}" + ("&meaning=1" if by_meaning else "")
    return digest_page(
        request,
        "digest.html",
        text=text,
        cards=cards[:PER_PAGE],
        more=f"{again}&from={start + PER_PAGE}" if len(cards) > PER_PAGE else "",
        problem=problem,
        feed=f"/digest/atom?q={quote(text)}",
        by_meaning=by_meaning,
        covered=coverage_if_any(database),
    )


def _by_meaning(request: Request) -> bool:
    return request.query_params.get("meaning") == "1"


def _found(
    database: Database, text: str, by_meaning: bool, limit: int, offset: int
) -> list[dict[str, Any]]:
    """The papers that a query finds, as cards with their score, and by what they were found."""
    from statlas.app.digest.meaning import search_fused
    from statlas.app.digest.search import search

    if by_meaning:
        fused = search_fused(database, text, limit=limit, offset=offset)
        return [_card(hit.paper, hit.why) | {"score": hit.score, "by": hit.by} for hit in fused]
    hits = search(database, text, limit=limit, offset=offset)
    return [_card(hit.paper) | {"score": hit.score} for hit in hits]


def trending_page(request: Request, database: Database, form: dict[str, str]) -> Response:
    """What is trending, and why."""
    from statlas.app.digest.trending import trending

    days = max(1, _number(request, "days", 7, 365))
    category = request.query_params.get("category", "")[:100].strip()
    found = trending(database, days=days, category=category, limit=PER_PAGE)
    return digest_page(
        request,
        "digest_trending.html",
        days=days,
        category=category,
        windows=_WINDOWS,
        cards=[_card(item.paper, item.why()) for item in found],
    )


def _card(paper: Paper, why: str = "") -> dict[str, Any]:
    from statlas.app.digest.papers import nearest_methods

    more = ", and others" if len(paper.authors) > 6 else ""
    return {
        "id": paper.id,
        "title": paper.title,
        "authors": ", ".join(paper.authors[:6]) + more,
        "published": paper.published,
        "categories": paper.categories[:6],
        "url": paper.url,
        "why": why,
        "methods": nearest_methods(paper),
    }


def paper_page(request: Request, database: Database, form: dict[str, str]) -> Response:
    """One paper, with its history, what is like it and the methods here that fit."""
    from statlas.app.digest.papers import details
    from statlas.app.digest.readers import marks_of

    paper = _paper(request, database)
    marks = None
    if may_keep(request):
        marks = marks_of(database, own_reader(request, database), paper.id)
    return digest_page(request, "digest_paper.html", shown=details(database, paper), marks=marks)


def _paper(request: Request, database: Database) -> Paper:
    from statlas.app.digest.papers import find_paper

    try:
        return find_paper(database, str(request.path_params["paper"]))
    except InputError as error:
        raise HTTPException(404, str(error)) from None


def mark_paper(request: Request, database: Database, form: dict[str, str]) -> Response:
    """Save a paper, put a tag on it, or undo that."""
    from statlas.app.digest.readers import save, tag, unsave, untag

    person, paper = own_reader(request, database), _paper(request, database)
    name = form.get("tag", "")
    match form.get("do"):
        case "save":
            save(database, person, paper.id)
        case "unsave":
            unsave(database, person, paper.id)
        case "tag":
            tag(database, person, paper.id, name)
        case "untag":
            untag(database, person, paper.id, name)
        case _:
            raise refused(400, "'do' must be save, unsave, tag or untag")
    return RedirectResponse(f"/digest/papers/{paper.id}", 303)


def kept_page(request: Request, database: Database, form: dict[str, str]) -> Response:
    """What the reader saved and tagged, and what is like it."""
    from statlas.app.digest.for_you import FEWEST_KEPT, recommend
    from statlas.app.digest.readers import kept, tags

    person = own_reader(request, database)
    name = request.query_params.get("tag", "")[:50]
    found, quality = recommend(database, person, PER_PAGE)
    return digest_page(
        request,
        "digest_kept.html",
        tag=name,
        tags=tags(database, person),
        cards=[_card(paper) for paper in kept(database, person, name, limit=200)],
        for_you=[_card(paper) for paper in found] if quality else [],
        quality=quality,
        fewest=FEWEST_KEPT,
    )


def atom_page(request: Request, database: Database, form: dict[str, str]) -> Response:
    """A search, or without a query what is trending, as an Atom feed."""
    from statlas.app.digest.atom import atom_feed
    from statlas.app.digest.search import search
    from statlas.app.digest.trending import trending

    text = request.query_params.get("q", "")[:1_000]
    if text.strip():
        found = [hit.paper for hit in search(database, text, limit=50)]
    else:
        found = [item.paper for item in trending(database, limit=50)]
    site = str(request.base_url)
    content = atom_feed(found, text or "trending", site)
    return Response(content, media_type="application/atom+xml")


# --- mails ---------------------------------------------------------------------------------------


def subscribe_page(request: Request, database: Database, form: dict[str, str]) -> Response:
    """The form that asks for a mail a day, and what it says once it was sent."""
    from statlas.app.digest.readers import subscribe

    problem, asked, seconds = "", "", 0
    if request.method == "POST":
        seconds = too_often(request, "subscribe")
        try:
            if seconds:
                raise InputError(wait_message(seconds))
            person = subscribe(
                database,
                form.get("email", ""),
                timezone=form.get("timezone", "UTC"),
                hour=whole_number(form.get("hour", "7")),
                query=form.get("query", ""),
                categories=form.get("categories", "").split(),
            )
            asked = person.email
        except InputError as error:
            problem = str(error)
    answer = digest_page(
        request,
        "digest_subscribe.html",
        form=form,
        problem=problem,
        asked=asked,
        wanted=_FIRST_WISHES | {name: form[name] for name in _FIRST_WISHES if name in form},
        timezones=sorted(available_timezones()),
    )
    return told_to_wait(answer, seconds) if seconds else answer


def link_page(request: Request, database: Database, form: dict[str, str]) -> Response:
    """The links of mails. Reading changes nothing, since mail programs look at links themselves.

    ``POST`` does what the link is for: from the page's button, or from a mail program's own
    button (RFC 8058).
    """
    from statlas.app.digest.readers import STOPPED, reader_of_link, stop

    purpose = "confirm" if request.url.path == "/digest/confirm" else "stop"
    token = request.query_params.get("token", "")[:500]
    person = reader_of_link(database, token, purpose)
    if person is None or (purpose == "confirm" and person.state == STOPPED):
        raise HTTPException(404, "this link is not valid, or not any more")
    done, password = request.method == "POST", ""
    if done and purpose == "confirm":
        password = _confirm(request, database, person)
    elif done:
        stop(database, person)
    return digest_page(
        request,
        "digest_link.html",
        purpose=purpose,
        person=person,
        token=token,
        done=done,
        password=password,
    )


def _confirm(request: Request, database: Database, person: Reader) -> str:
    """Confirm an address; the link to a password where a new reader can have one.

    It comes once: what the mail holds confirms for ever, but must not set passwords for ever.
    """
    from statlas.app.digest.accounts import has_password, password_link
    from statlas.app.digest.readers import PENDING, confirm

    is_new = confirm(database, person) and person.state == PENDING
    if settings_of(request).loopback or not is_new or has_password(database, person):
        return ""
    return password_link(database, person)


# --- JSON ----------------------------------------------------------------------------------------


def search_json(request: Request, database: Database, form: dict[str, str]) -> Response:
    """The same as the search page."""
    text = request.query_params.get("q", "")[:1_000]
    limit = max(1, _number(request, "limit", PER_PAGE, 200))
    start = _number(request, "from", 0, 1_000)
    try:
        found = _found(database, text, _by_meaning(request), limit, start)
    except MissingExtra as error:
        raise refused(409, str(error)) from None
    return JSONResponse({"papers": found})


def trending_json(request: Request, database: Database, form: dict[str, str]) -> Response:
    """The same as the page of trending papers."""
    from statlas.app.digest.trending import trending

    days = max(1, _number(request, "days", 7, 365))
    category = request.query_params.get("category", "")[:100].strip()
    limit = max(1, _number(request, "limit", PER_PAGE, 200))
    found = trending(database, days=days, category=category, limit=limit)
    return JSONResponse(
        {
            "papers": [
                _card(item.paper, item.why()) | {"score": item.score, "parts": dict(item.parts)}
                for item in found
            ]
        }
    )


BOTH = ["GET", "POST"]
ROUTES = [
    Route("/digest", answered(search_page)),
    Route("/digest/trending", answered(trending_page)),
    Route("/digest/papers/{paper:int}", answered(paper_page)),
    Route("/digest/papers/{paper:int}", answered(mark_paper), methods=["POST"]),
    Route("/digest/kept", answered(kept_page)),
    Route("/digest/atom", answered(atom_page)),
    Route("/digest/subscribe", answered(subscribe_page), methods=BOTH),
    Route("/digest/confirm", answered(link_page, public=True), methods=BOTH),
    Route("/digest/stop", answered(link_page, public=True), methods=BOTH),
]
API_ROUTES = [
    Route("/digest/search", answered(search_json)),
    Route("/digest/trending", answered(trending_json)),
]
