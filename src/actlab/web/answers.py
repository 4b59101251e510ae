"""Answers of the server as JSON, errors included."""

from __future__ import annotations

import json
import traceback
from typing import Any

import typer
from starlette.requests import Request
from starlette.responses import Response

from actlab.errors import ActlabError, visible
from actlab.jsonable import plain


def json_text(value: Any) -> str:
    """Return a value as JSON: infinities are "inf" and "-inf", NaN is null, as in `--json`."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def json_answer(value: Any, *, status: int = 200) -> Response:
    """Return a value as a JSON response."""
    return Response(json_text(value), status_code=status, media_type="application/json")


def refusal(sentence: str, *, status: int, kind: str = "BadRequest") -> Response:
    """Return an error as the pages expect it: `{"error": sentence, "kind": name}`."""
    return json_answer({"error": sentence, "kind": kind}, status=status)


async def on_actlab_error(request: Request, error: Exception) -> Response:
    """Answer what the user can correct with status 400 and its sentence."""
    assert isinstance(error, ActlabError)
    return refusal(str(error), status=400, kind=type(error).__name__)


async def on_failure(request: Request, error: Exception) -> Response:
    """Answer a fault of ours, or of the user's own code, with status 500; the log gets one line."""
    where = traceback.extract_tb(error.__traceback__)[-1:]
    place = f" ({where[0].filename}:{where[0].lineno})" if where else ""
    log(f"{request.method} {request.url.path}: {type(error).__name__}: {error}{place}")
    return refusal(f"{type(error).__name__}: {error}", status=500, kind="Failure")


def log(line: str) -> None:
    """Write one line to the server's log, standard error."""
    typer.echo(visible(line), err=True)
