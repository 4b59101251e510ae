"""A formula as a differentiable operator, whose derivatives of any order come from the formula.

PyTorch never differentiates the composite itself: that would give NaN where a branch not taken overflows
(`where(x <= 0, expm1(x), x)` at x = 100), and would lose the tails that derivatives in atoms keep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache, reduce
from inspect import signature
from typing import Any, TypeVar, final

import torch
from torch import Tensor
from torch.autograd import forward_ad

from actlab.errors import CannotLower, NoKernels
from actlab.formula.activation import Activation
from actlab.formula.derivative import derivative
from actlab.formula.expr import Expr, Input, ParamRef, param_names, walk
from actlab.kernels.elementwise.kernels import Kernels, kernels_of
from actlab.kernels.elementwise.native_operator import ValuesByOperator
from actlab.kernels.elementwise.strategies import Mode
from actlab.kernels.runtime.fallback import say_once
from actlab.kernels.validation import refuse_unfit
from actlab.lower.straight_line import Leaf, Program
from actlab.lower.to_torch import exported_program, program
from actlab.nn.dispatch import OnGpu, engine, is_exported, is_simple

HALF = (torch.bfloat16, torch.float16)

TensorFunction = Callable[..., Any]

Function = TypeVar("Function", bound=Callable[..., Any])


@final
class Pointwise:
    """A formula with its arguments in order: what is computed for each element.

    Made by `ready` and `slope`, once for each formula.

    Attributes:
        expression: the formula.
        args: the inputs and parameters in order.
        mode: the error bound of its kernels.
        value: the formula as a function of tensors.
        exported: the same in operations that stay accurate in other runtimes.
        slopes: its derivatives by every argument, computed together, as a function that returns a tuple.
        only: the index of the argument that the formula is, if it is just an argument.
        mentions_all: whether the formula depends on every argument.
    """

    def __init__(self, expression: Expr, args: tuple[Leaf, ...], mode: Mode) -> None:
        self.expression = expression
        self.args = args
        self.mode = mode
        self.value: TensorFunction = program((expression,), args).function
        self.exported: TensorFunction = exported_program((expression,), args).function
        self.only = next((index for index, arg in enumerate(args) if arg == expression), None)
        self.mentions_all = set(walk(expression)).issuperset(args)

    def __reduce__(self) -> tuple[Any, ...]:
        return ready, (self.expression, self.args, self.mode)

    @cached_property
    def slopes(self) -> TensorFunction:
        return _as_tuple(program([derivative(self.expression, arg) for arg in self.args], self.args))

    @cached_property
    def kernels(self) -> Kernels:
        """The formula as machine code."""
        return kernels_of(self.expression, self.args, self.mode)

    @cached_property
    def lacks(self) -> str | None:
        """The reason why there are no kernels; None if there are."""
        try:
            self.kernels.check()
        except NoKernels as error:
            say_once(str(error))
            return str(error)
        except CannotLower as error:
            return str(error)
        return None

    @cached_property
    def on_gpu(self) -> OnGpu:
        """The formula as GPU kernels."""
        return OnGpu(self.expression, self.args, self.mode)

    def slope(self, index: int) -> Pointwise:
        """Return the derivative by the argument at this place."""
        return _slope(self.expression, self.args, self.mode, at=index)


@lru_cache(maxsize=4096)
def _pointwise(expression: Expr, args: tuple[Leaf, ...], mode: Mode) -> Pointwise:
    return Pointwise(expression, args, mode)


@lru_cache(maxsize=16384)
def _slope(expression: Expr, args: tuple[Leaf, ...], mode: Mode, *, at: int) -> Pointwise:
    return _pointwise(derivative(expression, args[at]), args, mode)


def ready(expression: Expr, args: tuple[Leaf, ...], mode: Mode = "accurate") -> Pointwise:
    """Make the formula of these arguments runnable, its derivatives included."""
    made = _pointwise(expression, args, mode)
    _ = made.slopes  # now, not on first use: torch.compile cannot trace the building
    return made


def pointwise_of(act: Activation, kept: tuple[str, ...] = (), *, mode: Mode = "accurate") -> Pointwise:
    """Make the activation runnable, with the kept parameters as arguments in order and the others fixed."""
    expression = act.with_references(*kept)
    mentioned = param_names(expression)
    args: tuple[Leaf, ...] = (
        *(Input(name) for name in act.inputs),
        *(ParamRef(name) for name in kept if name in mentioned),
    )
    return ready(expression, args, mode)


def _as_tuple(slopes: Program) -> TensorFunction:
    function = slopes.function
    return function if len(slopes.args) > 1 else lambda *tensors: (function(*tensors),)


def signed(function: Function) -> Function:
    """Compute the function's signature once; PyTorch asks for it whenever an operator is applied."""
    function.__signature__ = signature(function)  # type: ignore[attr-defined]  # what `inspect` itself looks for
    return function


