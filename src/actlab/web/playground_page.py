"""The page Playground: a small network on points in the plane, trained while one looks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from actlab.catalog.index import CATALOG
from actlab.errors import ActlabError, BadInput, BadTable
from actlab.formula.activation import Activation
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
from actlab.web.answers import json_answer
from actlab.web.playground_sessions import MOST_STEPS, Sessions, feed_of
from actlab.web.shell import html
from actlab.web.workbench import Page, Workbench

_MOST_PROGRAM_STEPS = 100_000


def page(bench: Workbench) -> Page:
    """Return the page."""
    sessions = Sessions(bench.feeds)
    named = _table_named(bench)

    def playground(request: Request) -> Response:
        return html("playground.html.j2", title="Playground", here="/playground")

    def choices(request: Request) -> Response:
        table = named()
        if table is not None:
            sessions.keep(table)
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

    async def start(request: Request) -> Response:
        state = parse(_text_of(await request.body(), "state"))
        return await run_in_threadpool(_started, sessions, state)

    return Page([Route("/playground", playground)])
