"""The products of a Jacobian with a vector, derived from a formula with reductions.

A maximum along the axis counts as a constant: a formula may only be shifted by it, and must not depend on the shift.
"""

from __future__ import annotations

from actlab.errors import BadFormula
from actlab.formula.derivative import ZERO, derivative, plus, times
from actlab.formula.expr import Expr, Input, Node, Over, ParamRef
from actlab.formula.substitute import substitute


def pushed_forward(root: Expr, by: Input, v: Expr) -> Expr:
    """Return the Jacobian of the formula by the input, times the vector."""
    formula, leaves = _cut(root)
    result = times(_back(derivative(formula, by), leaves), v)
    for leaf, over in leaves.items():
        if over.reduction == "total":
            slope = _back(derivative(formula, leaf), leaves)
            result = plus(result, times(slope, _total(pushed_forward(over.operand, by, v))))
    return result


def pulled_back(root: Expr, by: Input | ParamRef, v: Expr) -> Expr:
    """Return the vector times the Jacobian of the formula by the input, or by each element's copy of a parameter."""
    formula, leaves = _cut(root)
    result = times(v, _back(derivative(formula, by), leaves))
    for leaf, over in leaves.items():
        if over.reduction == "total":
            gathered = _total(times(v, _back(derivative(formula, leaf), leaves)))
            result = plus(result, pulled_back(over.operand, by, gathered) if gathered != ZERO else ZERO)
    return result


def outermost(root: Expr) -> tuple[Over, ...]:
    """Return the reductions of the formula that stand outside of every other one, wherever else they stand."""
    found: dict[Over, None] = {}
    seen: set[Node] = set()
    waiting: list[Node] = [root]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node, Over):
            found[node] = None
        else:
            waiting.extend(reversed(node.children))
    return tuple(found)


def _total(x: Expr) -> Expr:
    return x if x == ZERO else Over("total", x)


def _cut(root: Expr) -> tuple[Expr, dict[Input, Over]]:
    """Return the formula with a leaf instead of every outermost reduction, and what the leaves stand for."""
    leaves = {Input(f"over {over.digest}"): over for over in outermost(root)}
    for over in leaves.values():
        if over.reduction not in ("total", "greatest"):
            raise BadFormula(f"an activation with the reduction '{over.reduction}' must declare its products.")
    return substitute(root, {over: leaf for leaf, over in leaves.items()}), leaves


def _back(formula: Expr, leaves: dict[Input, Over]) -> Expr:
    return substitute(formula, dict(leaves.items()))
