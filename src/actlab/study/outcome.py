"""What one trial gave."""

from __future__ import annotations

from dataclasses import dataclass

from actlab.study.plan import Trial
from actlab.train.loop import Epoch


@dataclass(frozen=True)
class Outcome:
    """What one trial gave.

    Attributes:
        trial: which one.
        rate: its learning rate.
        valid: the validation metric at the end.
        test: the test metric, of trials that confirm a winner only.
        diverged: whether a loss or an output stopped being finite; the metrics are then those of the best
            constant answer.
        steps: training steps taken.
        curve: one point an epoch.
        seconds: how long it took.
    """

    trial: Trial
    rate: float
    valid: float
    test: float | None
    diverged: bool
    steps: int
    curve: tuple[Epoch, ...]
    seconds: float
