from __future__ import annotations

from fractions import Fraction

import pytest

from actlab.errors import BadParam
from actlab.formula.param import Param

ALPHA = Param(1.0, above=0, most=5, name="alpha")


@pytest.mark.parametrize("value", [1e-9, 5, 2.5, Fraction(1, 3)])
def test_values_within_the_bounds_are_taken(value):
    assert ALPHA.with_value(value, owner="elu").value == float(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "elu: alpha must lie above 0 and at or below 5; got 0."),
        (-1, "elu: alpha must lie above 0 and at or below 5; got -1."),
        (5.001, "elu: alpha must lie above 0 and at or below 5; got 5.001."),
        (float("inf"), "elu: alpha must be finite; got inf."),
        (float("nan"), "elu: alpha must be finite; got nan."),
        ("2", "elu: alpha must be a number; got str '2'."),
        (True, "elu: alpha must be a number; got bool True."),
        (None, "elu: alpha must be a number; got NoneType None."),
    ],
)
def test_values_outside_the_bounds_are_refused(value, message):
    with pytest.raises(BadParam) as raised:
        ALPHA.with_value(value, owner="elu")
    assert str(raised.value) == message


def test_inclusive_and_exclusive_bounds_differ():
    assert Param(1.0, least=1, most=2).admits(1)
    assert Param(1.0, least=1, most=2).admits(2)
    assert not Param(1.5, above=1, below=2).admits(1)
    assert not Param(1.5, above=1, below=2).admits(2)
    assert Param(1.5).bounds() == ""
    assert Param(1.5, least=1, below=2).bounds() == "at or above 1 and below 2"


def test_the_exact_value_is_the_decimal_its_author_wrote():
    assert Param(0.1).exact == Fraction(1, 10)
