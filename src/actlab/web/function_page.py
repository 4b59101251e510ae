"""The page Function: any activations side by side, with their facts and their code."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from actlab import verbs
from actlab.catalog.own_file import names_own_file
from actlab.errors import BadFormula
from actlab.web.answers import json_answer
from actlab.web.shell import html
from actlab.web.workbench import Page, Workbench


def page(bench: Workbench) -> Page:
    """Return the page."""

    def function(request: Request) -> Response:
        return html("function.html.j2", title="Function", here="/function")

    def facts(request: Request) -> Response:
        return json_answer(verbs.show(formula_of(request)).to_json())

    return Page([Route("/function", function), Route("/api/function", facts)])


def formula_of(request: Request, name: str = "f") -> str:
    """Return the formula that a request asks for; it may not name a file, which would be run."""
    text = request.query_params.get(name, "").strip()
    if not text:
        raise BadFormula("no formula was named; type one, such as gelu or x*sigmoid(1.7*x).")
    if names_own_file(text):
        raise BadFormula(f"a page runs no file; got '{text}'. Type the formula itself.")
    return text
