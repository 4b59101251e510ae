"""Tasks by their origin, so that another process can build the same one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from actlab.errors import BadTask
from actlab.train.builtin import builtin_task
from actlab.train.table import table_task
from actlab.train.task import Task
from actlab.train.taskfile import file_task

ORIGINS: dict[str, Callable[..., Task]] = {
    "builtin": builtin_task,
    "file": file_task,
    "table": lambda path, target: table_task(path, target=target),
}


def load_again(task: Task) -> Task:
    """The task built once more from its origin, with the recipe it has now.

    Raises:
        BadTask: what is built from the origin is another task: its data or model change from call to call.
    """
    kind, *arguments = task.origin
    fresh = replace(ORIGINS[kind](*arguments), **recipe_of(task))
    if fresh.fingerprint() != task.fingerprint():
        raise BadTask(
            f"task '{task.name}' is another one each time it is built; fix the seed of whatever it draws at random."
        )
    return fresh


def recipe_of(task: Task) -> dict[str, Any]:
    """The settings of a task that may have been changed since it was built from its origin."""
    names = ("name", "epochs", "batch_size", "optimiser", "rates", "origin")
    return {name: getattr(task, name) for name in names}
