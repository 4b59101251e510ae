"""Formulas that are straight lines, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from actlab.errors import BadFormula
from actlab.formula.constant import constant_value
from actlab.formula.expr import Add, Div, Expr, Input, Mul, Neg, Node, Number, Sub, is_constant, walk


@dataclass(frozen=True)
class Line:
    """`slope·x + intercept`, in exact arithmetic."""

    slope: Fraction
    intercept: Fraction

    @property
    def zero(self) -> Fraction | None:
        """Return where the line crosses 0; None for a constant."""
        return -self.intercept / self.slope if self.slope else None

    def sign_at(self, x: Fraction) -> int:
        """Return -1, 0 or 1."""
        value = self.slope * x + self.intercept
        return (value > 0) - (value < 0)


def line_of(root: Expr) -> Line | None:
    """Return the formula as a straight line in its one input, or None if it is not built as one."""
    done: dict[Node, Line | None] = {}
    for node in walk(root):
        done[node] = _line(node, done)
    return done[root]


def _line(node: Node, done: Mapping[Node, Line | None]) -> Line | None:
    match node:
        case Number(value):
            return Line(Fraction(0), value)
        case Input():
            return Line(Fraction(1), Fraction(0))
        case Neg(operand):
            return _scaled(done[operand], Fraction(-1))
        case Add(left, right):
            return _sum(done[left], done[right])
        case Sub(left, right):
            return _sum(done[left], _scaled(done[right], Fraction(-1)))
        case Mul(left, right):
            return _product(done[left], done[right])
        case Div(left, right):
            divisor = done[right]
            return (
                None
                if divisor is None or divisor.slope or not divisor.intercept
                else _scaled(done[left], 1 / divisor.intercept)
            )
        case Expr() if is_constant(node):
            return _constant(node)
        case _:
            return None


def _constant(node: Expr) -> Line | None:
    try:
        return Line(Fraction(0), Fraction(constant_value(node)))
    except BadFormula:
        return None


def _scaled(line: Line | None, by: Fraction) -> Line | None:
    return None if line is None else Line(line.slope * by, line.intercept * by)


def _sum(left: Line | None, right: Line | None) -> Line | None:
    if left is None or right is None:
        return None
    return Line(left.slope + right.slope, left.intercept + right.intercept)


def _product(left: Line | None, right: Line | None) -> Line | None:
    if left is None or right is None or (left.slope and right.slope):
        return None
    return _scaled(right, left.intercept) if not left.slope else _scaled(left, right.intercept)
