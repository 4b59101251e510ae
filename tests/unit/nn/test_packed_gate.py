"""Gated units straight from their packed projection: one gradient, the same bits, only the input saved."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from actlab.catalog.index import CATALOG
from actlab.formula.activation import Activation
from actlab.nn import module
from actlab.nn.packed_gate import Layout, split

GATED = [act for act in CATALOG.values() if isinstance(act, Activation) and len(act.inputs) == 2]
LAYOUTS: tuple[Layout, ...] = ("value_first", "gate_first", "interleaved")
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


def drawn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def outcome(unit: torch.nn.Module, dy: Tensor, *inputs: Tensor) -> list[Tensor]:
    leaves = [each.clone(memory_format=torch.preserve_format).requires_grad_() for each in inputs]
    y = unit(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, dy)]


@every_layout
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("act", GATED, ids=str)
def test_a_packed_tensor_gives_the_bits_of_two(act: Activation, dtype: torch.dtype, layout: Layout) -> None:
    for dim in (0, 1, -1):
        x = drawn(4, 6, 34, dtype=dtype)
        value, gate = split(x, layout=layout, dim=dim)
        dy = drawn(*value.shape, dtype=dtype, seed=1)
        y, dx = outcome(module(act, layout=layout, dim=dim), dy, x)
        wanted, by_value, by_gate = outcome(module(act, layout="two"), dy, value, gate)
        assert torch.equal(y, wanted)
        found = split(dx, layout=layout, dim=dim)
        assert torch.equal(found[0], by_value)
        assert torch.equal(found[1], by_gate)


@every_layout
def test_only_the_packed_input_is_saved(layout: Layout) -> None:
    x, kept = drawn(8, 64).requires_grad_(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda each: (kept.append(each), each)[1], lambda each: each):
        module("swiglu", layout=layout)(x)
    assert [each.data_ptr() for each in kept] == [x.data_ptr()]


@every_layout
def test_a_retained_graph_gives_its_gradient_twice(layout: Layout) -> None:
    x = drawn(3, 10).requires_grad_()
    y = module("geglu", layout=layout)(x).sum()
    first, second = (torch.autograd.grad(y, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@every_layout
def test_gradients_of_gradients(layout: Layout) -> None:
    x = drawn(2, 3, 4, dtype=torch.float64).requires_grad_()
    for dim in (-1, 0):
        unit = module("swiglu", layout=layout, dim=dim)
        assert torch.autograd.gradcheck(unit, (x,))
        assert torch.autograd.gradgradcheck(unit, (x,))


def test_an_input_overwritten_before_its_backward_pass_is_noticed() -> None:
    x = drawn(3, 10).requires_grad_() * 1
    y = module("swiglu", layout="value_first")(x).sum()
    with torch.no_grad():
        x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@every_layout
def test_a_strided_packed_tensor(layout: Layout) -> None:
    x = drawn(5, 40).t().contiguous().t()
    unit = module("reglu" if "reglu" in CATALOG else "swiglu", layout=layout)
    dy = drawn(5, 20, seed=1)
    for found, wanted in zip(outcome(unit, dy, x), outcome(unit, dy, x.contiguous()), strict=True):
        assert torch.equal(found, wanted)
