"""The range of a site's values agrees with a cast of the values."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.catalog.index import get
from actlab.diagnosis.conformance.ranges import FORMATS, ranges
from actlab.theory.overflow import overflows_at

FUNCTIONS = {
    "relu2": lambda x: F.relu(x).square(),
    "silu": F.silu,
    "tanh": torch.tanh,
    "relu6": F.relu6,
    "gelu": F.gelu,
}


class Net(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_shares_agree_with_a_cast(name: str) -> None:
    torch.manual_seed(0)
    z = torch.cat([torch.randn(20_000) * scale for scale in (1.0, 30.0, 3000.0)]).double().requires_grad_()
    y = FUNCTIONS[name](z)
    (slope,) = torch.autograd.grad(y.sum(), z)
    if name == "tanh":
        slope = z.detach().cosh() ** -2  # autograd's 1 - y * y is 0 from 19 onward

    found = ranges(Net(FUNCTIONS[name]), z.detach())[0]

    assert found.flat_share == pytest.approx(float((slope == 0).double().mean()), abs=0.003)
    for each in FORMATS:
        beyond = y.detach().to(each.dtype).double()
        lost = (
            (~beyond.isfinite() | ((beyond.abs() == each.largest) & (y.abs() > each.largest * 1.034))).double().mean()
        )
        zero = (slope.to(each.dtype).double() == 0).double().mean()
        fits = found.formats[each.name]
        assert fits.overflow_share == pytest.approx(float(lost), rel=0.05, abs=1e-4), each.name
        assert fits.zero_gradient_share == pytest.approx(float(zero), rel=0.05, abs=0.003), each.name


@pytest.mark.parametrize(
    ("name", "largest", "place"), [("swiglu", 448.0, 21.17), ("swiglu", 65504.0, 255.9), ("relu2", 65504.0, 255.94)]
)
def test_the_input_that_overflows(name: str, largest: float, place: float) -> None:
    found = overflows_at(get(name), largest)
    assert found == pytest.approx(place, abs=0.05)


def test_exponents_overflow_on_one_side_and_bounded_functions_never() -> None:
    assert overflows_at(get("elu"), 65504.0, sign=-1) is None
    assert overflows_at(get("sigmoid"), 448.0) is None
    assert overflows_at(get("exponential"), 65504.0) == pytest.approx(11.0898, abs=1e-3)


def test_headroom_is_in_octaves() -> None:
    found = ranges(Net(F.relu), torch.tensor([-3.0, 7.0, 56.0]))[0]
    assert found.formats["e4m3"].headroom == pytest.approx(3.0)
    assert found.largest_output == 56.0
