"""The command `actlab sites`."""

from __future__ import annotations

from actlab import verbs
from actlab.cli.options import BuiltIn, Json, Program, Target
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import say_if_example, show_answer

PLACE = Place(Panel.MODELS, 2)


def command(data: Program = None, target: Target = None, task: BuiltIn = None, json: Json = False) -> None:
    """List every activation of a model, including functions and written-out formulas."""
    say_if_example("sites", data, target, task)
    show_answer(verbs.sites(data, target=target, task=task), as_json=json)
