"""Decide which activations save bits instead of their input by default: where that loses nothing and saves much."""

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

# Two kinks may have three derivatives.
_MOST_BITS = 2

# From these sizes on the kernels with codes are as fast as the alternative: a kernel, or PyTorch's operator
# (bench/results/memory.csv).
WORTH_BITS = 1 << 18
OVER_OPERATOR = 1 << 20


def in_bits(act: Activation, mode: Mode, x: object) -> FewBitFunction | None:
    """Return what computes the activation of this input and saves bits of it; None if saving the input is better."""
    if not _is_worth_bits(x):
        return None
    least = WORTH_BITS if own_operator(act) is None else OVER_OPERATOR
    return kept_bits(act, mode) if x.numel() >= least else None


@lru_cache(maxsize=256)
def kept_bits(act: Activation, mode: Mode) -> FewBitFunction | None:
    """Return the activation as one that saves one or two bits an element, with the same gradient.

    None if its gradient takes more values, or if PyTorch's operator saves only its output, as relu's does: the next
    layer saves that anyway.
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
    """Say whether the formula has a function in it that no piecewise linear formula needs."""
    return any(isinstance(node, Call) and node.atom not in EXACT_ATOMS for node in walk(act.with_references()))


def _is_worth_bits(x: object) -> TypeGuard[Tensor]:
    """Say whether the input is a large contiguous tensor in the processor's memory that needs a gradient."""
    return (
        isinstance(x, Tensor)
        and x.requires_grad
        # checked before the size, which would become a condition of a graph that is being traced
        and not torch.compiler.is_compiling()
        and not is_exported()
        and x.numel() >= WORTH_BITS
        and is_simple(x)
        and x.is_contiguous()
        and torch.is_grad_enabled()
    )
