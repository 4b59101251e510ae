"""The command `actlab plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import Json
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import show_answer

PLACE = Place(Panel.ACTIVATIONS, 3)


def command(
    formulas: Annotated[
        list[str],
        typer.Argument(
            metavar="FORMULA...", help="Names ('gelu'), formulas ('x*sigmoid(1.702*x)'), or your own ('file.py:name')."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The .svg, .png or .pdf file to write.")
    ] = Path("actlab-plot.svg"),
    low: Annotated[float, typer.Option(metavar="X", help="The smallest input.")] = -5.0,
    high: Annotated[float, typer.Option(metavar="X", help="The largest input.")] = 5.0,
    derivatives: Annotated[int, typer.Option(metavar="N", help="How many derivatives: 0, 1 or 2.")] = 1,
    json: Json = False,
) -> None:
    """Draw activations and their derivatives to a picture file."""
    show_answer(verbs.plotted(formulas, out, low=low, high=high, derivatives=derivatives), as_json=json)
