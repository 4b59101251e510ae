"""Kernels that write and read packed codes: values and codes in one forward pass, gradients from codes in one backward.

They work on operands that lie in one run each. The arguments: the elements in a piece, the number of elements, the
bytes of a plane, and three addresses. A segment is a piece; its codes start at a byte of their own, since a piece's
length is a multiple of eight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

from actlab.kernels.elementwise.loop_ir import Plan
from actlab.kernels.fewbit.codes import Staircase
from actlab.kernels.runtime.frame import framed, header
from actlab.kernels.runtime.loop import MASK, Memory, address, loaded, narrowed, over_piece, piece, store, widened
from actlab.lower.arithmetic import Arithmetic, Num
from actlab.lower.vector import Block, Kind, Value

_ARGUMENTS = ("piece", "count", "plane", "base0", "base1", "base2")


@final
@dataclass(frozen=True)
class _Stretch:
    """The code for one vector of elements: a whole one, or the rest at a piece's end."""

    block: Block
    memory: Memory
    whole: bool
    past_caches: bool

    @property
    def label(self) -> str:
        return "body" if self.whole else "tail"

    @property
    def mask(self) -> Value | None:
        return None if self.whole else MASK

    def read(self, operand: int) -> Value:
        return loaded(self.block, self._place(operand), self.memory, mask=self.mask)

    def widened(self, raw: Value, kind: Kind) -> Value:
        return widened(self.block, raw, memory=self.memory, kind=kind)

    def write(self, operand: int, result: Value) -> None:
        value = narrowed(self.block, result, memory=self.memory)
        store(self.block, self._place(operand), value, self.memory, mask=self.mask, past_caches=self.past_caches)

    def read_plane(self, bit: int) -> Value:
        lanes = self.block.lanes
        word = self.block.line(f"load i{lanes}, ptr {self._plane(bit)}, align 1", "i16").name
        return self.block.line(f"bitcast i{lanes} {word} to {self.block.vector('i1')}", "i1")

    def write_plane(self, bit: int, flags: Value) -> None:
        lanes = self.block.lanes
        kept = flags if self.whole else self.block.binary("and", flags, MASK)
        word = self.block.line(f"bitcast {self.block.vector('i1')} {kept.name} to i{lanes}", "i16").name
        self.block.lines.append(f"  store i{lanes} {word}, ptr {self._plane(bit)}, align 1")

    def _place(self, operand: int) -> str:
        return address(self.block, f"%base{operand}", f"%place.{self.label}", self.memory)

    def _plane(self, bit: int) -> str:
        byte = self.block.line(f"lshr i64 %place.{self.label}, 3", "i64").name
        row = self.block.line(f"mul i64 %plane, {bit}", "i64").name
        offset = self.block.line(f"add i64 {row}, {byte}", "i64").name
        return self.block.line(f"getelementptr i8, ptr %base2, i64 {offset}", "i64").name


def coding_text(plan: Plan, table: Staircase) -> str:
    """Return the kernel of a forward pass of one input that also writes the codes: x, y, codes."""

    def step(at: _Stretch) -> None:
        raw = at.read(0)
        arithmetic = Arithmetic(at.block, plan.recipe)
        (result,) = plan.body(arithmetic, [Num(at.widened(raw, plan.recipe.kind))])
        at.write(1, arithmetic.value(result))
        for bit, flags in enumerate(_planes(at.block, at.widened(raw, _compared(plan.memory)), table)):
            at.write_plane(bit, flags)

    return _looped(step, memory=plan.memory, past_caches=plan.past_caches)


def decoding_text(memory: Memory, table: Staircase, *, past_caches: bool = False) -> str:
    """Return the kernel of the backward pass: dy, dx, codes; dx is written past the caches if asked for."""

    def step(at: _Stretch) -> None:
        dy = at.widened(at.read(0), _compared(memory))
        level = _level(at.block, [at.read_plane(bit) for bit in range(table.bits)], table, kind=dy.kind)
        at.write(1, at.block.mul(dy, level))

    return _looped(step, memory=memory, past_caches=past_caches)


def drawing_text(plan: Plan, slopes: Plan, levels: Sequence[float]) -> str:
    """Return the kernel of a forward pass of one input that also writes random codes: x, y, codes, and the key.

    Of the two levels around each slope one is taken, the likelier the nearer, so that it is right on average. An
    element's draw depends on the key and its place alone.

    Args:
        plan, slopes: the forward and the backward pass.
        levels: from the lowest up; a level's place is its code.
    """

    def step(at: _Stretch) -> None:
        raw, block = at.read(0), at.block
        (result,) = plan.body(Arithmetic(block, plan.recipe), [Num(at.widened(raw, plan.recipe.kind))])
        at.write(1, Arithmetic(block, plan.recipe).value(result))
        kind, arithmetic = slopes.recipe.kind, Arithmetic(block, slopes.recipe)
        (slope,) = slopes.body(arithmetic, [Num(block.real(1.0, kind)), Num(at.widened(raw, kind))])
        share = _uniform(block, kind)
        above = [
            block.compare("ogt", arithmetic.value(slope), _between(block, share, low, high))
            for low, high in pairwise(levels)
        ]
        for bit in range((len(levels) - 1).bit_length()):
            flags = Value("splat (i1 false)", "i1")
            for code, flag in enumerate(above):  # where the next code has another bit here
                if (code ^ code + 1) >> bit & 1:
                    flags = block.binary("xor", flags, flag)
            at.write_plane(bit, flags)

    return _looped(step, memory=plan.memory, past_caches=plan.past_caches, arguments=(*_ARGUMENTS, "key"))


