"""Call kernels on tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import create_string_buffer
from dataclasses import dataclass
from struct import Struct
from typing import Any, final

import torch
from torch import Tensor

from actlab.kernels.runtime.jit import Code
from actlab.kernels.runtime.threads import layer, threads

# Elements that one thread takes at a time, and from how many on a second thread is worth its start
# (bench/results/threads.csv): a piece fits into the first cache together with what is written.
PIECE = 8192
WORTH_A_TEAM = 4 * PIECE


@final
@dataclass(frozen=True)
class Grid:
    """How elements lie in memory: rows, channels in a row, contiguous elements in a channel.

    Attributes:
        rows, channels, row: their numbers; `row` counts the elements side by side.
    """

    rows: int
    channels: int
    row: int

    @property
    def pieces(self) -> int:
        """The number of pieces into which each row is split."""
        return max(1, -(-self.row // PIECE))

    @property
    def segments(self) -> int:
        return self.rows * self.channels * self.pieces

    @property
    def elements(self) -> int:
        return self.rows * self.channels * self.row


# An operand: its address, and its steps from row to row and from channel to channel, in elements.
Operand = tuple[int, int, int]


def run(code: Code, grid: Grid, operands: Sequence[Operand], *, sums: Tensor | None = None) -> None:
    """Run the kernel over the grid, in one thread or in PyTorch's team."""
    numbers = [grid.channels, grid.pieces, min(PIECE, grid.row), grid.row]
    for operand in operands:
        numbers.extend(operand)
    if sums is not None:
        numbers.append(sums.data_ptr())
    spread(code, numbers, segments=grid.segments, elements=grid.elements)


def spread(code: Code, numbers: Sequence[int], *, segments: int, elements: int) -> None:
    """Run the kernel with these arguments over all segments, in one thread or in PyTorch's team."""
    arguments = (ctypes.c_int64 * len(numbers))(*numbers)
    if segments < 2 or elements < WORTH_A_TEAM or (team := threads()) < 2:
        code.run(arguments, 0, segments)
    else:
        _in_team(code, arguments, segments=segments, team=team)


# The arguments of operands that lie in one run each: their steps are 0, as is what `x` leaves out.
_FLAT = tuple(Struct("4q" + count * "q16x").pack for count in range(6))


def run_flat(code: Code, count: int, *addresses: int) -> None:
    """Run the kernel over contiguous operands: the same with less overhead."""
    if 0 < count <= PIECE:
        code.run(_FLAT[len(addresses)](1, 1, count, count, *addresses), 0, 1)
        return
    pieces = -(-count // PIECE) or 1
    packed = _FLAT[len(addresses)](1, pieces, PIECE if pieces > 1 else count, count, *addresses)
    if count < WORTH_A_TEAM or (team := threads()) < 2:
        code.run(packed, 0, pieces)
    else:
        _in_team(code, create_string_buffer(packed), segments=pieces, team=team)


def _in_team(code: Code, arguments: ctypes.Array[Any], *, segments: int, team: int) -> None:
    parallel = layer().parallel
    assert parallel is not None
    job = (ctypes.c_int64 * 2)(ctypes.addressof(arguments), segments)
    parallel(code.team, ctypes.addressof(job), min(team, segments), 0)


def empty_sums(grid: Grid, *, outputs: int) -> Tensor:
    """Allocate the sums of every segment."""
    return torch.empty((grid.rows, grid.channels, grid.pieces, outputs), dtype=torch.float64)
