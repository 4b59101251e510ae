"""The page Function: any activations side by side, with their facts and their code."""

from __future__ import annotations

import math

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from actlab import verbs
from actlab.catalog.index import CATALOG, get
from actlab.catalog.own_file import names_own_file
from actlab.errors import BadFormula, BadInput
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.web.answers import json_answer
from actlab.web.mathematics import mathml
from actlab.web.shell import html
from actlab.web.workbench import Page, Workbench

# Elements of the tensor that is timed: large enough to leave the costs of a call behind.
_SIZE = 100_000


def page(bench: Workbench) -> Page:
    """Return the page."""
    return Page(
        [
            Route("/function", _function),
            Route("/api/function", _facts),
            Route("/api/function/program.js", _program),
            Route("/api/function/details", _details),
            Route("/api/function/exactness", _exactness),
            Route("/api/function/cost", _cost, methods=["POST"]),
        ]
    )


def formula_of(request: Request, name: str = "f") -> str:
    """Return the formula that a request asks for; it may not name a file, which would be run."""
    text = request.query_params.get(name, "").strip()
    if not text:
        raise BadFormula("no formula was named; type one, such as gelu or x*sigmoid(1.7*x).")
    if names_own_file(text):
        raise BadFormula(f"a page runs no file; got '{text}'. Type the formula itself.")
    return text


def number_of(request: Request, name: str, default: float) -> float:
    """Return a number that a request sets, or the default."""
    text = request.query_params.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError as error:
        raise BadInput(f"{name} must be a number; got '{text}'.") from error
    if not math.isfinite(value):
        raise BadInput(f"{name} must be a finite number; got '{text}'.")
    return value


def _function(request: Request) -> Response:
    return html("function.html.j2", title="Function", here="/function", names=sorted(CATALOG))


def _facts(request: Request) -> Response:
    """Answer what `actlab show --json` prints, and the arrays x, y, dy, d2y."""
    formula = formula_of(request)
    found = verbs.curves(
        formula,
        low=number_of(request, "from", -6.0),
        high=number_of(request, "to", 6.0),
        points=int(number_of(request, "points", 601)),
        held=number_of(request, "held", 1.0),
    )
    return json_answer(verbs.show(formula).to_json() | found.to_json())


def _program(request: Request) -> Response:
    """Answer the formula as a JavaScript module of the input that varies, which the page imports."""
    return Response(_over_input(get(formula_of(request))).text, media_type="text/javascript")


def _over_input(act: Activation | AxisActivation) -> verbs.JavaScript:
    return verbs.over_gate(act) if isinstance(act, Activation) and len(act.inputs) == 2 else verbs.program_of(act)


def _details(request: Request) -> Response:
    """Answer the formula as mathematics and as code."""
    formula = formula_of(request)
    facts = verbs.show(formula).to_json()
    program = _over_input(get(formula)).to_json()
    del program["javascript"]
    return json_answer(
        {
            "mathematics": mathml(facts["latex"]),
            "derivatives": {name: mathml(each) for name, each in facts["latex_derivatives"].items()},
            "program": program,
            "code": {
                name: verbs.source(formula, target).text
                for name, target in (("PyTorch", "torch"), ("NumPy", "numpy"), ("JavaScript", "javascript"))
            },
        }
    )


def _exactness(request: Request) -> Response:
    """Answer the largest error in each octave of the input, measured now."""
    return json_answer(verbs.exactness(formula_of(request)).to_json())


def _cost(request: Request) -> Response:
    """Answer the time of a pass in copies of the tensor, measured now."""
    return json_answer({"size": _SIZE, "rows": verbs.bench([formula_of(request)], sizes=[_SIZE]).to_json()})
