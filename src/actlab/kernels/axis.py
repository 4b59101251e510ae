"""Activations along an axis on tensors of the processor's memory: one kernel a formula, for every dtype and layout.

Float32 and the 16-bit dtypes are computed in float64 and rounded once, a 16-bit result by way of float32; float64 is
computed with its rounding errors carried along. Every row is one thread's: the bits are the same for any number of
threads, and for any layout.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from typing import final

import torch
from torch import Tensor

from actlab.formula.expr import Expr, Input
from actlab.kernels.axis_layout import Rows, rows_of
from actlab.kernels.axis_text import AxisShape, axis_text, lanes_of
from actlab.kernels.compiled import Code, compiled
from actlab.kernels.elementwise import MEMORY
from actlab.kernels.launch import WORTH_A_TEAM
from actlab.kernels.machine import machine
from actlab.kernels.threads import layer, threads


@final
class AxisKernels:
    """The kernels of one formula along an axis; made by `axis_kernels`.

    Attributes:
        expression, args: the formula and its inputs in order.
    """

    def __init__(self, expression: Expr, args: tuple[Input, ...]) -> None:
        self.expression = expression
        self.args = args
        self._codes: dict[tuple[torch.dtype, bool], Code] = {}

    def check(self) -> None:
        """Nothing, where kernels can be made.

        Raises:
            CannotLower: a kernel cannot spell the formula.
            NoKernels: machine code cannot be made here.
        """
        axis_text(AxisShape(self.expression, self.args, "float", across=False, scalef=machine().scalef))

    def run(self, tensors: Sequence[Tensor], *, axis: int) -> Tensor:
        """The formula along the axis.

        Args:
            tensors: one for each input, of one shape and one floating-point dtype, none empty along the axis.
            axis: from 0 up.

        Raises:
            CannotLower: a kernel cannot spell the formula.
            NoKernels: machine code cannot be made here.
        """
        first = tensors[0]
        result = torch.empty_like(first)
        if not first.numel():
            return result
        length = first.shape[axis]
        if axis == first.dim() - 1 and all(tensor.is_contiguous() for tensor in (*tensors, result)):
            operands = tuple((tensor.data_ptr(), length, 1) for tensor in (*tensors, result))
            rows = Rows(length, first.numel() // length, 1, operands, (), ())
            _run(self._code(first.dtype, across=False), rows, lanes=1)
            return result
        lanes = lanes_of(MEMORY[first.dtype])
        rows = rows_of([*tensors, result], axis, lanes=lanes)
        _run(self._code(first.dtype, across=rows.beside > 1), rows, lanes=lanes)
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


def _run(code: Code, rows: Rows, *, lanes: int) -> None:
    """Run the kernel over the rows, in one thread or in PyTorch's team."""
    chunks = -(-rows.beside // lanes)
    numbers = [rows.length, chunks, rows.beside]
    for operand in rows.operands:
        numbers.extend(operand)
    arguments = (ctypes.c_int64 * len(numbers))(*numbers)
    segments = rows.stretches * chunks
    worth_it = rows.length * rows.stretches * rows.beside >= WORTH_A_TEAM
    if segments < 2 or not worth_it or (team := threads()) < 2:
        code.run(arguments, 0, segments)
        return
    parallel = layer().parallel
    assert parallel is not None
    job = (ctypes.c_int64 * 2)(ctypes.addressof(arguments), segments)
    parallel(code.team, ctypes.addressof(job), min(team, segments), 0)


@lru_cache(maxsize=1024)
def axis_kernels(expression: Expr, args: tuple[Input, ...]) -> AxisKernels:
    """The kernels of the formula, made only once."""
    return AxisKernels(expression, args)
