"""How tensors lie in memory along an axis, as the rows that a kernel iterates over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import final

from torch import Tensor

# An operand: its address, its step from one stretch of rows to the next, and its step along the row, in elements.
Operand = tuple[int, int, int]


@final
@dataclass(frozen=True)
class Rows:
    """Tensors of one shape, ready for a kernel.

    Attributes:
        length: elements in a row.
        stretches: how many times `beside` rows lie side by side.
        beside: how many rows lie side by side; 1 where the row itself does.
        operands: one for each tensor.
        kept: the tensors whose memory the operands point to, all with the axis in the same place.
        order: where each axis of the given tensors went in those.
    """

    length: int
    stretches: int
    beside: int
    operands: tuple[Operand, ...]
    kept: tuple[Tensor, ...]
    order: tuple[int, ...]


def rows_of(tensors: Sequence[Tensor], axis: int, *, lanes: int) -> Rows:
    """Return the rows along the axis of tensors of one shape, the last of which is written.

    Axes are taken in the first tensor's order in memory. A tensor whose rows do not lie at one distance, and every
    tensor where fewer rows lie side by side than a vector has lanes, is copied; so may be the last one, so that its
    copy has to be copied back.
    """
    first = tensors[0]
    strides = first.stride()
    order = sorted(range(first.dim()), key=lambda at: (-strides[at], at))
    place = order.index(axis)
    beside = prod(first.shape[at] for at in order[place + 1 :])
    if 1 < beside < lanes:
        order = [*(at for at in order if at != axis), axis]
        place, beside = first.dim() - 1, 1
    kept, operands = [], []
    for tensor in tensors:
        turned = tensor.permute(order)
        steps = _steps(turned, place, beside=beside)
        if steps is None:
            turned = turned.contiguous()
            steps = _steps(turned, place, beside=beside)
            assert steps is not None
        kept.append(turned)
        operands.append((turned.data_ptr(), *steps))
    length = first.shape[axis]
    return Rows(length, first.numel() // (length * beside), beside, tuple(operands), tuple(kept), tuple(order))


def _steps(turned: Tensor, place: int, *, beside: int) -> tuple[int, int] | None:
    """Return the steps outward and along, or None if there are none."""
    sizes, strides = turned.shape, turned.stride()
    outward = _one_step(sizes[:place], strides[:place])
    inward = _one_step(sizes[place + 1 :], strides[place + 1 :])
    along = strides[place] if sizes[place] > 1 else 1
    if outward is None or inward is None or (inward if beside > 1 else along) != 1:
        return None
    return outward, along


def _one_step(sizes: Sequence[int], strides: Sequence[int]) -> int | None:
    """Return the distance between neighbors if the axes collapse into one; 0 for a single element."""
    step, expected = 0, None
    for size, stride in zip(reversed(sizes), reversed(strides), strict=True):
        if size == 1:
            continue
        if expected is None:
            step = stride
        elif stride != expected:
            return None
        expected = stride * size
    return step
