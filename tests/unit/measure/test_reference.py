"""Exact values, and what a unit is worth where a sum cancels."""

from __future__ import annotations

import numpy as np
import pytest

from actlab.catalog.index import CATALOG
from actlab.formula.activation import Activation
from actlab.formula.atoms import exp, normal_cdf, normal_pdf, sigmoid, sin, spherical_bessel, tanh, where
from actlab.formula.expr import Expr, Input
from actlab.measure.accuracy.error_bounds import evaluated
from actlab.measure.accuracy.reference import largest_operand, reference
from actlab.measure.accuracy.ulp import FORMATS, spacing

X, GATE = Input("x"), Input("gate")
SINGLE = FORMATS["float32"]


def operand_at(formula: Expr, x: float) -> float | None:
    with np.errstate(all="ignore"):
        found = largest_operand(formula, evaluated([formula], {X: np.array([x])}))
    return None if found is None else float(found[0])


@pytest.mark.parametrize(
    ("formula", "x", "operand"),
    [
        (X - 2, 1.5, 2.0),
        (-(3 * X + 1), 2.0, 6.0),
        (X * (X - 2), 3.0, 9.0),
        ((X - 2) * X, 3.0, 9.0),
        ((X - 2) / X, 4.0, 1.0),
        ((X - 2) * (X + 5), 3.0, 24.0),
        (where(X < 0, X - 2, X), -1.0, 2.0),
        (where(X < 0, X - 2, X), 1.0, 0.0),
        ((X - 2) - 8, 1.0, 8.0),  # the outermost sum alone
        (X * exp(X), 1.0, None),
        (exp(X - 2), 1.0, None),
    ],
)
def test_the_largest_operand_of_the_outermost_sum(formula: Expr, x: float, operand: float | None) -> None:
    assert operand_at(formula, x) == operand


def test_near_a_root_a_unit_is_the_operand_s() -> None:
    slope = normal_cdf(X) + X * normal_pdf(X)
    root = -0.7517915246935645
    told = reference(slope, (X,), (np.array([root, -0.7, 3.0]),), fmt=SINGLE)
    assert told.near_root.tolist() == [True, True, False]
    assert told.unit[0] == spacing(np.array([normal_cdf_at(root)]), SINGLE)[0]
    assert told.unit[2] == 2.0**-23


def test_a_spherical_bessel_function_is_the_difference_of_its_recurrence() -> None:
    root = 4.493409457909064
    told = reference(-spherical_bessel(1, X) * 3, (X,), (np.array([root, 1e-9, 8.5]),), fmt=SINGLE)
    assert told.near_root.tolist() == [True, False, False]
    assert told.unit[0] == spacing(np.array([3 * np.cos(root) / root]), SINGLE)[0]
    second = reference(spherical_bessel(2, X), (X,), (np.array([5.763459196894550, 5.0]),), fmt=SINGLE)
    assert second.near_root.tolist() == [True, False]


def normal_cdf_at(x: float) -> float:
    return float(evaluated([normal_cdf(X)], {X: np.array([x])})[normal_cdf(X)].value[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_doubtful_points_take_fifty_digits(dtype: str) -> None:
    x = np.array([1e-30, 1e-5, 0.5, 3.0])
    told = reference(tanh(X) - X, (X,), (x,), fmt=FORMATS[dtype])
    assert told.to_fifty_digits == 0  # near its root a unit is the operand's, and x - tanh(x) is told well enough
    whole = reference(tanh(tanh(X) - X), (X,), (x,), fmt=FORMATS[dtype])
    assert whole.to_fifty_digits >= 2
    np.testing.assert_allclose(float(whole.values[1]), -(x[1] ** 3) / 3, rtol=1e-9)


def test_points_beyond_float64_are_exact() -> None:
    told = reference(sin(3 * X), (X,), (np.array([1e30]),), fmt=SINGLE)
    assert told.to_fifty_digits == 1
    np.testing.assert_allclose(float(told.values[0]), float(told.at(0)), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "left", "right"),
    [("gelu", 0.0, np.inf), ("tanh", -1.0, 1.0), ("sine", np.nan, np.nan), ("lisht", np.inf, np.inf)],
)
def test_at_infinity_the_value_is_the_limit(name: str, left: float, right: float) -> None:
    act = CATALOG[name]
    assert isinstance(act, Activation)
    told = reference(act.formula, (X,), (np.array([-np.inf, np.inf, np.nan]),), fmt=FORMATS["float16"])
    largest = 2.0**16  # what counts as infinity
    wanted = np.clip([left, right, np.nan], -largest, largest)
    np.testing.assert_array_equal(told.values, wanted)


def test_a_limit_of_one_input_while_the_other_is_fixed() -> None:
    columns = (np.array([2.0, -np.inf, np.inf]), np.array([-np.inf, 3.0, np.inf]))
    told = reference(X * sigmoid(GATE), (X, GATE), columns, fmt=SINGLE)
    assert told.values[0] == 0
    assert told.values[1] == -(2.0**128)
    assert np.isnan(told.values[2])


def test_undefined_points_are_left_out() -> None:
    told = reference(X**0.5, (X,), (np.array([-1.0, 4.0]),), fmt=SINGLE)
    assert np.isnan(told.values[0])
    assert told.values[1] == 2
