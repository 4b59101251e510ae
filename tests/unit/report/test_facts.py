from __future__ import annotations

import math

import pytest

from actlab.report.facts import courses, gaps, prices, tone, with_room
from unit.report.comparisons import ERRORS, TESTS, errors, made


def of(things, name):
    return next(thing for thing in things.arms if thing.arm == name)


def test_learning_curve_gives_median_quartiles_and_extremes_of_the_seeds():
    seeds = {name: [[10.0, 20.0]] * 8 for name in TESTS} | {"relu": [[10.0, float(value)] for value in range(8)]}
    course = of(courses(made(curves=seeds)), "relu")
    assert course.epochs == (1, 2)
    assert course.median == (10.0, 3.5)
    assert course.inner == ((10.0, 10.0), (1.75, 5.25))
    assert course.outer == ((10.0, 10.0), (0.0, 7.0))


def test_a_seed_that_diverged_counts_as_the_best_constant_answer_from_there_on():
    ended = {name: [[50.0, 60.0, 70.0]] * 8 for name in TESTS} | {"relu": [[50.0]] * 5 + [[50.0, 60.0, 90.0]] * 3}
    course = of(courses(made(curves=ended)), "relu")
    assert course.ended == 5
    assert course.median == (50.0, 10.0, 10.0)
    assert course.outer[-1] == (10.0, 90.0)


def test_no_epoch_leaves_no_curve():
    found = courses(made(curves={name: [[]] * 8 for name in TESTS}))
    assert [course.epochs for course in found.arms] == [()] * 5
    assert all(math.isfinite(end) for end in found.limits)


def test_an_error_that_explodes_does_not_flatten_the_other_curves():
    curves = {name: [[150.0, 100.0]] * 8 for name in ERRORS} | {"relu": [[150.0, 1e9]] * 8}
    low, high = courses(errors(curves=curves)).limits
    assert low < 100.0
    assert 150.0 < high < 300.0


def test_differences_stand_control_aside_and_best_first():
    found = gaps(made())
    assert [gap.arm for gap in found.arms] == ["relu", "tanh", "gelu", "softplus"]
    relu = found.arms[0]
    assert relu.each == (21.0, 20.0, 23.0, 19.0, 22.0, 24.0, 18.0, 21.0)
    assert (relu.estimate, relu.low, relu.high, relu.verdict) == (21.0, 18.0, 24.0, "better")
    assert found.region == 0.5
    # From -12 to 24, with 6 % of these 36 on either side.
    assert found.limits == pytest.approx((-14.16, 26.16))


def test_the_smallest_error_stands_first():
    assert [gap.arm for gap in gaps(errors()).arms] == ["relu", "tanh", "gelu", "elu"]


def test_infinite_intervals_leave_the_limits_finite():
    found = gaps(made({name: values[:7] for name, values in TESTS.items()}))
    assert (found.arms[0].low, found.arms[0].high) == (-math.inf, math.inf)
    assert all(math.isfinite(end) for end in found.limits)


def test_prices_give_mean_and_spread_at_the_relative_cost():
    price = of(prices(made()), "relu")
    assert (price.relative_step, price.test) == (1.1, 91.25)
    # Squared deviations from 91.25 sum to 6.
    assert price.spread == pytest.approx(math.sqrt(6 / 7))


def test_arms_that_were_not_timed_are_named():
    found = prices(made(costs={"sigmoid": 1.0, "relu": 1.1}))
    assert [price.arm for price in found.arms] == ["sigmoid", "relu"]
    assert found.missing == ("gelu", "tanh", "softplus")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("sigmoid", "relu", "softplus"), "better"),
        (("sigmoid", "gelu"), "equivalent"),
        (("sigmoid", "softplus"), "worse"),
        (("sigmoid", "gelu", "softplus"), "undecided"),
        (("sigmoid", "tanh"), "undecided"),
    ],
)
def test_tone_is_that_of_the_whole(names, expected):
    assert tone(made({name: TESTS[name] for name in names})) == expected


def test_equal_values_get_room():
    assert with_room([3.0, 3.0]) == (2.0, 4.0)
