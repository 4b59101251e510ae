"""The vector language: every operation once, constants rounded once."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlab.lower.vector import Block, Value, hexadecimal, nearest


def block() -> Block:
    return Block(lanes=16, label="body")


def test_an_operation_is_written_once() -> None:
    b = block()
    x = b.real(2.0, "float")
    y = b.real(0.1, "float")
    assert b.add(x, y) == b.add(x, y)
    assert b.add(x, y) != b.add(y, x)
    assert len(b.lines) == 2


def test_two_signs_cancel_and_a_size_has_none() -> None:
    b = block()
    x = b.add(b.real(2.0, "float"), b.real(3.0, "float"))
    assert b.neg(b.neg(x)) == x
    assert b.abs(b.neg(x)) == b.abs(x)
    assert sum("fabs" in line for line in b.lines) == 1


def test_a_select_between_equals_is_dropped() -> None:
    b = block()
    x, y = b.real(2.0, "float"), b.real(3.0, "float")
    assert b.select(b.compare("olt", x, y), x, x) == x
    assert not any("select" in line for line in b.lines)


def test_what_a_branch_writes_is_not_known_behind_it() -> None:
    b = block()
    x, y = b.real(2.0, "float"), b.real(3.0, "float")
    before = b.add(x, y)
    inside: list[Value] = []

    def rare() -> list[Value]:
        inside.extend([b.add(x, y), b.sub(x, y)])
        return inside[1:]

    b.branched(b.compare("olt", x, y), rare, otherwise=[before])
    assert inside[0] == before
    after = b.sub(x, y)
    assert after != inside[1]
    names = [line.split()[0] for line in b.lines if " = " in line]
    assert len(names) == len(set(names))
    assert b.label.startswith("join")


def test_no_instruction_may_be_reordered() -> None:
    b = block()
    x, y = b.real(2.0, "float"), b.real(3.0, "float")
    for line in (b.add(x, y), b.sub(x, y), b.mul(x, y), b.div(x, y), b.fma(x, y, x), b.sqrt(x), b.neg(x)):
        assert line.kind == "float"
    for line in b.lines:
        assert not any(f" {flag} " in line for flag in ("fast", "nnan", "ninf", "nsz", "arcp", "contract", "reassoc"))


@given(st.fractions())
def test_a_constant_is_rounded_once(value: Fraction) -> None:
    assert nearest(value, "double") == value.numerator / value.denominator
    # by way of the double it would be rounded twice: both neighbours are looked at
    found = Fraction(nearest(value, "float"))
    steps = [float(np.nextafter(np.float32(found), np.float32(way))) for way in (-math.inf, math.inf)]
    assert all(abs(found - value) <= abs(Fraction(step) - value) for step in steps)


def test_the_middle_between_two_floats_goes_to_the_even_one() -> None:
    unit = Fraction(1, 2**23)
    assert nearest(1 + unit / 2, "float") == 1.0
    assert nearest(1 + 3 * unit / 2, "float") == 1 + 2 * unit
    just_above = 1 + unit / 2 + Fraction(1, 2**60)  # rounded to a double first, it would lie in the middle
    assert nearest(just_above, "float") == 1 + unit


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (Fraction(2**128), math.inf),
        (Fraction(2**128 - 2**103 - 1), 2.0**128 - 2.0**104),
        (Fraction(-(2**128)), -math.inf),
        (Fraction(1, 2**149), 2.0**-149),
        (Fraction(3, 2**150), 2.0**-148),
        (Fraction(1, 2**150), 0.0),
        (Fraction(0), 0.0),
        (math.inf, math.inf),
        (-0.0, -0.0),
    ],
)
def test_constants_at_the_ends_of_the_range(value: Fraction | float, rounded: float) -> None:
    found = nearest(value, "float")
    assert (found, math.copysign(1, found)) == (rounded, math.copysign(1, rounded))


def test_not_a_number_stays_one() -> None:
    assert math.isnan(nearest(math.nan, "float"))


@pytest.mark.parametrize("value", [1.0, -0.0, 0.1, math.inf, 5e-324])
def test_constants_are_written_bit_by_bit(value: float) -> None:
    assert struct.unpack(">d", bytes.fromhex(hexadecimal(value)[2:]))[0].hex() == value.hex()
