"""A kernel's text: the loop around a formula's vector code, in LLVM's language.

Every kernel has the face `void kernel(ptr arguments, i64 first, i64 last)`: it works on the segments from `first` to
before `last`. The arguments are 64-bit integers:

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

from actlab.kernels.runtime.frame import DONE, PAST_CACHES, framed, header
from actlab.lower.arithmetic import Arithmetic, Num, Recipe
from actlab.lower.vector import Block, Kind, Value

Memory = Literal["float", "double", "half", "bfloat"]
Access = Literal["stream", "scalar"]

SIZE = {"float": 4, "double": 8, "half": 2, "bfloat": 2}

# The arguments before the operands, and those that each operand has.
HEADER = ("channels", "pieces", "piece", "row")
PER_OPERAND = ("base", "rowstep", "channelstep")

# Bytes of a line of the caches, where outputs begin that are written past them.
LINE = 64


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
        """Elements at a time: two AVX-512 registers, whose instructions run side by side; else four of AVX."""
        wide = self.recipe.kind == "double"
        return (16 if wide else 32) if self.recipe.scalef else (8 if self.memory == "double" else 16)


def text_of(plan: Plan) -> str:
    """The kernel as a module of LLVM's language.

    Raises:
        CannotLower: the formula holds something that vector code cannot spell.
    """
    whole, tail = _Iteration(plan, whole=True), _Iteration(plan, whole=False)
    declarations = whole.block.declarations | tail.block.declarations | set(_masked_operations(plan))
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
    loop = [
        *_segment(plan),
        "  %some = icmp ugt i64 %whole, 0",
        "  br i1 %some, label %body, label %rest",
        "body:",
        f"  %i = phi i64 [ 0, %segment ], [ %next, %{whole.block.label} ]",
        *phis,
        *whole.lines,
        f"  %next = add i64 %i, {plan.lanes}",
        "  %more = icmp ult i64 %next, %whole",
        "  br i1 %more, label %body, label %rest",
        "rest:",
        *ends,
        "  %left = sub i64 %length, %whole",
        "  %any = icmp ugt i64 %left, 0",
        f"  br i1 %any, label %tail, label %{DONE}",
        "tail:",
        *_mask(plan),
        *tail.lines,
        f"  br label %{DONE}",
    ]
    entry, finish = header(_arguments(plan)), [*ready, *_sums(plan)]
    return framed(declarations, entry=entry, segment=loop, finish=finish, past_caches=plan.past_caches)


def _arguments(plan: Plan) -> list[str]:
    """The names of the arguments, in order."""
    operands = range(len(plan.inputs) + plan.outputs)
    names = [*HEADER, *(f"{what}{at}" for at in operands for what in PER_OPERAND)]
    return [*names, "sums"] if plan.sums else names


def _segment(plan: Plan) -> list[str]:
    """Where the segment lies: `%length` elements at `%start<operand>`, of which `%whole` fill vectors."""
    lines = [
        "  %pieceno = urem i64 %at, %pieces",
        "  %line = udiv i64 %at, %pieces",
        "  %channel = urem i64 %line, %channels",
        "  %rowno = udiv i64 %line, %channels",
        "  %inside = mul i64 %pieceno, %piece",
        "  %remaining = sub i64 %row, %inside",
        "  %short = icmp ult i64 %remaining, %piece",
        "  %length = select i1 %short, i64 %remaining, i64 %piece",
        f"  %whole = and i64 %length, {-plan.lanes}",
    ]
    streams = (*plan.inputs, *["stream"] * plan.outputs)
    for at, access in enumerate(streams):
        lines += [
            f"  %down{at} = mul i64 %rowno, %rowstep{at}",
            f"  %across{at} = mul i64 %channel, %channelstep{at}",
            f"  %beside{at} = add i64 %down{at}, %across{at}",
            f"  %offset{at} = add i64 %beside{at}, {'%inside' if access == 'stream' else '0'}",
            f"  %start{at} = getelementptr {_stored(plan.memory)}, ptr %base{at}, i64 %offset{at}",
        ]
        if access == "scalar":
            lines += _splat(plan, at)
    return lines


def _stored(memory: Memory) -> Kind:
    """The type in which the memory is addressed: bfloat16 as its bits."""
    return "i16" if memory == "bfloat" else memory


def _splat(plan: Plan, at: int) -> list[str]:
    kind, of = _stored(plan.memory), f"<{plan.lanes} x {_stored(plan.memory)}>"
    return [
        f"  %one{at} = load {kind}, ptr %start{at}",
        f"  %seed{at} = insertelement {of} poison, {kind} %one{at}, i32 0",
        f"  %same{at} = shufflevector {of} %seed{at}, {of} poison, <{plan.lanes} x i32> zeroinitializer",
    ]


def _mask(plan: Plan) -> list[str]:
    lanes, of = plan.lanes, f"<{plan.lanes} x i64>"
    places = ", ".join(f"i64 {lane}" for lane in range(lanes))
    return [
        f"  %seedleft = insertelement {of} poison, i64 %left, i32 0",
        f"  %lefts = shufflevector {of} %seedleft, {of} poison, <{lanes} x i32> zeroinitializer",
        f"  %mask = icmp ult {of} <{places}>, %lefts",
    ]


def _masked_operations(plan: Plan) -> list[str]:
    kind = _stored(plan.memory)
    of, bits = f"<{plan.lanes} x {kind}>", f"<{plan.lanes} x i1>"
    name = _overload(plan)
    return [
        f"declare {of} @llvm.masked.load.{name}.p0(ptr, i32, {bits}, {of})",
        f"declare void @llvm.masked.store.{name}.p0({of}, ptr, i32, {bits})",
    ]


def _overload(plan: Plan) -> str:
    return f"v{plan.lanes}" + {"float": "f32", "double": "f64", "half": "f16", "i16": "i16"}[_stored(plan.memory)]


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
    """The code for one vector of elements: of a whole one, or of the rest at a segment's end."""

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
        kind = _stored(self.plan.memory)
        raw = Value(f"%same{at}", kind) if access == "scalar" else self._loaded(at, kind)
        return widened(self.block, raw, memory=self.plan.memory, kind=self.plan.recipe.kind)

    def _loaded(self, at: int, kind: Kind) -> Value:
        block, of = self.block, self.block.vector(kind)
        place, align = self._place(at), SIZE[self.plan.memory]
        if self.whole:
            return block.line(f"load {of}, ptr {place}, align {align}", kind)
        mask = f"{block.vector('i1')} %mask, {of} zeroinitializer"
        call = f"call {of} @llvm.masked.load.{_overload(self.plan)}.p0(ptr {place}, i32 {align}, {mask})"
        return block.line(call, kind)

    def _write(self, at: int, result: Value) -> None:
        block, memory = self.block, self.plan.memory
        stored = narrowed(block, result, memory=memory)
        of, place, align = block.vector(stored.kind), self._place(at), SIZE[memory]
        if self.whole:
            how = stored_how(memory, block.lanes, past_caches=self.plan.past_caches)
            block.lines.append(f"  store {of} {stored.name}, ptr {place}, {how}")
        else:
            store = f"@llvm.masked.store.{_overload(self.plan)}.p0"
            mask = f"{block.vector('i1')} %mask"
            block.lines.append(f"  call void {store}({of} {stored.name}, ptr {place}, i32 {align}, {mask})")

    def _place(self, at: int) -> str:
        index = "%i" if self.whole else "%whole"
        text = f"getelementptr {_stored(self.plan.memory)}, ptr %start{at}, i64 {index}"
        return self.block.line(text, "i64").name

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
        kept = block.select(Value("%mask", "i1"), wide, block.real(0.0, "double"))
        block.lines.append(f"  %tailsum{at} = fadd {of} %sofar{at}, {kept.name}")


