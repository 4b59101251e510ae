"""What the page of a training in another process draws: a part of a curve that it got once."""

from __future__ import annotations

import math

import pytest

from actlab.web.looking import part_of, range_drawn

Z = [at / 10 for at in range(-60, 61)]
CURVE = {"z": Z, "y": list(map(math.tanh, Z)), "flat": [[-6.0, -2.2], [2.2, 6.0]], "dead": [[-6.0, -4.1], [4.1, 6.0]]}


def test_a_part_keeps_the_function_and_its_flat_parts():
    part = part_of(CURVE, -3.05, 4.0)
    assert (part["z"][0], part["z"][-1]) == (-3.05, 4.0)
    assert part["z"] == sorted(set(part["z"]))
    assert part["y"] == pytest.approx([math.tanh(z) for z in part["z"]], abs=2e-4)
    assert part["flat"] == [[-3.05, -2.2], [2.2, 4.0]]
    assert part["dead"] == []


def test_a_part_between_two_points_is_a_line():
    part = part_of(CURVE, 0.02, 0.03)
    assert part["z"] == [0.02, 0.03]
    assert part["y"] == pytest.approx([0.02, 0.03], rel=0.01)


@pytest.mark.parametrize(
    ("inputs", "drawn"), [((-1.0, 2.0), (-3.0, 3.0)), ((0.5, 9.0), (-3.0, 9.0)), ((1.0, 1.2), (1.0, 1.2))]
)
def test_the_curve_is_drawn_around_0_unless_the_inputs_would_be_a_sliver(inputs, drawn):
    assert range_drawn(*inputs) == drawn
