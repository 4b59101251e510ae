"""An activation along an axis as a differentiable operator, from its declared Jacobian products."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, final

import torch
from torch import Tensor

from actlab.errors import BadInput
from actlab.formula.along_axis import AxisActivation, V, X, Y
from actlab.lower.to_torch import program
from actlab.nn.operator import HALF, TensorFunction, applied, signed


@final
class Axiswise:
    """An activation along an axis as something that runs; made by `axiswise`, which makes each only once.

    Attributes:
        activation: the activation.
        value: the activation as a function of a tensor and an axis.
        jvp, vjp: the products of its Jacobian with a vector, as functions of the output, the vector and the axis.
    """

    def __init__(self, act: AxisActivation) -> None:
        self.activation = act
        # all are made now and not when first needed: torch.compile cannot follow the making
        self.value: TensorFunction = program((act.expression,), (X,)).function
        self.jvp: TensorFunction = program((act.jvp,), (Y, V)).function
        self.vjp: TensorFunction = program((act.vjp,), (Y, V)).function

    def __reduce__(self) -> tuple[Any, ...]:
        return axiswise, (self.activation,)


@lru_cache(maxsize=256)
def axiswise(act: AxisActivation) -> Axiswise:
    """The activation as something that runs."""
    return Axiswise(act)


class AlongAxis(torch.autograd.Function):
    """The operator. Its output is all that it keeps for backward."""

    generate_vmap_rule = True

    @staticmethod
    @signed
    def forward(made: Axiswise, axis: int, x: Tensor) -> Any:
        return made.value(x, axis)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.made, ctx.axis, _ = inputs
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor]:
        (y,) = ctx.saved_tensors
        return None, None, ctx.made.vjp(y, grads[0], ctx.axis)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        (y,) = ctx.saved_tensors
        return ctx.made.jvp(y, tangents[2], ctx.axis)


class Traced(torch.autograd.Function):
    """The operator as torch.compile can trace it: it follows no `jvp` and no `vmap`."""

    @staticmethod
    def forward(ctx: Any, made: Axiswise, axis: int, x: Tensor) -> Any:
        y = made.value(x, axis)
        ctx.made, ctx.axis = made, axis
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor]:
        (y,) = ctx.saved_tensors
        return None, None, ctx.made.vjp(y, grads[0], ctx.axis)


def apply_along_axis(made: Axiswise, x: Tensor, *, axis: int) -> Tensor:
    """The activation along one axis of the tensor; 16-bit tensors are computed in float32 and rounded once.

    Raises:
        BadInput: the tensor is not of a floating-point dtype, has no such axis, or is empty along it.
    """
    _refuse_unfit(made.activation.name, x, axis=axis)
    working, along = (x.float() if x.dtype in HALF else x), axis % x.dim()
    if torch.compiler.is_exporting():  # an exported graph holds the forward pass alone
        result: Tensor = made.value(working, along)
        return result.to(x.dtype)
    return applied(Traced if torch.compiler.is_compiling() else AlongAxis, made, along, working).to(x.dtype)


def _refuse_unfit(name: str, x: Tensor, *, axis: int) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        found = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise BadInput(f"{name} takes floating-point tensors; got {found}.")
    if not -x.dim() <= axis < x.dim():
        raise BadInput(f"{name} along axis {axis}: the tensor has {x.dim()} axes, of shape {tuple(x.shape)}.")
    if x.shape[axis] == 0:
        raise BadInput(f"{name} along axis {axis}: the axis has length 0.")
