"""An activation written into a tensor that exists: another one, or its own input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.kernels.layout import is_dense
from actlab.kernels.recipes import Mode
from actlab.nn.engine import engine
from actlab.nn.few_bit import FewBit, few_bit
from actlab.nn.operator import Pointwise, applied, apply, common_dtype, common_shape


def write(act: Activation, made: Pointwise, tensors: tuple[Tensor, ...], out: Tensor) -> Tensor:
    """The formula of the tensors, written into `out`.

    Raises:
        BadInput: `out` does not fit, or overlaps an input in part, or a gradient would need what is overwritten; an
            input is not of a floating-point dtype.
    """
    x, name, dtype = tensors[0], act.label, common_dtype(made, tensors)
    _refuse_unfit(out, shape=common_shape(tensors), dtype=dtype, name=name)
    if out.device != x.device:
        raise BadInput(f"{name}: out= must lie on {x.device}; it lies on {out.device}.")
    in_place = _same_memory(out, x)
    _refuse_overlap(out, tensors[1:] if in_place else tensors, name=name)
    if torch.is_grad_enabled() and (out.requires_grad or any(each.requires_grad for each in tensors)):
        return _under_autograd(act, x, mode=made.mode, in_place=in_place and len(tensors) == 1)
    with torch.no_grad():
        runs = engine(made, tensors) if all(each.shape == x.shape for each in tensors) else None
        if runs is not None:
            runs.forward(tensors, out=out)
            torch.autograd.graph.increment_version(out)
            return out
        return out.copy_(apply(made, *tensors))


class InPlace(torch.autograd.Function):
    """A piecewise linear activation in place: the piece that each element lay on is all that backward needs."""

    @staticmethod
    def forward(ctx: Any, lean: FewBit, x: Tensor) -> Tensor:
        ctx.lean = lean
        ctx.save_for_backward(lean.codes(x))
        x.copy_(lean(x.detach()))
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, ctx.lean.pulled(grads[0], *ctx.saved_tensors)


def _under_autograd(act: Activation, x: Tensor, *, mode: Mode, in_place: bool) -> Tensor:
    name = act.label
    if not in_place:
        raise BadInput(f"{name}: out= cannot be followed by autograd. Leave it out, or use torch.no_grad().")
    if x.is_leaf:
        raise BadInput(f"{name}: a leaf that requires a gradient cannot be overwritten by its own activation.")
    lean = _exact(act, mode)
    if lean is None:
        raise BadInput(
            f"{name}: its gradient needs the input, which in place would be overwritten. Only piecewise linear "
            "activations work in place under autograd. Leave out= away, or use torch.no_grad()."
        )
    return applied(InPlace, lean, x)


def _exact(act: Activation, mode: Mode) -> FewBit | None:
    """The activation with packed slopes, where they are exact."""
    try:
        lean = few_bit(act, mode=mode)
    except BadInput:  # a gated unit, a random parameter, a derivative without bound
        return None
    return lean if lean.is_exact else None


def _refuse_unfit(out: Tensor, *, shape: torch.Size, dtype: torch.dtype, name: str) -> None:
    if not isinstance(out, Tensor) or out.dtype != dtype or out.shape != shape:
        found = f"{out.dtype} of shape {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
        raise BadInput(f"{name}: out= must be {dtype} of shape {tuple(shape)}; got {found}.")
    if (
        out.numel() > 1
        and not is_dense(out)
        and any(stride == 0 and size > 1 for stride, size in zip(out.stride(), out.shape, strict=True))
    ):
        raise BadInput(f"{name}: several elements of out= share one place in memory. Use out.clone().")


def _same_memory(out: Tensor, x: Tensor) -> bool:
    return out is x or (out.data_ptr() == x.data_ptr() and out.stride() == x.stride() and out.shape == x.shape)


def _refuse_overlap(out: Tensor, others: tuple[Tensor, ...], *, name: str) -> None:
    for other in others:
        if out.numel() and other.numel() and _span(out)[0] < _span(other)[1] and _span(other)[0] < _span(out)[1]:
            raise BadInput(f"{name}: out= overlaps an input in part. Use a tensor of its own, or the input itself.")


def _span(tensor: Tensor) -> tuple[int, int]:
    """The first byte and the one after the last that the tensor's elements reach."""
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (reach + 1) * tensor.element_size()
