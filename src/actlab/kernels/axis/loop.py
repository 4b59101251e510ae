"""Loops over a row in LLVM IR, with their sums and comparisons.

Every reduction has as many partial results as a vector has lanes: element i of a row goes to number i modulo the
lanes. A loop *along* the row holds them in the lanes of one vector; a loop *across* rows, each of whose lanes has a
row of its own, holds them in as many vectors. Both join them in halves, so that they give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from actlab.kernels.runtime.loop import MASK, Memory, address, loaded, narrowed, store, widened
from actlab.lower.arithmetic import Arithmetic, Num, Recipe, Strategy
from actlab.lower.vector import Block, Kind, Value

_PLAIN = Recipe("full")
_PAIRED = Recipe("full", Strategy.PAIRED)

Parts = Sequence[Value]


@final
@dataclass(frozen=True)
class Sum:
    """A sum in float64.

    Attributes:
        carried: whether it carries its rounding errors along (Ogita, Rump, Oishi 2005).
    """

    carried: bool

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return ("double", "double") if self.carried else ("double",)

    def neutral(self, block: Block) -> Parts:
        return [block.real(0.0, kind) for kind in self.kinds]

    def taken(self, block: Block, term: Num, arithmetic: Arithmetic) -> Parts:
        """Return the parts that one term contributes."""
        if self.carried:
            number = arithmetic.settled(term)
            return [number.hi, number.lo or block.real(0.0, "double")]
        return [arithmetic.value(term)]

    def joined(self, block: Block, left: Parts, right: Parts) -> Parts:
        a = Arithmetic(block, _PAIRED if self.carried else _PLAIN)
        total = a.add(_number(left), _number(right))
        return [total.hi] if total.lo is None else [total.hi, total.lo]

    def result(self, block: Block, parts: Parts) -> Num:
        return _number(parts)


@final
@dataclass(frozen=True)
class Peak:
    """The largest element; NaN if any is NaN.

    Attributes:
        kind: the type in which it is looked for.
    """

    kind: Kind

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return (self.kind, "i1")

    def neutral(self, block: Block) -> Parts:
        return [block.real(float("-inf"), self.kind), Value("zeroinitializer", "i1")]

    def taken(self, block: Block, term: Num, arithmetic: Arithmetic) -> Parts:
        value = arithmetic.value(term)
        return [value, block.compare("uno", value, value)]

    def joined(self, block: Block, left: Parts, right: Parts) -> Parts:
        larger = block.select(block.compare("ogt", right[0], left[0]), right[0], left[0])
        return [larger, block.binary("or", left[1], right[1])]

    def result(self, block: Block, parts: Parts) -> Num:
        found = block.select(parts[1], block.real(float("nan"), self.kind), parts[0])
        return Num(found if self.kind == "double" else block.convert("fpext", found, "double"))


Reduction = Sum | Peak


@final
@dataclass(frozen=True)
class Spot:
    """Where one iteration reads and writes.

    Attributes:
        memory: the dtype of the operands.
        index: the number of the element.
        across: whether the index counts steps along the row, and not elements.
        masked: whether only the lanes of `%mask` count.
    """

    memory: Memory
    index: str
    across: bool
    masked: bool = False

    def read(self, block: Block, at: int, *, kind: Kind) -> Value:
        """Read the operand's elements in the arithmetic's type."""
        raw = loaded(block, self._place(block, at), self.memory, mask=MASK if self.masked else None)
        return widened(block, raw, memory=self.memory, kind=kind)

    def write(self, block: Block, at: int, result: Value) -> None:
        """Write the result as the operand's elements, rounded once."""
        value = narrowed(block, result, memory=self.memory)
        store(block, self._place(block, at), value, self.memory, mask=MASK if self.masked else None)

    def _place(self, block: Block, at: int) -> str:
        index = block.line(f"mul i64 {self.index}, %along{at}", "i64").name if self.across else self.index
        return address(block, f"%start{at}", index, self.memory)


# What an iteration does, and the parts that it brings to each reduction.
Step = Callable[[Block, Spot], Sequence[Parts]]


