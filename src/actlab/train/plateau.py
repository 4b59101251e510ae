"""When a training run has reached its plateau."""

from __future__ import annotations

from collections.abc import Sequence

from actlab.train.kinds import Metric
from actlab.train.task import Task

MOST = 4
"""A run takes at most this many times the epochs that its task asks for."""


def last_gain(values: Sequence[float], *, metric: Metric, targets: int | None = None) -> int:
    """Return the number of epochs up to the last gain that matters; gains too small to matter add up.

    Args:
        values: the validation metric of every epoch.
        metric: the metric, whose margin says what matters.
        targets: the number of targets that it is measured on.

    Example:
        >>> from actlab.train.kinds import ACCURACY
        >>> last_gain([50.0, 80.0, 80.2, 80.4, 80.6, 80.6], metric=ACCURACY)
        5
    """
    reached, epochs = values[0], 1
    for number, value in enumerate(values[1:], start=2):
        if metric.gain(value, over=reached) > metric.region(reached, targets=targets):
            reached, epochs = value, number
    return epochs


def has_ended(values: Sequence[float], task: Task) -> bool:
    """Return whether a run ends here: at its plateau, or at the largest number of epochs.

    It is at its plateau if it trained for at least `task.epochs` epochs and gained nothing that matters in the second
    half.

    Args:
        values: the validation metric of every epoch so far.
        task: the task.
    """
    trained = len(values)
    return trained >= task.epochs * MOST or (trained >= task.epochs and not is_still_learning(values, task))


def is_still_learning(values: Sequence[float], task: Task) -> bool:
    """Return whether the validation metric gained something that matters in the second half of the epochs."""
    targets = task.valid.target_count
    return 2 * last_gain(values, metric=task.metric, targets=targets) > len(values)
