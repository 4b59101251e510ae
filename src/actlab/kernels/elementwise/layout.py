"""How tensors lie in memory, as the grid that a kernel iterates over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import final

from torch import Tensor

from actlab.kernels.elementwise.loop_ir import Access
from actlab.kernels.runtime.launch import Grid, Operand


@final
@dataclass(frozen=True)
class Arranged:
    """Tensors ready for a kernel.

    Attributes:
        grid: the elements.
        operands: one for each tensor.
        access: how each is read.
        kept: the tensors whose memory the operands point to, which must outlive the call.
    """

    grid: Grid
    operands: tuple[Operand, ...]
    access: tuple[Access, ...]
    kept: tuple[Tensor, ...]


def arranged(tensors: Sequence[Tensor]) -> Arranged:
    """Return tensors that broadcast to the first one's shape as one grid.

    The first tensor is never broadcast. One value for all elements, or one for each channel, is read as such; any
    other broadcasting, and memory without a walkable order, is made contiguous first.
    """
    first = tensors[0]
    full = [tensor for tensor in tensors if tensor.shape == first.shape]
    if len(full) == len(tensors):
        return _streams(full)
    # the rows and channels of a parameter count in the first tensor's own order
    axes = {channel_axis(tensor, first) for tensor in tensors if tensor.shape != first.shape}
    if None in axes or len(axes - {-1}) > 1:
        return arranged([tensor.expand(first.shape).contiguous() for tensor in tensors])
    axis = max(axis for axis in axes if axis is not None)
    return _with_channels(tensors, first, axis=axis)


def channel_axis(tensor: Tensor, first: Tensor) -> int | None:
    """Return the axis of the first along which the tensor has several values: −1 for none, None for several axes."""
    if tensor.numel() == 1:
        return -1
    sizes = [1] * (first.dim() - tensor.dim()) + list(tensor.shape)
    several = [at for at, size in enumerate(sizes) if size != 1]
    return several[0] if len(several) == 1 and tensor.dim() <= first.dim() else None


def _with_channels(tensors: Sequence[Tensor], first: Tensor, *, axis: int) -> Arranged:
    """Return the grid of rows, channels along the axis, and the elements behind it."""
    shape = first.shape
    if axis < 0:
        grid = Grid(1, 1, first.numel())
    else:
        grid = Grid(prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :]))
        if grid.row == 1:  # the channels themselves lie side by side
            grid = Grid(grid.rows, 1, grid.channels)
    kept: list[Tensor] = []
    operands: list[Operand] = []
    access: list[Access] = []
    for tensor in tensors:
        tensor = tensor.contiguous()
        kept.append(tensor)
        if tensor.shape == shape:
            operands.append((tensor.data_ptr(), grid.channels * grid.row, grid.row))
            access.append("stream")
        elif tensor.numel() == 1:
            operands.append((tensor.data_ptr(), 0, 0))
            access.append("scalar")
        else:
            operands.append((tensor.data_ptr(), 0, 1))
            access.append("scalar" if grid.channels > 1 else "stream")
    return Arranged(grid, tuple(operands), tuple(access), tuple(kept))


def _streams(tensors: Sequence[Tensor]) -> Arranged:
    count = tensors[0].numel()
    if not _in_one_run(tensors):
        rows = _in_rows(tensors)
        if rows is not None:
            return rows
        tensors = [tensor.contiguous() for tensor in tensors]
    operands = tuple((tensor.data_ptr(), count, count) for tensor in tensors)
    return Arranged(Grid(1, 1, count), operands, _all_streams(tensors), tuple(tensors))


def _all_streams(tensors: Sequence[Tensor]) -> tuple[Access, ...]:
    return tuple("stream" for _ in tensors)


def _in_one_run(tensors: Sequence[Tensor]) -> bool:
    """Return whether all elements lie without gaps and in the same order."""
    if all(tensor.is_contiguous() for tensor in tensors):
        return True
    strides = tensors[0].stride()
    return all(tensor.stride() == strides for tensor in tensors) and is_dense(tensors[0])


def is_dense(tensor: Tensor) -> bool:
    """Return whether the elements fill their memory without gaps or overlap, in whatever order of axes."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def _in_rows(tensors: Sequence[Tensor]) -> Arranged | None:
    """Return rows of contiguous elements at equal distances, such as the halves of a packed tensor, or None."""
    steps = [_row_step(tensor) for tensor in tensors]
    width = tensors[0].shape[-1] if tensors[0].dim() else 1
    if width < 16 or not all(step is not None for step in steps):
        return None
    grid = Grid(tensors[0].numel() // width, 1, width)
    operands = tuple((tensor.data_ptr(), step or 0, 0) for tensor, step in zip(tensors, steps, strict=True))
    return Arranged(grid, operands, _all_streams(tensors), tuple(tensors))


def _row_step(tensor: Tensor) -> int | None:
    """Return the distance between rows if the last axis is contiguous and the others collapse into one."""
    if tensor.dim() < 2 or tensor.stride(-1) != 1 or tensor.numel() == 0:
        return None
    sizes, strides = tensor.shape[:-1], tensor.stride()[:-1]
    step, expected = None, 0
    for size, stride in zip(reversed(sizes), reversed(strides), strict=True):
        if size == 1:
            continue
        if step is None:
            step, expected = stride, stride
        elif stride != expected:
            return None
        expected *= size
    return tensor.shape[-1] if step is None else step
