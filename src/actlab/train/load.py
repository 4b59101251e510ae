"""Build a task from its origin, so that another process gets the same one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from actlab.errors import BadTask
from actlab.train.builtin import builtin_task
from actlab.train.own_training import OwnTraining
from actlab.train.task import Learnable, Task
from actlab.train.taskfile import file_task


def _from_table(path: str, target: str, kind: str = "", header: str = "header", *without: str) -> Task:
    from actlab.train.table import table_task  # imports pandas: a worker without a table starts without it

    return table_task(path, target=target, kind=kind, header=bool(header), without=without)


def _from_images(path: str, side: str = "") -> Task:
    from actlab.train.images import image_task

    return image_task(path, side=int(side)) if side else image_task(path)


def _from_arrays(path: str) -> Task:
    from actlab.train.arrays import arrays_task

    return arrays_task(path)


def _from_text(path: str) -> Task:
    from actlab.train.text import text_task

    return text_task(path)


ORIGINS: dict[str, Callable[..., Learnable]] = {
    "builtin": builtin_task,
    "file": file_task,
    "table": _from_table,
    "images": _from_images,
    "arrays": _from_arrays,
    "text": _from_text,
}
RECIPE = ("name", "epochs", "batch_size", "optimizer", "rates", "origin")
"""The settings that may differ from those of the origin."""


@dataclass(frozen=True)
class Directions:
    """How to build a task: its origin, its settings, the fingerprint that it must have, and its split."""

    origin: tuple[str, ...]
    recipe: tuple[tuple[str, Any], ...]
    fingerprint: str
    split: int = 0

    def followed(self) -> Learnable:
        """Build the task.

        Raises:
            BadTask: the fingerprint differs: the data or the model change from call to call.
        """
        kind, *arguments = self.origin
        task = ORIGINS[kind](*arguments)
        if isinstance(task, OwnTraining):
            task = task.with_settings(**dict(self.recipe))
        else:
            task = replace(task, **dict(self.recipe))
            task = task.with_split(self.split) if self.split else task
        if task.fingerprint() != self.fingerprint:
            raise BadTask(
                f"task '{task.name}' must be the same each time it is built; its data or its model changed. Fix the"
                " seed of everything that it draws at random."
            )
        return task


def directions_to(task: Learnable) -> Directions:
    """Return how to build a task that has an origin."""
    if isinstance(task, OwnTraining):
        settings = (("epochs", task.epochs), ("rates", task.rates))
        return Directions(task.origin, settings, task.fingerprint())
    recipe = [(name, getattr(task, name)) for name in RECIPE]
    if task.metric.function is None:  # a function is in the user's file, as the origin says
        recipe.append(("metric", task.metric))
    return Directions(task.origin, tuple(recipe), task.fingerprint(), task.split)
