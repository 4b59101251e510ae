"""Tasks: those that are built in, and the one that was handed over or named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actlab.errors import BadInput

if TYPE_CHECKING:
    from actlab.train.subject import Subject
    from actlab.train.task import Task


@dataclass(frozen=True)
class Tasks:
    """The built-in tasks."""

    rows: tuple[tuple[str, str], ...]

    def to_json(self) -> list[dict[str, str]]:
        """One object a task."""
        return [{"name": name, "about": about} for name, about in self.rows]

    def lines(self) -> list[str]:
        """One line a task."""
        width = max(len(name) for name, _ in self.rows)
        return [f"{name:<{width}}  {about}" for name, about in self.rows]


def tasks() -> Tasks:
    """The built-in tasks that `advise` takes by name."""
    from actlab.train.builtin import TASKS

    return Tasks(tuple((name, builtin.sentence) for name, builtin in TASKS.items()))


def named_task(data: str | Path | Task | None, *, target: str | None, task: str | None, purpose: str) -> Task:
    """The task that was handed over or named."""
    from actlab.study.advise import chosen_task
    from actlab.train.task import Task

    if data is not None and not isinstance(data, str | Path | Task):
        found = type(data).__name__
        raise BadInput(f"what to {purpose} is a table's path, file.py:function or a Task; got {found}.")
    if isinstance(data, Task):
        return data
    return chosen_task(str(data) if isinstance(data, Path) else data, target=target, task=task)


def named_subject(
    data: str | Path | Task | Subject | None, *, target: str | None, task: str | None, purpose: str
) -> Task | Subject:
    """The task, or the model with a batch and a loss, that was handed over or named."""
    from actlab.train.subject import Subject, names_program
    from actlab.train.subject import named_subject as named

    if isinstance(data, Subject):
        return data
    if isinstance(data, str | Path) and target is None and task is None and names_program(str(data)):
        return named(str(data))
    return named_task(data, target=target, task=task, purpose=purpose)
