"""Piecewise linear activations save one or two bits an element by default, with the same results."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from actlab.catalog.index import get
from actlab.kernels.elementwise.native_operator import own_operator
from actlab.nn import functional, module
from actlab.nn.operator import apply, pointwise_of
from actlab.nn.sign_bits import OVER_OPERATOR, WORTH_BITS, kept_bits

LEAN = ("leaky_relu", "hard_tanh", "relu6", "hard_sigmoid", "soft_shrink", "abs(x)", "max(x, 0.3*x)")
X = 3 * torch.randn(OVER_OPERATOR + 32, generator=torch.Generator().manual_seed(0))


def kept_bytes(function: object, x: Tensor) -> int:
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        function(x.detach().requires_grad_())
    return sum(tensor.nbytes for tensor in kept)


@pytest.mark.parametrize("make", [functional, partial(module, trainable=False)], ids=["functional", "module"])
@pytest.mark.parametrize("name", LEAN)
def test_a_large_input_is_not_saved(name: str, make: object) -> None:
    bits = 2 if name == "abs(x)" else 1
    assert kept_bytes(make(name), X) == len(X) * bits // 8
    least = WORTH_BITS if own_operator(get(name)) is None else OVER_OPERATOR
    assert kept_bytes(make(name), X[:least]) == least * bits // 8
    assert kept_bytes(make(name), X[: least - 1]) >= 4 * (least - 1)


@pytest.mark.parametrize("name", ["relu", "gelu", "identity", "swiglu", "rrelu", "relu2"])
def test_without_a_gain_or_exactness_nothing_changes(name: str) -> None:
    assert kept_bits(get(name), "accurate") is None


def test_a_trained_parameter_needs_the_input() -> None:
    assert kept_bytes(module("prelu"), X) >= X.nbytes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("mode", ["accurate", "fast"])
@pytest.mark.parametrize("name", LEAN)
def test_values_and_gradients_are_the_same(name: str, mode: str, dtype: torch.dtype) -> None:
    f, x, dy = functional(name, mode=mode), X.to(dtype).clone(), X.flip(0).to(dtype)
    x[:3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    found = []
    for function in (f, partial(apply, pointwise_of(get(name), mode=mode))):
        leaf = x.clone().requires_grad_()
        y = function(leaf)
        found.append((y.detach(), *torch.autograd.grad(y, leaf, dy)))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one.nan_to_num(7), other.nan_to_num(7))


def test_a_second_derivative_is_zero_and_a_mixed_one_right() -> None:
    leaf, dy = X.clone().requires_grad_(), X.flip(0).requires_grad_()
    (dx,) = torch.autograd.grad(functional("leaky_relu")(leaf), leaf, dy, create_graph=True)
    by_x, by_dy = torch.autograd.grad(dx.square().sum(), (leaf, dy), create_graph=True)
    slope = torch.where(X > 0, 1.0, torch.tensor(0.01))
    assert torch.equal(by_x, torch.zeros_like(X))
    torch.testing.assert_close(by_dy.detach(), 2 * (dy * slope * slope).detach())
    (again,) = torch.autograd.grad(by_dy.sum(), dy)
    torch.testing.assert_close(again, 2 * slope * slope)


def test_transforms_and_strided_layouts_save_the_input() -> None:
    f = functional("leaky_relu")
    slope = torch.func.grad(lambda x: f(x).sum())(X)
    assert torch.equal(slope, torch.where(X > 0, 1.0, torch.tensor(0.01)))
    strided = X.reshape(32, -1).t()
    leaf = strided.detach().requires_grad_()
    f(leaf).sum().backward()
    assert torch.equal(leaf.grad, torch.where(strided > 0, 1.0, torch.tensor(0.01)))
