from __future__ import annotations

from fractions import Fraction

import pytest

from actlab.errors import BadFormula
from actlab.formula.expr import Add, Input, Number, ParamRef, expr, input_names, is_constant, number, param_names, walk

X = Input("x")


def test_building_rewrites_nothing():
    assert isinstance(X - X, type(X - 1))
    assert (X - X).size == 3
    assert (X * 0).size == 3


def test_equal_trees_are_equal_and_hash_alike_wherever_they_were_built():
    tree = X * 2 + 1
    assert tree == Input("x") * 2 + 1
    assert hash(X * 2) == hash(Input("x") * 2)
    assert X * 2 != 2 * X
    assert Input("x") != ParamRef("x")
    assert len({X + 1, Input("x") + 1, X + 2}) == 2


def test_a_float_is_the_decimal_its_author_wrote():
    assert expr(0.1) == Number(Fraction(1, 10))
    assert expr(1.702) == Number(Fraction(851, 500))
    assert number("1.6732632423543772848170429916717").value.denominator > 2**53


@pytest.mark.parametrize("value", [float("inf"), float("nan"), True, None, "x", 1j])
def test_a_value_that_is_not_a_finite_number_is_refused(value):
    with pytest.raises(BadFormula, match="a formula is made of"):
        expr(value)


def test_a_condition_cannot_branch_python():
    with pytest.raises(BadFormula, match="write where"):
        max(X, 2 * X)


def test_a_walk_visits_shared_parts_once_and_children_first():
    tree = X
    for _ in range(200):
        tree = Add(tree, tree)
    nodes = list(walk(tree))
    assert len(nodes) == 201
    assert nodes[0] == X
    assert nodes[-1] == tree
    assert tree.depth == 201


def test_names_are_gathered():
    tree = X * ParamRef("beta") + Input("gate")
    assert input_names(tree) == {"x", "gate"}
    assert param_names(tree) == {"beta"}
    assert is_constant(expr(2) / 3)
    assert not is_constant(tree)
