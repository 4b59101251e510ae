"""The page My network: what each activation of a network receives, gives and gets back."""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Lock
from typing import Any, Protocol, final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from actlab.catalog.index import CATALOG
from actlab.errors import BadInput
from actlab.web.answers import json_answer
from actlab.web.network_answers import whole
from actlab.web.network_session import FEED, NetworkSession
from actlab.web.shell import html
from actlab.web.workbench import Page, Workbench


class Shown(Protocol):
    """A training that the page shows."""

    def network(self) -> dict[str, Any]:
        """Return the activations of the network and the findings, with the state of the training."""

    def look(self, *, at: int, step: int | None) -> dict[str, Any]:
        """Return one measured step, closely at one activation."""


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


def looking(shown: Callable[[], Shown]) -> list[BaseRoute]:
    """Return the addresses by which a page looks at a training."""

    def state(request: Request) -> Response:
        return json_answer({**shown().network(), "feed": FEED})

    def look(request: Request) -> Response:
        asked = request.query_params
        step = None if asked.get("step", "") == "" else whole(asked["step"], name="the step")
        return json_answer(shown().look(at=whole(asked.get("site", "0"), name="the site"), step=step))

    return [Route("/api/network", state), Route("/api/network/look", look)]


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
