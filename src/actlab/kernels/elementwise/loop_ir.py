"""The LLVM IR of a kernel: the loop around a formula's vector code.

Every kernel has the signature `void kernel(ptr arguments, i64 first, i64 last)`: it works on the segments from `first`
to before `last`. The arguments are 64-bit integers:

    0 channels, 1 pieces in a row, 2 elements in a piece, 3 elements in a row,
    then for each operand its address, its step from row to row and its step from channel to channel, in elements,
    and last the address of the sums, one double for each segment and summed output.

A segment is one piece of one row: `segment = (row · channels + channel) · pieces + piece`. Within it the elements of
a *stream* lie side by side; a *scalar* has one value for the segment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, final

from actlab.kernels.runtime.frame import framed, header
from actlab.kernels.runtime.loop import (
    MASK,
    Memory,
    address,
    loaded,
    narrowed,
    over_piece,
    piece,
    spread_out,
    store,
    stored_as,
    widened,
)
from actlab.lower.arithmetic import Arithmetic, Num, Recipe
from actlab.lower.vector import Block, Value

Access = Literal["stream", "scalar"]

# The arguments before the operands, and those that each operand has.
HEADER = ("channels", "pieces", "piece", "row")
PER_OPERAND = ("base", "rowstep", "channelstep")


@final
@dataclass(frozen=True)
class Plan:
    """What a kernel reads, computes and writes.

    Attributes:
        memory: the dtype of every operand.
        recipe: how it computes.
        inputs: how each input is read.
        outputs: how many streams it writes.
        sums: how many sums over each segment it gives, after the streams.
        body: from the inputs' numbers, the numbers of the outputs and then of the sums.
        past_caches: whether outputs are written past the caches, which then have to begin where a line does.
    """

    memory: Memory
    recipe: Recipe
    inputs: tuple[Access, ...]
    outputs: int
    sums: int
    body: Callable[[Arithmetic, Sequence[Num]], Sequence[Num]]
    past_caches: bool = False

    @property
    def lanes(self) -> int:
        """Elements per vector: two AVX-512 registers, whose instructions run side by side; else four AVX registers."""
        wide = self.recipe.kind == "double"
        return (16 if wide else 32) if self.recipe.scalef else (8 if self.memory == "double" else 16)


def text_of(plan: Plan) -> str:
    """Return the kernel as an LLVM IR module.

    Raises:
        CannotLower: the formula holds something that vector code cannot spell.
    """
    whole, tail = _Iteration(plan, whole=True), _Iteration(plan, whole=False)
    declarations = whole.block.declarations | tail.block.declarations
    starts = [f"[ zeroinitializer, %segment ], [ %after{at}, %{whole.block.label} ]" for at in range(plan.sums)]
    of = f"<{plan.lanes} x double>"
    phis = [f"  %before{at} = phi {of} {start}" for at, start in enumerate(starts)]
    ends = [
        f"  %sofar{at} = phi {of} [ zeroinitializer, %segment ], [ %after{at}, %{whole.block.label} ]"
        for at in range(plan.sums)
    ]
    ready = [
        f"  %final{at} = phi {of} [ %sofar{at}, %rest ], [ %tailsum{at}, %{tail.block.label} ]"
        for at in range(plan.sums)
    ]
    loop = [*_segment(plan), *over_piece(whole.block, tail.block, phis=phis, ends=ends)]
    entry, finish = header(_arguments(plan)), [*ready, *_sums(plan)]
    return framed(declarations, entry=entry, segment=loop, finish=finish, past_caches=plan.past_caches)


def _arguments(plan: Plan) -> list[str]:
    """Return the arguments' names, in order."""
    operands = range(len(plan.inputs) + plan.outputs)
    names = [*HEADER, *(f"{what}{at}" for at in operands for what in PER_OPERAND)]
    return [*names, "sums"] if plan.sums else names


