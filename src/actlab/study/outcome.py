"""The outcome of one trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from actlab.study.plan import Trial
from actlab.train.loop import Epoch


@dataclass(frozen=True)
class Outcome:
    """The outcome of one trial.

    Attributes:
        trial: the trial.
        rate: its learning rate.
        valid: the validation metric with the weights of the best epoch.
        test: the test metric with the same weights; it is read only if the trial's seed chose this learning rate.
        diverged: whether a loss or an output was not finite; the metrics are then those of what has
            learned nothing.
        still_learning: whether it ended at the largest number of epochs and was still gaining.
        best: the number of epochs after which the validation metric was best.
        steps: the number of training steps.
        curve: one point per epoch.
        seconds: the time it took.
        beside: the metrics beside the task's, on the test part, by name; read like `test`.
        message: what a training of the user's raised.
    """

    trial: Trial
    rate: float
    valid: float
    test: float
    diverged: bool
    still_learning: bool
    best: int
    steps: int
    curve: tuple[Epoch, ...]
    seconds: float
    beside: Mapping[str, float] = field(default_factory=dict)
    message: str = ""
