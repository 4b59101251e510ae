"""A gated unit as a product of a function of its value and a function of its gate."""

from __future__ import annotations

from actlab.formula.activation import Activation
from actlab.formula.expr import Div, Expr, Input, Mul, Neg, expr, input_names
from actlab.formula.substitute import substitute

X = Input("x")


def factors(act: Activation) -> tuple[Expr, Expr] | None:
    """Return the function of each input whose product is the unit; None if there are none."""
    shares: dict[str, Expr] = {name: expr(1) for name in act.inputs}
    for factor in _factors(act.formula):
        names = input_names(factor)
        if len(names) > 1:
            return None
        owner = next(iter(names), act.inputs[0])
        shares[owner] = shares[owner] * factor
    first, second = (substitute(share, {Input(name): X}) for name, share in shares.items())
    return first, second


def _factors(formula: Expr) -> list[Expr]:
    found: list[Expr] = []
    waiting = [formula]
    while waiting:
        match waiting.pop():
            case Mul(left, right):
                waiting += [right, left]
            case Neg(operand):
                waiting += [expr(-1), operand]
            case Div(left, right):
                found.append(1 / right)
                waiting.append(left)
            case factor:
                found.append(factor)
    return found
