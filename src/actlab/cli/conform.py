"""The command `actlab conform`."""

from __future__ import annotations

from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import Json, Shapes, model_argument
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import FAULT, show_answer

PLACE = Place(Panel.MODELS, 6)


def command(
    data: Annotated[str, model_argument("inspect", "a tuple (model, inputs)")],
    to: Annotated[
        str | None,
        typer.Option(
            metavar="CONFIG",
            help="A config.json that names the activation, or file.py:name of another implementation of the model."
            " Default: the model's own config.",
        ),
    ] = None,
    input: Shapes = None,
    ranges: Annotated[
        bool, typer.Option("--ranges", help="Also compare the values with float16, bfloat16, e4m3 and e5m2.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare the activations that a model runs with its configuration or with another implementation.

    Exit status: 0 = every activation runs what is declared, 1 = one does not, 2 = usage error.
    """
    answer = verbs.conform(data, to=to, input=input or (), ranges=ranges)
    show_answer(answer, as_json=json)
    if not answer.conforms:
        raise typer.Exit(FAULT)
