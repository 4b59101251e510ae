"""How tensors lie in memory, as the tiles that a GPU kernel's programs work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, final

from torch import Tensor

from actlab.kernels.elementwise.layout import channel_axis, is_dense

# What an operand's value depends on: the element, nothing, the group, or the column.
Place = Literal["stream", "scalar", "group", "column"]

# Programs along the grid's last axis, of which CUDA takes no more.
_MOST_GROUPS = 65535

# From column to column: repeated, side by side, interleaved. Each has a kernel; others are copied.
_COLUMN_STEPS = (0, 1, 2)

# A tile has so many bytes of each operand: two loads of 16 bytes for each of 128 threads.
_TILE_BYTES = 4096
# Where there are sums: tiles to a program, so that few partial sums remain, and columns to a tile where every column
# has its own sum.
_SUMMING_STEPS, _SUMMED_COLUMNS = 8, 128


@final
@dataclass(frozen=True)
class Operand:
    """A tensor as a kernel iterates over it.

    Attributes:
        tensor: whose memory it is; it must outlive the call.
        place: what its value depends on.
        steps: from group to group, row to row and column to column, in elements.
    """

    tensor: Tensor
    place: Place
    steps: tuple[int, int, int]


@final
@dataclass(frozen=True)
class Tiled:
    """Tensors ready for a kernel.

    Attributes:
        groups, rows, cols: the numbers of each; a group holds all elements of one channel, or simply all.
        operands: one for each tensor.
    """

    groups: int
    rows: int
    cols: int
    operands: tuple[Operand, ...]

    @property
    def elements(self) -> int:
        return self.groups * self.rows * self.cols

    @property
    def is_flat(self) -> bool:
        """Whether the elements are one run and no parameter changes along it."""
        return self.groups == 1 and self.rows == 1 and all(each.place != "column" for each in self.operands)


@final
@dataclass(frozen=True)
class Tile:
    """What one program works on, and how many programs there are.

    Attributes:
        rows, cols: elements in a tile each way, powers of two.
        steps: tiles that a program works on one after another: of a run along the columns, else along the rows.
        grid: programs in that direction, in the other one, and groups.
    """

    rows: int
    cols: int
    steps: int
    grid: tuple[int, int, int]


def tile_of(laid: Tiled, *, sums: Sequence[Place], size: int) -> Tile:
    """Return the tile for elements of `size` bytes, where the gradients of parameters at `sums` are added."""
    most = _TILE_BYTES // size
    cols = min(_power(laid.cols), _SUMMED_COLUMNS if "column" in sums else most)
    rows = min(_power(laid.rows), most // cols)
    along, across = (laid.cols, laid.rows) if laid.is_flat else (laid.rows, laid.cols)
    one, other = (cols, rows) if laid.is_flat else (rows, cols)
    steps = min(_SUMMING_STEPS, _power(-(-along // one))) if sums else 1
    return Tile(rows, cols, steps, (-(-along // (one * steps)), -(-across // other), laid.groups))


def _power(count: int) -> int:
    """Return the least power of two that is at least the number."""
    return 1 << (count - 1).bit_length()


def is_simple(tensors: Sequence[Tensor]) -> bool:
    """Return whether every tensor that broadcasts to the first one's shape has one value, or one per channel."""
    axes = _axes(tensors)
    first = tensors[0]
    if None in axes or len(axes - {-1}) > 1:
        return False
    axis = _axis(tensors)
    return axis in (-1, first.dim() - 1) or first.shape[axis] <= _MOST_GROUPS


def tiled(tensors: Sequence[Tensor]) -> Tiled:
    """Return tensors that broadcast simply to the first one's shape, as groups of rows of columns.

    Memory that is not a grid of equal steps is copied; halves and interleaved places of a packed tensor are such grids.
    """
    axis = _axis(tensors)
    if axis < 0:
        return _without_channels(tensors)
    return _by_columns(tensors) if axis == tensors[0].dim() - 1 else _by_groups(tensors, axis=axis)


