"""The page Playground: a small network on points in the plane, trained while one looks."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from actlab.catalog.index import CATALOG
from actlab.errors import BadInput, BadTable, shortened
from actlab.train.playground.program import program_of
from actlab.train.playground.state import (
    DATA,
    INITIALIZATIONS,
    LIMITS,
    MOST_LAYERS,
    MOST_UNITS,
    NORMALIZATIONS,
    OPTIMIZERS,
    State,
    activation_of,
    parse,
    query_of,
)
from actlab.train.playground.table import MOST_BYTES, Table, read_table
from actlab.web.answers import json_answer, log
from actlab.web.playground_sessions import MOST_STEPS, Sessions, feed_of
from actlab.web.shell import html
from actlab.web.workbench import Page, Workbench

_MOST_PROGRAM_STEPS = 100_000
_MOST_STATE = 20_000

_DATA = (
    ("circle", "circle in a ring"),
    ("xor", "exclusive or"),
    ("moons", "two moons"),
    ("spiral", "two spirals"),
    ("bananas", "apples and bananas"),
    ("function", "y = f(x)"),
    ("table", "your own table (CSV)"),
)
_PACES = (
    ("10", "10 steps/s"),
    ("60", "60 steps/s"),
    ("300", "300 steps/s"),
    ("1000", "1,000 steps/s"),
    ("0", "no limit"),
)


def page(bench: Workbench) -> Page:
    """Return the page."""
    sessions = Sessions(bench.feeds)
    named = _table_named(bench)

    def playground(request: Request) -> Response:
        return html(
            "playground.html.j2", title="Playground", here="/playground", limits=LIMITS, data=_DATA, paces=_PACES
        )

    def choices(request: Request) -> Response:
        if (first := named()) is not None:
            sessions.keep(first)
        table = sessions.table(request.query_params.get("table", "")) or first
        return json_answer(
            {
                "state": query_of(State()),
                "data": DATA,
                "optimizers": OPTIMIZERS,
                "normalizations": NORMALIZATIONS,
                "initializations": INITIALIZATIONS,
                "limits": LIMITS,
                "most_layers": MOST_LAYERS,
                "most_units": MOST_UNITS,
                "activations": _usable(),
                "table": table and _facts(table),
            }
        )

    def activation(request: Request) -> Response:
        text = request.query_params.get("f", "").strip()
        if not text:
            raise BadInput("an activation is required, such as tanh or x*sigmoid(1.7*x).")
        return json_answer({"label": activation_of(text).label})

    def start(request: Request, body: bytes) -> Response:
        state = parse(_state_of(body))
        name = sessions.start(state)
        points = sessions.get(name).points
        return json_answer({"id": name, "feed": feed_of(name), "state": query_of(state), "points": points})

    def order(request: Request, body: bytes) -> Response:
        name, verb = request.path_params["id"], request.path_params["verb"]
        if verb == "close":  # an ended one too: a page may close what has gone meanwhile
            sessions.end(name)
        elif verb == "step":
            sessions.get(name).step(_whole_of(body, "steps", 1, MOST_STEPS))
        elif verb == "pace":
            sessions.get(name).limit(_whole_of(body, "pace", *map(int, LIMITS["pace"])))
        elif verb in {"play", "pause", "reset"}:
            getattr(sessions.get(name), verb)()
        else:
            raise BadInput(f"a training takes play, pause, step, pace, reset and close; got '{shortened(verb)}'.")
        return json_answer({})

    def upload(request: Request, body: bytes) -> Response:
        table = read_table(body, name=request.query_params.get("name", "table.csv"))
        sessions.keep(table)
        return json_answer(_facts(table))

    def program(request: Request) -> Response:
        asked = dict(request.query_params)
        state = parse(asked.get("state", ""))
        steps = asked.get("steps", "1000")
        if not (steps.isascii() and steps.isdigit() and 1 <= int(steps) <= _MOST_PROGRAM_STEPS):
            raise BadInput(f"steps must be a whole number from 1 to {_MOST_PROGRAM_STEPS:,}; got '{shortened(steps)}'.")
        text = program_of(state, int(steps), table=sessions.table(state.table))
        return PlainTextResponse(text, headers={"content-disposition": 'attachment; filename="playground.py"'})

    routes = [
        Route("/playground", playground),
        Route("/api/playground/choices", choices),
        Route("/api/playground/activation", activation),
        Route("/api/playground/program", program),
        Route("/api/playground/table", _with_body(upload), methods=["POST"]),
        Route("/api/playground/{id}/{verb}", _with_body(order), methods=["POST"]),
        Route("/api/playground", _with_body(start), methods=["POST"]),
    ]
    return Page(routes, sessions.close)


def _with_body(action: Callable[[Request, bytes], Response]) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that reads the body, then runs the action in a thread."""

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(action, request, await request.body())

    return endpoint


def _table_named(bench: Workbench) -> Callable[[], Table | None]:
    """Return a function that reads the table which was named on the command line, once."""

    @cache
    def read() -> Table | None:
        if bench.data is None or Path(bench.data).suffix.lower() != ".csv" or not Path(bench.data).is_file():
            return None
        path = Path(bench.data)
        try:
            if path.stat().st_size > MOST_BYTES:
                return None
            return read_table(path.read_bytes(), name=path.name)
        except (BadTable, OSError) as error:
            log(f"playground: {error}")
            return None

    return read


def _state_of(body: bytes) -> str:
    state = _object_of(body).get("state", "")
    if not isinstance(state, str) or len(state) > _MOST_STATE:
        raise BadInput(f"state must be a query string of {_MOST_STATE:,} characters at most.")
    return state


def _whole_of(body: bytes, name: str, least: int, most: int) -> int:
    value = _object_of(body).get(name, least)
    if type(value) is not int or not least <= value <= most:
        raise BadInput(f"{name} must be a whole number from {least} to {most:,}; got {shortened(repr(value))}.")
    return value


def _object_of(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadInput("the request must hold JSON.") from error
    if not isinstance(value, dict):
        raise BadInput("the request must hold a JSON object.")
    return value


def _facts(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "digest": table.digest,
        "rows": len(table.rows),
        "numeric": table.numeric,
        "targets": table.targets,
    }


def _usable() -> list[str]:
    """Return the names of the catalog's activations that a layer can have."""
    found = []
    for name in sorted(CATALOG):
        with suppress(BadInput):
            found.append(activation_of(name).name)
    return found
