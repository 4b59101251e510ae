"""A formula as a differentiable operator: its derivatives, of any order, are the formula's own.

PyTorch never differentiates the composite itself: that would give NaN where a branch not taken overflows
(`where(x <= 0, expm1(x), x)` at x = 100), and would lose the tails that derivatives in atoms keep.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, reduce
from typing import Any, final

import torch
from torch import Tensor

from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.formula.derivative import derivative
from actlab.formula.expr import Expr, Input, ParamRef, param_names
from actlab.lower.straight_line import Leaf, Program
from actlab.lower.to_torch import program

HALF = (torch.bfloat16, torch.float16)

TensorFunction = Callable[..., Any]


@final
class Pointwise:
    """A formula with its arguments in order: what is computed for each element.

    Made by `pointwise`, which makes each only once.

    Attributes:
        expression: the formula.
        args: the inputs and parameters it is given, in order.
        value: the formula as a function of tensors.
        slopes: its derivatives by every argument, computed together, as a function that gives a tuple.
    """

    def __init__(self, expression: Expr, args: tuple[Leaf, ...]) -> None:
        self.expression = expression
        self.args = args
        # both are made now and not when first needed: torch.compile cannot follow the making
        self.value: TensorFunction = program((expression,), args).function
        self.slopes: TensorFunction = _as_tuple(program([derivative(expression, arg) for arg in args], args))

    def __reduce__(self) -> tuple[Any, ...]:
        return pointwise, (self.expression, self.args)

    def slope(self, index: int) -> Pointwise:
        """The derivative by the argument at this place."""
        return pointwise(derivative(self.expression, self.args[index]), self.args)


@lru_cache(maxsize=4096)
def pointwise(expression: Expr, args: tuple[Leaf, ...]) -> Pointwise:
    """The formula of these arguments, as something that runs."""
    return Pointwise(expression, args)


def pointwise_of(act: Activation, kept: tuple[str, ...] = ()) -> Pointwise:
    """The activation with the kept parameters as arguments, in that order, and the others at their values."""
    expression = act.with_references(*kept)
    mentioned = param_names(expression)
    args = (*(Input(name) for name in act.inputs), *(ParamRef(name) for name in kept if name in mentioned))
    return pointwise(expression, args)


def _as_tuple(slopes: Program) -> TensorFunction:
    function = slopes.function
    return function if len(slopes.args) > 1 else lambda *tensors: (function(*tensors),)


class Elementwise(torch.autograd.Function):
    """The operator: forward, reverse, forward-mode and batched, all from one `Pointwise`."""

    @staticmethod
    def forward(made: Pointwise, *tensors: Tensor) -> Any:
        return made.value(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.made = inputs[0]
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        slopes = _slopes(ctx.made, tensors, ctx.needs_input_grad[1:])
        return (None, *(_pulled_back(grads[0], slope, tensor) for slope, tensor in zip(slopes, tensors, strict=True)))

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        moving = [tangent is not None for tangent in tangents[1:]]
        slopes = _slopes(ctx.made, ctx.saved_tensors, moving)
        pairs = zip(slopes, tangents[1:], strict=True)
        return reduce(
            torch.add, [slope * tangent for slope, tangent in pairs if slope is not None and tangent is not None]
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], made: Pointwise, *tensors: Tensor) -> tuple[Any, int]:
        dims = in_dims[1:]
        rank = max(tensor.dim() - (dim is not None) for tensor, dim in zip(tensors, dims, strict=True))
        aligned = [_batch_first(tensor, dim, rank=rank) for tensor, dim in zip(tensors, dims, strict=True)]
        return applied(Elementwise, made, *aligned), 0


class Traced(torch.autograd.Function):
    """The operator as torch.compile can trace it: it follows no `jvp` and no `vmap`."""

    @staticmethod
    def forward(ctx: Any, made: Pointwise, *tensors: Tensor) -> Any:
        ctx.made = made
        ctx.save_for_backward(*tensors)
        return made.value(*tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        slopes = ctx.made.slopes(*tensors)
        return (None, *(_pulled_back(grads[0], slope, tensor) for slope, tensor in zip(slopes, tensors, strict=True)))


def apply(made: Pointwise, *tensors: Tensor) -> Tensor:
    """The formula of the tensors, which broadcast; 16-bit ones are computed in float32 and rounded once.

    The result has the dtype of the inputs; parameters follow it.

    Raises:
        BadInput: a tensor is not of a floating-point dtype.
    """
    dtype = _common_dtype(made, tensors)
    working = torch.float32 if dtype in HALF else dtype
    return _routed(made, *(tensor.to(working) for tensor in tensors)).to(dtype)


def applied(function: type[torch.autograd.Function], *args: Any) -> Tensor:
    """The result of a differentiable function, as the tensor that each of ours gives."""
    result: Tensor = function.apply(*args)  # type: ignore[no-untyped-call]  # PyTorch leaves its `apply` without types
    return result


def _routed(made: Pointwise, *tensors: Tensor) -> Tensor:
    """The formula, through the form of the operator that the caller's mode can follow."""
    if torch.compiler.is_exporting():  # an exported graph holds the forward pass alone
        result: Tensor = made.value(*tensors)
        return result
    return applied(Traced if torch.compiler.is_compiling() else Elementwise, made, *tensors)


def _slopes(made: Pointwise, tensors: tuple[Tensor, ...], wanted: Any) -> tuple[Tensor | None, ...]:
    if not torch.is_grad_enabled():
        return tuple(slope if want else None for slope, want in zip(made.slopes(*tensors), wanted, strict=True))
    # a higher derivative is wanted: each slope is an operator again
    return tuple(applied(Elementwise, made.slope(at), *tensors) if want else None for at, want in enumerate(wanted))


def _pulled_back(dy: Tensor, slope: Tensor | None, tensor: Tensor) -> Tensor | None:
    return None if slope is None else (dy * slope).sum_to_size(tensor.shape)


def _batch_first(tensor: Tensor, dim: int | None, *, rank: int) -> Tensor:
    if dim is None:
        return tensor
    first = tensor.movedim(dim, 0)
    return first.reshape(first.shape[0], *[1] * (rank - first.dim() + 1), *first.shape[1:])


def _common_dtype(made: Pointwise, tensors: tuple[Tensor, ...]) -> torch.dtype:
    dtypes = []
    for leaf, tensor in zip(made.args, tensors, strict=True):
        if not isinstance(tensor, Tensor):
            raise BadInput(f"{leaf.name} must be a tensor; got {type(tensor).__name__}.")
        if not tensor.is_floating_point():
            raise BadInput(f"an activation takes floating-point tensors; {leaf.name} is {tensor.dtype}. Use x.float().")
        if isinstance(leaf, Input):
            dtypes.append(tensor.dtype)
    return reduce(torch.promote_types, dtypes)
