"""The command `actlab identify`."""

from __future__ import annotations

from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import Json
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import FAULT, show_answer

PLACE = Place(Panel.ACTIVATIONS, 5)


def command(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="CALLABLE",
            help="package.module:callable, file.py:callable, file.onnx:node, or library.so:function.",
        ),
    ],
    dtype: Annotated[
        str, typer.Option(metavar="DTYPE", help="Probe in float32, bfloat16, float16 or float64.")
    ] = "float32",
    json: Json = False,
) -> None:
    """Name the activation that a callable computes; exit status 1 if the catalog has none."""
    answer = verbs.identify(subject, dtype=dtype)
    show_answer(answer, as_json=json)
    if not answer.is_well:
        raise typer.Exit(FAULT)
