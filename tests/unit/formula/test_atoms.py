from __future__ import annotations

import pytest

from actlab.formula.atoms import ATOMS, SPELLINGS
from actlab.formula.constant import constant_value
from actlab.formula.derivative import derivative
from actlab.formula.expr import Call, Input, expr, walk
from actlab.formula.substitute import substitute
from actlab.formula.text import text

X = Input("x")


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_spelling_builds_an_atom_that_is_known(name):
    arity = ATOMS[name].arity if name in ATOMS else 1
    built = SPELLINGS[name](*[X] * arity)
    assert isinstance(built, Call)
    assert built.atom in ATOMS


@pytest.mark.parametrize("atom", ATOMS.values(), ids=lambda atom: atom.name)
def test_a_derivative_consists_of_atoms(atom):
    assert len(atom.slopes) == atom.arity
    assert atom.summary
    args = [expr(1)] * (atom.arity - 1) + [X]
    for slope in atom.slopes:
        assert all(node.atom in ATOMS for node in walk(slope(*args)) if isinstance(node, Call))


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("sigmoid", "sigmoid(x)*sigmoid(-x)"),
        ("tanh", "4*(sigmoid(2*x)*sigmoid(-(2*x)))"),
        ("normal_cdf", "normal_pdf(x)"),
        ("softplus", "sigmoid(x)"),
        ("log_sigmoid", "sigmoid(-x)"),
    ],
)
def test_derivatives_keep_their_tails(name, slope):
    assert text(ATOMS[name].slopes[0](X)) == slope
    tail = derivative(SPELLINGS[name](X), X)
    assert constant_value(_at(tail, 15)) > 0


def _at(formula, value):
    return substitute(formula, {X: expr(value)})


@pytest.mark.parametrize("name", ["min", "max"])
def test_the_derivative_at_a_tie_is_that_of_the_first_argument(name):
    first, second = (_at(partial(X, X), 2) for partial in ATOMS[name].slopes)
    assert (constant_value(first), constant_value(second)) == (1, 0)
