"""Rows of bits as one number each: the sum of a row's elements, as whole numbers, times a factor for each place."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

import torch
from torch import Tensor

from actlab.errors import NoKernels
from actlab.kernels.runtime.frame import DONE, framed, header
from actlab.kernels.runtime.jit import Code, compiled

_LANES = 8
_CALLED = Struct("5q").pack


def row_sums(rows: Tensor, factors: Tensor) -> Tensor:
    """For each row the sum of `(bits ^ (bits >> half of them)) * factor` in 64 bits, what is too large cut off.

    Args:
        rows: two axes, side by side in memory; their elements' bits count, signed but for single bytes.
        factors: whole numbers of 64 bits, one for each place of a row at least.
    """
    found = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
    is_written = write_row_sums(rows, factors, into=found, at=0)
    return found if is_written else _plain(rows, factors)


def write_row_sums(rows: Tensor, factors: Tensor, *, into: Tensor, at: int) -> bool:
    """The same into a tensor that has room for them from an index on; whether there is a kernel for it.

    Args:
        rows: of any number of axes: what lies behind the first is one row, without gaps.
    """
    code = _code_for(rows.device.type, rows.element_size())
    if code is None:
        return False
    results = into.data_ptr() + 8 * at
    count = rows.numel() // max(1, len(rows))
    code.run(_CALLED(rows.data_ptr(), count, factors.data_ptr(), results, rows.stride(0)), 0, len(rows))
    return True


_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _plain(rows: Tensor, factors: Tensor) -> Tensor:
    size = rows.element_size()
    bits = rows.view(_INTEGERS[size]).long()
    # whole numbers have noughts in the lower half of a float, which would be lost
    bits = bits ^ (bits >> 4 * size)
    return (bits * factors[: rows.shape[1]]).sum(1)


@lru_cache(maxsize=16)
def _code_for(device: str, size: int) -> Code | None:
    """The kernel; None elsewhere than on the processor, and where there are no kernels."""
    if device != "cpu":
        return None
    try:
        return compiled(row_sums_text(size))
    except NoKernels:
        return None


def row_sums_text(size: int) -> str:
    """The kernel for elements of so many bytes; a segment is a row.

    The arguments are the rows' address, the elements of a row, the addresses of factors and results, and the step from
    row to row.
    """
    stored, of, bits = f"i{8 * size}", f"<{_LANES} x i64>", f"<{_LANES} x i1>"
    extended = "zext" if size == 1 else "sext"
    wide = (
        f"  %bits = {extended} <{_LANES} x {stored}> %raw to {of}"
        if size < 8
        else f"  %bits = add {of} %raw, splat (i64 0)"
    )
    lanes = ", ".join(f"i64 {lane}" for lane in range(_LANES))
    segment = [
        "  %down = mul i64 %at, %rowstep",
        f"  %row = getelementptr {stored}, ptr %base, i64 %down",
        "  %some = icmp sgt i64 %count, 0",
        "  br i1 %some, label %body, label %done",
        "body:",
        "  %i = phi i64 [ 0, %segment ], [ %next, %body ]",
        f"  %sum = phi {of} [ zeroinitializer, %segment ], [ %more, %body ]",
        "  %left = sub i64 %count, %i",
        f"  %seed = insertelement {of} poison, i64 %left, i32 0",
        f"  %all = shufflevector {of} %seed, {of} poison, <{_LANES} x i32> zeroinitializer",
        f"  %mask = icmp slt {of} <{lanes}>, %all",
        f"  %place = getelementptr {stored}, ptr %row, i64 %i",
        "  %factorplace = getelementptr i64, ptr %basefactors, i64 %i",
        _loaded("raw", "place", stored, size),
        _loaded("factor", "factorplace", "i64", 8),
        wide,
        f"  %high = ashr {of} %bits, splat (i64 {4 * size})",
        f"  %mixed = xor {of} %bits, %high",
        f"  %product = mul {of} %mixed, %factor",
        f"  %more = add {of} %sum, %product",
        f"  %next = add i64 %i, {_LANES}",
        "  %onward = icmp slt i64 %next, %count",
        "  br i1 %onward, label %body, label %done",
        "done:",
        f"  %total = phi {of} [ zeroinitializer, %segment ], [ %more, %body ]",
        f"  %one = call i64 @llvm.vector.reduce.add.v{_LANES}i64({of} %total)",
        "  %slot = getelementptr i64, ptr %baseinto, i64 %at",
        "  store i64 %one, ptr %slot",
        f"  br label %{DONE}",
    ]
    declared = {
        f"declare <{_LANES} x {each}> @llvm.masked.load.v{_LANES}{each}.p0(ptr, i32, {bits}, <{_LANES} x {each}>)"
        for each in (stored, "i64")
    }
    declared.add(f"declare i64 @llvm.vector.reduce.add.v{_LANES}i64({of})")
    return framed(declared, entry=header(("base", "count", "basefactors", "baseinto", "rowstep")), segment=segment)


def _loaded(name: str, place: str, kind: str, size: int) -> str:
    of = f"<{_LANES} x {kind}>"
    masked = f"i32 {size}, <{_LANES} x i1> %mask, {of} zeroinitializer"
    return f"  %{name} = call {of} @llvm.masked.load.v{_LANES}{kind}.p0(ptr %{place}, {masked})"
