"""Exponentials of exponentials, far out and at infinity: what the mathematics has, and nothing else."""

from __future__ import annotations

from math import inf

import pytest
import torch

from actlab.catalog.index import get
from actlab.formula.expr import Input
from actlab.kernels.elementwise.limits import End, ends
from actlab.nn import functional

FAR = [20.0, 800.0, 3140.0, 1e5, 1e12, 1e30, inf]

# A formula, where it is looked at, and its value and slope there.
TAILS = {
    "x*tanh(exp(x))": (1, None, 1.0),
    "exp(-exp(-x))*x": (-1, 0.0, 0.0),
    "x*(1 - exp(-exp(x)))": (1, None, 1.0),
    "x*exp(-exp(x))": (1, 0.0, 0.0),
    "x*log(1 + tanh(exp(x)))": (1, None, 0.6931471805599453),
    "exp(-exp(x))": (1, 0.0, 0.0),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("typed", TAILS)
def test_results_far_out_and_at_infinity_are_the_limits(typed: str, dtype: torch.dtype) -> None:
    side, value, slope = TAILS[typed]
    x = (side * torch.tensor(FAR, dtype=dtype)).requires_grad_()
    y = functional(typed)(x)
    (dx,) = torch.autograd.grad(y.sum(), x)
    assert not y.isnan().any()
    if value is not None:
        torch.testing.assert_close(y, torch.full_like(y, value))
    torch.testing.assert_close(dx, torch.full_like(dx, slope))


def test_a_limit_is_found_where_the_program_breaks_off() -> None:
    act = get("x*tanh(exp(x))")
    assert ends(act.derivative(), Input("x"))[1] == End(1.0, inf)


def test_no_limit_is_invented() -> None:
    """What grows slowly, or swings, has not settled by the time that its program breaks off."""
    for typed in ("log(x + 1)*(exp(x)/exp(x))", "sin(x)*(exp(x)/exp(x))"):
        end = ends(get(typed).expression, Input("x"))[1]
        assert end is None or end.limit == inf
