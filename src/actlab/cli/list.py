"""The command `actlab list`."""

from __future__ import annotations

from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import Json
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import show_answer

PLACE = Place(Panel.ACTIVATIONS, 1)


def command(
    family: Annotated[str | None, typer.Option(metavar="NAME", help="List this family only.")] = None,
    search: Annotated[
        str | None, typer.Option(metavar="TEXT", help="List only those with TEXT in name, aliases or summary.")
    ] = None,
    json: Json = False,
) -> None:
    """List all activations, by family."""
    show_answer(verbs.listing(family=family, search=search), as_json=json)
