"""Every identity that formulas are rewritten by holds, is applied, and is reached."""

from __future__ import annotations

import pytest
from mpmath import mp, mpf

from actlab.formula.expr import Input, Number, input_names
from actlab.formula.identities import IDENTITIES, Identity
from actlab.formula.rewrite import matched, settled
from actlab.formula.substitute import substitute
from actlab.formula.text import text
from actlab.lower import to_mpmath

VALUES = [(-2.3, 0.4, 1.7, 2), (0.003, -1.1, -0.6, 3), (5.25, 3.5, 0.01, 2), (-11.5, -12.25, 42.0, 5)]
IDS = [f"{text(row.left)} = {text(row.right)}" for row in IDENTITIES]


@pytest.mark.parametrize("values", VALUES, ids=str)
@pytest.mark.parametrize("row", IDENTITIES, ids=IDS)
def test_both_sides_have_the_same_value_to_50_digits(row: Identity, values: tuple[float, ...]) -> None:
    symbols = [Input(name) for name in "uvrn"]
    with mp.workdps(200):
        left, right = to_mpmath.program([row.left, row.right], symbols).function(*map(mpf, values))
        assert abs(left - right) <= mpf(10) ** -50 * abs(right)


@pytest.mark.parametrize("row", IDENTITIES, ids=IDS)
def test_the_right_side_uses_no_other_symbols(row: Identity) -> None:
    assert input_names(row.right) <= input_names(row.left)


@pytest.mark.parametrize("row", IDENTITIES, ids=IDS)
def test_no_earlier_row_shadows_a_row(row: Identity) -> None:
    node = substitute(row.left, {Input("n"): Number(2), **{Input(name): Input(name * 2) for name in "uvr"}})
    first = next(other for other in IDENTITIES if matched(other.left, node) is not None)
    assert first == row
    assert settled(node) != node


@pytest.mark.parametrize("at", [0, 5, 20])
def test_a_wrong_row_would_be_found(at: int) -> None:
    row = IDENTITIES[at]
    wrong = Identity(row.left, row.right + 1)
    with pytest.raises(AssertionError):
        test_both_sides_have_the_same_value_to_50_digits(wrong, VALUES[0])