class ForTransforms(torch.autograd.Function):
    """The operator under `torch.func`: forward, reverse, forward mode and batched, all from one `Pointwise`."""

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
        return None, *pulled_back(ctx.made, grads[0], ctx.saved_tensors, ctx.needs_input_grad[1:])

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        return _pushed_forward(ctx.made, ctx.saved_tensors, tangents[1:], ctx.shape)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], made: Pointwise, *tensors: Tensor) -> tuple[Any, int]:
        dims = in_dims[1:]
        rank = max(tensor.dim() - (dim is not None) for tensor, dim in zip(tensors, dims, strict=True))
        aligned = [_batch_first(tensor, dim, rank=rank) for tensor, dim in zip(tensors, dims, strict=True)]
        return applied(ForTransforms, made, *aligned), 0


class Eager(torch.autograd.Function):
    """The operator outside `torch.func`, without the cost of `setup_context` per call."""

    @staticmethod
    def forward(ctx: Any, made: Pointwise, *tensors: Tensor) -> Tensor:
        ctx.made = made
        ctx.save_for_backward(*tensors)
        result = _computed(made, tensors)
        if forward_ad._current_level >= 0:
            ctx.save_for_forward(*tensors)
            ctx.shape = result.shape
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return None, *pulled_back(ctx.made, grads[0], ctx.saved_tensors, ctx.needs_input_grad[1:])

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        return _pushed_forward(ctx.made, ctx.saved_tensors, tangents[1:], ctx.shape)


class EagerOfOne(torch.autograd.Function):
    """The operator of one plain tensor on the processor's kernels, with the least overhead per call."""

    @staticmethod
    def forward(ctx: Any, runs: Kernels | ValuesByOperator, x: Tensor) -> Tensor:
        ctx.runs, ctx.address = runs, x.data_ptr()
        ctx.save_for_backward(x)
        return runs.of_one(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x,), (dy,) = ctx.saved_tensors, grads
        runs: Kernels | ValuesByOperator = ctx.runs
        # a saved-tensor hook may have replaced it
        if x.data_ptr() == ctx.address and x.dtype is dy.dtype and not torch.is_grad_enabled() and is_simple(dy):
            return None, runs.pulled_one(dy, x)
        return None, *pulled_back(_pointwise(runs.expression, runs.args, runs.mode), dy, (x,), (True,))


class EagerOfTwo(torch.autograd.Function):
    """The operator of two plain contiguous tensors of one shape on the processor's kernels, likewise."""

    @staticmethod
    def forward(ctx: Any, runs: Kernels, value: Tensor, gate: Tensor) -> Tensor:
        ctx.runs, ctx.addresses = runs, (value.data_ptr(), gate.data_ptr())
        ctx.save_for_backward(value, gate)
        return runs.of_two(value, gate)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (value, gate), (dy,), wanted = ctx.saved_tensors, grads, ctx.needs_input_grad[1:]
        runs: Kernels = ctx.runs
        # as above
        if (
            (value.data_ptr(), gate.data_ptr()) == ctx.addresses
            and not torch.is_grad_enabled()
            and is_simple(dy)
            and _alike(dy, value)
        ):
            return None, *runs.pulled_two(dy, value, gate, wanted)
        made = _pointwise(runs.expression, runs.args, runs.mode)
        return None, *pulled_back(made, dy, (value, gate), wanted)


def _runs(made: Pointwise) -> bool:
    return made.only is None and made.lacks is None and forward_ad._current_level < 0


def _alike(one: Tensor, other: Tensor) -> bool:
    """Say whether two plain contiguous tensors have one dtype and one shape."""
    return one.dtype is other.dtype and one.shape == other.shape and one.is_contiguous() and other.is_contiguous()


