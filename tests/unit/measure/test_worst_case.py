"""Errors in units, the largest of them, and where results are not finite."""

from __future__ import annotations

import math

import numpy as np
import pytest

from actlab.formula.atoms import exp, tanh
from actlab.formula.expr import Expr, Input
from actlab.measure.accuracy.record import Stretch, Worst
from actlab.measure.accuracy.reference import Reference, reference
from actlab.measure.accuracy.ulp import FORMATS
from actlab.measure.accuracy.worst_case import errors, not_finite, worst

X = Input("x")
SINGLE = FORMATS["float32"]


def told(formula: Expr, *x: float) -> Reference:
    return reference(formula, (X,), (np.array(x),), fmt=SINGLE)


def of(formula: Expr, x: list[float], results: list[float], *, bound: float | None = 2.0) -> Worst:
    exact = told(formula, *x)
    return worst(errors(np.array(results), exact, SINGLE), exact, fmt=SINGLE, bound=bound)


def test_an_error_is_counted_in_units_of_the_exact_value() -> None:
    found = of(2 * X, [1.0, 3.0, 30.0], [2.0, 6 + 3 * 2.0**-21, 60.0])
    assert (found.max_ulp, found.at, found.is_within) == (3.0, 3.0, False)
    assert found.within_20 == 3.0
    assert found.points == 3
    assert of(2 * X, [3.0, 30.0], [6.0, 60 + 2.0**-18]).within_20 == 0


def test_half_a_unit_is_measured_to_many_digits() -> None:
    exact = float(told(exp(X), 1.0).values[0])
    single = float(np.float32(exact))
    assert of(exp(X), [1.0], [single]).max_ulp == pytest.approx(abs(single - math.e) * 2.0**22, rel=1e-8)


def test_near_a_root_the_operand_s_units_count() -> None:
    found = of(X - 1, [1 + 2.0**-20, 5.0], [2.0**-20 + 2.0**-22, 4.0])
    assert (found.max_ulp, found.near_root, found.near_root_at) == (0.0, 2.0, 1 + 2.0**-20)
    assert found.is_within
    assert not of(X - 1, [1 + 2.0**-20], [2.0**-20 + 3 * 2.0**-23]).is_within


def test_nan_and_infinity_instead_of_a_number_are_infinitely_wrong() -> None:
    assert of(X, [1.0], [math.nan]).max_ulp == math.inf
    assert of(X, [1.0], [math.inf]).max_ulp == math.inf
    assert of(exp(X), [1000.0], [math.inf]).max_ulp == 0
    assert of(exp(X), [1000.0], [math.nan]).max_ulp == math.inf
    assert of(X, [math.inf], [math.nan]).max_ulp == 0  # infinite inputs are reported separately


def test_just_below_infinity_infinity_is_some_units_off() -> None:
    largest = SINGLE.largest
    assert of(2 * X, [largest / 2], [math.inf]).max_ulp == 1.0


def test_results_that_are_flushed_to_zero_are_found() -> None:
    assert of(X, [2.0**-140], [0.0]).max_ulp == 2.0**9


def test_without_a_bound_every_error_is_within() -> None:
    assert of(X, [1.0], [7.0], bound=None).is_within


def test_results_that_are_not_finite_are_reported_as_stretches() -> None:
    exact = told(tanh(X), -3.0, -2.0, -1.0, 0.0, 1.0, math.inf)
    found = errors(np.array([math.nan, math.nan, -0.76, 0.0, math.inf, math.inf]), exact, SINGLE)
    assert list(not_finite(found, exact, fmt=SINGLE, direction="forward")) == [
        Stretch("forward", "nan", -3.0, -2.0, 2),
        Stretch("forward", "inf", 1.0, math.inf, 2),
    ]


def test_an_infinity_that_the_mathematics_has_is_no_fault() -> None:
    exact = told(exp(X), 100.0, math.inf, -math.inf)
    found = errors(np.array([math.inf, math.inf, 0.0]), exact, SINGLE)
    assert list(not_finite(found, exact, fmt=SINGLE, direction="forward")) == []
