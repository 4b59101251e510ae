"""Write an activation into an existing tensor: another one, or its own input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.kernels.elementwise.strategies import Mode
from actlab.nn.dispatch import engine
from actlab.nn.few_bit import FewBitFunction, few_bit
from actlab.nn.memory_overlap import lies_apart, overlap, overlaps_itself
from actlab.nn.operator import Pointwise, applied, apply, common_dtype, common_shape

_REMEDY = "Call it without out=, which gives a new tensor, or under torch.no_grad()."
_NOT_FOLLOWED = "{name}: autograd cannot follow a result into out=. " + _REMEDY


def write(act: Activation, made: Pointwise, tensors: tuple[Tensor, ...], out: Tensor) -> Tensor:
    """Write the formula of the tensors (its inputs, then its parameters) into `out`.

    Raises:
        BadInput: `out` does not fit, or overlaps itself or an input in part, or a gradient would need what is
            overwritten; an input is not of a floating-point dtype.
    """
    x, name, dtype = tensors[0], act.label, common_dtype(made, tensors)
    _refuse_unfit(out, shape=common_shape(tensors), dtype=dtype, name=name)
    if out.device != x.device:
        raise BadInput(f"{name}: out= must lie on {x.device}; it lies on {out.device}.")
    follows = torch.is_grad_enabled() and (out.requires_grad or any(each.requires_grad for each in tensors))
    if torch.compiler.is_compiling():
        return _traced(made, tensors, out, follows=follows, name=name)
    _refuse_overlap(out, tensors, act=act)
    if follows:
        return _under_autograd(act, x, mode=made.mode, in_place=len(act.inputs) == 1 and _same_memory(out, x))
    with torch.no_grad():
        runs = engine(made, tensors) if out.shape == x.shape else None
        if runs is not None:
            runs.forward(tensors, out=out)
            torch.autograd.graph.increment_version(out)
            return out
        return out.copy_(apply(made, *tensors))


def _traced(made: Pointwise, tensors: tuple[Tensor, ...], out: Tensor, *, follows: bool, name: str) -> Tensor:
    """Write in a compiled graph, which computes before it copies, so that no input is overwritten too early."""
    if not lies_apart(out):
        raise BadInput(f"{name}: several elements of out= may share one place in memory. Use out.clone().")
    if follows and out is not tensors[0]:
        raise BadInput(_NOT_FOLLOWED.format(name=name))
    return out.copy_(apply(made, *tensors))


class InPlace(torch.autograd.Function):
    """A piecewise linear activation in place: backward needs only the piece on which each element lay."""

    @staticmethod
    def forward(ctx: Any, lean: FewBitFunction, x: Tensor) -> Tensor:
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
        raise BadInput(_NOT_FOLLOWED.format(name=name))
    if x.is_leaf:
        raise BadInput(f"{name}: a leaf that requires a gradient cannot be overwritten by its own activation.")
    lean = _exact(act, mode)
    if lean is None:
        raise BadInput(
            f"{name}: its gradient needs the input, which in place would be overwritten. Only piecewise linear "
            f"activations work in place under autograd. {_REMEDY}"
        )
    return applied(InPlace, lean, x)


def _exact(act: Activation, mode: Mode) -> FewBitFunction | None:
    try:
        lean = few_bit(act, mode=mode)
    except BadInput:  # a gated unit, a random parameter, a derivative without bound
        return None
    return lean if lean.is_exact else None


def _refuse_unfit(out: Tensor, *, shape: torch.Size, dtype: torch.dtype, name: str) -> None:
    if not isinstance(out, Tensor) or out.dtype != dtype or out.shape != shape:
        found = f"{out.dtype} of shape {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
        raise BadInput(f"{name}: out= must be {dtype} of shape {tuple(shape)}; got {found}.")
    if out.layout is not torch.strided:
        raise BadInput(f"{name}: out= must be a dense tensor; its layout is {out.layout}.")


def _same_memory(out: Tensor, x: Tensor) -> bool:
    return out is x or (out.data_ptr() == x.data_ptr() and out.stride() == x.stride() and out.shape == x.shape)


def _refuse_overlap(out: Tensor, tensors: tuple[Tensor, ...], *, act: Activation) -> None:
    """Raise an error unless each element is read before it is overwritten: an input is the output itself, or lies
    apart.
    """
    if overlaps_itself(out):
        raise BadInput(f"{act.label}: several elements of out= share one place in memory. Use out.clone().")
    if any(not _same_memory(out, each) and overlap(out, each) for each in tensors):
        itself = "the input itself" if len(act.inputs) == 1 else "one of the inputs themselves"
        raise BadInput(f"{act.label}: out= overlaps an input in part. Use a separate tensor, or {itself}.")
