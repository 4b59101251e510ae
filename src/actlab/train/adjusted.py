"""Change the settings of a task that exists."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from actlab.errors import BadTask
from actlab.train.kinds import Metric
from actlab.train.own_training import OwnTraining
from actlab.train.task import Learnable


def adjusted(
    task: Learnable,
    *,
    epochs: int | None = None,
    rates: tuple[float, float] | None = None,
    metric: str | Metric | None = None,
) -> Learnable:
    """Return the task with other settings; what is None stays.

    Raises:
        BadTask: a setting is not possible.
    """
    changes: dict[str, Any] = {"epochs": epochs, "rates": rates, "metric": metric}
    changes = {name: value for name, value in changes.items() if value is not None}
    if isinstance(task, OwnTraining):
        if metric is not None:
            raise BadTask(f"task '{task.name}': its training computes the metric; --metric cannot change it.")
        return task.with_settings(**changes) if changes else task
    return replace(task, **changes) if changes else task
