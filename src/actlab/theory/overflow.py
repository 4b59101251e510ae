"""The input at which an activation leaves the range of a number format."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq

from actlab.formula.activation import Activation
from actlab.formula.expr import Expr, Input
from actlab.formula.substitute import substitute
from actlab.theory.evaluate import X, evaluator, value_at

_GRID = np.logspace(-3, 300, 6061)
"""Magnitudes of inputs, twenty in each power of ten."""


def overflows_at(function: Activation, largest: float, *, sign: int = 1) -> float | None:
    """Return the input nearest 0 on one side at which the function exceeds a number; None if it never does.

    Args:
        function: an activation of one input, or a gated unit, whose inputs are then equal.
        largest: the largest finite number of the format.
        sign: 1 for positive inputs, -1 for negative ones.

    Example:
        >>> from actlab.catalog.index import get
        >>> round(overflows_at(get("swiglu"), 448.0), 2), round(overflows_at(get("swiglu"), 65504.0), 1)
        (21.17, 255.9)
        >>> overflows_at(get("tanh"), 448.0)
    """
    formula = along_equal_inputs(function)
    beyond = np.flatnonzero(~(np.abs(evaluator((formula,))(sign * _GRID)[0]) <= largest))
    if not len(beyond):
        return None
    first = int(beyond[0])
    if first == 0:
        return float(sign * _GRID[0])
    low, high = float(_GRID[first - 1]), float(_GRID[first])

    def excess(size: float) -> float:
        value = abs(value_at(formula, sign * size))
        return 1.0 if math.isnan(value) or math.isinf(value) else value / largest - 1.0

    return float(sign * brentq(excess, low, high, xtol=1e-300, rtol=1e-13)) if excess(low) < 0 else sign * low


def along_equal_inputs(function: Activation) -> Expr:
    """Return the formula as a function of x, with all inputs equal to it and parameters at their values."""
    return substitute(function.formula, {Input(name): X for name in function.inputs})
