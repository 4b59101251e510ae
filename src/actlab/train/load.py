"""Tasks by their origin, so that another process can build the same one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from actlab.errors import BadTask
from actlab.train.builtin import builtin_task
from actlab.train.task import Task
from actlab.train.taskfile import file_task


def _from_table(path: str, target: str) -> Task:
    from actlab.train.table import table_task  # imports pandas: a worker without a table starts without it

    return table_task(path, target=target)


ORIGINS: dict[str, Callable[..., Task]] = {"builtin": builtin_task, "file": file_task, "table": _from_table}
RECIPE = ("name", "epochs", "batch_size", "optimizer", "rates", "origin")
"""The settings that may have been changed since a task was built from its origin."""


@dataclass(frozen=True)
class Directions:
    """The way to a task: its origin, its recipe, and the fingerprint by which to know it."""

    origin: tuple[str, ...]
    recipe: tuple[tuple[str, Any], ...]
    fingerprint: str

    def followed(self) -> Task:
        """The task, built anew.

        Raises:
            BadTask: what the origin gives is another task: its data or its model change from call to call.
        """
        kind, *arguments = self.origin
        task = replace(ORIGINS[kind](*arguments), **dict(self.recipe))
        if task.fingerprint() != self.fingerprint:
            raise BadTask(
                f"task '{task.name}' is another one each time it is built; fix the seed of whatever it draws at random."
            )
        return task


def directions_to(task: Task) -> Directions:
    """The way to a task that has an origin."""
    recipe = tuple((name, getattr(task, name)) for name in RECIPE)
    return Directions(task.origin, recipe, task.fingerprint())
