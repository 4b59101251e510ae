"""The text of a kernel along an axis: every stage as a loop over the row, in LLVM's language.

Like every kernel it has the face `void kernel(ptr arguments, i64 first, i64 last)` and works on the segments from
`first` to before `last`. The arguments are 64-bit integers:

    0 elements in a row, 1 segments side by side, 2 elements side by side,
    then for each operand its address, its step from one stretch of rows to the next and its step along the row.

Either the row itself lies side by side: a segment is one row, and a vector holds neighbours in it. Or other rows do:
a segment is as many rows as a vector has lanes, and each lane holds a row of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import final

from actlab.formula.atoms import where
from actlab.formula.expr import Expr, Input, Over, walk
from actlab.kernels.axis_loop import Parts, Peak, Reduction, Spot, Sum, Writer, stored_as
from actlab.kernels.axis_stages import (
    SEARCHES,
    TAU,
    Cut,
    by_reductions,
    cut,
    is_exact,
    needs_carried_sums,
    stages,
    start_of,
)
from actlab.kernels.module_text import TEAM, Memory
from actlab.lower.arithmetic import Arithmetic, Num, Recipe
from actlab.lower.straight_line import Leaf
from actlab.lower.to_llvm import Lowering
from actlab.lower.vector import Block, Value

# The fixed arguments before the operands, and the integers that each operand has.
HEADER = ("length", "chunks", "beside")
PER_OPERAND = ("base", "outward", "along")


@final
@dataclass(frozen=True)
class AxisShape:
    """A formula along an axis, and how its tensors lie.

    Attributes:
        expression: the formula.
        args: its inputs in order.
        memory: the dtype of all tensors.
        across: whether other rows lie side by side, and not the row itself.
        scalef: as a recipe's.
    """

    expression: Expr
    args: tuple[Input, ...]
    memory: Memory
    across: bool
    scalef: bool

    @property
    def lanes(self) -> int:
        """Elements at a time, as in kernels for single elements."""
        return lanes_of(self.memory)

    @property
    def element(self) -> Recipe:
        """How each element is computed: float32 in float64, whose roundings vanish; float64 with carried errors."""
        if self.memory == "double":
            return self.row
        return Recipe("double", paired=False, accuracy="short", scalef=self.scalef)

    @property
    def row(self) -> Recipe:
        """How what has one value for a row is computed."""
        return Recipe("double", paired=True, accuracy="full", scalef=self.scalef)


def lanes_of(memory: Memory) -> int:
    """Elements in a vector."""
    return 8 if memory == "double" else 16


@lru_cache(maxsize=1024)
def axis_text(shape: AxisShape) -> str:
    """The kernel as a module of LLVM's language.

    Raises:
        CannotLower: the formula holds something that vector code cannot spell.
    """
    kernel = _Kernel(shape)
    kernel.write()
    return kernel.text()


@final
class _Kernel:
    """One kernel as it is written."""

    def __init__(self, shape: AxisShape) -> None:
        self.shape = shape
        self.writer = Writer(memory=shape.memory, lanes=shape.lanes, across=shape.across)
        self.carried = shape.memory == "double" or needs_carried_sums(shape.expression)
        self.found: dict[Over, Num] = {}

    def write(self) -> None:
        for stage in stages(self.shape.expression):
            if stage[0].reduction in SEARCHES:
                self.found[stage[0]] = self._searched(stage[0])
            else:
                self.found.update(zip(stage, self._reduced(stage), strict=True))
        self._written()

    def text(self) -> str:
        lanes, writer = self.shape.lanes, self.writer
        room = [f"  %scratch = alloca [{writer.slots} x <{lanes} x double>], align 64"] if writer.slots else []
        lines = [
            "define void @kernel(ptr %arguments, i64 %first, i64 %last) #0 {",
            "entry:",
            *room,
            *_header(len(self.shape.args) + 1),
            *_lanes_in_use(lanes),
            "  %none = icmp sge i64 %first, %last",
            "  br i1 %none, label %return, label %segment",
            "segment:",
            "  %at = phi i64 [ %first, %entry ], [ %following, %finish ]",
            *_starts(self.shape),
            *writer.lines,
            "  br label %finish",
            "finish:",
            "  %following = add i64 %at, 1",
            "  %again = icmp slt i64 %following, %last",
            "  br i1 %again, label %segment, label %return",
            "return:",
            "  ret void",
            "}",
        ]
        # without it LLVM halves AVX-512's registers on some processors
        attributes = 'attributes #0 = { nounwind "min-legal-vector-width"="512" "prefer-vector-width"="512" }'
        return "\n".join([*sorted(writer.declarations), "", *lines, TEAM, attributes, ""])

    def _reduced(self, stage: Sequence[Over]) -> list[Num]:
        """The sums and peaks of one stage."""
        exact = self.shape.memory != "double" and all(
            over.reduction == "greatest" and is_exact(over.operand) for over in stage
        )
        # a peak of the inputs themselves is the same in float32, at half the work
        recipe = Recipe("float", paired=False, accuracy="single") if exact else self.shape.element
        reductions: list[Reduction] = [
            Peak(recipe.kind) if over.reduction == "greatest" else Sum(self.carried) for over in stage
        ]
        return self._looped([over.operand for over in stage], reductions, recipe=recipe, known={})

    def _searched(self, over: Over) -> Num:
        """The threshold: each turn of the loop is a pass over the row, until no lane's moves on."""
        writer, search = self.writer, SEARCHES[over.reduction]
        (start,) = (self._of_row(each) for each in start_of(over))
        zero = Value("splat (double 0x0000000000000000)", "double")
        writer.search += 1
        name, before = f"search{writer.search}", writer.label
        tau = Num(Value(f"%{name}.hi", "double"), Value(f"%{name}.lo", "double"))
        active = Value(f"%{name}.active", "i1")
        writer.lines.append(f"  br label %{name}")
        writer.start(name)
        mark = len(writer.lines)
        above = where(over.operand - TAU <= 0, 0, over.operand - TAU)
        terms = search.terms(above)
        sums = self._looped(terms, [Sum(self.carried)] * len(terms), recipe=self.shape.element, known={TAU: tau})
        block = writer.block()
        nearer, moves = self._stepped(block, search.step, tau, sums)
        lo = block.select(active, nearer.lo or zero, tau.lo or zero)
        chosen = Num(block.select(active, nearer.hi, tau.hi), lo)
        on = block.binary("and", active, moves)
        of = block.vector("i1")
        block.declarations.add(f"declare i1 @llvm.vector.reduce.or.v{block.lanes}i1({of})")
        again = block.line(f"call i1 @llvm.vector.reduce.or.v{block.lanes}i1({of} {on.name})", "i1")
        writer.place(block)
        real = block.vector("double")
        writer.lines[mark:mark] = [
            f"  {tau.hi.name} = phi {real} [ {start.hi.name}, %{before} ], [ {chosen.hi.name}, %{writer.label} ]",
            f"  %{name}.lo = phi {real} [ {(start.lo or zero).name}, %{before} ], [ {lo.name}, %{writer.label} ]",
            f"  {active.name} = phi {of} [ splat (i1 true), %{before} ], [ {on.name}, %{writer.label} ]",
        ]
        writer.lines.append(f"  br i1 {again.name}, label %{name}, label %{name}.done")
        writer.start(f"{name}.done")
        return chosen

    def _stepped(self, block: Block, step: object, tau: Num, sums: Sequence[Num]) -> tuple[Num, Value]:
        """The next threshold, and where it lies above the last one."""
        leaves = [Input(f"sum {at}") for at in range(len(sums))]
        a = Arithmetic(block, self.shape.row)
        assert callable(step)
        moved = Lowering(a, dict(zip(leaves, sums, strict=True))).number(step(*leaves))
        nearer = a.settled(a.add(tau, moved))
        return nearer, block.compare("ogt", nearer.hi, tau.hi)

    def _looped(
        self, terms: Sequence[Expr], reductions: Sequence[Reduction], *, recipe: Recipe, known: Mapping[Leaf, Num]
    ) -> list[Num]:
        cuts = [cut(term, reciprocals=self._reciprocals) for term in terms]
        rows = self._rows(cuts, known=known)

        def step(block: Block, spot: Spot) -> list[Parts]:
            arithmetic = Arithmetic(block, recipe)
            low = self._lowering(arithmetic, spot, cuts, rows=rows)
            return [
                reduction.taken(block, low.number(each.element), arithmetic)
                for reduction, each in zip(reductions, cuts, strict=True)
            ]

        return self.writer.loop(reductions, step)

    def _written(self) -> None:
        """The last pass: the formula itself."""
        found = cut(self.shape.expression, reciprocals=self._reciprocals)
        rows = self._rows([found], known={})

        def step(block: Block, spot: Spot) -> list[Parts]:
            arithmetic = Arithmetic(block, self.shape.element)
            low = self._lowering(arithmetic, spot, [found], rows=rows)
            spot.write(block, len(self.shape.args), arithmetic.value(low.number(found.element)))
            return []

        self.writer.loop([], step)

    @property
    def _reciprocals(self) -> bool:
        """In float64, a product with a reciprocal is as good as a quotient to what is rounded to float32."""
        return self.shape.memory != "double"

    def _lowering(
        self, arithmetic: Arithmetic, spot: Spot, cuts: Sequence[Cut], *, rows: Mapping[Leaf, Num]
    ) -> Lowering:
        used = {node for each in cuts for node in walk(each.element)}
        given: dict[Leaf, Num] = {
            arg: Num(spot.read(arithmetic.block, at, kind=arithmetic.kind))
            for at, arg in enumerate(self.shape.args)
            if arg in used
        }
        return Lowering(arithmetic, {**given, **rows})

    def _rows(self, cuts: Sequence[Cut], *, known: Mapping[Leaf, Num]) -> Mapping[Leaf, Num]:
        """What has one value for a row, as each element's arithmetic takes it."""
        numbers = {leaf: self._of_row(part) for each in cuts for leaf, part in each.rows.items()}
        block = self.writer.block()
        a = Arithmetic(block, self.shape.row)
        every: dict[Leaf, Num] = {**numbers, **known}
        taken = {leaf: each if self.shape.element.paired else Num(a.value(each)) for leaf, each in every.items()}
        self.writer.place(block)
        return taken

    def _of_row(self, part: Expr) -> Num:
        formula, leaves = by_reductions(part)
        block = self.writer.block()
        a = Arithmetic(block, self.shape.row)
        number = a.settled(Lowering(a, {leaf: self.found[over] for over, leaf in leaves.items()}).number(formula))
        self.writer.place(block)
        return number


