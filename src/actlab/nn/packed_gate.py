"""A gated unit straight from its packed projection, which is all that it saves for backward."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import forward_ad

from actlab.nn.dispatch import engine
from actlab.nn.operator import Pointwise, applied, pulled_back

Layout = Literal["value_first", "gate_first", "interleaved", "two"]


def split(x: Tensor, *, layout: Layout, dim: int) -> tuple[Tensor, Tensor]:
    """Split a packed tensor into value and gate, as views of it."""
    if layout == "interleaved":
        value, gate = torch.unflatten(x, dim, (-1, 2)).unbind(dim % x.dim() + 1)
        return value, gate
    first, second = x.chunk(2, dim)
    return (first, second) if layout == "value_first" else (second, first)


def takes_packed(made: Pointwise, x: Tensor) -> bool:
    """Say whether the packed tensor can go to a kernel under ordinary autograd."""
    return (
        torch.is_grad_enabled() and x.requires_grad and forward_ad._current_level < 0 and engine(made, (x,)) is not None
    )


def apply_packed(made: Pointwise, x: Tensor, *, layout: Layout, dim: int) -> Tensor:
    """Apply the gated unit to a packed tensor; the result has half its size along the axis."""
    return applied(Packed, made, layout, dim, x)


class Packed(torch.autograd.Function):
    """The operator: one pass writes both gradients into one tensor laid out as the input is."""

    @staticmethod
    def forward(ctx: Any, made: Pointwise, layout: Layout, dim: int, x: Tensor) -> Tensor:
        ctx.made, ctx.layout, ctx.dim = made, layout, dim
        ctx.save_for_backward(x)
        runs = engine(made, (x,))
        assert runs is not None  # `takes_packed` has checked
        return runs.forward(split(x, layout=layout, dim=dim))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None, Tensor]:
        (x,), (dy,) = ctx.saved_tensors, grads
        where = {"layout": ctx.layout, "dim": ctx.dim}
        runs = None if torch.is_grad_enabled() else engine(ctx.made, (x, dy))
        if runs is None:
            # differentiable again: each half is an operator
            parts = pulled_back(ctx.made, dy, split(x, **where), (True, True))
            return None, None, None, _joined([part for part in parts if part is not None], **where)
        dx = torch.empty_like(x)
        runs.pull_back(dy, split(x, **where), (True, True), into=split(dx, **where))
        return None, None, None, dx


def _joined(parts: list[Tensor], *, layout: Layout, dim: int) -> Tensor:
    """Invert `split`."""
    value, gate = parts
    if layout == "interleaved":
        return torch.stack((value, gate), dim % value.dim() + 1).flatten(dim % value.dim(), dim % value.dim() + 1)
    return torch.cat((value, gate) if layout == "value_first" else (gate, value), dim)
