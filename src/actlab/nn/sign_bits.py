"""Which activations keep bits in the place of their input unasked: where that loses nothing and saves much."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeGuard

import torch
from torch import Tensor

from actlab.formula.activation import Activation
from actlab.formula.expr import Call, Input, walk
from actlab.kernels.elementwise.native_operator import EXACT_ATOMS, own_operator
from actlab.kernels.elementwise.strategies import Mode
from actlab.nn.dispatch import is_exported, is_simple
from actlab.nn.few_bit import DTYPES, FewBitFunction, few_bit
from actlab.nn.piecewise_linear import exact_staircase

# Two kinks may have three slopes.
_MOST_BITS = 2

# From these sizes on the kernels with codes are no slower than what runs otherwise: a kernel, and PyTorch's operator
# (bench/results/memory.csv).
WORTH_BITS = 1 << 18
OVER_OPERATOR = 1 << 20


def in_bits(act: Activation, mode: Mode, x: object) -> FewBitFunction | None:
    """What computes the activation of this input and keeps bits of it; None where it had better be kept itself."""
    if not _is_worth_bits(x):
        return None
    least = WORTH_BITS if own_operator(act) is None else OVER_OPERATOR
    return kept_bits(act, mode) if x.numel() >= least else None


@lru_cache(maxsize=256)
def kept_bits(act: Activation, mode: Mode) -> FewBitFunction | None:
    """The activation as one that keeps one or two bits an element, with the gradient it has otherwise.

    None where its gradient takes more values; and where PyTorch's operator needs its output alone, as relu's does:
    that is kept by the next layer anyway.
    """
    if len(act.inputs) != 1 or act.samplers or isinstance(act.expression, Input) or is_curved(act):
        return None
    own = own_operator(act)
    if own is not None and own.keeps_output:
        return None
    tables = {dtype: exact_staircase(act, dtype, mode) for dtype in DTYPES}
    if any(table is None or not 1 <= table.bits <= _MOST_BITS for table in tables.values()):
        return None
    lean = few_bit(act, mode=mode)
    return lean if lean.is_exact else None


def is_curved(act: Activation) -> bool:
    """Whether the formula has a function in it that no piecewise linear one needs."""
    return any(isinstance(node, Call) and node.atom not in EXACT_ATOMS for node in walk(act.with_references()))


def _is_worth_bits(x: object) -> TypeGuard[Tensor]:
    """Whether bits are kept of this input: it learns, and is a large run of numbers in the processor's memory."""
    return (
        isinstance(x, Tensor)
        # asked before the size, which would become a condition of a graph that is being traced
        and not torch.compiler.is_compiling()
        and not is_exported()
        and x.requires_grad
        and x.numel() >= WORTH_BITS
        and is_simple(x)
        and x.is_contiguous()
        and torch.is_grad_enabled()
    )
