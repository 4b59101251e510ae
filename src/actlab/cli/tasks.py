"""The command `actlab tasks`."""

from __future__ import annotations

from actlab import verbs
from actlab.cli.options import Json
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import show_answer

PLACE = Place(Panel.CHOICE, 5)


def command(json: Json = False) -> None:
    """List the built-in tasks that --task accepts."""
    show_answer(verbs.tasks(), as_json=json)
