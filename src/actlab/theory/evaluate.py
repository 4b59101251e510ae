"""Formulas as NumPy functions that return NaN where they are undefined, without a warning."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from actlab.formula.activation import Activation
from actlab.formula.derivative import derivative
from actlab.formula.expr import Expr, Input
from actlab.formula.substitute import substitute
from actlab.lower import to_numpy

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

X = Input("x")


def of_x(act: Activation) -> Expr:
    """Return the formula of an activation with one input as a function of x, parameters at their values."""
    assert len(act.inputs) == 1
    return substitute(act.formula, {Input(act.inputs[0]): X})


@lru_cache(maxsize=1024)
def slope_of(formula: Expr) -> Expr:
    """Return the derivative by x."""
    return derivative(formula, X)


@lru_cache(maxsize=1024)
def evaluator(outputs: tuple[Expr, ...], inputs: tuple[str, ...] = ("x",)) -> Callable[..., tuple[Floats, ...]]:
    """Return one function that computes all outputs for arrays of one shape."""
    function = to_numpy.program(list(outputs), [Input(name) for name in inputs]).function

    def evaluate(*arrays: Floats) -> tuple[Floats, ...]:
        with np.errstate(all="ignore"):
            result = function(*arrays)
        return result if isinstance(result, tuple) else (result,)

    return evaluate


def value_at(formula: Expr, place: float, *, name: str = "x") -> float:
    """Return the value of the formula at one point."""
    return float(evaluator((formula,), (name,))(np.array([place]))[0][0])
