"""The command `actlab gain`."""

from __future__ import annotations

from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import Formula, Json, Params, values_of
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import show_answer

PLACE = Place(Panel.ACTIVATIONS, 4)


def command(
    formula: Formula,
    q: Annotated[float, typer.Option(metavar="VARIANCE", help="Variance of the activation's input.")] = 1.0,
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="What to preserve: second-moment (the mean square), variance, or backward (for the gradient).",
        ),
    ] = "second-moment",
    param: Params = None,
    json: Json = False,
) -> None:
    """Print the gain: the weight scale that preserves a signal's mean square, variance or gradient (--kind)."""
    show_answer(verbs.gain(formula, q=q, kind=kind, **values_of(param)), as_json=json)
