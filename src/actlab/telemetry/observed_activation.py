"""An activation with its derivative as a program, and the bound of the derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import final

import torch
from torch import Tensor

from actlab.catalog.torch_ops import TORCH_OPS
from actlab.formula.activation import Activation
from actlab.formula.expr import Expr, Input
from actlab.lower.to_torch import program
from actlab.theory.predicates import saturates
from actlab.theory.properties import properties

_BY_OUTPUT = frozenset(op.activation for op in TORCH_OPS if op.differentiates_output)

Pair = Callable[[Tensor], tuple[Tensor, Tensor]]


@final
@dataclass(frozen=True)
class Measured:
    """An activation, ready to be measured.

    Attributes:
        value, slope: f and f' as formulas of the input.
        input: the name of the input.
        pair: a program that computes both.
        bound: the largest |f'|; 1 if it is unbounded, so that floors are absolute.
        saturates: whether f levels off on a side without being exactly constant there.
        by_output: the name of the function if PyTorch computes its 16-bit gradient from the rounded output.
    """

    value: Expr
    slope: Expr
    input: Input
    pair: Pair
    bound: float
    saturates: bool
    by_output: str


@lru_cache(maxsize=256)
def measured(act: Activation) -> Measured:
    """Prepare an activation, with its parameters at their values, for measuring."""
    x = Input(act.inputs[0])
    value, slope = act.formula, act.derivative()
    made = program([value, slope], [x]).function

    def pair(z: Tensor) -> tuple[Tensor, Tensor]:
        results = made(z)
        assert isinstance(results, tuple)
        first, second = (torch.as_tensor(each, dtype=z.dtype, device=z.device).expand(z.shape) for each in results)
        return first, second

    found = properties(act).lipschitz
    bound = float(found) if isinstance(found, float | int) and isfinite(found) and found > 0 else 1.0
    by_output = act.name if act.name in _BY_OUTPUT else ""
    return Measured(value, slope, x, pair, bound, saturates(act), by_output)