# PyTorch's own `apply`, without its Python code for functional transforms: `is_simple` has checked that there are
# none
_apply_to_one = super(torch.autograd.Function, EagerOfOne).apply
_apply_to_two = super(torch.autograd.Function, EagerOfTwo).apply


class ForCompiler(torch.autograd.Function):
    """The operator in a form that torch.compile can trace, without `jvp` and `vmap`."""

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
    """Compute the formula of the tensors, which broadcast; 16-bit tensors are computed in float32 and rounded once.

    The result has the dtype of the inputs; parameters follow it.

    Raises:
        BadInput: a tensor is not of a floating-point dtype.
    """
    if len(tensors) == 1 and is_simple(tensors[0]) and made.only is None and made.lacks is None:
        return _of_one(made, tensors[0])
    if len(tensors) == 2 and is_simple(tensors[0]) and is_simple(tensors[1]) and _alike(*tensors) and _runs(made):
        return _of_two(made, *tensors)
    dtype = common_dtype(made, tensors)
    if dtype not in HALF or engine(made, tensors) is not None:
        return _routed(made, *(tensor if tensor.dtype == dtype else tensor.to(dtype) for tensor in tensors))
    return _routed(made, *(tensor.to(torch.float32) for tensor in tensors)).to(dtype)


def apply_with_values(runs: ValuesByOperator, made: Pointwise, x: Tensor) -> Tensor:
    """Compute the formula of a tensor that is simple: its values by PyTorch's operator, its gradient by the kernel."""
    return _of_one(made, x, runs=runs)


def _of_one(made: Pointwise, x: Tensor, *, runs: Kernels | ValuesByOperator | None = None) -> Tensor:
    """Compute the commonest case with one decision."""
    if forward_ad._current_level >= 0:
        return applied(Eager, made, x)
    if runs is None:
        runs = made.kernels
    if not (x.requires_grad and torch.is_grad_enabled()):
        return runs.of_one(x)
    followed: Tensor = _apply_to_one(runs, x)  # type: ignore[no-untyped-call]  # as in `applied`
    return followed


def _of_two(made: Pointwise, value: Tensor, gate: Tensor) -> Tensor:
    """Compute the commonest gated unit with one decision."""
    if not ((value.requires_grad or gate.requires_grad) and torch.is_grad_enabled()):
        return made.kernels.of_two(value, gate)
    followed: Tensor = _apply_to_two(made.kernels, value, gate)  # type: ignore[no-untyped-call]  # as in `applied`
    return followed


def applied(function: type[torch.autograd.Function], *args: Any) -> Tensor:
    """Apply a differentiable function that returns a tensor."""
    result: Tensor = function.apply(*args)  # type: ignore[no-untyped-call]  # PyTorch leaves its `apply` without types
    return result


def _routed(made: Pointwise, *tensors: Tensor) -> Tensor:
    """Compute the formula by the form of the operator that the caller's mode can trace."""
    if made.only is not None:  # the identity: nothing to compute, save or copy
        return tensors[made.only].expand(common_shape(tensors))
    if is_exported():
        result: Tensor = made.exported(*tensors)
        return result if made.mentions_all else result.expand(common_shape(tensors))
    if not torch.compiler.is_compiling():
        return _eagerly(made, tensors)
    # without a gradient, Dynamo may pass the operator its arguments in the wrong order
    learns = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return applied(ForCompiler, made, *tensors) if learns else _computed(made, tensors)


def _eagerly(made: Pointwise, tensors: tuple[Tensor, ...]) -> Tensor:
    if torch._C._are_functorch_transforms_active():
        return applied(ForTransforms, made, *tensors)
    return applied(Eager, made, *tensors) if _is_followed(tensors) else _computed(made, tensors)


def _is_followed(tensors: tuple[Tensor, ...]) -> bool:
    """Say whether autograd records, backward or forward."""
    return forward_ad._current_level >= 0 or (
        torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    )