def _segment(plan: Plan) -> list[str]:
    """Return lines that locate the segment: `%length` elements at `%start<operand>`, `%whole` in whole vectors."""
    lines = [
        "  %pieceno = urem i64 %at, %pieces",
        "  %line = udiv i64 %at, %pieces",
        "  %channel = urem i64 %line, %channels",
        "  %rowno = udiv i64 %line, %channels",
        "  %inside = mul i64 %pieceno, %piece",
        *piece(plan.lanes, total="%row"),
    ]
    streams = (*plan.inputs, *["stream"] * plan.outputs)
    for at, access in enumerate(streams):
        lines += [
            f"  %down{at} = mul i64 %rowno, %rowstep{at}",
            f"  %across{at} = mul i64 %channel, %channelstep{at}",
            f"  %beside{at} = add i64 %down{at}, %across{at}",
            f"  %offset{at} = add i64 %beside{at}, {'%inside' if access == 'stream' else '0'}",
            f"  %start{at} = getelementptr {stored_as(plan.memory)}, ptr %base{at}, i64 %offset{at}",
        ]
        if access == "scalar":
            kind = stored_as(plan.memory)
            lines.append(f"  %one{at} = load {kind}, ptr %start{at}")
            lines += spread_out(plan.lanes, kind, f"%one{at}", seed=f"%seed{at}", into=f"%same{at}")
    return lines


def _sums(plan: Plan) -> list[str]:
    of = f"<{plan.lanes} x double>"
    lines = [f"  %sumplace = mul i64 %at, {plan.sums}"] if plan.sums else []
    for at in range(plan.sums):
        lines += [
            f"  %sum{at} = call double @llvm.vector.reduce.fadd.v{plan.lanes}f64(double -0.0, {of} %final{at})",
            f"  %slot{at} = add i64 %sumplace, {at}",
            f"  %home{at} = getelementptr double, ptr %sums, i64 %slot{at}",
            f"  store double %sum{at}, ptr %home{at}",
        ]
    return lines


@final
class _Iteration:
    """The code for one vector of elements: a whole one, or the rest at a segment's end."""

    def __init__(self, plan: Plan, *, whole: bool) -> None:
        self.plan, self.whole = plan, whole
        self.block = Block(lanes=plan.lanes, label="body" if whole else "tail", prefix="v" if whole else "w")
        arithmetic = Arithmetic(self.block, plan.recipe)
        numbers = [Num(self._read(at, access)) for at, access in enumerate(plan.inputs)]
        results = [arithmetic.value(number) for number in plan.body(arithmetic, numbers)]
        for at, result in enumerate(results[: plan.outputs]):
            self._write(len(plan.inputs) + at, result)
        for at, result in enumerate(results[plan.outputs :]):
            self._sum(at, result)

    @property
    def lines(self) -> list[str]:
        return self.block.lines

    def _read(self, at: int, access: Access) -> Value:
        memory, scalar = self.plan.memory, Value(f"%same{at}", stored_as(self.plan.memory))
        raw = scalar if access == "scalar" else loaded(self.block, self._place(at), memory, mask=self._mask)
        return widened(self.block, raw, memory=memory, kind=self.plan.recipe.kind)

    def _write(self, at: int, result: Value) -> None:
        plan = self.plan
        value = narrowed(self.block, result, memory=plan.memory)
        store(self.block, self._place(at), value, plan.memory, mask=self._mask, past_caches=plan.past_caches)

    def _place(self, at: int) -> str:
        return address(self.block, f"%start{at}", "%i" if self.whole else "%whole", self.plan.memory)

    @property
    def _mask(self) -> Value | None:
        return None if self.whole else MASK

    def _sum(self, at: int, result: Value) -> None:
        block = self.block
        block.declarations.add(
            f"declare double @llvm.vector.reduce.fadd.v{block.lanes}f64(double, {block.vector('double')})"
        )
        wide = result if result.kind == "double" else block.convert("fpext", result, "double")
        of = block.vector("double")
        if self.whole:
            block.lines.append(f"  %after{at} = fadd {of} %before{at}, {wide.name}")
            return
        kept = block.select(MASK, wide, block.real(0.0, "double"))
        block.lines.append(f"  %tailsum{at} = fadd {of} %sofar{at}, {kept.name}")
