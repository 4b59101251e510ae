"""A formula as a differentiable operator: its derivatives, of any order, are the formula's own.

PyTorch never differentiates the composite itself: that would give NaN where a branch not taken overflows
(`where(x <= 0, expm1(x), x)` at x = 100), and would lose the tails that derivatives in atoms keep.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache, reduce
from inspect import signature
from typing import Any, TypeVar, final

import torch
from torch import Tensor

from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.formula.derivative import derivative
from actlab.formula.expr import Expr, Input, ParamRef, param_names, walk
from actlab.lower.straight_line import Leaf, Program
from actlab.lower.to_torch import exported_program, program

HALF = (torch.bfloat16, torch.float16)

TensorFunction = Callable[..., Any]

Function = TypeVar("Function", bound=Callable[..., Any])


@final
class Pointwise:
    """A formula with its arguments in order: what is computed for each element.

    Made by `ready` and `slope`, which make each only once.

    Attributes:
        expression: the formula.
        args: the inputs and parameters it is given, in order.
        value: the formula as a function of tensors.
        exported: the same in operations that other runtimes keep accurate.
        slopes: its derivatives by every argument, computed together, as a function that gives a tuple.
        only: which argument the formula is, where it is no more than one of them.
        mentions_all: whether the formula depends on every argument.
    """

    def __init__(self, expression: Expr, args: tuple[Leaf, ...]) -> None:
        self.expression = expression
        self.args = args
        self.value: TensorFunction = program((expression,), args).function
        self.exported: TensorFunction = exported_program((expression,), args).function
        self.only = next((index for index, arg in enumerate(args) if arg == expression), None)
        self.mentions_all = set(walk(expression)).issuperset(args)

    def __reduce__(self) -> tuple[Any, ...]:
        return ready, (self.expression, self.args)

    @cached_property
    def slopes(self) -> TensorFunction:
        return _as_tuple(program([derivative(self.expression, arg) for arg in self.args], self.args))

    def slope(self, index: int) -> Pointwise:
        """The derivative by the argument at this place."""
        return _slope(self.expression, self.args, at=index)


@lru_cache(maxsize=4096)
def _pointwise(expression: Expr, args: tuple[Leaf, ...]) -> Pointwise:
    return Pointwise(expression, args)


@lru_cache(maxsize=16384)
def _slope(expression: Expr, args: tuple[Leaf, ...], *, at: int) -> Pointwise:
    return _pointwise(derivative(expression, args[at]), args)


def ready(expression: Expr, args: tuple[Leaf, ...]) -> Pointwise:
    """The formula of these arguments, as something that runs, its derivatives made."""
    made = _pointwise(expression, args)
    _ = made.slopes  # now and not when first needed: torch.compile cannot follow the making
    return made


def pointwise_of(act: Activation, kept: tuple[str, ...] = ()) -> Pointwise:
    """The activation with the kept parameters as arguments, in that order, and the others at their values."""
    expression = act.with_references(*kept)
    mentioned = param_names(expression)
    args: tuple[Leaf, ...] = (
        *(Input(name) for name in act.inputs),
        *(ParamRef(name) for name in kept if name in mentioned),
    )
    return ready(expression, args)


def _as_tuple(slopes: Program) -> TensorFunction:
    function = slopes.function
    return function if len(slopes.args) > 1 else lambda *tensors: (function(*tensors),)


def signed(function: Function) -> Function:
    """The function with its signature worked out once; PyTorch asks for it whenever an operator is applied."""
    function.__signature__ = signature(function)  # type: ignore[attr-defined]  # what `inspect` itself looks for
    return function


class Elementwise(torch.autograd.Function):
    """The operator: forward, reverse, forward-mode and batched, all from one `Pointwise`."""

    @staticmethod
    @signed
    def forward(made: Pointwise, *tensors: Tensor) -> Tensor:
        return _computed(made, tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.made, ctx.shape = inputs[0], output.shape
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
        terms = [slope * tangent for slope, tangent in pairs if slope is not None and tangent is not None]
        return _filled(reduce(torch.add, terms), ctx.shape)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], made: Pointwise, *tensors: Tensor) -> tuple[Any, int]:
        dims = in_dims[1:]
        rank = max(tensor.dim() - (dim is not None) for tensor, dim in zip(tensors, dims, strict=True))
        aligned = [_batch_first(tensor, dim, rank=rank) for tensor, dim in zip(tensors, dims, strict=True)]
        return applied(Elementwise, made, *aligned), 0


class Traced(torch.autograd.Function):
    """The operator as torch.compile can trace it: it follows no `jvp` and no `vmap`."""

    @staticmethod
    def forward(ctx: Any, made: Pointwise, *tensors: Tensor) -> Tensor:
        ctx.made = made
        ctx.save_for_backward(*tensors)
        return _computed(made, tensors)

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
    if made.only is not None:  # the identity: nothing to compute, keep or copy
        return tensors[made.only].expand(_shape(tensors))
    if torch.compiler.is_exporting():  # an exported graph holds the forward pass alone
        result: Tensor = made.exported(*tensors)
        return result if made.mentions_all else result.expand(_shape(tensors))
    if not torch.compiler.is_compiling():
        return applied(Elementwise, made, *tensors)
    # without a gradient to follow, Dynamo may hand the operator its arguments in the wrong places
    learns = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return applied(Traced, made, *tensors) if learns else _computed(made, tensors)


def _computed(made: Pointwise, tensors: tuple[Tensor, ...]) -> Tensor:
    """The formula's values in the shape of all arguments together, also where it does not mention them all."""
    result: Tensor = made.value(*tensors)
    if any(result is tensor for tensor in tensors):  # autograd forbids that an operator gives back its own input
        result = result.clone()
    return result if made.mentions_all else _filled(result, _shape(tensors))


def _shape(tensors: tuple[Tensor, ...]) -> torch.Size:
    shape: torch.Size = torch.broadcast_shapes(*(tensor.shape for tensor in tensors))  # type: ignore[no-untyped-call]  # PyTorch leaves it without types
    return shape


def _filled(tensor: Tensor, shape: torch.Size) -> Tensor:
    """The tensor repeated to the shape; never a view, which forward mode does not accept of an operator."""
    return tensor if tensor.shape == shape else tensor.expand(shape).clone(memory_format=torch.contiguous_format)


def _slopes(made: Pointwise, tensors: tuple[Tensor, ...], wanted: Any) -> tuple[Tensor | None, ...]:
    if not torch.is_grad_enabled():
        return tuple(slope if want else None for slope, want in zip(made.slopes(*tensors), wanted, strict=True))
    # a higher derivative is wanted: each slope is an operator again
    return tuple(_routed(made.slope(at), *tensors) if want else None for at, want in enumerate(wanted))


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
