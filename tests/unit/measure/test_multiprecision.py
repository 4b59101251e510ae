"""Fifty digits at single points, whatever cancels."""

from __future__ import annotations

import pytest
from mpmath import mp, mpf

from actlab.formula.atoms import (
    erf,
    exp,
    expm1,
    log,
    log_sigmoid,
    normal_cdf,
    normal_pdf,
    sigmoid,
    sin,
    spherical_bessel,
    sqrt,
    tanh,
)
from actlab.formula.expr import Call, Expr, Input
from actlab.lower import to_mpmath
from actlab.measure.accuracy.multiprecision import exact

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
def test_cancellation_loses_no_digits(formula: Expr, x: float, wanted) -> None:
    with mp.workprec(4000):
        right = wanted(mpf(x))
    found = exact(formula, (X,))(x)
    assert abs(found - right) <= abs(right) * mpf(10) ** -30


@pytest.mark.parametrize(
    ("formula", "x"), [(log(X), -1.0), (sqrt(X), -2.0), (1 / X, 0.0), (X**0.5, -1.0), (exp(exp(exp(X))), 1e5)]
)
def test_undefined_and_unbounded_values_are_none(formula: Expr, x: float) -> None:
    assert exact(formula, (X,))(x) is None


@pytest.mark.parametrize(
    ("formula", "x", "wanted"),
    [
        (X * normal_pdf(X), 1e300, 0),
        (1 + erf(X), -1e30, 0),
        (X * sigmoid(X), -1e200, 0),
        (tanh(X) + expm1(-X), 1e30, 0),
        (log_sigmoid(X), -1e30, -1e30),
        (normal_pdf(X) / normal_cdf(X), -1e30, None),
        (exp(X) * exp(-X), 1e30, None),
    ],
)
def test_values_far_out_are_zero_or_none_and_never_wrong(formula: Expr, x: float, wanted: float) -> None:
    assert exact(formula, (X,))(x) == wanted


@pytest.mark.parametrize(
    "name", ["exp", "expm1", "sigmoid", "log_sigmoid", "tanh", "erf", "erfc", "normal_cdf", "normal_pdf"]
)
def test_nearer_in_they_equal_the_atoms(name: str) -> None:
    formula = Call(name, (X,))
    plain = to_mpmath.program([formula], [X]).function
    for x in (-70.0, -3.0, 0.0, 0.7, 25.0):
        with mp.workdps(60):
            assert abs(exact(formula, (X,))(x) - plain(mpf(x))) <= mpf(10) ** -45 * abs(plain(mpf(x)))
