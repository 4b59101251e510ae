from __future__ import annotations

import pytest

from actlab.formula.atoms import exp, sqrt
from actlab.formula.expr import Input, expr
from actlab.formula.polynomial import collapsed
from actlab.formula.text import text

X = Input("x")


@pytest.mark.parametrize(
    ("formula", "one_term"),
    [
        ((1 + X) - X, "1"),
        (X - X, "0"),
        ((1 + X) * (1 - X) + X * X, "1"),
        (3 * X * X - X**2, "2*x**2"),
        ((X + exp(X)) - exp(X), "x"),
        (-(X / 4) * 4, "-1*x"),
        (expr(2) * 3, "6"),
        (sqrt(X) * sqrt(X), "sqrt(x)**2"),
    ],
)
def test_a_sum_that_leaves_one_term_is_collapsed(formula, one_term):
    assert text(collapsed(formula)) == one_term


@pytest.mark.parametrize("formula", [1 + X, X + exp(X), (1 + X) ** 3 * (2 + X) ** 3 * (3 + X) ** 3 * (4 + X) ** 4])
def test_other_sums_are_left_alone(formula):
    assert collapsed(formula) is None


def test_powers_that_would_take_long_to_multiply_out_are_unknowns():
    assert text(collapsed((1 + X) ** 500 - 1 * (1 + X) ** 500)) == "0"
    assert collapsed((1 + X) ** 500 + 1) is None