def _computed(made: Pointwise, tensors: tuple[Tensor, ...]) -> Tensor:
    """Compute the formula's values in the common shape of all arguments, also if it does not mention them all."""
    runs = engine(made, tensors)
    if runs is not None:
        return runs.forward(_spread(tensors))
    result: Tensor = made.value(*tensors)
    if any(result is tensor for tensor in tensors):  # autograd forbids an operator to return its own input
        result = result.clone()
    return result if made.mentions_all else _filled(result, common_shape(tensors))


def _spread(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Expand the first tensor to the common shape."""
    if len(tensors) == 1:
        return tensors
    shape = common_shape(tensors)
    return tensors if tensors[0].shape == shape else (tensors[0].expand(shape), *tensors[1:])


def common_shape(tensors: tuple[Tensor, ...]) -> torch.Size:
    """Return the shape to which the tensors broadcast."""
    first = tensors[0].shape
    # PyTorch's own search is written in Python and takes tens of microseconds
    if all(tensor.shape == first for tensor in tensors):
        return first
    shape: torch.Size = torch.broadcast_shapes(*(tensor.shape for tensor in tensors))  # type: ignore[no-untyped-call]  # PyTorch leaves it without types
    return shape


def _filled(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Repeat the tensor to the shape; never return a view, which forward mode does not accept from an operator."""
    return tensor if tensor.shape == shape else tensor.expand(shape).clone(memory_format=torch.contiguous_format)


def pulled_back(
    made: Pointwise, dy: Tensor, tensors: tuple[Tensor, ...], wanted: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """Multiply the incoming gradient by each wanted derivative, in the shape of the argument it belongs to."""
    runs = None if torch.is_grad_enabled() else engine(made, (*tensors, dy))
    if runs is not None and tensors[0].shape == dy.shape:
        return tuple(runs.pull_back(dy, tensors, wanted))
    dtype = tensors[0].dtype
    if dtype in HALF:  # products and sums in float32, rounded once
        dy, tensors = dy.float(), tuple(tensor.float() for tensor in tensors)
    slopes = _slopes(made, tensors, wanted)
    pulled = [_pulled_back(dy, slope, tensor) for slope, tensor in zip(slopes, tensors, strict=True)]
    return tuple(None if each is None else each.to(dtype) for each in pulled)


def _pushed_forward(
    made: Pointwise, tensors: tuple[Tensor, ...], tangents: Sequence[Tensor | None], shape: torch.Size
) -> Tensor:
    dtype = tensors[0].dtype
    if dtype in HALF:
        tensors = tuple(tensor.float() for tensor in tensors)
    slopes = _slopes(made, tensors, [tangent is not None for tangent in tangents])
    pairs = zip(slopes, tangents, strict=True)
    terms = [slope * tangent for slope, tangent in pairs if slope is not None and tangent is not None]
    return _filled(reduce(torch.add, terms).to(dtype), shape)


def _slopes(made: Pointwise, tensors: tuple[Tensor, ...], wanted: Sequence[bool]) -> tuple[Tensor | None, ...]:
    if not torch.is_grad_enabled() and engine(made, tensors) is None:
        return tuple(slope if want else None for slope, want in zip(made.slopes(*tensors), wanted, strict=True))
    # each derivative is an operator again: its kernel, and its own derivative for higher orders
    return tuple(_routed(made.slope(at), *tensors) if want else None for at, want in enumerate(wanted))


def _pulled_back(dy: Tensor, slope: Tensor | None, tensor: Tensor) -> Tensor | None:
    return None if slope is None else (dy * slope).sum_to_size(tensor.shape)


def _batch_first(tensor: Tensor, dim: int | None, *, rank: int) -> Tensor:
    if dim is None:
        return tensor
    first = tensor.movedim(dim, 0)
    return first.reshape(first.shape[0], *[1] * (rank - first.dim() + 1), *first.shape[1:])


def common_dtype(made: Pointwise, tensors: tuple[Tensor, ...]) -> torch.dtype:
    """Return the dtype of the result: that to which the inputs are promoted; parameters do not count.

    Raises:
        BadInput: an argument is not a dense tensor of an ordinary floating-point dtype.
    """
    dtypes = []
    for leaf, tensor in zip(made.args, tensors, strict=True):
        refuse_unfit(tensor, what="an activation", name=leaf.name)
        if isinstance(leaf, Input):
            dtypes.append(tensor.dtype)
    return reduce(torch.promote_types, dtypes)
