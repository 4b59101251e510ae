"""Loops over a tensor's elements in LLVM IR: how every kernel reads, converts and writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from actlab.kernels.runtime.frame import DONE, PAST_CACHES
from actlab.lower.vector import Block, Kind, Value

Memory = Literal["float", "double", "half", "bfloat"]
"""The dtype of a tensor."""

SIZE = {"float": 4, "double": 8, "half": 2, "bfloat": 2}

# Bytes of a cache line; outputs that are written past the caches begin at one.
LINE = 64

MASK = Value("%mask", "i1")
"""The lanes that the rest of a run fills, where whole vectors do not."""


def stored_as(memory: Memory) -> Kind:
    """Return the type in which the memory is addressed: bfloat16 as its bits."""
    return "i16" if memory == "bfloat" else memory


def overload(lanes: int, kind: Kind) -> str:
    """Return how LLVM names its functions on vectors of this kind."""
    return f"v{lanes}" + {"float": "f32", "double": "f64", "half": "f16"}.get(kind, kind)


def address(block: Block, base: str, index: str, memory: Memory) -> str:
    """Return the address of the element at the index from the base."""
    return block.line(f"getelementptr {stored_as(memory)}, ptr {base}, i64 {index}", "i64").name


def loaded(block: Block, place: str, memory: Memory, *, mask: Value | None = None) -> Value:
    """Read one vector as it is stored; 0 in lanes outside the mask."""
    kind, align = stored_as(memory), SIZE[memory]
    of, bits = block.vector(kind), block.vector("i1")
    if mask is None:
        return block.line(f"load {of}, ptr {place}, align {align}", kind)
    function = f"@llvm.masked.load.{overload(block.lanes, kind)}.p0"
    block.declarations.add(f"declare {of} {function}(ptr, i32, {bits}, {of})")
    return block.line(f"call {of} {function}(ptr {place}, i32 {align}, {bits} {mask.name}, {of} zeroinitializer)", kind)


def store(
    block: Block, place: str, value: Value, memory: Memory, *, mask: Value | None = None, past_caches: bool = False
) -> None:
    """Write one vector of the memory's type: only the lanes in the mask, or all, past the caches if asked."""
    size = SIZE[memory]
    of, bits = block.vector(value.kind), block.vector("i1")
    if mask is None:
        how = f"align {min(LINE, block.lanes * size)}, {PAST_CACHES}" if past_caches else f"align {size}"
        block.lines.append(f"  store {of} {value.name}, ptr {place}, {how}")
        return
    function = f"@llvm.masked.store.{overload(block.lanes, value.kind)}.p0"
    block.declarations.add(f"declare void {function}({of}, ptr, i32, {bits})")
    block.lines.append(f"  call void {function}({of} {value.name}, ptr {place}, i32 {size}, {bits} {mask.name})")


def widened(block: Block, raw: Value, *, memory: Memory, kind: Kind) -> Value:
    """Convert what was read to the arithmetic's type: exact."""
    if memory == "bfloat":
        bits = block.binary("shl", block.convert("zext", raw, "i32"), block.whole(16, "i32"))
        raw = block.convert("bitcast", bits, "float")
    return raw if raw.kind == kind else block.convert("fpext", raw, kind)


def narrowed(block: Block, result: Value, *, memory: Memory) -> Value:
    """Round a result to the memory's type; to a 16-bit one by way of float32, as its definition is."""
    if memory == "double":
        return result
    single = result if result.kind == "float" else block.convert("fptrunc", result, "float")
    if memory == "half":
        return block.convert("fptrunc", single, "half")
    return single if memory == "float" else _bfloat(block, single)


def _bfloat(block: Block, single: Value) -> Value:
    """Return the upper half of the bits, rounded to nearest, ties to even.

    A NaN stays one: what was read is bfloat16, so that the lower half of a NaN's bits is 0 and carries nothing up.
    """
    bits = block.convert("bitcast", single, "i32")
    upper = block.binary("lshr", bits, block.whole(16, "i32"))
    odd = block.binary("and", upper, block.whole(1, "i32"))
    rounded = block.binary("add", bits, block.binary("add", odd, block.whole(0x7FFF, "i32")))
    if block.lanes == 32:
        return _upper_halves(block, rounded)
    return block.convert("trunc", block.binary("lshr", rounded, block.whole(16, "i32")), "i16")


def _upper_halves(block: Block, words: Value) -> Value:
    """Return the upper sixteen bits of each word: AVX-512 takes them from two registers in one instruction."""
    halves = f"<{2 * block.lanes} x i16>"
    view = block.line(f"bitcast {block.vector('i32')} {words.name} to {halves}", "i16")
    places = ", ".join(f"i32 {2 * lane + 1}" for lane in range(block.lanes))
    return block.line(f"shufflevector {halves} {view.name}, {halves} poison, <{block.lanes} x i32> <{places}>", "i16")


def spread_out(lanes: int, kind: str, scalar: str, *, seed: str, into: str) -> list[str]:
    """Write lines that put a scalar into every lane of a vector."""
    of = f"<{lanes} x {kind}>"
    return [
        f"  {seed} = insertelement {of} poison, {kind} {scalar}, i32 0",
        f"  {into} = shufflevector {of} {seed}, {of} poison, <{lanes} x i32> zeroinitializer",
    ]


def rest_mask(lanes: int) -> list[str]:
    """Write lines that compute `MASK`: the first `%left` lanes."""
    places = ", ".join(f"i64 {lane}" for lane in range(lanes))
    return [
        *spread_out(lanes, "i64", "%left", seed="%seedleft", into="%lefts"),
        f"  {MASK.name} = icmp ult <{lanes} x i64> <{places}>, %lefts",
    ]


def piece(lanes: int, *, total: str) -> list[str]:
    """Write lines that compute the `%length` of the piece at `%inside`, and how many elements fill `%whole` vectors."""
    return [
        f"  %remaining = sub i64 {total}, %inside",
        "  %short = icmp ult i64 %remaining, %piece",
        "  %length = select i1 %short, i64 %remaining, i64 %piece",
        f"  %whole = and i64 %length, {-lanes}",
    ]


def over_piece(body: Block, tail: Block, *, phis: Sequence[str] = (), ends: Sequence[str] = ()) -> list[str]:
    """Write a loop over the whole vectors of a piece, `%i` elements in, and the rest under `MASK`.

    Args:
        body, tail: the code for one vector, in blocks that begin with these labels.
        phis: what the body carries from vector to vector.
        ends: the same where the loop is over.
    """
    return [
        "  %some = icmp ugt i64 %whole, 0",
        "  br i1 %some, label %body, label %rest",
        "body:",
        f"  %i = phi i64 [ 0, %segment ], [ %next, %{body.label} ]",
        *phis,
        *body.lines,
        f"  %next = add i64 %i, {body.lanes}",
        "  %more = icmp ult i64 %next, %whole",
        "  br i1 %more, label %body, label %rest",
        "rest:",
        *ends,
        "  %left = sub i64 %length, %whole",
        "  %any = icmp ugt i64 %left, 0",
        f"  br i1 %any, label %tail, label %{DONE}",
        "tail:",
        *rest_mask(tail.lanes),
        *tail.lines,
        f"  br label %{DONE}",
    ]
