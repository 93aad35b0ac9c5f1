"""The application: routes, errors and what lives as long as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from statlas.app.web import accounts, api, digest, pages, views
from statlas.app.web.rates import Rates
from statlas.app.web.runner import Runner
from statlas.app.web.security import Security
from statlas.app.web.settings import Settings
from statlas.app.web.store import Store
from statlas.catalog import UnknownPaper


def create_app(settings: Settings) -> Starlette:
    """The workbench as an ASGI application.

    Raises
    ------
    InputError
        When it starts: if the data folder cannot be used, or another workbench uses it.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        store.prepare()
        app.state.runner = Runner(settings, store)
        Thread(target=_load_recipes, daemon=True).start()
        try:
            yield
        finally:
            app.state.runner.close()
            if app.state.digest is not None:
                app.state.digest.close()

    store = Store(settings.folder)
    app = Starlette(
        routes=[
            Mount("/api", routes=[*api.ROUTES, *digest.API_ROUTES]),
            Mount("/static", StaticFiles(directory=Path(__file__).with_name("static"))),
            *pages.ROUTES,
            *digest.ROUTES,
            *accounts.ROUTES,
        ],
        middleware=[Middleware(Security, settings=settings)],
        exception_handlers={
            HTTPException: _http_error,
            api.Refused: pages.refused_page,
            UnknownPaper: pages.unknown_page,
            Exception: _fault,
        },
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.store = store
    app.state.digest = None  # opened by the first visit to its pages
    app.state.rates = Rates()
    app.state.templates = pages.templates()
    return app


def _load_recipes() -> None:
    """Import what the first visitor would otherwise wait for."""
    for entry in views.catalogue().values():
        views.is_ready(entry)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = _say(request, error.status_code, error.detail)
    answer.headers.update(error.headers or {})
    return answer


async def _fault(request: Request, error: Exception) -> Response:
    message = f"this is a fault in statlas: {type(error).__name__}: {error}"
    return _say(request, 500, message)


def _say(request: Request, code: int, message: str) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"errors": [{"field": "", "message": message}]}, code)
    return pages.error_page(request, code, message)
