"""Formulas of one canonical name differ in the order of terms and factors alone."""

from __future__ import annotations

import re
from collections import defaultdict
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given

import strategies
from actlab.formula.canonical import canonical_name
from actlab.formula.expr import Add, Div, Expr, Input, Mul, Neg, Node, Sub, expr, walk
from actlab.formula.parser import parse
from actlab.formula.substitute import rebuilt
from actlab.formula.text import text

SAME = [
    ("x*sigmoid(2*x)", "sigmoid(x*2)*x"),
    ("x - 1", "-1 + x"),
    ("2*(x + 1)*x", "x*(2*x + 2)"),
    ("x - (x*x + 1)", "x - 1 - x**2"),
    ("x/(1 + abs(x))", "x*1/(abs(x) + 1)"),
    ("-(x/3)", "-1/3*x"),
    ("where(x > 0, x, 0)", "where(x <= 0, 0, x)"),
    ("where(0 >= x, 0, x)", "where(x <= 0, 0, x)"),
    ("where(x < 1, x, 1)", "where(x >= 1, 1, x)"),
]
DIFFERENT = [
    ("x*x/x", "x"),
    ("where(x < 0, 0, x)", "where(x <= 0, 0, x)"),
    ("max(x, 0)", "where(x <= 0, 0, x)"),
    ("1/x", "x"),
    ("2**x", "x**2"),
    ("x**3", "x**2"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_order_and_signs_do_not_matter(one: str, other: str) -> None:
    assert canonical_name(parse(one)) == canonical_name(parse(other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_values_or_derivatives_have_another_name(one: str, other: str) -> None:
    assert canonical_name(parse(one)) != canonical_name(parse(other))


def turned(formula: Expr) -> Expr:
    """Write every sum and product the other way round."""
    done: dict[Node, Node] = {}
    for node in walk(formula):
        new = rebuilt(node, done)
        match new:
            case Add(left, right) | Mul(left, right):
                new = type(new)(right, left)
            case Sub(left, right):
                new = Add(Neg(right), left)
        done[node] = new
    result = done[formula]
    assert isinstance(result, Expr)
    return result


@given(strategies.formulas)
def test_a_formula_written_the_other_way_round_has_the_same_name(formula: Expr) -> None:
    assert canonical_name(turned(formula)) == canonical_name(formula)


def random_formula(random: Random, leaves: int) -> Expr:
    if leaves == 1:
        return random.choice([Input("x"), expr(1), expr(2), -Input("x")])
    left = random.randint(1, leaves - 1)
    parts = random_formula(random, left), random_formula(random, leaves - left)
    return random.choice([Add, Sub, Mul, Div])(*parts)


def value(formula: Expr, at: Fraction) -> Fraction | None:
    try:
        found: Fraction = eval(re.sub(r"\d+", r"Fraction(\g<0>)", text(formula)), {"x": at, "Fraction": Fraction})
        return found
    except ZeroDivisionError:
        return None


def test_formulas_of_one_name_have_the_same_values() -> None:
    random, groups = Random(7), defaultdict[str, set[Expr]](set)
    for _ in range(6000):
        formula = random_formula(random, random.randint(2, 4))
        groups[canonical_name(formula)].add(formula)
    several = [group for group in groups.values() if len(group) > 1]
    assert len(several) > 200
    for group in several:
        for at in (Fraction(-17, 10), Fraction(3, 7), Fraction(29, 10)):
            assert len({value(formula, at) for formula in group}) == 1, [text(formula) for formula in group]
