"""When a training run has reached its plateau."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from actlab.train.task import Task

MOST = 4
"""A run takes at most this many times the epochs that its task asks for."""


def has_ended(values: Sequence[float], task: Task) -> bool:
    """Return whether a run ends here: at its plateau, or at the largest number of epochs.

    At the plateau, the metric's mean over the last quarter of the epochs is not better than over the quarter around the
    middle, by more than the region of practical equivalence.

    Args:
        values: the validation metric of every epoch so far.
        task: the task, at whose number of epochs no run ends earlier.
    """
    trained, quarter = len(values), _quarter(values)
    at_plateau = not _gains(values, task, since=(trained - quarter) // 2)
    return trained >= task.epochs * MOST or (trained >= task.epochs and at_plateau)


def is_still_learning(values: Sequence[float], task: Task) -> bool:
    """Return whether as many epochs as the last quarter of a run might still gain what matters: that quarter did."""
    return _gains(values, task, since=max(len(values) - 2 * _quarter(values), 0))


def _quarter(values: Sequence[float]) -> int:
    return max(len(values) // 4, 1)


def _gains(values: Sequence[float], task: Task, *, since: int) -> bool:
    """Return whether the mean of the last quarter is better than of the quarter that starts at an epoch.

    Means, as on few rows the metric of single epochs jumps by more than what matters.
    """
    quarter = _quarter(values)
    late, early = mean(values[-quarter:]), mean(values[since : since + quarter])
    return task.metric.gain(late, over=early) > task.metric.region(early, targets=task.valid.target_count)
