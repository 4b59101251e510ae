"""All pages as one application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from actlab import verbs
from actlab.errors import ActlabError
from actlab.web import compare_page, fix_page, front_page, function_page, lessons_page, network_page, playground_page
from actlab.web.answers import on_actlab_error, on_failure, refusal
from actlab.web.feeds import event_stream
from actlab.web.gate import Gate
from actlab.web.mathematics import mathml
from actlab.web.shell import html, style_sheet
from actlab.web.workbench import Page, Workbench

STATIC = Path(__file__).parent / "static"

PAGES: tuple[Callable[[Workbench], Page], ...] = (
    front_page.page,
    function_page.page,
    network_page.page,
    fix_page.page,
    lessons_page.page,
    playground_page.page,
    compare_page.page,
)


def application(bench: Workbench, pages: Sequence[Callable[[Workbench], Page]] = PAGES) -> Starlette:
    """Return the application that shows a workbench."""
    built = [page(bench) for page in pages]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if function_page.page in pages:
            Thread(target=_warm, daemon=True).start()
        yield
        for page in built:
            page.close()

    def style(request: Request) -> Response:
        return style_sheet()

    return Starlette(
        routes=[
            *(route for page in built for route in page.routes),
            Route("/api/events", event_stream(bench.feeds)),
            Route("/static/style.css", style),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Gate, token=bench.token)],
        exception_handlers={ActlabError: on_actlab_error, 404: _not_found, 500: on_failure},
        lifespan=lifespan,
    )


def _warm() -> None:
    """Import what the first page needs while the browser opens."""
    verbs.show("relu")
    verbs.javascript("relu")
    mathml("x")


async def _not_found(request: Request, error: Exception) -> Response:
    if request.url.path.startswith("/api/"):
        return refusal(f"there is no {request.url.path}.", status=404)
    answer = html("missing.html.j2", title="No such page", path=request.url.path)
    answer.status_code = 404
    return answer
