"""PyTorch's own operator instead of a kernel: where its numbers are the same, or it is faster and keeps the bound.

Only formulas without an elementary function have one way to be rounded. Whether PyTorch's operator of the same
meaning takes it, in the gradient too, is tried on the numbers that tell apart. Where its numbers are others, the choice
is stored (`native_choices`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import inf, nan
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from actlab.errors import CannotLower, NoKernels
from actlab.formula.activation import Activation
from actlab.formula.expr import Call, Expr, Input, walk
from actlab.kernels.elementwise import native_choices
from actlab.kernels.elementwise.kernels import MEMORY, Kernels, kernels_of
from actlab.kernels.elementwise.native_reference import native_of
from actlab.kernels.elementwise.strategies import Mode
from actlab.kernels.runtime.isolated import apart
from actlab.lower.straight_line import Leaf

EXACT_ATOMS = frozenset({"abs", "min", "max", "sign"})


@final
@dataclass(frozen=True)
class OwnOperator:
    """PyTorch's operator and what it computes; created by `own_operator`.

    Attributes:
        function: the operator.
        name: its name in PyTorch.
        whole: the dtypes of which it computes values and gradient.
        forward: the dtypes of which it computes the values alone.
        computes: all of these.
        is_exact: whether its numbers are the kernel's, except for the sign of a zero and the gradient at NaN.
        keeps_output: whether it saves only its output for backward.
    """

    function: Callable[[Tensor], Tensor]
    name: str
    whole: frozenset[torch.dtype]
    forward: frozenset[torch.dtype]
    is_exact: bool
    keeps_output: bool
    computes: frozenset[torch.dtype] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "computes", self.whole | self.forward)

    def takes(self, x: Tensor) -> bool:
        """Return whether the operator computes values and gradient of this tensor."""
        return x.dtype in self.whole and (self.is_exact or x.is_cpu)


@final
class ValuesByOperator:
    """The kernels of a formula of one input, whose values PyTorch's operator computes; like `Kernels`."""

    def __init__(self, kernels: Kernels, function: Callable[[Tensor], Tensor]) -> None:
        self.expression: Expr = kernels.expression
        self.args: tuple[Leaf, ...] = kernels.args
        self.mode = kernels.mode
        self.of_one = function
        self.pulled_one = kernels.pulled_one


@lru_cache(maxsize=512)
def own_operator(act: Activation, mode: Mode = "accurate") -> OwnOperator | None:
    """Return PyTorch's operator, or None if the kernel computes everything."""
    if len(act.inputs) != 1 or act.samplers or any(param.trainable for param in act.params):
        return None
    nodes = list(walk(act.with_references()))
    if any(isinstance(node, Call) and node.atom not in EXACT_ATOMS for node in nodes):
        return _stored(act, mode)
    return _exact(act)


def _stored(act: Activation, mode: Mode) -> OwnOperator | None:
    """Return the operator if it is chosen for a dtype."""
    found = {dtype: native_choices.chosen(act, mode, dtype) for dtype in MEMORY}
    whole, forward = (frozenset(dtype for dtype in MEMORY if found[dtype] == part) for part in ("both", "forward"))
    if not whole | forward:
        return None
    return apart(partial(_made, act, whole, forward, is_exact=False))


@lru_cache(maxsize=512)
def _exact(act: Activation) -> OwnOperator | None:
    """Return the operator if it gives the kernel's numbers, in any mode."""
    return apart(partial(_tried, act))


def _tried(act: Activation) -> OwnOperator | None:
    """Compare PyTorch's operator with the kernel."""
    reference, ours = native_of(act), _kernels(act)
    if reference is None or ours is None:
        return None
    dtypes = frozenset(dtype for dtype in MEMORY if _same_numbers(reference, ours, dtype))
    return _made(act, dtypes, frozenset(), is_exact=True) if torch.float32 in dtypes else None


def _made(
    act: Activation, whole: frozenset[torch.dtype], forward: frozenset[torch.dtype], *, is_exact: bool
) -> OwnOperator | None:
    function = native_of(act)
    if function is None or (whole and not _has_second_derivative(function)):
        return None
    name = str(act.reference).partition("(")[0]
    # without arguments to bind, PyTorch's builtin is called sooner than a partial or `torch.nn.functional`
    bare = function if function.keywords else getattr(torch, name.rpartition(".")[2], function.func)
    return OwnOperator(bare, name, whole, forward, is_exact, _keeps_output(function))


def _has_second_derivative(function: Callable[[Tensor], Tensor]) -> bool:
    """Return whether autograd differentiates the operator twice, as it does a kernel."""
    x = torch.linspace(-3, 3, 16, requires_grad=True)
    (first,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
    try:
        torch.autograd.grad(first.sum(), x, allow_unused=True)
    except RuntimeError as error:
        return "is not implemented" not in str(error)  # of a straight line, autograd says that there is none
    return True


def _keeps_output(function: Callable[[Tensor], Tensor]) -> bool:
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.data_ptr())
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        y = function(torch.linspace(-3, 3, 16, requires_grad=True))
    return set(kept) <= {y.data_ptr()}


class _OnKernels(torch.autograd.Function):
    """The kernels under autograd."""

    @staticmethod
    def forward(ctx: Any, kernels: Kernels, x: Tensor) -> Tensor:
        ctx.kernels = kernels
        ctx.save_for_backward(x)
        return kernels.forward((x,))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor | None]:
        return None, ctx.kernels.pull_back(grads[0], ctx.saved_tensors, (True,))[0]


def _kernels(act: Activation) -> Callable[[Tensor], Tensor] | None:
    """Return the activation by its kernels, or None if it has none."""
    kernels = kernels_of(act.with_references(), (Input(act.inputs[0]),), "accurate")
    try:
        kernels.check()
    except (CannotLower, NoKernels):
        return None
    return partial(_OnKernels.apply, kernels)


def _same_numbers(own: Callable[[Tensor], Tensor], ours: Callable[[Tensor], Tensor], dtype: torch.dtype) -> bool:
    """Say whether values and gradients are equal; at NaN the value alone counts."""
    x = _telling(dtype)
    (value, slope), (other, other_slope) = (_with_gradient(function, x) for function in (own, ours))
    there = ~x.isnan()
    return torch.equal(value.isnan(), other.isnan()) and all(
        torch.equal(*(each[there].nan_to_num(nan=1234.5) for each in pair))
        for pair in ((value, other), (slope, other_slope))
    )


def _with_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    y = function(leaf)
    (slope,) = torch.autograd.grad(y, leaf, torch.linspace(0.5, 1.5, len(x), dtype=x.dtype))
    return y.detach(), slope


def _telling(dtype: torch.dtype) -> Tensor:
    """Return whole and half numbers with their neighbors, a dense interval, all magnitudes, zeros, infinities, NaN."""
    places = torch.arange(-20, 21, dtype=dtype) / 2
    nearby = torch.arange(-2, 3, dtype=dtype) * torch.finfo(dtype).eps / 2
    sizes = torch.logspace(-37, 37, 149, dtype=dtype)
    special = torch.tensor([0.0, -0.0, inf, -inf, nan], dtype=dtype)
    return torch.cat([(places[:, None] * (1 + nearby)).flatten(), torch.linspace(-9, 9, 2001, dtype=dtype), sizes,
                      -sizes, special])  # fmt: skip
