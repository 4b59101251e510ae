"""Change the settings of a task that exists."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from actlab.train.kinds import Metric
from actlab.train.task import Task


def adjusted(
    task: Task,
    *,
    epochs: int | None = None,
    rates: tuple[float, float] | None = None,
    metric: str | Metric | None = None,
) -> Task:
    """Return the task with other settings; what is None stays.

    Raises:
        BadTask: a setting is not possible.
    """
    changes: dict[str, Any] = {"epochs": epochs, "rates": rates, "metric": metric}
    changes = {name: value for name, value in changes.items() if value is not None}
    return replace(task, **changes) if changes else task
