"""The page My network: what each activation of a network receives, gives and gets back."""

from __future__ import annotations

import json
from threading import Lock
from typing import Any, final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from actlab.catalog.index import CATALOG
from actlab.errors import BadInput
from actlab.web.answers import json_answer
from actlab.web.looking import looking
from actlab.web.network_session import NetworkSession
from actlab.web.shell import html
from actlab.web.workbench import Page, Workbench


def page(bench: Workbench) -> Page:
    """Return the page, which trains in the server's own process what the command line named."""
    opened = _Opened(bench)

    def network(request: Request) -> Response:
        return html("network.html.j2", title="My network", here="/network", live=False, names=sorted(CATALOG))

    async def do(request: Request) -> Response:
        values = _values(await request.body())
        return await run_in_threadpool(done, values)

    def done(values: dict[str, Any]) -> Response:
        session = opened.session()
        session.do(str(values.get("action", "")), values)
        return json_answer(session.network())

    routes = [
        Route("/network", network),
        *looking(opened.session),
        Route("/api/network/do", do, methods=["POST"]),
    ]
    return Page(routes, opened.close)


def _values(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a page sent."""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadInput("the request must hold a JSON object, such as {'action': 'play'}.")
    return found


@final
class _Opened:
    """The one session of a server, begun when a page first asks for it."""

    def __init__(self, bench: Workbench) -> None:
        self._bench, self._lock = bench, Lock()
        self._session: NetworkSession | None = None

    def session(self) -> NetworkSession:
        with self._lock:
            if self._session is None:
                self._session = NetworkSession(self._bench)
            return self._session

    def close(self) -> None:
        with self._lock:
            if self._session is not None:
                self._session.close()
