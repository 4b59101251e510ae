"""A formula in atoms that keep its tails: the same function, with the tails kept."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from mpmath import isfinite, mp, mpf

import strategies
from actlab.catalog.index import CATALOG, get
from actlab.formula.activation import Activation
from actlab.formula.expr import Input
from actlab.formula.parser import parse
from actlab.formula.tails import with_tails
from actlab.formula.text import text
from actlab.lower import to_mpmath
from actlab.nn import functional

X = Input("x")

# What people type, and what it is computed as.
TYPED = {
    "x*tanh(log(1 + exp(x)))": "x*tanh(softplus(x))",
    "x/(1 + exp(-x))": "x*sigmoid(x)",
    "x/(exp(-1.702*x) + 1)": "x*sigmoid(1.702*x)",
    "log(exp(2*x) + 1)/2": "softplus(2*x)/2",
    "x*(1 + erf(x/sqrt(2)))/2": "x*normal_cdf(x)",
    "0.5*x*(1 + erf(x*sqrt(0.5)))": "x*normal_cdf(x)",
    "x/2*(1 + erf(x/sqrt(2)))": "x*normal_cdf(x)",
    "x*(1 + erf(x/sqrt(2)))*0.5": "x*normal_cdf(x)",
    "x*(1 + erf(1/sqrt(2)*x))": "x*(2*normal_cdf(x))",
    "1 + erf(x)": "erfc(-x)",
    "1 - erf(-x)": "erfc(-x)",
    "0.5*x*(1 + tanh(x/3))": "x*sigmoid(2*(x/3))",
    "1 - tanh(x)": "2*sigmoid(2*-x)",
    "1 - tanh(x)**2": "4*(sigmoid(2*x)*sigmoid(-(2*x)))",
    "1 - tanh(x)*tanh(x)": "4*(sigmoid(2*x)*sigmoid(-(2*x)))",
    "where(x > 0, x, exp(x) - 1)": "where(x > 0, x, expm1(x))",
    "-1 + exp(x)": "expm1(x)",
    "1 - exp(-x)": "-expm1(-x)",
    "(exp(x) - exp(-x))/(exp(x) + exp(-x))": "tanh(x)",
    "(exp(-x) - exp(x))/(exp(x) + exp(-x))": "tanh(-x)",
    "(exp(2*x) - 1)/(exp(2*x) + 1)": "tanh(x)",
    "(1 - exp(-2*x))/(1 + exp(-2*x))": "tanh(x)",
    "2/(1 + exp(-2*x)) - 1": "tanh(x)",
    "1 - 2/(exp(2*x) + 1)": "tanh(x)",
    "x*exp(x)/(exp(x) + 1)": "x*sigmoid(x)",
    "exp(x)/(exp(x) + exp(-x))": "sigmoid(2*x)",
    "exp(-x)/(1 + exp(-x))**2": "sigmoid(-x)*sigmoid(x)",
    "(1 + exp(-x))**-2": "sigmoid(x)**2",
    "sigmoid(-x)*exp(x)*x": "sigmoid(x)*x",
    "1 - 1/(1 + exp(x))": "sigmoid(x)",
    "log(exp(x) + exp(-x))": "x + softplus(2*-x)",
    "log(1/(1 + exp(-x)))": "log_sigmoid(x)",
    "log(1 - 1/(1 + exp(-x)))": "log_sigmoid(-x)",
    "x*log(1 + tanh(exp(x)))": "x*log1p(tanh(exp(x)))",
    "log(1 - tanh(x))": "log(2*sigmoid(2*-x))",
    "log(1 - x*x)": "log1p(-(x*x))",
    "1 - normal_cdf(x)": "normal_cdf(-x)",
}

# Nothing is lost in these, or there is no form that loses less.
LEFT = [
    "exp(x) - 2",
    "1 + exp(x)",
    "x - 1",
    "1 - x",
    "exp(x)/(exp(x) + 2)",
    "log(2 + exp(x))",
    "x - x",
    "exp(x)*exp(-x)",
]


@pytest.mark.parametrize("typed", TYPED)
def test_a_typed_formula_becomes_one_with_tails(typed: str) -> None:
    assert text(with_tails(parse(typed))) == TYPED[typed]
    assert get(typed).name == typed
    assert text(get(typed).expression) == TYPED[typed]


@pytest.mark.parametrize("typed", LEFT)
def test_a_formula_that_loses_nothing_stays_as_it_is(typed: str) -> None:
    assert with_tails(parse(typed)) == parse(typed)


def values(*formulas: object, at: float) -> tuple[mpf, ...]:
    with mp.workdps(100):
        found: tuple[mpf, ...] = to_mpmath.program(formulas, [X]).function(mpf(at))
        return found


@pytest.mark.parametrize("typed", TYPED)
@pytest.mark.parametrize("at", [-11.7, -2.3, -0.4, 0.003, 0.9, 5.0, 12.1])
def test_the_rewritten_formula_is_the_same_function(typed: str, at: float) -> None:
    one, other = values(parse(typed), with_tails(parse(typed)), at=at)
    with mp.workdps(100):
        assert abs(one - other) <= mpf(10) ** -25 * abs(other)


@given(strategies.formulas)
def test_every_generated_formula_stays_the_same_function(formula: object) -> None:
    new = with_tails(formula)
    for at in (-1.7, 0.3):
        try:
            one, other = values(formula, new, at=at)
        except (ArithmeticError, TypeError, ValueError):  # no real number
            continue
        if all(isinstance(each, mpf) and isfinite(each) for each in (one, other)):
            with mp.workdps(100):
                assert abs(one - other) <= mpf(10) ** -30 * (1 + abs(one))


@pytest.mark.parametrize("name", [name for name, act in CATALOG.items() if isinstance(act, Activation)])
def test_the_catalog_is_already_written_with_tails(name: str) -> None:
    act = CATALOG[name]
    assert isinstance(act, Activation)
    assert with_tails(act.expression) == act.expression


def test_mish_as_it_is_typed_is_mish_to_the_last_bit() -> None:
    x = torch.linspace(-100, 100, 4001).requires_grad_()
    ours, typed = functional("mish")(x), functional("x*tanh(log(1 + exp(x)))")(x)
    torch.testing.assert_close(typed, ours, rtol=0, atol=0)
    for y in (ours, typed):
        (slope,) = torch.autograd.grad(y.sum(), x)
        assert slope.isfinite().all()
        assert slope[0] < 0
