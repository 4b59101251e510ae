"""The command `actlab runs`."""

from __future__ import annotations

from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import Json
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import show_answer

PLACE = Place(Panel.CHOICE, 3)
StoreOption = Annotated[str, typer.Option(metavar="FILE", help="File or database URL in which the runs are stored.")]


def command(store: StoreOption = "actlab-runs.db", json: Json = False) -> None:
    """List the stored comparisons: progress, state and verdict of each."""
    show_answer(verbs.runs(store), as_json=json)
