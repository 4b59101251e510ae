"""The command `actlab doctor`."""

from __future__ import annotations

import typer

from actlab import verbs
from actlab.cli.options import Json
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import FAULT, show_answer

PLACE = Place(Panel.MEASUREMENTS, 4)


def command(json: Json = False) -> None:
    """Print versions, installed extras, whether the kernels run, and what to install.

    Exit status: 0 = the CPU's kernels run, 1 = they do not.
    """
    answer = verbs.doctor()
    show_answer(answer, as_json=json)
    if not answer.is_well:
        raise typer.Exit(FAULT)
