from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

import strategies
from actlab.catalog.index import CATALOG
from actlab.formula.along_axis import total
from actlab.formula.atoms import ATOMS, SPELLINGS, abs, cos, exp, expm1, max, min, sin, sqrt, where
from actlab.formula.derivative import derivative
from actlab.formula.expr import Input, ParamRef, expr
from actlab.formula.text import text
from actlab.lower import to_mpmath, to_numpy

X = Input("x")


def slope_text(formula):
    return text(derivative(formula, X))


@pytest.mark.parametrize(
    ("formula", "slope"),
    [
        (expr(3), "0"),
        (X, "1"),
        (3 * X + 2, "3"),
        (X - X, "0"),
        (-X, "-1"),
        (X**2, "2*x"),
        (X**3, "3*x**2"),
        (X**0.5, "0.5*x**-0.5"),
        (X**1, "1"),
        (expr(2) ** X, "2**x*log(2)"),
        (exp(2 * X), "2*exp(2*x)"),
        (sin(X) * 0, "0"),
        (X * cos(X), "cos(x) - x*sin(x)"),
        (X / (1 + X), "1/(1 + x)**2"),
        (X / (1 - X), "1/(1 - x)**2"),
        (X / 2, "0.5"),
        (1 / X, "-1/x**2"),
        (X / sqrt(1 + X * X), "1/((1 + x*x)*sqrt(1 + x*x))"),
        # one exponential alone where there would be a difference of two
        (expm1(X) / X, "where(x > 1, exp(x)/x*(1 - 1/x) + 1/x/x, (exp(x) - expm1(x)/x)/x)"),
        (expm1(X) / 2, "exp(x)/2"),
        (where(X <= 0, 0, X), "where(x <= 0, 0, 1)"),
        (where(X <= 0, X, X), "1"),
        (abs(X), "sign(x)"),
        (min(X, 6), "where(x <= 6, 1, 0)"),
        (max(0, X), "where(0 >= x, 0, 1)"),
    ],
)
def test_differentiation_rules(formula, slope):
    assert slope_text(formula) == slope


@given(strategies.smooth_formulas, st.floats(-2, 2))
def test_the_derivative_is_the_limit_of_difference_quotients(formula, at):
    value = to_mpmath.program([formula], [X]).function
    slope = to_mpmath.program([derivative(formula, X)], [X]).function
    with mp.workdps(60):
        point = mpf(at) + mpf("0.0123")
        wanted = mp.diff(value, point)
        assert mp.almosteq(
            slope(point), wanted, rel_eps=mpf(10) ** -15, abs_eps=mpf(10) ** -15 * (1 + size(value, point))
        )


def size(value, point):
    """How large the formula is around the point, which is what limits the quotient's digits."""
    return sum(mp.fabs(value(point + step)) for step in (-1, 0, 1))


@pytest.mark.parametrize("atom", [atom for atom in ATOMS.values() if atom.name in SPELLINGS], ids=lambda a: a.name)
def test_the_derivative_of_every_atom_is_the_limit_of_difference_quotients(atom):
    others = [expr(7) / 5] * (atom.arity - 1)
    for place in range(atom.arity):
        args = [*others[:place], X, *others[place:]]
        formula = SPELLINGS[atom.name](*args)
        value = to_mpmath.program([formula], [X]).function
        slope = to_mpmath.program([derivative(formula, X)], [X]).function
        with mp.workdps(50):
            for at in (mpf("0.3"), mpf("1.9")):
                assert mp.almosteq(slope(at), mp.diff(value, at), rel_eps=mpf(10) ** -20, abs_eps=mpf(10) ** -20)


def test_the_derivatives_of_sinc_are_bessel_functions_at_0_too():
    sinc = SPELLINGS["sinc"](X)
    second = derivative(derivative(sinc, X), X)
    value = to_mpmath.program([second], [X]).function
    with mp.workdps(50):
        assert mp.almosteq(value(mpf(0)), mpf(-1) / 3)
        assert mp.almosteq(value(mpf(2)), mp.diff(lambda t: mp.sin(t) / t, 2, 2), rel_eps=mpf(10) ** -20)


def test_by_a_parameter():
    beta = ParamRef("beta")
    assert text(derivative(X * beta**2, beta)) == "x*(2*beta)"
    assert text(derivative(X**beta, beta)) == "x**beta*log(x)"


def test_zero_times_infinity_does_not_arise_from_the_rules():
    slope = derivative(0 * X + where(X <= 0, 0, X), X)
    function = to_numpy.program([slope], [X]).function
    assert function(np.array([np.inf])).tolist() == [1.0]


def test_a_formula_along_an_axis_has_no_single_derivative():
    with pytest.raises(TypeError, match="matrix"):
        derivative(X / total(X), X)


@pytest.mark.parametrize("name", ["relu", "gelu", "mish", "squareplus"])
def test_higher_derivatives_exist(name):
    assert CATALOG[name].derivative(times=3).size > 0