@final
class Writer:
    """A kernel's text while it is written: blocks one after another, each known by its label.

    Attributes:
        memory: the dtype of the operands.
        lanes: elements in a vector.
        across: whether each lane has a row of its own.
        lines, declarations: the text so far.
        label: the block that the next line belongs to.
        search: how many thresholds have been searched for.
        slots: how many vectors of partial results the widest loop stores.
    """

    def __init__(self, *, memory: Memory, lanes: int, across: bool) -> None:
        self.memory, self.lanes, self.across = memory, lanes, across
        self.lines: list[str] = []
        self.declarations: set[str] = set()
        self.label = "segment"
        self.slots = 0
        self.search = 0
        self._blocks = 0

    def block(self, label: str | None = None) -> Block:
        """Return a block for straight-line code; `place` adds it to the text."""
        self._blocks += 1
        return Block(lanes=self.lanes, label=label or self.label, prefix=f"b{self._blocks}.")

    def place(self, block: Block) -> None:
        self.lines += block.lines
        self.declarations |= block.declarations
        self.label = block.label

    def start(self, label: str) -> None:
        """Begin a block."""
        self.lines.append(f"{label}:")
        self.label = label

    def loop(self, reductions: Sequence[Reduction], step: Step) -> list[Num]:
        """Visit every element of the row once and return the results of the reductions."""
        self._blocks += 1
        name = f"loop{self._blocks}"
        parts = (self._across if self.across else self._along)(name, reductions, step)
        ending = self.block()
        numbers = [each.result(ending, found) for each, found in zip(reductions, parts, strict=True)]
        self.place(ending)
        return numbers

    def _along(self, name: str, reductions: Sequence[Reduction], step: Step) -> list[Parts]:
        before = self.label
        whole, tail = self.block(f"{name}.body"), self.block(f"{name}.tail")
        carried = _phis(name, reductions, "so")
        after = _joined(whole, reductions, carried, step(whole, Spot(self.memory, f"%{name}.i", False)))
        rested = _phis(name, reductions, "rest")
        spot = Spot(self.memory, "%whole", False, masked=True)
        last = _joined(tail, reductions, rested, _masked(tail, reductions, step(tail, spot)))
        starts = [each.neutral(whole) for each in reductions]
        self.lines += [
            f"  br i1 %some, label %{name}.body, label %{name}.rest",
            f"{name}.body:",
            f"  %{name}.i = phi i64 [ 0, %{before} ], [ %{name}.next, %{whole.label} ]",
            *_phi_lines(whole, carried, [(starts, before), (after, whole.label)]),
        ]
        self.place(whole)
        self.lines += [
            f"  %{name}.next = add i64 %{name}.i, {self.lanes}",
            f"  %{name}.more = icmp ult i64 %{name}.next, %whole",
            f"  br i1 %{name}.more, label %{name}.body, label %{name}.rest",
            f"{name}.rest:",
            *_phi_lines(whole, rested, [(starts, before), (after, whole.label)]),
            f"  br i1 %any, label %{name}.tail, label %{name}.done",
            f"{name}.tail:",
        ]
        self.place(tail)
        ended = _phis(name, reductions, "end")
        lines = _phi_lines(whole, ended, [(rested, f"{name}.rest"), (last, tail.label)])
        self.lines += [f"  br label %{name}.done", f"{name}.done:", *lines]
        self.label = f"{name}.done"
        return [self._folded(each, found) for each, found in zip(reductions, ended, strict=True)]

    def _folded(self, reduction: Reduction, parts: Parts) -> Parts:
        """Combine the lanes in halves and return the result in every lane."""
        block, width = self.block(), self.lanes
        while width > 1:
            width //= 2
            turned = [
                _shuffled(block, part, [(lane + width) % self.lanes for lane in range(self.lanes)]) for part in parts
            ]
            parts = reduction.joined(block, parts, turned)
        parts = [_shuffled(block, part, [0] * self.lanes) for part in parts]
        self.place(block)
        return parts

    def _across(self, name: str, reductions: Sequence[Reduction], step: Step) -> list[Parts]:
        before, body = self.label, self.block(f"{name}.body")
        offsets, self_slots = _rooms(reductions, self.lanes)
        self.slots = max(self.slots, self_slots)
        clearing = self.block()
        for reduction, offset in zip(reductions, offsets, strict=True):
            self._cleared(clearing, reduction, offset)
        self.place(clearing)
        carried = _phis(name, reductions, "so")
        brought = step(body, Spot(self.memory, f"%{name}.i", True))
        slot = body.line(f"and i64 %{name}.i, {self.lanes - 1}", "i64").name
        after = [
            _joined(body, [reduction], [held], [new])[0]
            if offset is None
            else _gathered(body, reduction, offset, slot, new)
            for reduction, offset, held, new in zip(reductions, offsets, carried, brought, strict=True)
        ]
        peaks = [at for at, offset in enumerate(offsets) if offset is None]
        starts = [reductions[at].neutral(body) for at in peaks]
        kept = [([*starts], before), ([after[at] for at in peaks], body.label)]
        self.lines += [
            f"  br label %{name}.body",
            f"{name}.body:",
            f"  %{name}.i = phi i64 [ 0, %{before} ], [ %{name}.next, %{body.label} ]",
            *_phi_lines(body, [carried[at] for at in peaks], kept),
        ]
        self.place(body)
        self.lines += [
            f"  %{name}.next = add i64 %{name}.i, 1",
            f"  %{name}.more = icmp ult i64 %{name}.next, %length",
            f"  br i1 %{name}.more, label %{name}.body, label %{name}.done",
        ]
        self.start(f"{name}.done")
        return [
            parts if offset is None else self._collected(reduction, offset)
            for reduction, offset, parts in zip(reductions, offsets, after, strict=True)
        ]

    def _cleared(self, block: Block, reduction: Reduction, offset: int | None) -> None:
        if offset is None:
            return
        for part, start in enumerate(reduction.neutral(block)):
            for lane in range(self.lanes):
                place = _slot(block, offset + part * self.lanes + lane)
                block.lines.append(f"  store {block.vector(start.kind)} {start.name}, ptr {place}, align 64")

    def _collected(self, reduction: Reduction, offset: int) -> Parts:
        """Combine the vectors of partial results in halves."""
        block = self.block()
        parts = [
            [_loaded(block, _slot(block, offset + part * self.lanes + lane)) for part in range(len(reduction.kinds))]
            for lane in range(self.lanes)
        ]
        while len(parts) > 1:
            half = len(parts) // 2
            pairs = zip(parts[:half], parts[half:], strict=True)
            parts = [list(reduction.joined(block, left, right)) for left, right in pairs]
        self.place(block)
        return parts[0]


