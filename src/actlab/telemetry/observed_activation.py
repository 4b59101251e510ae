"""An activation with its derivative as a program, and the bound of the derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, isinf
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
        bound: the largest |f'|; 1 if it is unbounded, so that floors are absolute. Of a function with one steep spot,
            such as sqrt(|x| + 1e-12), it is the typical |f'| instead.
        saturates: whether f levels off on a side without being exactly constant there.
        levels_off: whether f tends to a finite limit on a side, or its limits are unknown. Otherwise, as for a
            logarithm, a small derivative is no sign of a dead unit.
        by_output: the name of the function if PyTorch computes its 16-bit gradient from the rounded output.
    """

    value: Expr
    slope: Expr
    input: Input
    pair: Pair
    bound: float
    saturates: bool
    levels_off: bool
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

    by_output = act.name if act.name in _BY_OUTPUT else ""
    return Measured(value, slope, x, pair, _bound(act, pair), saturates(act), _levels_off(act), by_output)


def _levels_off(act: Activation) -> bool:
    limits = properties(act).limits
    return not all(isinstance(limit, float) and isinf(limit) for limit in (limits.left, limits.right))


def _bound(act: Activation, pair: Pair) -> float:
    """Return the size of derivative that the others are compared with.

    Where a function does not level off, its steepest spot says nothing about how well it passes gradients elsewhere.
    """
    found = properties(act).lipschitz
    bound = float(found) if isinstance(found, float | int) and isfinite(found) and found > 0 else 1.0
    if saturates(act):
        return bound
    with torch.no_grad():
        _, slopes = pair(torch.special.ndtri(torch.linspace(0.001, 0.999, 999, dtype=torch.float64)))
    passing = slopes.abs()[slopes.isfinite() & (slopes != 0)]
    typical = float(passing.median()) if passing.numel() else bound
    return typical if typical * _STEEP < bound else bound


_STEEP = 10.0
"""So many times steeper than usual is an exception: no activation in use is that uneven elsewhere."""
