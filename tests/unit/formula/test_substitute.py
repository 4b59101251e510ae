from __future__ import annotations

from actlab.formula.atoms import max, sigmoid, where
from actlab.formula.expr import Add, Input, ParamRef, expr
from actlab.formula.substitute import substitute

X, BETA = Input("x"), ParamRef("beta")


def test_leaves_are_exchanged_everywhere_conditions_and_arguments_included():
    tree = where(X <= BETA, sigmoid(BETA * X), max(X, BETA))
    assert substitute(tree, {BETA: expr(2)}) == where(X <= 2, sigmoid(2 * X), max(X, 2))


def test_a_replacement_is_not_searched_again():
    assert substitute(X + BETA, {X: BETA, BETA: X}) == BETA + X


def test_a_tree_without_the_leaves_is_the_same_object():
    tree = sigmoid(2 * X)
    assert substitute(tree, {BETA: expr(1)}) is tree


def test_a_leaf_alone_is_exchanged():
    assert substitute(X, {X: BETA}) == BETA


def test_shared_parts_are_rebuilt_once():
    tree = X
    for _ in range(300):
        tree = Add(tree, tree)
    assert substitute(tree, {X: BETA}).depth == 301