def _header(operands: int) -> list[str]:
    names = [*HEADER, *(f"{what}{at}" for at in range(operands) for what in PER_OPERAND)]
    lines = []
    for at, name in enumerate(names):
        lines.append(f"  %place.{name} = getelementptr i64, ptr %arguments, i64 {at}")
        lines.append(f"  %{name} = load {'ptr' if name.startswith('base') else 'i64'}, ptr %place.{name}")
    return lines


def _lanes_in_use(lanes: int) -> list[str]:
    """The whole vectors of a row, and the lanes that the rest of it takes."""
    of, places = f"<{lanes} x i64>", ", ".join(f"i64 {lane}" for lane in range(lanes))
    return [
        f"  %whole = and i64 %length, {-lanes}",
        "  %some = icmp ugt i64 %whole, 0",
        "  %left = sub i64 %length, %whole",
        "  %any = icmp ugt i64 %left, 0",
        f"  %seedleft = insertelement {of} poison, i64 %left, i32 0",
        f"  %lefts = shufflevector {of} %seedleft, {of} poison, <{lanes} x i32> zeroinitializer",
        f"  %mask = icmp ult {of} <{places}>, %lefts",
    ]


def _starts(shape: AxisShape) -> list[str]:
    """Where the segment's first row, or its first vector of rows, begins in each operand."""
    lines = [
        "  %chunk = urem i64 %at, %chunks",
        "  %stretch = udiv i64 %at, %chunks",
        f"  %wanted = mul i64 %chunk, {shape.lanes if shape.across else 1}",
    ]
    if shape.across:  # the last vector overlaps the one before it rather than reach beyond the end
        lines += [
            f"  %furthest = sub i64 %beside, {shape.lanes}",
            "  %beyond = icmp ugt i64 %wanted, %furthest",
            "  %column = select i1 %beyond, i64 %furthest, i64 %wanted",
        ]
    else:
        lines += ["  %column = add i64 %wanted, 0"]
    for at in range(len(shape.args) + 1):
        lines += [
            f"  %down{at} = mul i64 %stretch, %outward{at}",
            f"  %offset{at} = add i64 %down{at}, %column",
            f"  %start{at} = getelementptr {stored_as(shape.memory)}, ptr %base{at}, i64 %offset{at}",
        ]
    return lines
