"""The command `actlab show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import Formula, Json, Params, values_of
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import say, show_answer
from actlab.lower.choose import SOURCES

PLACE = Place(Panel.ACTIVATIONS, 2)


def command(
    formula: Formula,
    param: Params = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET",
            help=f"Print it for another program, which needs no actlab: {', '.join(SOURCES)}.",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Plot it and its derivative to this .svg or .png file.")
    ] = None,
    json: Json = False,
) -> None:
    """Show an activation's formula, derivative, range, kinks, gains and source."""
    values = values_of(param)
    if plot is not None:
        say(f"Plot written to {verbs.draw(formula, plot, **values)}.")
    if source is not None:
        show_answer(verbs.source(formula, source, **values), as_json=json)
    else:
        show_answer(verbs.show(formula, **values), as_json=json)
