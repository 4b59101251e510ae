"""Fifty digits at single points, whatever cancels."""

from __future__ import annotations

import pytest
from mpmath import mp, mpf

from actlab.formula.atoms import exp, log, sin, spherical_bessel, sqrt, tanh
from actlab.formula.expr import Expr, Input
from actlab.measure.exact import exact

X = Input("x")


@pytest.mark.parametrize(
    ("formula", "x", "wanted"),
    [
        (X - tanh(X), 1e-100, lambda x: x**3 / 3),
        (spherical_bessel(1, X), 1e-200, lambda x: x / 3),
        (sin(X * 3), 1e300, lambda x: mp.sin(3 * x)),
        ((1 + X) - 1, 2.0**-1000, lambda x: x),
        (exp(X) - exp(X), 3.0, lambda x: mpf(0)),
        (spherical_bessel(1, X), 0.0, lambda x: mpf(0)),
    ],
)
def test_what_cancels_keeps_its_digits(formula: Expr, x: float, wanted) -> None:
    with mp.workprec(4000):
        right = wanted(mpf(x))
    found = exact(formula, (X,))(x)
    assert abs(found - right) <= abs(right) * mpf(10) ** -30


@pytest.mark.parametrize(
    ("formula", "x"), [(log(X), -1.0), (sqrt(X), -2.0), (1 / X, 0.0), (X**0.5, -1.0), (exp(exp(exp(X))), 1e5)]
)
def test_what_has_no_value_or_takes_for_ever_is_none(formula: Expr, x: float) -> None:
    assert exact(formula, (X,))(x) is None
