"""The command `actlab serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actlab.cli.options import BuiltIn, Shapes, Target, model_argument
from actlab.cli.panels import Panel, Place
from actlab.cli.runs import StoreOption
from actlab.errors import BadTask
from actlab.extras_import import need

PLACE = Place(Panel.MODELS, 7)


def command(
    data: Annotated[str | None, model_argument("show", "a tuple (model, (inputs, targets), loss)")] = None,
    target: Target = None,
    task: BuiltIn = None,
    input: Shapes = None,
    store: StoreOption = "actlab-runs.db",
    port: Annotated[
        int | None, typer.Option(metavar="N", help="Port on this machine; by default 8421, or a free one.")
    ] = None,
    lessons: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the lessons into this folder as pages that need no server, and stop."),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """Open the workbench in the browser: functions, your network, a playground, comparisons, lessons.

    It listens on this machine alone and serves until Ctrl-C, which stops the trainings that it started.
    """
    _check_file(data)
    need("starlette", extra="web")
    need("uvicorn", extra="web")
    need("markdown_it", extra="web")
    need("latex2mathml", extra="web")
    if lessons is not None:
        from actlab.web.lessons_export import export

        typer.echo(export(lessons))
        return
    from actlab.web.server import serve
    from actlab.web.workbench import Workbench

    bench = Workbench(data=data, target=target, task=task, input=tuple(input or ()), store=store)
    serve(bench, port=port, open_browser=not no_browser)


def _check_file(data: str | None) -> None:
    """Refuse a file that is not there; what is wrong inside a program is said on the page, beside what still works."""
    path = Path((data or "").partition(":")[0])
    if path.suffix and not path.exists() and len(path.suffixes) == 1 and path.suffix[1:].isalpha():
        raise BadTask(f"there is no file '{path}'; name a table, a folder of images or file.py:name.")
