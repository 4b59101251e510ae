"""PyTorch's own operator if it gives the same numbers as the kernel, up to the size from which the kernel is faster.

Only formulas without an elementary function have one way to be rounded. Whether PyTorch's operator of the same
meaning takes it, in the gradient too, is tried on the numbers that tell apart; from which size on the kernel is worth
the call is timed, once in a process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from math import inf, nan
from time import perf_counter
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from actlab.errors import CannotLower, NoKernels
from actlab.formula.activation import Activation
from actlab.formula.expr import Call, Input, walk
from actlab.kernels.elementwise.kernels import MEMORY, Kernels, kernels_of
from actlab.kernels.elementwise.native_reference import native_of
from actlab.kernels.runtime.isolated import apart

EXACT_ATOMS = frozenset({"abs", "min", "max", "sign"})
_SIZES = (1 << 16, 1 << 20)
_REPEATS = 7
# Both are as fast as memory: a kernel that seems faster by less was only luckier with its place in it.
_CLEARLY = 0.9


@final
class OwnOperator:
    """PyTorch's operator and the size up to which it is used; created by `own_operator`.

    Attributes:
        function: the operator.
        dtypes: of which its numbers are the same.
        limit: the number of elements from which the kernel is faster.
        name: the operator's name in PyTorch.
        keeps_output: whether it saves only its output for backward.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        dtypes: frozenset[torch.dtype],
        limit: float,
        *,
        name: str,
        keeps_output: bool,
    ) -> None:
        self.function = function
        self.dtypes = dtypes
        self.name = name
        self.keeps_output = keeps_output
        self.limit = limit

    def takes(self, x: Tensor) -> bool:
        """Return whether the operator is used for this tensor."""
        # while traced, a size is not a number, and only operators can be chosen
        return x.dtype in self.dtypes and (torch._C._get_tracing_state() is not None or x.numel() < self.limit)


@lru_cache(maxsize=512)
def own_operator(act: Activation) -> OwnOperator | None:
    """Return PyTorch's operator that gives the same numbers, or None."""
    if len(act.inputs) != 1 or act.samplers or any(param.trainable for param in act.params):
        return None
    nodes = list(walk(act.with_references()))
    if any(isinstance(node, Call) and node.atom not in EXACT_ATOMS for node in nodes):
        return None
    return apart(partial(_tried, act))


def _tried(act: Activation) -> OwnOperator | None:
    """Compare PyTorch's operator with the kernel."""
    reference, ours = native_of(act), _kernels(act)
    if reference is None or ours is None:
        return None
    dtypes = frozenset(dtype for dtype in MEMORY if _same_numbers(reference, ours, dtype))
    if torch.float32 not in dtypes:
        return None
    name = str(act.reference).partition("(")[0]
    return OwnOperator(reference, dtypes, _limit(reference, ours), name=name, keeps_output=_keeps_output(reference))


def _keeps_output(function: Callable[[Tensor], Tensor]) -> bool:
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.data_ptr())
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        y = function(torch.linspace(-3, 3, 16, requires_grad=True))
    return set(kept) <= {y.data_ptr()}


class _OnKernels(torch.autograd.Function):
    """The kernels under autograd, as they are used: timed against PyTorch's operator."""

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
    x = _telling(dtype)
    pairs = zip(_with_gradient(own, x), _with_gradient(ours, x), strict=True)
    # NaN must fall on the same branch, and then NaN equals NaN
    return all(torch.equal(*(each.nan_to_num(nan=1234.5) for each in pair)) for pair in pairs)


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


def _limit(own: Callable[[Tensor], Tensor], ours: Callable[[Tensor], Tensor]) -> float:
    """Return the smallest timed size at which the kernel is clearly faster, forward and backward together."""
    for size in _SIZES:
        x = torch.linspace(-3, 3, size).requires_grad_()
        # in turn, so that whatever disturbs the machine disturbs both
        times = [(_seconds(ours, x), _seconds(own, x)) for _ in range(_REPEATS)]
        if min(time for time, _ in times) < _CLEARLY * min(time for _, time in times):
            return size
    return inf


def _seconds(function: Callable[[Tensor], Tensor], x: Tensor) -> float:
    start = perf_counter()
    y = function(x)
    torch.autograd.grad(y, x, y.detach())
    return perf_counter() - start
