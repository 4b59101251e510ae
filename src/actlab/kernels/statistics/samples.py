"""Evenly spaced elements of many tensors, copied side by side in one call."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import final

import torch
from torch import Tensor

from actlab.errors import NoKernels
from actlab.kernels.elementwise.kernels import MEMORY
from actlab.kernels.elementwise.loop_ir import Memory
from actlab.kernels.runtime.frame import DONE, framed, header
from actlab.kernels.runtime.jit import Code, compiled

_STORED = {"float": "float", "double": "double", "half": "half", "bfloat": "i16"}
_CALLED = Struct("2q").pack


@final
class Samples:
    """Copies views into a row of float32, or of float64 where one of them is: as `torch.cat`, which takes
    some microseconds a view where its code is not in the cache.

    Attributes:
        count: how many elements there are in all.
        dtype: of the row.
    """

    def __init__(self, views: Sequence[Tensor]) -> None:
        self.count = sum(each.numel() for each in views)
        self.dtype = torch.float32
        for each in views:
            self.dtype = torch.promote_types(self.dtype, each.dtype)
        self._views = list(views)
        self._code = _code_for(views)
        if self._code is not None:
            self._plan = _planned(views)

    def copy(self, into: Tensor) -> None:
        """The elements now.

        Args:
            into: as many numbers, side by side.
        """
        if self._code is None:
            torch.cat([each.flatten() for each in self._views], out=into)
        else:
            self._code.run(_CALLED(self._plan.data_ptr(), into.data_ptr()), 0, len(self._views))


def _planned(views: Sequence[Tensor]) -> Tensor:
    """For every view its address, its step, its count, and where its elements go."""
    rows, offset = [], 0
    for each in views:
        rows.append((each.data_ptr(), each.stride(0), each.numel(), offset))
        offset += each.numel()
    return torch.tensor(rows, dtype=torch.int64)


def _code_for(views: Sequence[Tensor]) -> Code | None:
    """The kernel; None where the views are not all of one type on the processor, or there are no kernels."""
    types = {(each.device.type, each.dtype) for each in views}
    if len(types) != 1 or not all(each.dim() == 1 for each in views):
        return None
    device, dtype = types.pop()
    if device != "cpu" or dtype not in MEMORY:
        return None
    try:
        return _code(MEMORY[dtype])
    except NoKernels:
        return None


@lru_cache(maxsize=4)
def _code(memory: Memory) -> Code:
    return compiled(samples_text(memory))


def samples_text(memory: Memory) -> str:
    """The kernel that copies: a segment is a view; the arguments are the plan's address and the row's."""
    stored, wide = _STORED[memory], "double" if memory == "double" else "float"
    segment = [
        "  %line = mul i64 %at, 4",
        *_read("address", 0),
        *_read("step", 1),
        *_read("count", 2),
        *_read("offset", 3),
        "  %from = inttoptr i64 %address to ptr",
        f"  %to = getelementptr {wide}, ptr %baseinto, i64 %offset",
        "  %some = icmp sgt i64 %count, 0",
        f"  br i1 %some, label %body, label %{DONE}",
        "body:",
        "  %i = phi i64 [ 0, %segment ], [ %next, %body ]",
        "  %inside = mul i64 %i, %step",
        f"  %place = getelementptr {stored}, ptr %from, i64 %inside",
        f"  %raw = load {stored}, ptr %place",
        *_widened(memory),
        f"  %slot = getelementptr {wide}, ptr %to, i64 %i",
        f"  store {wide} %x, ptr %slot",
        "  %next = add i64 %i, 1",
        "  %more = icmp slt i64 %next, %count",
        f"  br i1 %more, label %body, label %{DONE}",
    ]
    return framed([], entry=header(("baseplan", "baseinto")), segment=segment)


def _read(name: str, at: int) -> list[str]:
    return [
        f"  %at{name} = add i64 %line, {at}",
        f"  %place{name} = getelementptr i64, ptr %baseplan, i64 %at{name}",
        f"  %{name} = load i64, ptr %place{name}",
    ]


def _widened(memory: Memory) -> list[str]:
    """`%raw` as `%x`: a float, or a double as it is."""
    if memory == "half":
        return ["  %x = fpext half %raw to float"]
    if memory == "bfloat":
        return ["  %low = zext i16 %raw to i32", "  %high = shl i32 %low, 16", "  %x = bitcast i32 %high to float"]
    return [f"  %x = bitcast {_STORED[memory]} %raw to {_STORED[memory]}"]
