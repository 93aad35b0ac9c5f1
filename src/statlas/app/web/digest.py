"""The pages of the digest: search, trending, papers, tags, and the mail's links.

Forms are plain HTML and work without scripts. What a visitor saves on this machine belongs to one
local reader; beyond loopback, papers can be looked at, and mails asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote
from zoneinfo import available_timezones

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from statlas.app.web.api import refused, settings_of
from statlas.core.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from statlas.app.digest.database import Database
    from statlas.app.digest.readers import Reader
    from statlas.app.digest.search import Paper

Page = Callable[[Request], Awaitable[Response]]
PER_PAGE = 20
_LARGEST_FORM = 20_000
_WINDOWS = (1, 7, 30, 90)
_LOCAL = "you@localhost"


def is_ready() -> bool:
    """Whether the extra is installed."""
    return all(find_spec(name) is not None for name in ("sqlalchemy", "alembic", "nh3", "lxml"))


def _answered(work: Callable[[Request, Database, dict[str, str]], Response]) -> Page:
    """An endpoint that reads its form and does its work beside the event loop."""

    @wraps(work)
    async def answer(request: Request) -> Response:
        if not is_ready():
            raise refused(409, str(MissingExtra("sqlalchemy", "digest")))
        form = await _form(request) if request.method == "POST" else {}
        database = await run_in_threadpool(_database, request)
        try:
            return await run_in_threadpool(work, request, database, form)
        except InputError as error:
            raise refused(400, str(error)) from None

    return answer


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
        return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=50))
    except ValueError:
        raise refused(400, "the form cannot be read") from None


def _page(request: Request, template: str, **context: Any) -> Response:
    from statlas.app.web.pages import page

    return page(request, template, may_save=settings_of(request).loopback, **context)


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, "")
    if text.isascii() and text.isdigit() and len(text) < 10:
        return min(int(text), most)
    return default


def _local_reader(database: Database) -> Reader:
    """The reader that stands for whoever sits at this machine; no mail goes to it."""
    from statlas.app.digest.readers import reader_of, stop, subscribe

    try:
        return reader_of(database, _LOCAL)
    except InputError:
        stop(database, subscribe(database, _LOCAL))
        return reader_of(database, _LOCAL)


# --- pages ---------------------------------------------------------------------------------------


def search_page(request: Request, database: Database, form: dict[str, str]) -> Response:
    """Search; without a query the newest papers."""
    from statlas.app.digest.search import search

    text = request.query_params.get("q", "")[:1_000]
    start = _number(request, "from", 0, 1_000)
    problem, hits = "", []
    try:
        hits = search(database, text, limit=PER_PAGE + 1, offset=start)
    except InputError as error:
        problem = str(error)
    return _page(
        request,
        "digest.html",
        text=text,
        cards=[_card(hit.paper) for hit in hits[:PER_PAGE]],
        more=f"/digest?q={quote(text)}&from={start + PER_PAGE}" if len(hits) > PER_PAGE else "",
        problem=problem,
        feed=f"/digest/atom?q={quote(text)}",
    )


def trending_page(request: Request, database: Database, form: dict[str, str]) -> Response:
    """What is trending, and why."""
    from statlas.app.digest.trending import trending

    days = max(1, _number(request, "days", 7, 365))
    category = request.query_params.get("category", "")[:100].strip()
    found = trending(database, days=days, category=category, limit=PER_PAGE)
    return _page(
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
    if settings_of(request).loopback:
        marks = marks_of(database, _local_reader(database), paper.id)
    return _page(request, "digest_paper.html", shown=details(database, paper), marks=marks)


def _paper(request: Request, database: Database) -> Paper:
    from statlas.app.digest.papers import find_paper

    try:
        return find_paper(database, str(request.path_params["paper"]))
    except InputError as error:
        raise HTTPException(404, str(error)) from None


def mark_paper(request: Request, database: Database, form: dict[str, str]) -> Response:
    """Save a paper, put a tag on it, or undo that."""
    from statlas.app.digest.readers import save, tag, unsave, untag

    if not settings_of(request).loopback:
        raise refused(403, "papers can be saved on the machine that the workbench runs on")
    paper, person = _paper(request, database), _local_reader(database)
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
    """What was saved and tagged on this machine, and what is like it."""
    from statlas.app.digest.for_you import FEWEST_KEPT, recommend
    from statlas.app.digest.readers import kept, tags

    if not settings_of(request).loopback:
        raise refused(403, "papers can be saved on the machine that the workbench runs on")
    person = _local_reader(database)
    name = request.query_params.get("tag", "")[:50]
    found, quality = recommend(database, person, PER_PAGE)
    return _page(
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

    problem, asked = "", ""
    if request.method == "POST":
        try:
            hour = form.get("hour", "7")
            person = subscribe(
                database,
                form.get("email", ""),
                timezone=form.get("timezone", "UTC"),
                hour=int(hour) if hour.isascii() and hour.isdigit() else -1,
                query=form.get("query", ""),
                categories=form.get("categories", "").split(),
            )
            asked = person.email
        except InputError as error:
            problem = str(error)
    return _page(
        request,
        "digest_subscribe.html",
        form=form,
        problem=problem,
        asked=asked,
        timezones=sorted(available_timezones()),
    )


def link_page(request: Request, database: Database, form: dict[str, str]) -> Response:
    """The links of mails. Reading changes nothing, since mail programs look at links themselves.

    ``POST`` does what the link is for: from the page's button, or from a mail program's own
    button (RFC 8058).
    """
    from statlas.app.digest.readers import confirm, reader_of_link, stop

    purpose = "confirm" if request.url.path == "/digest/confirm" else "stop"
    token = request.query_params.get("token", "")[:500]
    person = reader_of_link(database, token, purpose)
    if person is None:
        raise HTTPException(404, "this link is not valid, or not any more")
    if request.method == "POST":
        (confirm if purpose == "confirm" else stop)(database, person)
    done = request.method == "POST"
    return _page(
        request, "digest_link.html", purpose=purpose, person=person, token=token, done=done
    )


# --- JSON ----------------------------------------------------------------------------------------


def search_json(request: Request, database: Database, form: dict[str, str]) -> Response:
    """The same as the search page."""
    from statlas.app.digest.search import search

    text = request.query_params.get("q", "")[:1_000]
    limit = max(1, _number(request, "limit", PER_PAGE, 200))
    start = _number(request, "from", 0, 1_000)
    hits = search(database, text, limit=limit, offset=start)
    return JSONResponse({"papers": [_card(hit.paper) | {"score": hit.score} for hit in hits]})


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
    Route("/digest", _answered(search_page)),
    Route("/digest/trending", _answered(trending_page)),
    Route("/digest/papers/{paper:int}", _answered(paper_page)),
    Route("/digest/papers/{paper:int}", _answered(mark_paper), methods=["POST"]),
    Route("/digest/kept", _answered(kept_page)),
    Route("/digest/atom", _answered(atom_page)),
    Route("/digest/subscribe", _answered(subscribe_page), methods=BOTH),
    Route("/digest/confirm", _answered(link_page), methods=BOTH),
    Route("/digest/stop", _answered(link_page), methods=BOTH),
]
API_ROUTES = [
    Route("/digest/search", _answered(search_json)),
    Route("/digest/trending", _answered(trending_json)),
]
