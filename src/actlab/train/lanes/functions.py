"""PyTorch's functions for many lanes at once: the first axis of every tensor counts the lanes.

`x` has the shape (lanes, batch, ...), a weight (lanes, *its own shape).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply each lane's linear map to the last axis, all of them as one batched product."""
    if len(x) == weight.shape[1] == 1:
        # PyTorch has another kernel, with other rounding, for a single product with a vector.
        return linear(_doubled(x), _doubled(weight), None if bias is None else _doubled(bias))[:1]
    flat = x if x.dim() == 3 else x.reshape(len(x), -1, x.shape[-1])
    product: Tensor = _Linear.apply(flat, weight, bias)  # type: ignore[no-untyped-call]  # PyTorch leaves it without types
    return product if x.dim() == 3 else product.view(*x.shape[:-1], -1)


def _doubled(one: Tensor) -> Tensor:
    return one.expand(2, *one.shape[1:])


class _Linear(torch.autograd.Function):
    """Batched products in the forms that PyTorch takes for one lane, so that they round alike.

    PyTorch's own gradient of `baddbmm` is another product, in a layout that the optimizers would have to copy.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        turned = weight.transpose(1, 2)
        return torch.bmm(x, turned) if bias is None else torch.baddbmm(bias.unsqueeze(1), x, turned)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), (dy,), (of_x, of_weight, of_bias) = ctx.saved_tensors, grads, ctx.needs_input_grad
        return (
            torch.bmm(dy, weight) if of_x else None,
            torch.bmm(dy.transpose(1, 2), x) if of_weight else None,
            dy.sum(1) if of_bias else None,
        )


def embedding(indices: Tensor, weight: Tensor) -> Tensor:
    """Look up rows of each lane's table."""
    first_rows = torch.arange(0, len(weight) * weight.shape[1], weight.shape[1])
    places = indices + first_rows.view(-1, *[1] * (indices.dim() - 1))
    return F.embedding(places, weight.flatten(0, 1))


def layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalize each example over its last axes."""
    result = F.layer_norm(x, tuple(shape), None, None, eps)
    if weight is None:
        return result
    scale = _beside(weight, x, last=len(shape))
    return result * scale if bias is None else torch.addcmul(_beside(bias, x, last=len(shape)), result, scale)


def _beside(values: Tensor, x: Tensor, *, last: int) -> Tensor:
    """Return one tensor per lane in a shape that broadcasts against `x`, whose last axes it has."""
    return values.view(len(values), *[1] * (x.dim() - 1 - last), *values.shape[1:])


def batch_norm(
    x: Tensor,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel of each lane over the lane's batch; update running statistics in place."""
    lanes, batch, channels = x.shape[:3]
    beside = x.transpose(0, 1).reshape(batch, lanes * channels, *x.shape[3:])
    flat_mean, flat_variance, scale, offset = (
        None if each is None else each.reshape(-1) for each in (mean, variance, weight, bias)
    )
    result = F.batch_norm(beside, flat_mean, flat_variance, scale, offset, training, momentum, eps)
    return result.view(batch, lanes, channels, *x.shape[3:]).transpose(0, 1)


def one_by_one(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a function that runs the lanes one after another: a convolution gains nothing from a batch of them."""

    def looped(x: Tensor, weight: Tensor, bias: Tensor | None = None, *settings: Any, **named: Any) -> Tensor:
        biases = [None] * len(x) if bias is None else bias.unbind()
        lanes = zip(x.unbind(), weight.unbind(), biases, strict=True)
        return torch.stack([function(each, own, offset, *settings, **named) for each, own, offset in lanes])

    return looped


def row_by_row(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return a function that takes all lanes as one batch, as it computes every example by itself."""

    def flattened(x: Tensor) -> Tensor:
        result = function(x.flatten(0, 1))
        return result.view(*x.shape[:2], *result.shape[1:])

    return flattened


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **settings: Any,
) -> Tensor:
    """Apply scaled dot-product attention in every lane; PyTorch's kernel takes four axes.

    A mask of two axes is that of all lanes.
    """
    lanes = len(query)
    q, k, v = (each.flatten(0, 1) for each in (query, key, value))
    if attn_mask is not None and attn_mask.dim() > 2:
        aligned = attn_mask.view(len(attn_mask), *[1] * (query.dim() - attn_mask.dim()), *attn_mask.shape[1:])
        attn_mask = aligned.expand(*query.shape[:2], *aligned.shape[2:]).flatten(0, 1)
    result = F.scaled_dot_product_attention(q, k, v, attn_mask, dropout_p, is_causal, **settings)
    return result.view(lanes, -1, *result.shape[1:])
