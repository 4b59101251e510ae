"""What the arms of a study cost beside the time of a training step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from actlab.measure.energy import Energy


@final
@dataclass(frozen=True)
class Timing:
    """A time, in turn with those of the other arms.

    Attributes:
        seconds: its median.
        relative: the median of its ratio to the control's.
        low: the lower end of the ratio's 95 % interval.
        high: the upper end.
    """

    seconds: float
    relative: float
    low: float
    high: float


@final
@dataclass(frozen=True)
class ArmCost:
    """What one arm costs.

    Attributes:
        arm: its name.
        forward: the time of the forward pass of a batch, to the loss.
        backward: the time of the backward pass of a batch.
        saved_bytes: the bytes that a batch saves for backward, beyond parameters, buffers and the batch itself.
        parameters: the number of trained parameters.
        product_flops: floating-point operations of matrix products and convolutions, forward, per row.
        activation_operations: operations of the compared activations, forward, per row; None if their formula is not
            known.
    """

    arm: str
    forward: Timing
    backward: Timing
    saved_bytes: int
    parameters: int
    product_flops: int
    activation_operations: int | None


@final
@dataclass(frozen=True)
class ArmEnergy:
    """The energy of a training step of one arm."""

    arm: str
    step: Energy
