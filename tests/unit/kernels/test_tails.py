"""Kernels where a number on the way is too large or too small for its type though the result is not: fifty digits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from mpmath import mp
from torch import Tensor

from actlab.catalog.index import get
from actlab.formula.activation import Activation
from actlab.formula.derivative import derivative
from actlab.formula.expr import Expr, Input, ParamRef
from actlab.kernels.elementwise.kernels import kernels_of
from actlab.kernels.elementwise.strategies import Mode
from actlab.lower.straight_line import Leaf
from actlab.measure.accuracy.multiprecision import exact

DIGITS = {torch.float32: (24, -149), torch.float64: (53, -1074)}


def units_off(text: str, columns: Sequence[Tensor], *, mode: Mode = "accurate", by: str | None = None) -> float:
    """The largest error of the value, or of the derivative by an argument, in units in the last place.

    Args:
        text: the formula.
        columns: its inputs, then the parameter it is derived by if that is no input.
        mode: the kernels'.
        by: the argument; the value's error if left out.
    """
    act = get(text)
    assert isinstance(act, Activation)
    params = (by,) if by is not None and by not in act.inputs else ()
    args: tuple[Leaf, ...] = (*map(Input, act.inputs), *map(ParamRef, params))
    expression = act.with_references(*params)
    kernels = kernels_of(expression, args, mode)
    if by is None:
        formula, found = expression, kernels.forward(columns)
    else:
        at = [arg.name for arg in args].index(by)
        formula = derivative(expression, args[at])
        gradient = kernels.pull_back(torch.ones_like(columns[0]), columns, [each == at for each in range(len(args))])
        assert gradient[at] is not None
        found = gradient[at]
    told = exact(formula, args)
    points = zip(*(column.tolist() for column in columns), strict=True)
    return max(_off(told(*point), value, found.dtype) for point, value in zip(points, found.tolist(), strict=True))


def _off(true: object, value: float, dtype: torch.dtype) -> float:
    digits, least = DIGITS[dtype]
    if not math.isfinite(value):
        return math.inf
    with mp.workprec(300):
        exponent = mp.frexp(true)[1] if true else -5000
        return float(abs(value - true) / mp.mpf(2) ** max(exponent - digits, least))


def doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("mode", ["accurate", "fast"])
def test_a_slope_that_divides_by_a_square_lasts_as_long_as_it_is_a_number(mode: Mode) -> None:
    x = doubles(1e153, -1.35e154, 2e155, -1e160, 5e161)
    assert units_off("softsign", [x], mode=mode, by="x") <= 4


@pytest.mark.parametrize("mode", ["accurate", "fast"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_scaled_square_is_as_large_as_its_type_allows(dtype: torch.dtype, mode: Mode) -> None:
    root = math.sqrt(torch.finfo(dtype).max)
    x = torch.tensor([root * 1.05, root, root / 3, 1.0], dtype=dtype)
    assert units_off("star_relu", [x], mode=mode) <= 4
    large = torch.finfo(dtype).max * torch.tensor([0.55, 0.5, 0.1], dtype=dtype)
    assert units_off("star_relu", [large], mode=mode, by="x") <= 4


@pytest.mark.parametrize("mode", ["accurate", "fast"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_sine_of_half_turns_is_right_however_many_they_are(dtype: torch.dtype, mode: Mode) -> None:
    largest, start = torch.finfo(dtype).max, 1 / torch.finfo(dtype).eps
    x = torch.tensor([largest, largest / 3, start * 12, start / 2 + 0.5, -start / 4 - 0.25, 12345.25, 3.5], dtype=dtype)
    slack = 1 if mode == "accurate" else 4
    for text in ("sin(pi*x)", "cos(x*pi)", "sin(2*pi*x)", "gelu_sinc"):
        assert units_off(text, [x], mode=mode) <= 4 * slack, text
    # beside 1 + sinc/2 the slope of the sine is as large: cos(πx)/2
    assert units_off("gelu_sinc", [x.abs()], mode=mode, by="x") <= 4 * slack


def beside(*places: float) -> Tensor:
    """The places, and thirty steps of a thousandth to either side of each."""
    steps = torch.arange(-30, 31, dtype=torch.float64) / 1000
    return (doubles(*places)[:, None] + steps).flatten()


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("phish", (-38.5, -38.6)),
        *((name, (-744.5, -745.1, -708.4)) for name in ("telu", "smish", "serf", "logish")),
    ],
)
def test_a_tail_through_two_functions_is_right_to_its_last_digit(name: str, places: tuple[float, ...]) -> None:
    x = beside(*places)
    assert units_off(name, [x]) <= 4
    assert units_off(name, [x], by="x") <= 4
    (slope,) = kernels_of(_expression(name), (Input("x"),), "accurate").pull_back(torch.ones_like(x), [x], [True])
    true = exact(derivative(_expression(name), Input("x")), (Input("x"),))
    assert slope is not None
    assert all(found != 0 for place, found in zip(x.tolist(), slope.tolist(), strict=True) if abs(true(place)) > 5e-324)


def _expression(name: str) -> Expr:
    act = get(name)
    assert isinstance(act, Activation)
    return act.with_references()


def test_a_slope_of_an_overflowing_square_is_a_number_as_long_as_it_can_be() -> None:
    assert units_off("arctan", [doubles(1e100, -1.34e154, 1.4e154, -3e160, 6e161)], by="x") <= 4


@pytest.mark.parametrize("by", ["a0", "a1", "a2", "a3", "b1", "b2", "b3", "b4"])
def test_powers_that_underflow_beside_their_product_do_no_harm(by: str) -> None:
    act = get("rational")
    assert isinstance(act, Activation)
    x = torch.cat([10.0 ** torch.arange(0, 308, 9, dtype=torch.float64), -(10.0 ** torch.arange(1, 308, 9.0).double())])
    value = next(param.value for param in act.params if param.name == by)
    assert units_off("rational", [x, torch.full_like(x, value)], by=by) <= 4


@pytest.mark.parametrize("name", ["swiglu", "geglu", "glu"])
def test_a_huge_value_beside_a_tiny_gate_is_right_to_the_last_digit(name: str) -> None:
    value = doubles(1.79e308, -1.79e308, 1.8e252, 1e200, 1.79e308, 1e300)
    gate = doubles(5e-324, -5e-324, -51.434987703974656, -38.9, -38.5, -743.5)
    assert units_off(name, [value, gate]) <= 4
    assert units_off(name, [value, gate], by="gate") <= 4


def test_an_exponential_of_any_size_has_the_product_s() -> None:
    x = doubles(709.0, 720.0, 800.0, 900.0, 930.0)
    assert units_off("1e-100*exp(x)", [x]) <= 4


def test_exponentials_of_any_size_are_distinguished() -> None:
    x = doubles(300.0, 700.0, 710.0, 1000.0, 1400.0)
    assert units_off("sigmoid(-x)*exp(x)", [x]) <= 4
    assert units_off("exp(x)/exp(2*x)", [x]) <= 4
    assert units_off("exp(x)*exp(-x-20)", [x[:3]]) <= 4


def test_what_falls_as_an_exponential_of_one_is_0() -> None:
    for dtype in (torch.float32, torch.float64):
        x = torch.tensor([-8.0, -1000.0, -3600.0, -1e6, -1e12], dtype=dtype)
        (slope,) = kernels_of(_expression("exp(-exp(-x))"), (Input("x"),), "accurate").pull_back(x + 1 - x, [x], [True])
        assert slope is not None
        assert slope.tolist() == [0.0] * 5


@pytest.mark.parametrize("text", ["sqrt(1 + x*x) - 1", "log(1 + x*x)", "log1p(x*x*x*x)", "x*x*x/(1+abs(x*x*x))"])
def test_roots_and_logarithms_of_what_overflows(text: str) -> None:
    x = doubles(1.79e308, -1e300, 1e155, 1e120, 12.5)
    assert units_off(text, [x]) <= 4
    assert units_off(text, [x], by="x") <= 4


def test_an_oscillation_damped_by_an_exponential_tends_to_0() -> None:
    x = doubles(30.0, 1e150, 1.7e154, 1e300)
    kernels = kernels_of(_expression("sin(x*x)*exp(-x*x)"), (Input("x"),), "accurate")
    (slope,) = kernels.pull_back(torch.ones_like(x), [x], [True])
    assert slope is not None
    assert [kernels.forward([x]).abs().tolist(), slope.abs().tolist()] == [[0.0] * 4] * 2
