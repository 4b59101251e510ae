"""The square root of a sum of squares, written so that it does not overflow."""

from __future__ import annotations

from actlab.formula.atoms import abs, sqrt, where
from actlab.formula.expr import Expr, Operand


def hypotenuse(x: Expr, squared: Operand) -> Expr:
    """Return sqrt(x**2 + squared), in which x**2 is computed only where it is small."""
    return where(abs(x) <= 1, sqrt(x * x + squared), abs(x) * sqrt(1 + squared * (1 / x) ** 2))
