"""Measure an activation's inputs unit by unit in one pass over CPU memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from struct import Struct
from typing import final

import torch
from torch import Tensor

from actlab.formula.expr import Expr, Input
from actlab.kernels.elementwise.kernels import MEMORY
from actlab.kernels.elementwise.strategies import here
from actlab.kernels.runtime.jit import Code, compiled
from actlab.kernels.runtime.launch import spread
from actlab.kernels.runtime.loop import Memory
from actlab.kernels.statistics.fields import SAMPLED
from actlab.kernels.statistics.ir import LANES, UnitPlan, histogram_text, text_of
from actlab.lower.arithmetic import Recipe


@final
@dataclass(frozen=True)
class PassKernel:
    """Adds tensors of one shape to a table; what they share is computed once.

    Attributes:
        code, numbers, segments, elements: the kernel that goes over all numbers, and how they lie.
        bins, spacing: the kernel that counts evenly spaced ones of them in bins, and from which to which.
    """

    code: Code
    numbers: tuple[int, int, int, int]
    segments: int
    elements: int
    bins: Code
    spacing: int

    def add(self, z: Tensor, *, into: int, fieldstep: int, shift: int, bins: int) -> None:
        """Add the numbers of `z`.

        Args:
            z: as the kernel was made for.
            into: the address of the table's first column, in float64.
            fieldstep: how many numbers lie from field to field there.
            shift: the address of the numbers from which z is counted, one a unit.
            bins: the address of the histogram; NaN is in none of its bins.
        """
        base = z.data_ptr()
        spread(self.code, (base, *self.numbers, shift, into, fieldstep), segments=self.segments, elements=self.elements)
        self.bins.run(_BINNED(base, self.spacing, bins), 0, -(-self.elements // self.spacing))


_BINNED = Struct("3q").pack


def pass_kernel(
    formulas: tuple[Expr, Expr, Input], z: Tensor, *, axis: int, floor: float, by_output: str
) -> PassKernel:
    """Return the kernel that adds tensors that lie as `z` does.

    Args:
        formulas: f, f' and their input.
        z: contiguous, on the CPU, not empty.
        axis: where the units lie.
        floor: the |f'| that must be exceeded to count as fired.
        by_output: in 16-bit types, the function whose slope is computed of the rounded output.

    Raises:
        CannotLower: a kernel cannot spell the formula.
        NoKernels: machine code cannot be made here.
    """
    axis %= z.dim()
    rows, units, run = prod(z.shape[:axis]), z.shape[axis], prod(z.shape[axis + 1 :])
    across = run == 1
    is_short = z.dtype in {torch.float16, torch.bfloat16}
    memory = MEMORY[z.dtype]
    by_output = by_output if is_short else ""
    code = _code(formulas, memory, _floor(floor, z.dtype), across, run <= LANES, by_output)
    if across:
        segments, numbers = -(-units // LANES), (rows, units, LANES, units)
    else:
        segments, numbers = units, (rows, units * run, run, run)
    spacing = max(1, -(-z.numel() // SAMPLED))
    return PassKernel(code, numbers, segments, z.numel(), _bins(memory), spacing)


def _floor(floor: float, dtype: torch.dtype) -> float:
    """Return the floor, but at least half of the dtype's smallest number, below which numbers round to 0."""
    smallest = float(torch.finfo(dtype).smallest_normal) * float(torch.finfo(dtype).eps)
    return max(floor, smallest / 2)


@lru_cache(maxsize=1024)
def _code(
    formulas: tuple[Expr, Expr, Input], memory: Memory, floor: float, across: bool, by_row: bool, by_output: str
) -> Code:
    wide = memory == "double"
    recipe = here(Recipe("full" if wide else "single"))
    recipe = replace(recipe, tabled=recipe.scalef and not wide)  # as in fast mode
    return compiled(text_of(UnitPlan(*formulas, memory, recipe, floor, across, by_row, by_output)))


@lru_cache(maxsize=8)
def _bins(memory: Memory) -> Code:
    return compiled(histogram_text(memory))