def _number(parts: Parts) -> Num:
    return Num(parts[0], parts[1] if len(parts) > 1 else None)


def _phis(name: str, reductions: Sequence[Reduction], stem: str) -> list[Parts]:
    return [
        [Value(f"%{name}.{stem}{at}.{part}", kind) for part, kind in enumerate(reduction.kinds)]
        for at, reduction in enumerate(reductions)
    ]


def _phi_lines(block: Block, names: Sequence[Parts], sources: Sequence[tuple[Sequence[Parts], str]]) -> list[str]:
    lines = []
    for at, parts in enumerate(names):
        for part, value in enumerate(parts):
            ways = ", ".join(f"[ {given[at][part].name}, %{label} ]" for given, label in sources)
            lines.append(f"  {value.name} = phi {block.vector(value.kind)} {ways}")
    return lines


def _joined(block: Block, reductions: Sequence[Reduction], held: Sequence[Parts], new: Sequence[Parts]) -> list[Parts]:
    return [each.joined(block, old, brought) for each, old, brought in zip(reductions, held, new, strict=True)]


def _masked(block: Block, reductions: Sequence[Reduction], brought: Sequence[Parts]) -> list[Parts]:
    """Return the parts, neutral in the lanes beyond the row's end."""
    return [
        [block.select(MASK, part, start) for part, start in zip(parts, reduction.neutral(block), strict=True)]
        for reduction, parts in zip(reductions, brought, strict=True)
    ]


def _shuffled(block: Block, part: Value, places: Sequence[int]) -> Value:
    of, chosen = block.vector(part.kind), ", ".join(f"i32 {place}" for place in places)
    return block.line(f"shufflevector {of} {part.name}, {of} poison, <{block.lanes} x i32> <{chosen}>", part.kind)


def _rooms(reductions: Sequence[Reduction], lanes: int) -> tuple[list[int | None], int]:
    """Return the first vector of each sum's partial results, None for a peak, whose order does not count; and their
    number.
    """
    offsets: list[int | None] = []
    used = 0
    for reduction in reductions:
        offsets.append(used if isinstance(reduction, Sum) else None)
        used += len(reduction.kinds) * lanes if isinstance(reduction, Sum) else 0
    return offsets, used


def _slot(block: Block, index: int | str) -> str:
    return block.line(f"getelementptr {block.vector('double')}, ptr %scratch, i64 {index}", "i64").name


def _loaded(block: Block, place: str) -> Value:
    return block.line(f"load {block.vector('double')}, ptr {place}, align 64", "double")


def _gathered(block: Block, reduction: Reduction, offset: int, slot: str, new: Parts) -> Parts:
    """Add to the partial result whose turn it is."""
    places = [
        _slot(block, block.line(f"add i64 {slot}, {offset + part * block.lanes}", "i64").name)
        for part in range(len(reduction.kinds))
    ]
    after = reduction.joined(block, [_loaded(block, place) for place in places], new)
    for place, part in zip(places, after, strict=True):
        block.lines.append(f"  store {block.vector(part.kind)} {part.name}, ptr {place}, align 64")
    return after
