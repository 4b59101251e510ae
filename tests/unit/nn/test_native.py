"""PyTorch's own numbers, bit for bit, for those who must reproduce a checkpoint."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import Tensor

import oracles
from actlab.catalog.index import CATALOG
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.nn import functional, module

TWINS = [
    act for act in CATALOG.values()
    if act.reference and len(act.inputs) == 1 and not any(param.trainable for param in act.params)
]  # fmt: skip


def points(dtype: torch.dtype) -> Tensor:
    x = torch.cat([torch.linspace(-30, 30, 997), torch.tensor([0.0, -0.0, 1e30, -1e30, 25.0, 20.0, float("inf")])])
    return x.to(dtype)


def same(found: Tensor, wanted: Tensor) -> bool:
    return torch.equal(found.nan_to_num(nan=7.0), wanted.nan_to_num(nan=7.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("act", TWINS, ids=str)
def test_results_equal_pytorchs_bit_for_bit(act: Activation | AxisActivation, dtype: torch.dtype) -> None:
    x = points(dtype)
    outcomes = []
    reference = torch.nn.functional.softplus if act.name == "softplus" else oracles.reference(act)
    for function in (functional(act, match="torch"), module(act, match="torch"), reference):
        leaf = x.clone().requires_grad_()
        torch.manual_seed(0)
        y = function(leaf, dim=-1) if function is reference and isinstance(act, AxisActivation) else function(leaf)
        y.backward(torch.linspace(0.5, 1.5, len(x)).to(dtype))
        assert leaf.grad is not None
        outcomes.append((y.detach(), leaf.grad))
    for ours in outcomes[:2]:
        assert all(same(found, wanted) for found, wanted in zip(ours, outcomes[2], strict=True))


def test_the_tail_that_pytorch_cuts_off_is_cut_off() -> None:
    x = torch.tensor([25.0], dtype=torch.float64)
    assert functional("softplus", match="torch")(x).item() == 25.0
    assert functional("softplus")(x).item() == torch.nn.functional.softplus(x, threshold=99).item() != 25.0


def test_matched_results_lose_digits_as_pytorch_does() -> None:
    x = torch.tensor([-5.5])
    matched, ours = functional("gelu", match="torch")(x), functional("gelu")(x)
    assert torch.equal(matched, torch.nn.functional.gelu(x))
    assert abs(ours / torch.nn.functional.gelu(x.double()) - 1) < 1e-6 < abs(matched / ours - 1)


def test_an_axis_goes_to_pytorch_too() -> None:
    x = torch.randn(3, 4, 5)
    for axis in (0, 1, -1):
        assert torch.equal(functional("softmax", match="torch")(x, dim=axis), torch.softmax(x, axis))
        assert torch.equal(module("softmax", dim=axis, match="torch")(x), torch.softmax(x, axis))


def test_it_can_be_printed_compared_and_pickled() -> None:
    gelu = functional("gelu", match="torch")
    assert repr(gelu) == "functional('gelu', match='torch')"
    assert repr(module("gelu", match="torch")) == "AsPyTorch(gelu, match='torch')"
    assert pickle.loads(pickle.dumps(gelu)) == gelu != functional("gelu")
    assert hash(pickle.loads(pickle.dumps(gelu))) == hash(gelu)


@pytest.mark.filterwarnings("ignore:module.memory='few-bit':DeprecationWarning")
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"formula": "gelu", "match": "jax"}, "match must be None, or 'torch' for PyTorch's own numbers; got 'jax'."),
        ({"formula": "gelu", "mode": "quick"}, "mode must be 'accurate' or 'fast'; got 'quick'."),
        ({"formula": "x*sigmoid(1.5*x)", "match": "torch"}, "x*sigmoid("),
        ({"formula": "swiglu", "match": "torch"}, "swiglu: match='torch' needs an operator"),
        ({"formula": "prelu", "match": "torch"}, "prelu"),
        ({"formula": "gelu", "match": "torch", "mode": "fast"}, "match='torch' runs PyTorch's operator, which takes"),
        ({"formula": "gelu", "match": "torch", "memory": "few-bit"}, "match='torch' runs PyTorch's operator"),
        ({"formula": "gelu", "bits": 3}, ""),
        ({"formula": "gelu", "memory": "few-bit", "bits": 5}, ""),
        ({"formula": "gelu", "memory": "none"}, ""),
    ],
)
def test_invalid_requests_are_one_line_errors(asked: dict[str, str], message: str) -> None:
    for make in (functional, module):
        with pytest.raises(BadInput) as error:
            make(**asked)
        assert str(error.value).startswith(message)
        assert "\n" not in str(error.value)
