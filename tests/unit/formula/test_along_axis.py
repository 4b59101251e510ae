from __future__ import annotations

from actlab.catalog.index import CATALOG
from actlab.formula.along_axis import AxisActivation, along_axis, greatest, total
from actlab.formula.atoms import exp
from actlab.formula.text import text


@along_axis(source="nowhere", jvp=lambda y, v: v - total(y * v), span=(0, 2), known={(1.0,): (1.0,)})
def mine_(x):
    """A first line.

    And more.
    """
    return exp(x - greatest(x))


def test_the_decorator_reads_everything_off_the_function():
    assert isinstance(mine_, AxisActivation)
    assert mine_.name == mine_.label == str(mine_) == "mine"
    assert mine_.summary == "A first line."
    assert mine_.family == "test_along_axis"
    assert text(mine_.expression) == "exp(x - greatest(x))"
    assert (mine_.lower, mine_.upper) == (0, 2)
    assert mine_.known == (((1.0,), (1.0,)),)
    assert mine_.inputs == ("x",)
    assert mine_.params == ()


def test_a_symmetric_jacobian_is_declared_once():
    assert text(mine_.jvp) == text(mine_.vjp) == "v - total(y*v)"
    assert CATALOG["log_softmax"].jvp != CATALOG["log_softmax"].vjp


def test_the_key_is_of_the_mathematics_alone():
    assert mine_.key == mine_.expression.digest
    assert len({act.key for act in CATALOG.values()}) > 75
