from __future__ import annotations

import math

import pytest
from scipy import special

from actlab.errors import BadFormula
from actlab.formula import atoms
from actlab.formula.atoms import exp, log, pi, spherical_bessel, sqrt, where
from actlab.formula.constant import constant_value
from actlab.formula.expr import expr


def test_constants_have_their_value():
    assert constant_value(sqrt(2 / pi)) == math.sqrt(2 / math.pi)
    assert constant_value(where(expr(1) <= 2, 3, 4)) == 3
    assert constant_value(where(expr(3) <= 2, 3, 4)) == 4
    assert constant_value(expr(2) ** -1) == 0.5


@pytest.mark.parametrize(
    ("atom", "wanted"),
    [
        ("sigmoid", special.expit),
        ("log_sigmoid", special.log_expit),
        ("softplus", lambda x: -special.log_expit(-x)),
        ("normal_cdf", special.ndtr),
        ("normal_pdf", lambda x: math.exp(-x * x / 2) / math.sqrt(2 * math.pi)),
        ("sign", lambda x: (x > 0) - (x < 0)),
        ("expm1", math.expm1),
        ("erfc", math.erfc),
        ("atan", math.atan),
    ],
)
@pytest.mark.parametrize("at", [-30.0, -0.5, 0.0, 2.0, 30.0])
def test_atoms_of_constants(atom, wanted, at):
    assert constant_value(getattr(atoms, atom)(expr(at))) == pytest.approx(wanted(at), rel=1e-14)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_spherical_bessel_functions_of_constants(order):
    value = constant_value(spherical_bessel(order, expr(1.5)))
    assert value == pytest.approx(special.spherical_jn(order, 1.5), rel=1e-14)


@pytest.mark.parametrize(
    "formula",
    [expr(1) / 0, log(expr(0)), sqrt(expr(-1)), exp(expr(1000)), expr(9) ** expr(9) ** expr(9), expr(0) ** -1],
    ids=["1/0", "log(0)", "sqrt(-1)", "exp(1000)", "9**9**9", "0**-1"],
)
def test_a_constant_without_a_finite_value_is_refused(formula):
    with pytest.raises(BadFormula, match="has no finite value in double precision"):
        constant_value(formula)
