"""Compute an activation and its derivatives as arrays, to be drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from actlab.errors import BadInput
from actlab.formula.along_axis import AxisActivation
from actlab.formula.derivative import derivative
from actlab.formula.expr import Input, Number
from actlab.formula.substitute import substitute
from actlab.jsonable import plain
from actlab.lower.to_numpy import program
from actlab.verbs.activation_lookup import activation_named

MOST_POINTS = 20_001

HELD = 1.0
"""What the first input of a gated unit is held at, while the second varies."""


@dataclass(frozen=True)
class Curves:
    """An activation over its input.

    Attributes:
        along: the input that varies; empty for an activation along an axis, which has no curve.
        held: the values of the other inputs.
        x, y, dy, d2y: the input, the value, the first and the second derivative; empty without a curve.
    """

    along: str
    held: Mapping[str, float]
    x: tuple[float, ...]
    y: tuple[float, ...]
    dy: tuple[float, ...]
    d2y: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the arrays."""
        return dict(plain(self))

    def lines(self) -> list[str]:
        """Return one line for each point."""
        return [
            "\t".join(f"{each:.10g}" for each in row) for row in zip(self.x, self.y, self.dy, self.d2y, strict=True)
        ]


def curves(
    formula: str, *, low: float = -6.0, high: float = 6.0, points: int = 601, held: float = HELD, **params: float
) -> Curves:
    """Compute an activation, its first and its second derivative at evenly spaced inputs.

    Args:
        formula: a name, a typed formula, or `file.py:name`. A gated unit is computed over its gate.
        low, high: the first and the last input.
        points: how many inputs, from 2 to 20,001.
        held: what the value of a gated unit is held at.
        params: values of the parameters.

    Raises:
        UnknownActivation, BadFormula, BadParam: as `actlab.get`.
        BadInput: the limits or the number of points are unusable.

    Example:
        >>> found = curves("relu", low=-1, high=1, points=3)
        >>> found.y, found.dy
        ((0.0, 0.0, 1.0), (0.0, 0.0, 1.0))
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise BadInput(f"the limits must be finite numbers, the lower first; got {low:g} and {high:g}.")
    if not 2 <= points <= MOST_POINTS:
        raise BadInput(f"points must be from 2 to {MOST_POINTS:,}; got {points}.")
    act = activation_named(formula, **params)
    if isinstance(act, AxisActivation):
        return Curves("", {}, (), (), (), ())
    *rest, along = act.inputs
    others = dict.fromkeys(rest, float(held))
    x = Input(along)
    value = substitute(act.formula, {Input(name): Number(Fraction(at)) for name, at in others.items()})
    slope = derivative(value, x)
    at = np.linspace(low, high, points)
    function = program([value, slope, derivative(slope, x)], [x]).function
    with np.errstate(all="ignore"):
        results: Any = function(at)
    y, dy, d2y = (tuple(np.broadcast_to(np.asarray(each, dtype=float), at.shape).tolist()) for each in results)
    return Curves(along, others, tuple(at.tolist()), y, dy, d2y)
