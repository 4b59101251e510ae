"""The result of one training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Epoch:
    """One point of a learning curve: the mean training loss of an epoch, if known, and the validation metric."""

    loss: float | None
    valid: float


@dataclass(frozen=True)
class Run:
    """The result of one training run.

    Attributes:
        curve: one point per epoch, up to a divergence.
        best: the number of epochs after which the validation metric was best, the first of equals; its weights count.
        valid: the metric on the validation part with these weights; after a divergence, that of what has
            learned nothing.
        test: the same on the test part.
        diverged: whether a loss or an output was not finite.
        still_learning: whether the run ended at the largest number of epochs and was still gaining.
        steps: the number of training steps.
        beside: the metrics beside the task's, on the test part with the same weights, by name.
        message: what a training of the user's raised.
    """

    curve: tuple[Epoch, ...]
    best: int
    valid: float
    test: float
    diverged: bool
    still_learning: bool
    steps: int
    beside: Mapping[str, float] = field(default_factory=dict)
    message: str = ""
