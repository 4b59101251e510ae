from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actlab.report.labels import apart, uncrossed


def test_labels_far_apart_do_not_move():
    assert apart([1.0, 9.0, 5.0], gap=2.0, limits=(0.0, 10.0)) == (1.0, 9.0, 5.0)


def test_close_labels_spread_around_their_middle():
    assert apart([5.0, 5.0, 5.0], gap=1.0, limits=(0.0, 10.0)) == (4.0, 5.0, 6.0)


def test_labels_pushed_onto_a_neighbor_share_the_shift():
    assert apart([3.0, 5.0, 5.0], gap=2.0, limits=(-9.0, 19.0)) == pytest.approx((7 / 3, 13 / 3, 19 / 3))


def test_close_labels_at_the_edge_stay_inside():
    assert apart([10.0, 10.0, 10.0], gap=1.0, limits=(0.0, 10.0)) == (8.0, 9.0, 10.0)


def test_too_many_are_spaced_evenly():
    assert apart([5.0] * 5, gap=9.0, limits=(0.0, 8.0)) == (0.0, 2.0, 4.0, 6.0, 8.0)


@given(st.lists(st.floats(-5, 15), min_size=1, max_size=12), st.floats(0.1, 3))
def test_nothing_overlaps_leaves_or_changes_order(wished, gap):
    places = apart(wished, gap=gap, limits=(0.0, 10.0))
    least = min(gap, 10.0 / max(1, len(wished) - 1))
    order = sorted(range(len(wished)), key=lambda number: wished[number])
    assert all(places[after] - places[before] >= least - 1e-9 for before, after in pairwise(order))
    assert min(places) >= -1e-9
    assert max(places) <= 10.0 + 1e-9


def test_no_labels_give_no_positions():
    assert apart([], gap=1.0, limits=(0.0, 1.0)) == pytest.approx(())


points = st.lists(st.tuples(st.floats(0, 0.99), st.floats(0, 1)), min_size=2, max_size=9)


@given(points)
def test_no_two_lines_to_labels_cross_and_labels_are_the_same(points):
    labels = apart([height for _, height in points], gap=0.1, limits=(0.0, 1.0))
    placed = uncrossed(points, labels, at=1.0)
    assert sorted(placed) == sorted(labels)
    for (one, label), (other, second) in combinations(zip(points, placed, strict=True), 2):
        start = max(one[0], other[0])
        before, after = line(one, label)(start) - line(other, second)(start), label - second
        assert before * after >= -1e-8


def line(point, label):
    """Return the line from a point to its label at 1."""
    return lambda x: point[1] + (label - point[1]) * (x - point[0]) / (1 - point[0])


def test_a_point_above_a_line_that_comes_from_the_left_gets_the_upper_label():
    points, labels = [(0.0, 0.9), (0.9, 0.8)], [0.5, 0.4]
    assert uncrossed(points, labels, at=1.0) == (0.4, 0.5)