def stored_how(memory: Memory, lanes: int, *, past_caches: bool) -> str:
    """What a store of a whole vector says about where it goes."""
    return f"align {min(LINE, lanes * SIZE[memory])}, {PAST_CACHES}" if past_caches else f"align {SIZE[memory]}"


def widened(block: Block, raw: Value, *, memory: Memory, kind: Kind) -> Value:
    """What was read, in the arithmetic's type: exact."""
    if memory == "bfloat":
        bits = block.binary("shl", block.convert("zext", raw, "i32"), block.whole(16, "i32"))
        raw = block.convert("bitcast", bits, "float")
    return raw if raw.kind == kind else block.convert("fpext", raw, kind)


def narrowed(block: Block, result: Value, *, memory: Memory) -> Value:
    """The result in the memory's type; a 16-bit one by way of float32, as its definition is."""
    if memory == "double":
        return result
    single = result if result.kind == "float" else block.convert("fptrunc", result, "float")
    if memory == "half":
        return block.convert("fptrunc", single, "half")
    return single if memory == "float" else _bfloat(block, single)


def _bfloat(block: Block, single: Value) -> Value:
    """The upper half of the bits, rounded to nearest, ties to even.

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
    """The upper sixteen bits of each word: AVX-512 takes them from two registers in one instruction."""
    halves = f"<{2 * block.lanes} x i16>"
    view = block.line(f"bitcast {block.vector('i32')} {words.name} to {halves}", "i16")
    places = ", ".join(f"i32 {2 * lane + 1}" for lane in range(block.lanes))
    return block.line(f"shufflevector {halves} {view.name}, {halves} poison, <{block.lanes} x i32> <{places}>", "i16")
