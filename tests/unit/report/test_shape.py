from __future__ import annotations

import numpy as np
import pytest

from actlab.catalog.index import get
from actlab.display.broken_lines import pieces
from actlab.report.shape import SHOWN, shape


def test_a_smooth_curve_is_one_piece_with_its_values():
    tanh = shape(get("tanh"))
    (line,), (slope,) = tanh.value, tanh.derivative
    assert dict(line)[0.0] == 0.0
    assert dict(slope)[0.0] == 1.0
    assert line[-1] == pytest.approx((5.0, np.tanh(5.0)))
    assert tanh.limits == SHOWN


def test_a_derivative_is_broken_where_it_jumps_and_nowhere_else():
    relu = shape(get("relu"))
    assert len(relu.value) == 1
    left, right = relu.derivative
    assert {height for _, height in left} == {0.0}
    assert {height for _, height in right} == {1.0}
    assert left[-1] == (0.0, 0.0)  # the derivative at the kink is shown as it is taken


def test_a_steep_curve_is_not_a_jump():
    x = np.linspace(-5, 5, 1001)
    assert len(pieces(x, np.tanh(40 * x))) == 1


def test_a_curve_ends_where_it_is_not_finite():
    x = np.linspace(-1, 1, 5)
    with np.errstate(all="ignore"):
        lines = pieces(x, np.log(x))
    assert [line[0][0] for line in lines] == [0.5]


def test_a_curve_beyond_the_shared_limits_gets_its_own():
    low, high = shape(get("x + 100")).limits
    assert low < 100 < high
