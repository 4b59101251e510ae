from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp

import strategies
from actlab.catalog.index import CATALOG
from actlab.errors import BadFormula, CannotLower
from actlab.formula.atoms import exp, log, pi, sigmoid, sqrt, where
from actlab.formula.expr import Add, Input, Mul, ParamRef, expr
from actlab.lower import to_mpmath, to_numpy
from actlab.lower.straight_line import program, safe_name

X, GATE, BETA = Input("x"), Input("gate"), ParamRef("beta")


def body(source):
    """The lines of the function, its name and docstring left out."""
    lines = source[source.index("def f(") :].strip().splitlines()[1:]
    return [line.strip() for line in lines if not line.strip().startswith('"""')]


def test_a_shared_part_is_computed_once():
    shared = exp(X)
    lines = body(to_numpy.program([shared * shared + shared], [X]).source)
    assert lines == ["t1 = np.exp(x)", "return t1 * t1 + t1"]


def test_parts_are_shared_between_outputs():
    source = to_numpy.program([sigmoid(X), X * sigmoid(X)], [X]).source
    assert body(source) == ["t1 = special.expit(x)", "return t1, x * t1"]


def test_the_work_grows_with_distinct_parts_alone():
    tree = X
    for _ in range(200):
        tree = Add(tree, tree)
    source = to_numpy.program([tree], [X]).source
    assert source.count("\n") < 250
    assert to_numpy.program([tree], [X]).function(np.array([1.0])) == [2.0**200]


def test_a_deep_formula_is_cut_into_lines():
    tree = X
    for _ in range(2_000):
        tree = sigmoid(tree)
    function = to_numpy.program([tree], [X]).function
    assert function(np.array([0.0])) == pytest.approx([0.659046068407], rel=1e-10)


def test_constants_are_worked_out_beforehand():
    assert body(to_numpy.program([sqrt(2 / pi) * X], [X]).source) == ["return 0.7978845608028654 * x"]
    assert body(to_numpy.program([where(expr(1) < 2, X, 0 * X)], [X]).source)[-1] == "return x"


def test_a_constant_formula_fills_the_shape_of_the_input():
    function = to_numpy.program([expr(2)], [X]).function
    assert function(np.zeros((2, 3))).tolist() == [[2.0] * 3] * 2
    assert to_numpy.program([where(X <= 0, 0, 1)], [X]).function(np.zeros(2)).shape == (2,)


def test_a_constant_without_a_value_is_refused():
    with pytest.raises(BadFormula, match=r"the constant log\(-1\) has no finite value"):
        to_numpy.program([X + log(expr(-1))], [X])


@pytest.mark.parametrize(
    ("formula", "line"),
    [
        ((X + 1) * 2, "return (x + 1.0) * 2.0"),
        (X - (X - 1), "return x - (x - 1.0)"),
        (X / (X * 2), "return x / (x * 2.0)"),
        (-(X + 1), "return -(x + 1.0)"),
        ((-X) ** 2, "return (-x) ** 2"),
        (-(X**2), "return -x ** 2"),
        (X**-1, "return x ** (-1)"),
        (X**0.5, "return x ** 0.5"),
        (X * -2, "return x * -2.0"),
        (X - expr(-2), "return x - -2.0"),
    ],
)
def test_brackets_stand_where_python_needs_them(formula, line):
    assert body(to_numpy.program([formula], [X]).source) == [line]


@given(strategies.smooth_formulas, st.floats(-3, 3))
def test_a_program_of_any_formula_computes_it(formula, at):
    double = to_numpy.program([formula], [X]).function(np.array([at]))
    exact = to_mpmath.program([formula], [X]).function
    with np.errstate(all="ignore"), mp.workdps(30):
        size = 1 + abs(exact(at)) + sum(abs(exact(at + step)) for step in (-0.5, 0.5))
        assert abs(double[0] - exact(at)) <= 1e-9 * size


def test_names_that_mean_something_in_the_program_are_moved():
    assert [safe_name(name) for name in ("x", "lambda", "np", "t1", "axis", "f", "torch", "theta", "t")] == [
        "x", "lambda_", "np_", "t1_", "axis_", "f_", "torch_", "theta", "t",
    ]  # fmt: skip
    clashing = [ParamRef("lambda"), ParamRef("np"), ParamRef("t1")]
    shared = exp(X)
    result = to_numpy.program([shared * shared * clashing[0] * clashing[1] * clashing[2]], [X, *clashing])
    assert result.args == ("x", "lambda_", "np_", "t1_")
    assert result.function(np.array([0.0]), 2.0, 3.0, 5.0) == [30.0]


def test_arguments_keep_their_order():
    function = to_numpy.program([X - GATE / BETA], [GATE, BETA, X]).function
    assert function(6.0, 2.0, 10.0) == 7.0


def test_a_leaf_outside_the_arguments_is_an_error():
    with pytest.raises(CannotLower, match="mentions 'beta', which is not an argument"):
        to_numpy.program([BETA * X], [X])


def test_what_a_target_cannot_spell_is_refused_with_what_to_do():
    poor = replace(to_numpy.SPELLING, atoms={})
    with pytest.raises(CannotLower, match=r"uses exp, which target 'numpy' cannot spell. Add a row to lower/to_numpy"):
        program([exp(X)], [X], spelling=poor)


def test_the_docstring_cannot_break_out():
    made = to_numpy.program([X], [X], summary='ends """ here \\', entry="mine")
    assert made.entry == "mine"
    assert made.function(3.0) == 3.0
    assert made.function.__doc__ == "ends ''' here \\"


def test_the_function_is_created_once_for_each_text():
    act = CATALOG["gelu"]
    assert to_numpy.program([act.formula], [X]).function is to_numpy.program([act.formula], [X]).function


def test_products_stay_products():
    assert body(to_numpy.program([Mul(X, Add(X, X))], [X]).source) == ["return x * (x + x)"]
