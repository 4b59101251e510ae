"""When a training run has reached its plateau."""

from __future__ import annotations

from collections.abc import Sequence

from actlab.train.kinds import Metric

MOST = 4
"""A run takes at most this many times the epochs that its task asks for."""


def last_gain(values: Sequence[float], *, metric: Metric) -> int:
    """Return the number of epochs up to the last gain that matters; gains too small to matter add up.

    Args:
        values: the validation metric of every epoch.
        metric: the metric, whose margin says what matters.

    Example:
        >>> from actlab.train.kinds import ACCURACY
        >>> last_gain([50.0, 80.0, 80.2, 80.4, 80.6, 80.6], metric=ACCURACY)
        5
    """
    reached, epochs = values[0], 1
    for number, value in enumerate(values[1:], start=2):
        if metric.gain(value, over=reached) > metric.region(reached):
            reached, epochs = value, number
    return epochs


def has_ended(values: Sequence[float], *, epochs: int, metric: Metric) -> bool:
    """Return whether a run ends here: at its plateau, or at the largest number of epochs.

    It is at its plateau if it trained for at least `epochs` epochs and gained nothing that matters in the second half.
    """
    trained = len(values)
    return trained >= epochs * MOST or (trained >= epochs and 2 * last_gain(values, metric=metric) <= trained)


def is_still_learning(values: Sequence[float], *, metric: Metric) -> bool:
    """Return whether a run that has ended was still gaining: it gained something that matters in its second half."""
    return 2 * last_gain(values, metric=metric) > len(values)
