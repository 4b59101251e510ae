"""The page Fix: a repair of what was named on the command line, before and after, and the diff to copy."""

from __future__ import annotations

import json

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from actlab.errors import BadInput
from actlab.extras_import import need
from actlab.web.answers import json_answer
from actlab.web.fixing import Fixing
from actlab.web.shell import html
from actlab.web.workbench import Page, Workbench

FEED = "fix"
BUDGET = "40"


def page(bench: Workbench) -> Page:
    """Return the page."""
    fixing = Fixing(bench, bench.feeds.open(FEED))

    def fix(request: Request) -> Response:
        return html("fix.html.j2", title="Fix", here="/fix", named=_named(bench), budget=BUDGET)

    def now(request: Request) -> Response:
        return json_answer(fixing.now)

    async def start(request: Request) -> Response:
        budget = _budget(await request.body())
        return json_answer(await run_in_threadpool(fixing.start, budget))

    def stop(request: Request) -> Response:
        return json_answer(fixing.stop())

    routes = [
        Route("/fix", fix),
        Route("/api/fix", now),
        Route("/api/fix", start, methods=["POST"]),
        Route("/api/fix/stop", stop, methods=["POST"]),
    ]
    return Page(routes, fixing.close)


def _named(bench: Workbench) -> str:
    """Return what will be repaired, as the command line names it; empty for the built-in example."""
    if bench.data is not None:
        return str(bench.data) if bench.target is None else f"{bench.data}, predicting {bench.target}"
    return bench.task or ""


def _budget(body: bytes) -> str:
    need("libcst", extra="fix")
    try:
        values = json.loads(body)
    except ValueError as error:
        raise BadInput("the request must be JSON.") from error
    if not isinstance(values, dict) or not isinstance(values.get("budget"), str):
        raise BadInput("budget must be a text, such as 40 or 10m.")
    return values["budget"].strip() or BUDGET
