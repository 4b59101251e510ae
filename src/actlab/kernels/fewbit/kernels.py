"""Few-bit memory in machine code: a forward pass that writes codes, a backward pass that reads them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from actlab.formula.expr import Expr
from actlab.kernels.elementwise.kernels import MEMORY, goes_past_caches
from actlab.kernels.elementwise.plan import Shape, plan
from actlab.kernels.elementwise.strategies import Mode, recipe
from actlab.kernels.fewbit.codes import BLOCK, Staircase
from actlab.kernels.fewbit.ir import coding_text, decoding_text, drawing_text
from actlab.kernels.runtime.jit import Code, compiled
from actlab.kernels.runtime.launch import PIECE, spread
from actlab.kernels.runtime.loop import Memory
from actlab.lower.straight_line import Leaf


def coded(formula: Expr, arg: Leaf, mode: Mode, *, x: Tensor, table: Staircase) -> tuple[Tensor, Tensor]:
    """Compute the formula of a contiguous tensor, and the packed codes, laid out as `codes` says.

    Raises:
        CannotLower: a kernel cannot spell the formula.
        NoKernels: machine code cannot be made here.
    """
    y, codes = _targets(x, bits=table.bits)
    large = goes_past_caches(x.dtype, x.numel(), y.data_ptr())
    _run(_coding(formula, arg, mode, MEMORY[x.dtype], table, large), x, y, codes)
    return y, codes


def drawn(
    formula: Expr, arg: Leaf, mode: Mode, *, x: Tensor, table: Staircase, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Compute the same, drawing each code from the two levels around the derivative; the key comes from the generator.

    Raises:
        CannotLower: a kernel cannot spell the formula or its derivative.
        NoKernels: machine code cannot be made here.
    """
    y, codes = _targets(x, bits=table.bits)
    large = goes_past_caches(x.dtype, x.numel(), y.data_ptr())
    key = int(torch.empty((), dtype=torch.int64, device="cpu").random_(generator=generator))
    _run(_drawing(formula, arg, mode, MEMORY[x.dtype], table.levels, large), x, y, codes, key)
    return y, codes


def _targets(x: Tensor, *, bits: int) -> tuple[Tensor, Tensor]:
    """Allocate the values and the codes."""
    blocks = -(-x.numel() // BLOCK)
    # vectors of eight doubles may leave a word's upper byte
    made = torch.zeros if x.dtype == torch.float64 else torch.empty
    return torch.empty_like(x), made(bits, blocks, dtype=torch.int16, device="cpu")


def pulled(dy: Tensor, codes: Tensor, *, table: Staircase) -> Tensor:
    """Multiply the contiguous incoming gradient by the level of each element's code."""
    dx = torch.empty_like(dy)
    _run(_decoding(MEMORY[dy.dtype], table, goes_past_caches(dy.dtype, dy.numel(), dx.data_ptr())), dy, dx, codes)
    return dx


def _run(code: Code, source: Tensor, target: Tensor, codes: Tensor, *more: int) -> None:
    count, addresses = source.numel(), (source.data_ptr(), target.data_ptr(), codes.data_ptr())
    spread(code, (PIECE, count, 2 * codes.shape[1], *addresses, *more), segments=-(-count // PIECE), elements=count)


@lru_cache(maxsize=1024)
def _coding(formula: Expr, arg: Leaf, mode: Mode, memory: Memory, table: Staircase, past_caches: bool) -> Code:
    shape = Shape(formula, (arg,), ("stream",))
    made = plan(shape, memory=memory, recipe=recipe(shape, memory=memory, mode=mode))
    return compiled(coding_text(replace(made, past_caches=past_caches), table))


@lru_cache(maxsize=1024)
def _drawing(
    formula: Expr, arg: Leaf, mode: Mode, memory: Memory, levels: tuple[float, ...], past_caches: bool
) -> Code:
    forward, slope = (
        plan(shape, memory=memory, recipe=recipe(shape, memory=memory, mode=mode))
        for shape in (Shape(formula, (arg,), ("stream",)), Shape(formula, (arg,), ("stream",), (True,)))
    )
    return compiled(drawing_text(replace(forward, past_caches=past_caches), slope, levels))


@lru_cache(maxsize=1024)
def _decoding(memory: Memory, table: Staircase, past_caches: bool) -> Code:
    return compiled(decoding_text(memory, table, past_caches=past_caches))