def _axis(tensors: Sequence[Tensor]) -> int:
    """Return the axis that counts channels; −1 for none."""
    return max((axis for axis in _axes(tensors) if axis is not None), default=-1)


def _axes(tensors: Sequence[Tensor]) -> set[int | None]:
    first = tensors[0]
    return {channel_axis(tensor, first) for tensor in tensors if tensor.shape != first.shape}


def _without_channels(tensors: Sequence[Tensor]) -> Tiled:
    first = tensors[0]
    full = [tensor for tensor in tensors if tensor.shape == first.shape]
    if _is_one_run(full):
        operands = [_operand(tensor, first, stream=(0, 0, 1)) for tensor in tensors]
        return Tiled(1, 1, first.numel(), tuple(operands))
    if _row_steps(tensors) is None:
        return _without_channels([tensor.contiguous() if tensor.shape == first.shape else tensor for tensor in tensors])
    return _by_columns(tensors)


def _is_one_run(tensors: Sequence[Tensor]) -> bool:
    """Return whether the elements of each lie without gaps, and in the same order in all."""
    strides = tensors[0].stride()
    if all(tensor.is_contiguous() for tensor in tensors):
        return True  # also where the strides of axes of length 1 differ
    return all(tensor.stride() == strides for tensor in tensors) and is_dense(tensors[0])


def _by_columns(tensors: Sequence[Tensor]) -> Tiled:
    """Treat the last axis as columns; read a parameter for each of them by column."""
    first = tensors[0]
    steps = _row_steps(tensors)
    if steps is None:
        tensors = [tensor.contiguous() for tensor in tensors]
        steps = [tensor.shape[-1] if tensor.dim() else 0 for tensor in tensors]
    operands = [
        _operand(tensor, first, stream=(0, step, _last_step(tensor)), several="column")
        for tensor, step in zip(tensors, steps, strict=True)
    ]
    cols = first.shape[-1]
    return Tiled(1, first.numel() // max(cols, 1), cols, tuple(operands))


def _by_groups(tensors: Sequence[Tensor], *, axis: int) -> Tiled:
    """Make a group of each channel: its rows are those before the axis, its columns the elements behind."""
    first = tensors[0]
    rows, groups, cols = prod(first.shape[:axis]), first.shape[axis], prod(first.shape[axis + 1 :])
    operands = [
        _operand(tensor.contiguous(), first, stream=(cols, groups * cols, 1), several="group") for tensor in tensors
    ]
    return Tiled(groups, rows, cols, tuple(operands))


def _operand(
    tensor: Tensor, first: Tensor, *, stream: tuple[int, int, int], several: Literal["group", "column"] = "group"
) -> Operand:
    if tensor.shape == first.shape:
        return Operand(tensor, "stream", stream)
    if tensor.numel() == 1:
        return Operand(tensor, "scalar", (0, 0, 0))
    return Operand(tensor.contiguous(), several, (1, 0, 0) if several == "group" else (0, 0, 1))


def _row_steps(tensors: Sequence[Tensor]) -> list[int] | None:
    """Return the distance between rows of each full tensor, 0 for the others; None if one has no such distance."""
    shape = tensors[0].shape
    full = [tensor for tensor in tensors if tensor.shape == shape]
    if not shape or any(_last_step(tensor) not in _COLUMN_STEPS for tensor in full):
        return None
    steps = [_row_step(tensor) if tensor.shape == shape else 0 for tensor in tensors]
    return None if None in steps else [step or 0 for step in steps]


def _row_step(tensor: Tensor) -> int | None:
    """Return the distance between rows if all axes but the last collapse into one."""
    step, expected = None, 0
    for size, stride in zip(reversed(tensor.shape[:-1]), reversed(tensor.stride()[:-1]), strict=True):
        if size == 1:
            continue
        if step is None:
            step = expected = stride
        elif stride != expected:
            return None
        expected *= size
    return step or 0


def _last_step(tensor: Tensor) -> int:
    return tensor.stride(-1) if tensor.dim() and tensor.shape[-1] > 1 else 1