def _between(block: Block, share: Value, low: float, high: float) -> Value:
    return block.fma(share, block.real(high - low, share.kind), block.real(low, share.kind))


def _uniform(block: Block, kind: Kind) -> Value:
    """Return a number between 0 and 1 for each element: a hash of its place and the key."""
    place = f"%place.{block.label}"
    first = block.line("trunc i64 %key to i32", "i32").name
    second = block.line(f"trunc i64 {block.line('lshr i64 %key, 32', 'i64').name} to i32", "i32").name
    low = block.line(f"trunc i64 {place} to i32", "i32").name
    high = block.line(f"trunc i64 {block.line(f'lshr i64 {place}, 32', 'i64').name} to i32", "i32").name
    turn = block.line(
        f"add i32 {second}, {block.line(f'mul i32 {high}, {_signed(0x9E3779B1)}', 'i32').name}", "i32"
    ).name
    lanes = Value(f"<{', '.join(f'i32 {lane}' for lane in range(block.lanes))}>", "i32")
    counted = block.binary("add", _everywhere(block, low), lanes)
    stirred = _stirred(block, block.binary("xor", counted, _everywhere(block, first)))
    stirred = _stirred(block, block.binary("add", stirred, _everywhere(block, turn)))
    digits = block.convert("uitofp", block.binary("lshr", stirred, block.whole(8, "i32")), kind)
    return block.fma(digits, block.real(2.0**-24, kind), block.real(2.0**-25, kind))


def _everywhere(block: Block, number: str) -> Value:
    of = block.vector("i32")
    seed = block.line(f"insertelement {of} poison, i32 {number}, i32 0", "i32").name
    return block.line(f"shufflevector {of} {seed}, {of} poison, <{block.lanes} x i32> zeroinitializer", "i32")


def _stirred(block: Block, bits: Value) -> Value:
    """Hash 32 bits, one to one, so that each bit depends on all of them.

    Source:
        Wellons 2018, "Prospecting for hash functions", lowbias32: the least bias of those found with two products.
    """
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        bits = block.binary("xor", bits, block.binary("lshr", bits, block.whole(shift, "i32")))
        bits = block.binary("mul", bits, block.whole(_signed(factor), "i32"))
    return block.binary("xor", bits, block.binary("lshr", bits, block.whole(16, "i32")))


def _signed(bits: int) -> int:
    """Return the 32 bits as LLVM writes them."""
    return bits - (bits >> 31 << 32)


def _planes(block: Block, x: Value, table: Staircase) -> list[Value]:
    """Return the bits of every lane's code."""
    found = []
    for bit in range(table.bits):
        flags = Value(f"splat (i1 {'true' if table.codes[0] >> bit & 1 else 'false'})", "i1")
        for border, before, after in zip(table.borders, table.codes, table.codes[1:], strict=False):
            if (before ^ after) >> bit & 1:
                order = "oge" if border.belongs == "right" else "ogt"
                flags = block.binary("xor", flags, block.compare(order, x, block.real(border.at, x.kind)))
        if (table.undefined ^ table.codes[0]) >> bit & 1:
            flags = block.binary("xor", flags, block.compare("uno", x, x))
        found.append(flags)
    return found


def _level(block: Block, flags: Sequence[Value], table: Staircase, *, kind: Kind) -> Value:
    """Return the level of every lane's code: a tree of choices, the lowest bit first."""
    levels = [block.real(level, kind) for level in table.levels]
    for flag in flags:
        pairs = zip(levels[::2], levels[1::2], strict=True)
        levels = [block.select(flag, upper, lower) for lower, upper in pairs]
    return levels[0]


def _lanes(memory: Memory) -> int:
    """Return the elements per vector: at most a word's bits, so that the rest of a plane is written within it."""
    return 8 if memory == "double" else 16


def _compared(memory: Memory) -> Kind:
    return "double" if memory == "double" else "float"


def _looped(
    step: Callable[[_Stretch], None], *, memory: Memory, past_caches: bool, arguments: Sequence[str] = _ARGUMENTS
) -> str:
    lanes = _lanes(memory)
    whole, rest = Block(lanes=lanes, label="body", prefix="v"), Block(lanes=lanes, label="tail", prefix="w")
    for block, place in ((whole, "%i"), (rest, "%whole")):
        block.lines.append(f"  %place.{block.label} = add i64 %inside, {place}")
        step(_Stretch(block, memory, block is whole, past_caches))
    segment = ["  %inside = mul i64 %at, %piece", *piece(lanes, total="%count"), *over_piece(whole, rest)]
    declared = whole.declarations | rest.declarations
    return framed(declared, entry=header(arguments), segment=segment, past_caches=past_caches)
