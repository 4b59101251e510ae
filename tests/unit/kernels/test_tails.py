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
from actlab.formula.expr import Input, ParamRef
from actlab.kernels.elementwise import kernels_of
from actlab.kernels.recipes import Mode
from actlab.lower.straight_line import Leaf
from actlab.measure.exact import exact

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
