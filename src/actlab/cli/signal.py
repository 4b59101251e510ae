"""The command `actlab signal`."""

from __future__ import annotations

from typing import Annotated

from actlab import verbs
from actlab.cli.options import BuiltIn, Json, Shapes, Target, model_argument
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import say_if_example, show_answer

PLACE = Place(Panel.MODELS, 5)


def command(
    data: Annotated[str | None, model_argument("follow the signal through", "a tuple (model, inputs)")] = None,
    target: Target = None,
    task: BuiltIn = None,
    input: Shapes = None,
    json: Json = False,
) -> None:
    """Show the signal at every activation of a model, measured beside what theory predicts from the weights."""
    say_if_example("signal", data, target, task)
    show_answer(verbs.signal(data, target=target, task=task, input=input or ()), as_json=json)
