"""An activation's inputs, measured unit by unit in one pass over the processor's memory."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from functools import lru_cache
from math import prod

import torch
from torch import Tensor

from actlab.formula.expr import Expr, Input
from actlab.kernels.compiled import Code, compiled
from actlab.kernels.elementwise import MEMORY
from actlab.kernels.launch import spread
from actlab.kernels.module_text import Memory
from actlab.kernels.recipes import here
from actlab.kernels.unit_fields import SAMPLED
from actlab.kernels.unit_text import LANES, UnitPlan, histogram_text, text_of
from actlab.lower.arithmetic import Recipe


def add_units(
    formulas: tuple[Expr, Expr, Input],
    z: Tensor,
    into: Tensor,
    shift: Tensor,
    *,
    axis: int,
    floor: float,
    by_output: str,
) -> None:
    """Add what `z` brings to the table of fields and units.

    Args:
        formulas: f, f' and their input.
        z: contiguous, on the processor, not empty.
        into: the table's columns, side by side, float64.
        shift: for every unit the number from which z is counted.
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
    code = _code(formulas, MEMORY[z.dtype], _floor(floor, z.dtype), across, by_output if is_short else "")
    where = [shift.data_ptr(), into.data_ptr(), into.stride(0)]
    if across:
        segments, numbers = -(-units // LANES), [z.data_ptr(), rows, units, LANES, units, *where]
    else:
        segments, numbers = units, [z.data_ptr(), rows, units * run, run, run, *where]
    spread(code, numbers, segments=segments, elements=z.numel())


def add_bins(z: Tensor, into: Tensor) -> None:
    """Count the pass's inputs, or evenly spaced ones of them, in the bins; NaN is in none.

    Raises:
        NoKernels: machine code cannot be made here.
    """
    spacing = max(1, -(-z.numel() // SAMPLED))
    arguments = (ctypes.c_int64 * 3)(z.data_ptr(), spacing, into.data_ptr())
    _bins(MEMORY[z.dtype]).run(arguments, 0, -(-z.numel() // spacing))


def _floor(floor: float, dtype: torch.dtype) -> float:
    """The floor, and in any case half of the dtype's smallest number: what is rounded to 0."""
    smallest = float(torch.finfo(dtype).smallest_normal) * float(torch.finfo(dtype).eps)
    return max(floor, smallest / 2)


@lru_cache(maxsize=1024)
def _code(formulas: tuple[Expr, Expr, Input], memory: Memory, floor: float, across: bool, by_output: str) -> Code:
    wide = memory == "double"
    recipe = here(Recipe("double" if wide else "float", paired=False, accuracy="full" if wide else "single"))
    recipe = replace(recipe, tabled=recipe.scalef and not wide)  # as in fast mode
    return compiled(text_of(UnitPlan(*formulas, memory, recipe, floor, across, by_output)))


@lru_cache(maxsize=8)
def _bins(memory: Memory) -> Code:
    return compiled(histogram_text(memory))
