from __future__ import annotations

from fractions import Fraction

import pytest

from actlab.formula.atoms import sinc, spherical_bessel, where
from actlab.formula.expr import Add, Input, Number, expr
from actlab.formula.text import number_text, text

X = Input("x")


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        (Fraction(0), "0"),
        (Fraction(3), "3"),
        (Fraction(-3, 2), "-1.5"),
        (Fraction(1, 3), "1/3"),
        (Fraction("0.044715"), "0.044715"),
        (Fraction(10) ** 20, "100000000000000000000"),
        (Fraction(3) * 10**30, "3e30"),
        (Fraction(25) / 10**40, "2.5e-39"),
        (Fraction("1.6732632423543772848170429916717"), "1.6732632423543772848170429916717"),
    ],
)
def test_numbers_keep_every_digit(value, spelled):
    assert Fraction(number_text(value)) == value
    if len(spelled) < 25:
        assert number_text(value) == spelled


@pytest.mark.parametrize(
    ("formula", "spelled"),
    [
        ((X + 1) * 2, "(x + 1)*2"),
        (X - (X - 1), "x - (x - 1)"),
        (X / (X * 2), "x/(x*2)"),
        ((-X) ** 2, "(-x)**2"),
        (-(X**2), "-x**2"),
        (X * Number(Fraction(1, 3)), "x*(1/3)"),
        (X ** expr(-1), "x**-1"),
        (where(X + 1 <= 0, 0, X), "where(x + 1 <= 0, 0, x)"),
        (sinc(2 * X), "sinc(2*x)"),
        (spherical_bessel(1, X), "spherical_bessel(1, x)"),
    ],
)
def test_parentheses_appear_only_where_needed(formula, spelled):
    assert text(formula) == spelled


def test_a_tree_too_large_to_write_out_is_named_by_its_digest():
    tree = X
    for _ in range(100):
        tree = Add(tree, tree)
    assert text(tree) == f"<formula of {tree.size} nodes, {tree.digest}>"
