"""The command `actlab novel`."""

from __future__ import annotations

from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import Formula, Json, Params, values_of
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import FAULT, show_answer

PLACE = Place(Panel.ACTIVATIONS, 6)


def command(
    formula: Formula,
    linear: Annotated[
        bool, typer.Option(help="Whether a linear path runs beside the activation, so that d*x may be added.")
    ] = True,
    param: Params = None,
    json: Json = False,
) -> None:
    """Say whether the catalog has an activation up to a*g(b*x + c) + d*x + e; exit status 1 if it is new."""
    answer = verbs.novel(formula, linear=linear, **values_of(param))
    show_answer(answer, as_json=json)
    if not answer.is_well:
        raise typer.Exit(FAULT)
