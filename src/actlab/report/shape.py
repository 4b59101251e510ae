"""An activation and its derivative as points of curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actlab.display.broken_lines import Line, pieces
from actlab.formula.activation import Activation
from actlab.formula.expr import Input
from actlab.lower.to_numpy import program

ENDS = (-5.0, 5.0)
POINTS = 1001  # odd, so that 0 is among them
SHOWN = (-2.2, 4.2)
"""Limits of the vertical axis, the same for all activations that fit, so that they can be compared by eye."""


@dataclass(frozen=True)
class Shape:
    """The curve of an activation and of its derivative, broken where they jump.

    Attributes:
        arm: the name of its arm.
        label: the activation with its parameters.
        value: the pieces of the curve.
        derivative: the pieces of the derivative's.
        limits: of the vertical axis.
    """

    arm: str
    label: str
    value: tuple[Line, ...]
    derivative: tuple[Line, ...]
    limits: tuple[float, float]


def shape(act: Activation, *, arm: str | None = None) -> Shape:
    """Return the shape of an activation with one input."""
    x = np.linspace(*ENDS, POINTS)
    function = program([act.formula, act.derivative()], [Input(act.inputs[0])]).function
    with np.errstate(all="ignore"):
        value, slope = (np.asarray(part, dtype=np.float64) for part in function(x))  # type: ignore[attr-defined]  # two outputs
    return Shape(
        arm=act.name if arm is None else arm,
        label=act.label,
        value=pieces(x, value),
        derivative=pieces(x, slope),
        limits=_limits(value, slope),
    )


def _limits(value: NDArray[np.float64], slope: NDArray[np.float64]) -> tuple[float, float]:
    """Return the shared limits, or limits for this curve if the shared ones would hide most of it."""
    low, high = SHOWN
    inside = (value > low) & (value < high)
    if inside.mean() > 0.5:
        return SHOWN
    both = np.concatenate([value, slope])
    bottom, top = np.quantile(both[np.isfinite(both)], [0.1, 0.9])
    margin = 0.2 * (top - bottom) or 1.0
    return float(bottom - margin), float(top + margin)
