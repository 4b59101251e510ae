"""The command `actlab sites`."""

from __future__ import annotations

from typing import Annotated

from actlab import verbs
from actlab.cli.options import BuiltIn, Json, Shapes, Target, model_argument
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import say_if_example, show_answer

PLACE = Place(Panel.MODELS, 3)


def command(
    data: Annotated[str | None, model_argument("inspect", "a tuple (model, inputs)")] = None,
    target: Target = None,
    task: BuiltIn = None,
    input: Shapes = None,
    json: Json = False,
) -> None:
    """List every activation of a model, including functions and written-out formulas."""
    say_if_example("sites", data, target, task)
    show_answer(verbs.sites(data, target=target, task=task, input=input or ()), as_json=json)
