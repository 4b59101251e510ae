"""Activations along an axis on CPU tensors: one kernel per formula, for every dtype and layout.

Float32 and the 16-bit dtypes are computed in float64 and rounded once, a 16-bit result by way of float32; float64 is
computed with its rounding errors carried along. Every row is one thread's: the bits are the same for any number of
threads, and for any layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import final

import torch
from torch import Tensor

from actlab.formula.expr import Expr, Input
from actlab.kernels.axis.ir import AxisShape, axis_text, lanes_of
from actlab.kernels.axis.layout import rows_of
from actlab.kernels.elementwise.kernels import MEMORY
from actlab.kernels.runtime.cpu import machine
from actlab.kernels.runtime.jit import Code, compiled
from actlab.kernels.runtime.launch import WORTH_A_TEAM, spread

# The arguments of a kernel of so many inputs.
_PACKED = tuple(Struct(f"{3 + 3 * (inputs + 1)}q").pack for inputs in range(3))


@final
class AxisKernels:
    """The kernels of one formula along an axis; created by `axis_kernels`.

    Attributes:
        expression, args: the formula and its inputs in order.
    """

    def __init__(self, expression: Expr, args: tuple[Input, ...]) -> None:
        self.expression = expression
        self.args = args
        self._codes: dict[tuple[torch.dtype, bool], Code] = {}

    def check(self) -> None:
        """Raise unless kernels can be compiled.

        Raises:
            CannotLower: a kernel cannot spell the formula.
            NoKernels: machine code cannot be made here.
        """
        axis_text(AxisShape(self.expression, self.args, "float", across=False, scalef=machine().scalef))

    def run(self, tensors: Sequence[Tensor], *, axis: int) -> Tensor:
        """Compute the formula along the axis.

        Args:
            tensors: one for each input, two at most, of one shape and one floating-point dtype, and not empty along
                the axis.
            axis: from 0 up.

        Raises:
            CannotLower: a kernel cannot spell the formula.
            NoKernels: machine code cannot be made here.
        """
        first = tensors[0]
        result = torch.empty_like(first)
        count = first.numel()
        if not count:
            return result
        length = first.shape[axis]
        if axis == first.dim() - 1 and first.is_contiguous() and tensors[-1].is_contiguous():
            code = self._codes.get((first.dtype, False)) or self._code(first.dtype, across=False)
            numbers = [length, 1, 1]
            for tensor in tensors:
                numbers += (tensor.data_ptr(), length, 1)
            numbers += (result.data_ptr(), length, 1)
            if count < WORTH_A_TEAM:
                code.run(_PACKED[len(tensors)](*numbers), 0, count // length)
            else:
                spread(code, numbers, segments=count // length, elements=count)
            return result
        lanes = lanes_of(MEMORY[first.dtype])
        rows = rows_of([*tensors, result], axis, lanes=lanes)
        chunks = -(-rows.beside // lanes)
        numbers = [length, chunks, rows.beside]
        for operand in rows.operands:
            numbers += operand
        code = self._code(first.dtype, across=rows.beside > 1)
        spread(code, numbers, segments=rows.stretches * chunks, elements=first.numel())
        written, target = rows.kept[-1], result.permute(rows.order)
        if written.data_ptr() != target.data_ptr():
            target.copy_(written)
        return result

    def _code(self, dtype: torch.dtype, *, across: bool) -> Code:
        found = self._codes.get((dtype, across))
        if found is None:
            shape = AxisShape(self.expression, self.args, MEMORY[dtype], across, machine().scalef)
            found = self._codes[dtype, across] = compiled(axis_text(shape))
        return found


@lru_cache(maxsize=1024)
def axis_kernels(expression: Expr, args: tuple[Input, ...]) -> AxisKernels:
    """Return the formula's kernels, created only once."""
    return AxisKernels(expression, args)
