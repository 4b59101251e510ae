"""Track which tensors share memory, and what is written to it through another tensor."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import final

import numpy as np
from torch import Tensor

_MOST_EXACT = 1 << 26
"""Largest span of two views, in elements, for which their overlap is computed exactly."""


@final
@dataclass(frozen=True)
class Region:
    """The elements of a storage that belong to a tensor.

    Attributes:
        offset: the offset of the first.
        shape, stride: as the tensor's, in elements.
    """

    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def end(self) -> int:
        """One beyond the last element."""
        return self.offset + 1 + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))


@final
@dataclass(frozen=True)
class Written:
    """A write to a storage: its time, the number of the new value, and its place."""

    at: int
    number: int
    region: Region


@final
class Memory:
    """Track writes in place, to know which tensors changed because they share memory.

    Attributes:
        is_written: whether there was a write.
    """

    def __init__(self) -> None:
        self.is_written = False
        self._clock = 0
        self._seen: dict[int, int] = {}  # by the number of a value
        self._writes: dict[int, list[Written]] = {}  # by storage

    def see(self, number: int) -> None:
        """Note that the value was created or first read now; this is needed only after the first write."""
        self._seen[number] = self._clock

    def write(self, number: int, tensor: Tensor) -> None:
        """Note that the tensor was overwritten and has the value with that number now."""
        storage = _storage(tensor)
        if storage is not None:
            self.is_written = True
            self._clock += 1
            self._seen[number] = self._clock
            self._writes.setdefault(storage, []).append(Written(self._clock, number, _region(tensor)))

    def changed(self, number: int, tensor: Tensor) -> tuple[tuple[int, ...], bool]:
        """Return the values that were written into the tensor since then, and whether they cover all of it."""
        storage = _storage(tensor)
        since = self._seen.get(number, 0)
        writes = self._writes.get(storage, []) if storage is not None else []
        latest = list(takewhile(lambda each: each.at > since, reversed(writes)))
        if not latest or tensor.numel() == 0:
            return (), False
        mine = _region(tensor)
        left = None
        found: list[int] = []
        for write in latest:
            share = _share(mine, write.region)
            fresh = share if left is None else share & left
            if fresh.any():
                found.append(write.number)
            left = ~share if left is None else left & ~share
            if not left.any():
                break
        return tuple(reversed(found)), left is not None and not left.any()


def _storage(tensor: Tensor) -> int | None:
    """Return the identity of the storage; None if the tensor has none, as a sparse one."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return None


def _region(tensor: Tensor) -> Region:
    return Region(int(tensor.storage_offset()), tuple(map(int, tensor.shape)), tuple(map(int, tensor.stride())))


def _share(mine: Region, other: Region) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return for each element of a region whether the other one has it too; true for all if they span too much."""
    low, high = min(mine.offset, other.offset), max(mine.end, other.end)
    if mine == other:
        return np.ones(mine.shape, dtype=bool)
    if mine.end <= other.offset or other.end <= mine.offset:
        return np.zeros(mine.shape, dtype=bool)
    if high - low > _MOST_EXACT:
        return np.ones(mine.shape, dtype=bool)
    cells = np.zeros(high - low, dtype=bool)
    _view(cells, other, low)[...] = True
    return _view(cells, mine, low).copy()


def _view(cells: np.ndarray[tuple[int], np.dtype[np.bool_]], region: Region, low: int) -> np.ndarray[
    tuple[int, ...], np.dtype[np.bool_]
]:  # fmt: skip
    return np.lib.stride_tricks.as_strided(cells[region.offset - low :], region.shape, region.stride)
