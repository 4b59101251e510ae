"""The formula of an activation with one input, always as a function of x."""

from __future__ import annotations

from functools import lru_cache

from actlab.formula.activation import Activation
from actlab.formula.derivative import derivative
from actlab.formula.expr import Expr, Input
from actlab.formula.substitute import substitute

X = Input("x")


def of_x(act: Activation) -> Expr:
    """Its formula, parameters at their values, whatever its input is called."""
    assert len(act.inputs) == 1
    return substitute(act.formula, {Input(act.inputs[0]): X})


@lru_cache(maxsize=1024)
def slope_of(formula: Expr) -> Expr:
    """The derivative by x."""
    return derivative(formula, X)
