"""The HTML pages."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
import pandas as pd
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from statlas.app.web import views
from statlas.app.web.api import Refused, filters_of, run_of, settings_of, store_of
from statlas.app.web.store import Run, State
from statlas.catalog import KINDS, Entry, UnknownPaper
from statlas.catalog.entries import EXTRAS
from statlas.core.errors import MissingExtra
from statlas.core.registry import load_recipe
from statlas.core.report import format_cell
from statlas.core.results import Result

_MAX_ROWS = 1000
_MOST_FOUND = 30  # papers shown for a search before one asks for all
_MOST_COMPARED = 20


def templates() -> jinja2.Environment:
    """The templates with the filters that they use."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = lambda value: "?" if value is None else f"{value:.4g}"
    environment.filters["moment"] = _moment
    environment.filters["zip_self"] = lambda values: [(value, value) for value in values]
    environment.filters["source"] = views.source_text
    return environment


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def page(request: Request, template: str, code: int = 200, **context: Any) -> Response:
    """A rendered page."""
    environment: jinja2.Environment = request.app.state.templates
    state = request.state
    text = environment.get_template(template).render(
        path=request.url.path,
        has_token=getattr(state, "has_token", True),
        visitor=getattr(state, "reader", None),
        **context,
    )
    return HTMLResponse(text, code)


def error_page(request: Request, code: int, message: str) -> Response:
    """A page that says what is wrong."""
    return page(request, "error.html", code, message=message)


def find_page(request: Request) -> Response:
    """Search, filters and the map of areas; with ``part=results`` the list alone."""
    filters = filters_of(request)
    text = request.query_params.get("q", "")[:500]
    found = views.search(text, **filters)
    most = len(found) if "all" in request.query_params or not text.strip() else _MOST_FOUND
    part = request.query_params.get("part") == "results"
    return page(
        request,
        "results.html" if part else "find.html",
        text=text,
        filters=filters,
        found=found,
        most=most,
        everything="/?" + urlencode([*request.query_params.multi_items(), ("all", "")]),
        areas=views.area_map(),
        kinds=KINDS,
        extras=EXTRAS,
        searching=bool(text.strip() or any(filters.values())),
    )


def paper_page(request: Request) -> Response:
    """One paper."""
    entry = _entry(request)
    facts = views.paper_facts(entry)
    return page(
        request,
        "paper.html",
        entry=entry,
        facts=facts,
        card=views.paper_card(entry),
        extra=_missing_extra(entry),
    )


def code_page(request: Request) -> Response:
    """The source of a paper's module."""
    entry = _entry(request)
    files = views.module_files(entry)
    if not files:
        raise HTTPException(404, f"{entry.id} is planned and has no code yet")
    return page(request, "code.html", entry=entry, files=files)


def run_page(request: Request) -> Response:
    """The form of a recipe."""
    entry = _entry(request)
    if entry.status != "implemented":
        raise HTTPException(404, f"{entry.id} is planned and cannot be run yet")
    extra = _missing_extra(entry)
    form = None if extra else views.recipe_form(entry.id)
    upload = request.query_params.get("upload", "")
    return page(request, "run.html", entry=entry, form=form, extra=extra, upload=upload)


def _missing_extra(entry: Entry) -> str:
    """What to install before a paper can be run, or nothing."""
    try:
        if entry.status == "implemented":
            load_recipe(entry.id)
    except MissingExtra as error:
        return str(error)
    return ""


def runs_page(request: Request) -> Response:
    """The history."""
    return page(request, "runs.html", runs=store_of(request).runs(limit=500))


def result_page(request: Request) -> Response:
    """One run: its progress, its result, or why it has none."""
    run = run_of(request)
    context: dict[str, Any] = {"run": run, "entry": views.catalogue().get(run.paper)}
    if run.state is State.FINISHED:
        context |= _result_context(request, run)
    return page(request, "result.html", **context)


def _result_context(request: Request, run: Run) -> dict[str, Any]:
    result = _result(request, run)
    table = result.table.head(_MAX_ROWS)
    return {
        "result": result,
        "columns": [(str(c), pd.api.types.is_numeric_dtype(table[c].dtype)) for c in table.columns],
        "rows": [
            [(format_cell(cell), _sort_key(cell)) for cell in row]
            for row in table.itertuples(index=False)
        ],
        "rows_left_out": len(result.table) - len(table),
        "lines": views.equal_lines(run, result.seed),
    }


def _result(request: Request, run: Run) -> Result:
    content = store_of(request).output(run.id, "result.json")
    if content is None:
        raise HTTPException(404, f"run {run.id} has been deleted")
    return Result.from_json(content.decode())


def _sort_key(cell: object) -> str:
    """The full number behind a shortened one."""
    return repr(float(cell)) if isinstance(cell, int | float) and cell == cell else ""


def compare_page(request: Request) -> Response:
    """Several papers on one table: the form, or with ``runs=1,2`` their results side by side."""
    listed = request.query_params.get("runs", "")
    if not listed:
        ready = [e for e in views.catalogue().values() if views.is_ready(e)]
        with_table = [e for e in ready if load_recipe(e.id).roles.names]
        return page(request, "compare.html", papers=with_table)
    parts = listed.split(",")[:_MOST_COMPARED]
    ids = tuple(int(p) for p in parts if p.isascii() and p.isdigit() and len(p) < 18)
    runs = sorted(store_of(request).runs(ids=ids), key=lambda run: run.id) if ids else []
    if not runs:
        raise HTTPException(404, "there are no such runs")
    results = {run.id: _result(request, run) for run in runs if run.state is State.FINISHED}
    names = list(dict.fromkeys(v.name for result in results.values() for v in result.values))
    values = [
        (name, [{v.name: v for v in results[r.id].values}.get(name) if r.id in results else None
                for r in runs])
        for name in names
    ]  # fmt: skip
    return page(
        request,
        "compared.html",
        runs=runs,
        results=results,
        shared=[row for row in values if sum(value is not None for value in row[1]) > 1],
        active=any(run.state.active for run in runs),
        facts=json.dumps([run.id for run in runs]),
    )


def about_page(request: Request) -> Response:
    """Where data are kept and what the limits are."""
    return page(request, "about.html", settings=settings_of(request))


def _entry(request: Request) -> Entry:
    return views.catalogue().get(request.path_params["paper"])


async def refused_page(request: Request, error: Exception) -> Response:
    """The page for a refusal."""
    assert isinstance(error, Refused)
    return error_page(request, error.code, "; ".join(p["message"] for p in error.problems))


async def unknown_page(request: Request, error: Exception) -> Response:
    """The page for an unknown paper."""
    assert isinstance(error, UnknownPaper)
    return error_page(request, 404, str(error))


ROUTES = [
    Route("/", find_page),
    Route("/papers/{paper}", paper_page),
    Route("/papers/{paper}/code", code_page),
    Route("/run/{paper}", run_page),
    Route("/runs", runs_page),
    Route("/runs/{run:int}", result_page),
    Route("/compare", compare_page),
    Route("/about", about_page),
]
