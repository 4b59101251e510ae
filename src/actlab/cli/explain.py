"""The command `actlab explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import Json
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import show_answer

PLACE = Place(Panel.MODELS, 4)


def command(
    finding: Annotated[
        str | None, typer.Argument(metavar="FINDING", help="An id (AL101) or a name (dead-units); omit it to list all.")
    ] = None,
    json: Json = False,
) -> None:
    """Explain a finding: meaning, consequences, fixes, references."""
    show_answer(verbs.kinds() if finding is None else verbs.explain(finding), as_json=json)
