"""Choose what computes a formula for given tensors: the processor's kernels, a GPU's, or a composite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, final

import torch
from torch import Tensor

from actlab.errors import MissingExtra
from actlab.formula.expr import Expr
from actlab.kernels.elementwise.kernels import MEMORY
from actlab.kernels.elementwise.strategies import Mode
from actlab.kernels.gpu import kernels as gpu
from actlab.kernels.runtime.fallback import say_once
from actlab.lower.straight_line import Leaf


class Engine(Protocol):
    """Something that runs a formula forward and backward in one pass each."""

    def forward(self, tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
        """Compute the formula of the tensors."""

    def pull_back(
        self, dy: Tensor, tensors: Sequence[Tensor], wanted: Sequence[bool], *, into: Sequence[Tensor] | None = None
    ) -> list[Tensor | None]:
        """Multiply the incoming gradient by every wanted derivative."""


class Lacking(Protocol):
    """Something that may have kernels on the processor."""

    @property
    def lacks(self) -> str | None:
        """The reason why there are none; None if there are."""


class Made(Lacking, Protocol):
    """A formula with its kernels; `nn.operator.Pointwise` is one."""

    @property
    def kernels(self) -> Engine:
        """Those of the processor."""

    @property
    def on_gpu(self) -> Engine:
        """Those of a GPU."""


@final
@dataclass(frozen=True)
class OnGpu:
    """A formula's GPU kernels."""

    expression: Expr
    args: tuple[Leaf, ...]
    mode: Mode

    def forward(self, tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
        """Compute the formula of the tensors."""
        return gpu.value(self, tensors, out=out)

    def pull_back(
        self, dy: Tensor, tensors: Sequence[Tensor], wanted: Sequence[bool], *, into: Sequence[Tensor] | None = None
    ) -> list[Tensor | None]:
        """Multiply the incoming gradient by every wanted derivative."""
        return gpu.pull_back(self, dy, tensors, wanted, into=into)


def engine(made: Made, tensors: Sequence[Tensor]) -> Engine | None:
    """Return what runs the formula for these tensors; None if only a composite can."""
    if runs_on_kernels(made, tensors):
        return made.kernels
    return made.on_gpu if _runs_on_gpu(tensors) else None


def runs_on_kernels(made: Lacking, tensors: Sequence[Tensor]) -> bool:
    """Say whether these tensors can go to machine code: plain tensors in the processor's memory, all of one dtype."""
    dtype = getattr(tensors[0], "dtype", None)
    if dtype not in MEMORY or _is_traced() or made.lacks is not None:
        return False
    return all(_is_plain(each) and each.is_cpu and each.dtype == dtype for each in tensors)


def is_simple(x: Tensor) -> bool:
    """Say whether one tensor can go to machine code; one function because it runs at every call."""
    return (
        not _is_compiling()
        and type(x) in _PLAIN
        and x.is_cpu
        and x.dtype in MEMORY
        and x.layout is _STRIDED
        and not x.is_nested
        and not x.is_neg()
        and not x._is_zerotensor()
        and not _wrapped(x)
        and not _batched(x)
        and not _transforms()
        and not _modes()
        and _tracing() is None
    )


def is_exported() -> bool:
    """Say whether a graph is being exported, which holds the forward pass alone."""
    return torch.compiler.is_exporting() or _tracing() is not None


def _runs_on_gpu(tensors: Sequence[Tensor]) -> bool:
    if not all(isinstance(each, Tensor) and each.is_cuda and _is_plain(each) for each in tensors) or _is_traced():
        return False
    return _has_triton() and gpu.lacks(tensors) is None


@cache
def _has_triton() -> bool:
    try:
        gpu.lacks([torch.empty(0)])
    except MissingExtra as error:
        say_once(str(error))
        return False
    return True


def _is_traced() -> bool:
    """Say whether anything traces the operations: a compiler, a tracer, a functional transform, a mode."""
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._are_functorch_transforms_active()
    )


_PLAIN = (Tensor, torch.nn.Parameter)
_STRIDED = torch.strided
_is_compiling = torch.compiler.is_compiling
_tracing = torch._C._get_tracing_state
_modes = torch._C._len_torch_dispatch_stack
_transforms = torch._C._are_functorch_transforms_active
_wrapped = torch._C._functorch.is_functorch_wrapped_tensor
_batched = torch._C._functorch.is_legacy_batchedtensor


def _is_plain(tensor: Tensor) -> bool:
    return (
        type(tensor) in _PLAIN
        and tensor.layout is torch.strided
        # plain numbers in memory: no view that negates lazily, no zeros without memory
        and not tensor.is_neg()
        and not tensor._is_zerotensor()
        and not _wrapped(tensor)
        and not _batched(tensor)
    )
