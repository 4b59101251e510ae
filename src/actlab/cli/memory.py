"""The command `actlab memory`."""

from __future__ import annotations

from typing import Annotated

import typer

from actlab import verbs
from actlab.cli.options import BuiltIn, Json, Shapes, Target, model_argument
from actlab.cli.panels import Panel, Place
from actlab.cli.printed import say_if_example, show_answer
from actlab.cli.progress import ProgressBar

PLACE = Place(Panel.MEASUREMENTS, 3)


def command(
    data: Annotated[
        str | None, model_argument("measure", "a tuple (model, inputs) or (model, (inputs, targets), loss)")
    ] = None,
    target: Target = None,
    task: BuiltIn = None,
    input: Shapes = None,
    compiled: Annotated[
        bool, typer.Option(help="Measure under torch.compile too; takes some seconds per choice.")
    ] = True,
    json: Json = False,
) -> None:
    """Measure what a model's activations save for the backward pass, and what fewer bits would save."""
    say_if_example("memory", data, target, task)
    with ProgressBar(shown=True) as progress:
        answer = verbs.memory(
            data, target=target, task=task, input=input or (), compiled=compiled, progress=progress.advance
        )
    show_answer(answer, as_json=json)
