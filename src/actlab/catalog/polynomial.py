"""A polynomial by Horner's rule."""

from __future__ import annotations

from collections.abc import Sequence

from actlab.formula.expr import Expr


def polynomial(x: Expr, coefficients: Sequence[Expr]) -> Expr:
    """Return the polynomial with these coefficients, highest power first."""
    result = coefficients[0]
    for coefficient in coefficients[1:]:
        result = result * x + coefficient
    return result
