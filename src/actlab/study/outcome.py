"""The outcome of one trial."""

from __future__ import annotations

from dataclasses import dataclass

from actlab.study.plan import Trial
from actlab.train.loop import Epoch


@dataclass(frozen=True)
class Outcome:
    """The outcome of one trial.

    Attributes:
        trial: the trial.
        rate: its learning rate.
        valid: the validation metric at the end.
        test: the test metric; None for a tuning trial.
        diverged: whether a loss or an output was not finite; the metrics are then those of the best constant
            prediction.
        steps: the number of training steps.
        curve: one point per epoch.
        seconds: the time it took.
    """

    trial: Trial
    rate: float
    valid: float
    test: float | None
    diverged: bool
    steps: int
    curve: tuple[Epoch, ...]
    seconds: float
