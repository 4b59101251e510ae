"""Pages joined to one application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from actlab.errors import ActlabError
from actlab.web.answers import on_actlab_error, on_failure, refusal
from actlab.web.feeds import event_stream
from actlab.web.gate import Gate
from actlab.web.shell import html, style_sheet
from actlab.web.workbench import Page, Workbench

STATIC = Path(__file__).parent / "static"


def joined(bench: Workbench, pages: Sequence[Page], *, opened: Callable[[], None] = lambda: None) -> Starlette:
    """Return the application of these pages.

    Args:
        bench: what the pages show.
        pages: closed when the server ends.
        opened: called when the server begins; it must return at once.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        opened()
        yield
        for page in pages:
            page.close()

    def style(request: Request) -> Response:
        return style_sheet()

    return Starlette(
        routes=[
            *(route for page in pages for route in page.routes),
            Route("/api/events", event_stream(bench.feeds)),
            Route("/static/style.css", style),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Gate, token=bench.token)],
        exception_handlers={ActlabError: on_actlab_error, 404: _not_found, 500: on_failure},
        lifespan=lifespan,
    )


async def _not_found(request: Request, error: Exception) -> Response:
    if request.url.path.startswith("/api/"):
        return refusal(f"there is no {request.url.path}.", status=404)
    answer = html("missing.html.j2", title="No such page", path=request.url.path)
    answer.status_code = 404
    return answer
