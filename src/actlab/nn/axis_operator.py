"""An activation along an axis as a differentiable operator, from its declared Jacobian products."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from actlab.errors import BadInput
from actlab.formula.along_axis import AxisActivation, V, X, Y
from actlab.formula.expr import Expr
from actlab.lower.to_torch import program
from actlab.nn.operator import HALF, applied, signed


@lru_cache(maxsize=256)
def _compiled(expression: Expr, *, of_input: bool) -> Callable[..., Tensor]:
    args = (X,) if of_input else (Y, V)
    function: Callable[..., Any] = program((expression,), args).function
    return function


class AlongAxis(torch.autograd.Function):
    """The operator. Its output is all that it keeps for backward."""

    generate_vmap_rule = True

    @staticmethod
    @signed
    def forward(act: AxisActivation, axis: int, x: Tensor) -> Tensor:
        return _compiled(act.expression, of_input=True)(x, axis)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.act, ctx.axis, _ = inputs
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor]:
        (y,) = ctx.saved_tensors
        return None, None, _compiled(ctx.act.vjp, of_input=False)(y, grads[0], ctx.axis)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (y,) = ctx.saved_tensors
        return _compiled(ctx.act.jvp, of_input=False)(y, tangents[2], ctx.axis)


def apply_along_axis(act: AxisActivation, x: Tensor, *, axis: int) -> Tensor:
    """The activation along one axis of the tensor; 16-bit tensors are computed in float32 and rounded once.

    Raises:
        BadInput: the tensor is not of a floating-point dtype, has no such axis, or is empty along it.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        found = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise BadInput(f"{act.name} takes floating-point tensors; got {found}.")
    if not -x.dim() <= axis < x.dim():
        raise BadInput(f"{act.name} along axis {axis}: the tensor has {x.dim()} axes, of shape {tuple(x.shape)}.")
    if x.shape[axis] == 0:
        raise BadInput(f"{act.name} along axis {axis}: the axis has length 0.")
    working = x.float() if x.dtype in HALF else x
    if torch.compiler.is_exporting():
        return _compiled(act.expression, of_input=True)(working, axis % x.dim()).to(x.dtype)
    return applied(AlongAxis, act, axis % x.dim(), working).to(x.dtype)
