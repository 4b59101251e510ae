"""An activation along an axis as a differentiable operator, from its declared Jacobian products."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any, NoReturn, final

import torch
from torch import Tensor
from torch.autograd import forward_ad

from actlab.errors import BadInput, CannotLower, NoKernels
from actlab.formula.along_axis import AxisActivation, V, X, Y
from actlab.formula.substitute import substitute
from actlab.kernels.axis.kernels import AxisKernels, axis_kernels
from actlab.kernels.elementwise.kernels import MEMORY
from actlab.kernels.elementwise.native_choices import chosen
from actlab.kernels.elementwise.strategies import Mode
from actlab.kernels.explanation import FASTER, Explanation, on_kernel
from actlab.kernels.runtime.fallback import say_once
from actlab.kernels.runtime.threads import threads
from actlab.kernels.validation import refuse_unfit
from actlab.lower.to_torch import program
from actlab.nn.dispatch import is_exported, is_simple, runs_on_kernels
from actlab.nn.operator import HALF, TensorFunction, applied, signed


@final
class Axiswise:
    """An activation along an axis as something that runs; made by `axiswise`, once for each activation.

    Attributes:
        activation: the activation.
        value: the activation as a function of a tensor and an axis.
        jvp, vjp: the products of its Jacobian with a vector, as functions of the output, the vector and the axis.
        kernels: the activation as machine code.
        pull_back: the product of a vector with its Jacobian likewise, of the output and the vector.
        pull_back_16: the same of the input and the vector, for outputs rounded to 16 bits.
        push_forward: the Jacobian's product with a vector, of the output and the vector.
        fast: the dtypes for which fast mode takes PyTorch's own operator.
        own: that operator.
    """

    def __init__(self, act: AxisActivation) -> None:
        self.activation = act
        # all are built now, not on first use: torch.compile cannot trace the building
        self.value: TensorFunction = program((act.expression,), (X,)).function
        self.jvp: TensorFunction = program((act.jvp,), (Y, V)).function
        self.vjp: TensorFunction = program((act.vjp,), (Y, V)).function
        self.kernels: AxisKernels = axis_kernels(act.expression, (X,))
        self.pull_back: AxisKernels = axis_kernels(act.vjp, (Y, V))
        self.pull_back_16: AxisKernels = axis_kernels(substitute(act.vjp, {Y: act.expression}), (X, V))
        self.push_forward: AxisKernels = axis_kernels(act.jvp, (Y, V))
        self.fast = frozenset(dtype for dtype in MEMORY if chosen(act, "fast", dtype) == "both")
        # the builtin, which is called sooner than that of `torch.nn.functional`
        self.own: TensorFunction = getattr(torch, act.name) if self.fast else self.value

    def __reduce__(self) -> tuple[Any, ...]:
        return axiswise, (self.activation,)

    @cached_property
    def lacks(self) -> str | None:
        """The reason why there are no kernels; None if there are."""
        try:
            for each in (self.kernels, self.pull_back, self.pull_back_16, self.push_forward):
                each.check()
        except NoKernels as error:
            say_once(str(error))
            return str(error)
        except CannotLower as error:
            return str(error)
        return None


@lru_cache(maxsize=256)
def axiswise(act: AxisActivation) -> Axiswise:
    """Make the activation into something that runs, once for each activation."""
    return Axiswise(act)


class OnKernels(torch.autograd.Function):
    """The operator on plain tensors in the processor's memory: one kernel forward, another backward.

    It saves its output for backward. In 16 bits it saves the input, from which the gradient is exact: the logarithm of
    a share, rounded to 8 bits, gives the share only to a few percent.
    """

    @staticmethod
    def forward(ctx: Any, made: Axiswise, axis: int, x: Tensor) -> Tensor:
        y = made.kernels.run([x], axis=axis)
        ctx.made, ctx.axis = made, axis
        kept = x if x.dtype in HALF else y
        ctx.save_for_backward(kept)
        ctx.save_for_forward(kept)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _pulled_back(ctx.made, ctx.saved_tensors[0], grads[0], axis=ctx.axis)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        (kept,), tangent = ctx.saved_tensors, tangents[2]
        plain = not torch.is_grad_enabled() and kept.dtype not in HALF
        if plain and runs_on_kernels(ctx.made, (kept, tangent)):
            return ctx.made.push_forward.run([kept, tangent], axis=ctx.axis)
        y = _output(ctx.made, kept, axis=ctx.axis)
        return ctx.made.jvp(y, tangent.to(y.dtype), ctx.axis).to(tangent.dtype)


def _output(made: Axiswise, kept: Tensor, *, axis: int) -> Tensor:
    return apply_along_axis(made, kept.float(), axis=axis) if kept.dtype in HALF else kept


class OfPlain(torch.autograd.Function):
    """The same outside forward mode, with the least overhead per call."""

    @staticmethod
    def forward(ctx: Any, made: Axiswise, axis: int, x: Tensor) -> Tensor:
        y = made.kernels.run([x], axis=axis)
        kept = x if x.dtype in HALF else y
        ctx.made, ctx.axis, ctx.address = made, axis, kept.data_ptr()
        ctx.save_for_backward(kept)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor]:
        (kept,), (dy,) = ctx.saved_tensors, grads
        # a saved-tensor hook may have replaced it
        if kept.data_ptr() == ctx.address and kept.dtype is dy.dtype and not torch.is_grad_enabled() and is_simple(dy):
            kernels = ctx.made.pull_back_16 if kept.dtype in HALF else ctx.made.pull_back
            return None, None, kernels.run([kept, dy], axis=ctx.axis)
        return None, None, _pulled_back(ctx.made, kept, dy, axis=ctx.axis)


def _pulled_back(made: Axiswise, kept: Tensor, dy: Tensor, *, axis: int) -> Tensor:
    if not torch.is_grad_enabled() and runs_on_kernels(made, (kept, dy)):
        kernels = made.pull_back_16 if kept.dtype in HALF else made.pull_back
        return kernels.run([kept, dy], axis=axis)
    y = _output(made, kept, axis=axis)
    pulled: Tensor = made.vjp(y, dy.to(y.dtype), axis)
    return pulled.to(dy.dtype)


# PyTorch's own `apply`, without its Python code for functional transforms: `is_simple` has checked that there are
# none
_apply_to_plain = super(torch.autograd.Function, OfPlain).apply


class AsComposite(torch.autograd.Function):
    """The operator for every other tensor and for `torch.func`. It saves only its output for backward."""

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


class ForCompiler(torch.autograd.Function):
    """The operator in a form that torch.compile can trace, without `jvp` and `vmap`."""

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


def apply_along_axis(made: Axiswise, x: Tensor, *, axis: int, mode: Mode = "accurate") -> Tensor:
    """Apply the activation along one axis of the tensor; 16-bit tensors are computed wider and rounded once.

    In fast mode PyTorch's own operator runs where it was measured faster.

    Raises:
        BadInput: the tensor is not of a floating-point dtype, has no such axis, or is empty along it.
    """
    simple = is_simple(x)
    if not simple:
        refuse_unfit(x, what=made.activation.name)
    dims = x.dim()
    if not -dims <= axis < dims or x.shape[axis] == 0:
        _refuse_axis(made.activation.name, x, axis=axis)
    along = axis % dims
    if simple and mode == "fast" and x.dtype in made.fast:
        result: Tensor = made.own(x, along)
        return result
    if simple and made.lacks is None:
        if forward_ad._current_level >= 0:
            return applied(OnKernels, made, along, x)
        if not (x.requires_grad and torch.is_grad_enabled()):
            return made.kernels.run([x], axis=along)
        followed: Tensor = _apply_to_plain(made, along, x)  # type: ignore[no-untyped-call]  # as in `applied`
        return followed
    working = x.float() if x.dtype in HALF else x
    if is_exported():
        result = made.value(working, along)
        return result.to(x.dtype)
    return applied(ForCompiler if torch.compiler.is_compiling() else AsComposite, made, along, working).to(x.dtype)


def explained_along_axis(made: Axiswise, x: Tensor, mode: Mode = "accurate") -> Explanation:
    """Say which implementation runs for a tensor like this one, and why."""
    refuse_unfit(x, what=made.activation.name)
    keeps = ("its input" if x.dtype in HALF else "its output") if torch.is_grad_enabled() and x.requires_grad else ""
    if not runs_on_kernels(made, (x,)):
        lacks = f"No kernels for device {x.device}." if not x.is_cpu else made.lacks or "No plain tensor, or traced."
        return Explanation("composite", "", "", threads(), "PyTorch", lacks, keeps)
    if mode == "fast" and x.dtype in made.fast:
        name, keeps = str(made.activation.reference), keeps and "its output"
        return Explanation("operator", "", "", threads(), "PyTorch", FASTER.format(name, mode), keeps)
    how = "in float64, with compensated arithmetic" if x.dtype == torch.float64 else "in float64, rounded once"
    return on_kernel(x.numel(), forward=how, backward=how, reason="Machine code of the formula.", keeps=keeps)


def _refuse_axis(name: str, x: Tensor, *, axis: int) -> NoReturn:
    if not -x.dim() <= axis < x.dim():
        raise BadInput(f"{name} along axis {axis}: the tensor has {x.dim()} axes, of shape {tuple(x.shape)}.")
    raise BadInput(f"{name} along axis {axis}: the axis has length 0.")
