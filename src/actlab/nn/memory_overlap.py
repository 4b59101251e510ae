"""Find out exactly whether tensors share memory, not only whether the ranges that they span overlap."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from torch import Tensor

# Steps of NumPy's search, which is exact and in bad cases exponential: far more than any ordinary view needs.
_MOST_WORK = 100_000


def lies_apart(tensor: Tensor) -> bool:
    """Say whether each axis steps over all that the finer ones span, so that no two elements can share memory.

    Where it does not they may still lie apart: `overlaps_itself` decides.
    """
    reach = 0
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1:
            if stride <= reach:
                return False
            reach += (size - 1) * stride
    return True


def overlaps_itself(tensor: Tensor) -> bool:
    """Say whether two elements of the tensor share memory; True also if that takes too long to find out."""
    if lies_apart(tensor) or not tensor.numel():
        return False
    # if two elements share a place, let `axis` be the first along which their indices differ: shift both so that one
    # has index 0 up to this axis; then the other has index 0 along the axes before, and a larger one along this axis
    for axis, size in enumerate(tensor.shape):
        before = tensor[(0,) * axis]
        if size > 1 and overlap(before[0], before[1:]):
            return True
    return False


def overlap(one: Tensor, other: Tensor) -> bool:
    """Say whether the tensors share a byte of memory; True also if that takes too long to find out."""
    if not (one.numel() and other.numel() and _spans_meet(one, other)):
        return False
    try:
        return np.shares_memory(np.asarray(_Places(one)), np.asarray(_Places(other)), max_work=_MOST_WORK)  # type: ignore[arg-type]  # its stub knows 0 and -1 only
    except np.exceptions.TooHardError:
        return True


def _spans_meet(one: Tensor, other: Tensor) -> bool:
    if one.device != other.device:
        return False
    (first, past), (start, end) = _span(one), _span(other)
    return first < end and start < past


def _span(tensor: Tensor) -> tuple[int, int]:
    """Return the first byte of the tensor's elements and the one after the last."""
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (reach + 1) * tensor.element_size()


@final
class _Places:
    """The addresses of a tensor's elements in the form that NumPy takes; nothing reads from them."""

    def __init__(self, tensor: Tensor) -> None:
        size = tensor.element_size()
        self.__array_interface__: dict[str, Any] = {
            "version": 3,
            "shape": tuple(tensor.shape),
            "strides": tuple(stride * size for stride in tensor.stride()),
            "typestr": f"|V{size}",
            "data": (tensor.data_ptr(), True),
        }
