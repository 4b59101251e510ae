"""The LLVM IR of a kernel along an axis: every stage is a loop over the row.

Like every kernel it has the signature `void kernel(ptr arguments, i64 first, i64 last)` and works on the segments from
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
from actlab.formula.expr import Call, Expr, Input, Over, walk
from actlab.formula.substitute import substitute
from actlab.kernels.axis.loop import Parts, Peak, Reduction, Spot, Sum, Writer
from actlab.kernels.axis.stages import (
    SEARCHES,
    TAU,
    Cut,
    Search,
    by_reductions,
    cut,
    functions_of,
    is_exact,
    needs_carried_sums,
    stages,
    start_of,
)
from actlab.kernels.runtime.frame import DONE, framed, header
from actlab.kernels.runtime.loop import Memory, rest_mask, stored_as
from actlab.lower.arithmetic import Arithmetic, Num, Recipe, Strategy
from actlab.lower.straight_line import Leaf
from actlab.lower.to_llvm import Lowering
from actlab.lower.vector import Block, Kind, Value

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
        """Elements per vector, as in kernels for single elements."""
        return lanes_of(self.memory)

    @property
    def element(self) -> Recipe:
        """How sums and products of each element are computed: in float64, where float32's roundings vanish."""
        return Recipe("full" if self.memory == "double" else "short", scalef=self.scalef)

    @property
    def function(self) -> Recipe:
        """How elementary functions are computed: in float32 for all but float64, at half the work. Their arguments
        carry their rounding errors, which a large argument would magnify.
        """
        return Recipe("full" if self.memory == "double" else "single", Strategy.LIGHT, scalef=self.scalef)

    @property
    def row(self) -> Recipe:
        """How what has one value for a row is computed."""
        return Recipe("full", Strategy.PAIRED, scalef=self.scalef)


def lanes_of(memory: Memory) -> int:
    """Return the elements per vector."""
    return 8 if memory == "double" else 16


@lru_cache(maxsize=1024)
def axis_text(shape: AxisShape) -> str:
    """Return the kernel as an LLVM IR module.

    Raises:
        CannotLower: the formula holds something that vector code cannot spell.
    """
    kernel = _Kernel(shape)
    kernel.write()
    return kernel.text()


@final
@dataclass(frozen=True)
class Rowwise:
    """The numbers that have one value for a row, in every lane.

    Attributes:
        plain: as sums and products take it.
        paired: as elementary functions' arguments take it.
    """

    plain: Mapping[Leaf, Num]
    paired: Mapping[Leaf, Num]


@final
class _Kernel:
    """One kernel while it is written."""

    def __init__(self, shape: AxisShape) -> None:
        self.shape = shape
        self.writer = Writer(memory=shape.memory, lanes=shape.lanes, across=shape.across)
        self.carried = shape.memory == "double" or needs_carried_sums(shape.expression)
        self.result = len(shape.args)
        self.found: dict[Over, Num] = {}
        # peaks of the inputs themselves, which are exact in any dtype
        self.exact = {
            over
            for over in walk(shape.expression)
            if isinstance(over, Over) and over.reduction == "greatest" and is_exact(over.operand)
        }
        self.keeps: Call | None = None
        self.kept: tuple[Call, ...] = ()

    def write(self) -> None:
        last = stages(self.shape.expression)[-1:]
        for stage in stages(self.shape.expression):
            if (stage,) == last:
                self.keeps = self._worth_keeping(stage)
            if stage[0].reduction in SEARCHES:
                self.found[stage[0]] = self._searched(stage[0])
            else:
                self.found.update(zip(stage, self._reduced(stage), strict=True))
        self.kept = () if self.keeps is None else (self.keeps,)
        self.keeps = None
        self._written()

    def _worth_keeping(self, stage: Sequence[Over]) -> Call | None:
        """Return the one function that the last stage and the formula both need, if the result can store it without
        loss.
        """
        wanted = functions_of(self._cut(self.shape.expression).element)
        given = {call for over in stage for call in functions_of(self._cut(over.operand).element)}
        plain = all(over.reduction == "total" for over in stage)
        fits = self.shape.memory in {"float", "double"} and plain and len(wanted) == 1 and wanted[0] in given
        return wanted[0] if fits else None

    def text(self) -> str:
        lanes, writer = self.shape.lanes, self.writer
        scratch = [f"  %scratch = alloca [{writer.slots} x <{lanes} x double>], align 64"] if writer.slots else []
        operands = range(len(self.shape.args) + 1)
        names = [*HEADER, *(f"{what}{at}" for at in operands for what in PER_OPERAND)]
        return framed(
            writer.declarations,
            entry=[*scratch, *header(names), *_lanes_in_use(lanes)],
            segment=[*_starts(self.shape), *writer.lines, f"  br label %{DONE}"],
        )

    def _reduced(self, stage: Sequence[Over]) -> list[Num]:
        """Compute the sums and peaks of one stage."""
        # a peak of the inputs themselves is the same in float32, at half the work
        if self.shape.memory != "double" and all(over in self.exact for over in stage):
            return self._peaks(stage)
        reductions = [Peak("double") if over.reduction == "greatest" else Sum(self.carried) for over in stage]
        cuts = [self._cut(over.operand) for over in stage]
        return self._looped(cuts, reductions, known={})

    def _peaks(self, stage: Sequence[Over]) -> list[Num]:
        def step(block: Block, spot: Spot) -> list[Parts]:
            arithmetic = Arithmetic(block, self.shape.function)
            low = Lowering(arithmetic, self._read(block, spot, [over.operand for over in stage], kind=arithmetic.kind))
            return [peak.taken(block, low.number(over.operand), arithmetic) for over in stage]

        peak = Peak(self.shape.function.kind)
        return self.writer.loop([peak] * len(stage), step)

    def _searched(self, over: Over) -> Num:
        """Search for the threshold: each iteration is a pass over the row, until no lane's threshold moves."""
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
        cuts = [self._cut(term) for term in terms]
        sums = self._looped(cuts, [Sum(self.carried)] * len(terms), known={TAU: tau})
        block = writer.block()
        nearer, moves = self._stepped(block, search, tau=tau, sums=sums)
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

    def _stepped(self, block: Block, search: Search, *, tau: Num, sums: Sequence[Num]) -> tuple[Num, Value]:
        """Return the next threshold, and where it lies above the last one."""
        leaves = [Input(f"sum {at}") for at in range(len(sums))]
        a = Arithmetic(block, self.shape.row)
        moved = Lowering(a, dict(zip(leaves, sums, strict=True))).number(search.step(*leaves))
        nearer = a.settled(a.add(tau, moved))
        return nearer, block.compare("ogt", nearer.hi, tau.hi)

    def _looped(self, cuts: Sequence[Cut], reductions: Sequence[Reduction], *, known: Mapping[Leaf, Num]) -> list[Num]:
        rows = self._rows(cuts, known=known)

        def step(block: Block, spot: Spot) -> list[Parts]:
            arithmetic = Arithmetic(block, self.shape.element)
            numbers = self._numbers(arithmetic, spot, cuts, rows=rows)
            return [
                reduction.taken(block, number, arithmetic)
                for reduction, number in zip(reductions, numbers, strict=True)
            ]

        return self.writer.loop(reductions, step)

    def _written(self) -> None:
        """Write the last pass: the formula itself."""
        found = self._cut(self.shape.expression)
        rows = self._rows([found], known={})

        def step(block: Block, spot: Spot) -> list[Parts]:
            arithmetic = Arithmetic(block, self.shape.element)
            (number,) = self._numbers(arithmetic, spot, [found], rows=rows)
            spot.write(block, self.result, arithmetic.value(number))
            return []

        self.writer.loop([], step)

    def _cut(self, part: Expr) -> Cut:
        # in float64 a product with a reciprocal is as good as a quotient, to what is rounded to float32
        return cut(part, reciprocals=self.shape.memory != "double")

    def _numbers(self, arithmetic: Arithmetic, spot: Spot, cuts: Sequence[Cut], *, rows: Rowwise) -> list[Num]:
        """Compute each formula: its elementary functions by their own recipe, the rest by the arithmetic's."""
        block = arithmetic.block
        calls = list({call: None for each in cuts for call in functions_of(each.element)})
        own = Arithmetic(block, self.shape.function)
        low = Lowering(own, {**self._read(block, spot, calls, kind=own.kind), **rows.paired})
        leaves: dict[Leaf, Num] = {}
        exchange: dict[Expr, Expr] = {}
        for call in calls:
            exchange[call] = leaf = Input(f"call {call.digest}")
            if call in self.kept:
                leaves[leaf] = Num(spot.read(block, self.result, kind=arithmetic.kind))
                continue
            value = own.value(low.number(call))
            if call == self.keeps:
                spot.write(block, self.result, value)
            leaves[leaf] = Num(
                value if value.kind == arithmetic.kind else block.convert("fpext", value, arithmetic.kind)
            )
        formulas = [substitute(each.element, exchange) for each in cuts]
        given = self._read(block, spot, formulas, kind=arithmetic.kind)
        rest = Lowering(arithmetic, {**given, **rows.plain, **leaves})
        return [rest.number(formula) for formula in formulas]

    def _read(self, block: Block, spot: Spot, formulas: Sequence[Expr], *, kind: Kind) -> dict[Leaf, Num]:
        """Read the inputs that the formulas mention."""
        used = set(walk(*formulas))
        return {arg: Num(spot.read(block, at, kind=kind)) for at, arg in enumerate(self.shape.args) if arg in used}

    def _rows(self, cuts: Sequence[Cut], *, known: Mapping[Leaf, Num]) -> Rowwise:
        """Compute what has one value for a row, as each element's arithmetic takes it."""
        numbers = {leaf: self._of_row(part) for each in cuts for leaf, part in each.rows.items()}
        exact = {leaf for each in cuts for leaf, part in each.rows.items() if part in self.exact}
        block = self.writer.block()
        a = Arithmetic(block, self.shape.row)
        every: dict[Leaf, Num] = dict(known)
        every.update(numbers.items())
        plain = {leaf: Num(a.value(number)) for leaf, number in every.items()}
        kind = self.shape.function.kind
        paired = {
            leaf: _narrow(block, plain[leaf].hi, exact=leaf in exact)
            if kind == "float"
            else plain[leaf]
            if leaf in exact
            else number
            for leaf, number in every.items()
        }
        self.writer.place(block)
        return Rowwise(plain, paired)

    def _of_row(self, part: Expr) -> Num:
        formula, leaves = by_reductions(part)
        block = self.writer.block()
        a = Arithmetic(block, self.shape.row)
        number = a.settled(Lowering(a, {leaf: self.found[over] for over, leaf in leaves.items()}).number(formula))
        self.writer.place(block)
        return number


def _narrow(block: Block, wide: Value, *, exact: bool) -> Num:
    """Return a float64 as the sum of two float32."""
    hi = block.convert("fptrunc", wide, "float")
    if exact:
        return Num(hi)
    return Num(hi, block.convert("fptrunc", block.sub(wide, block.convert("fpext", hi, "double")), "float"))


def _lanes_in_use(lanes: int) -> list[str]:
    """Return lines that count a row's whole vectors and mask the lanes of the rest."""
    return [
        f"  %whole = and i64 %length, {-lanes}",
        "  %some = icmp ugt i64 %whole, 0",
        "  %left = sub i64 %length, %whole",
        "  %any = icmp ugt i64 %left, 0",
        *rest_mask(lanes),
    ]


def _starts(shape: AxisShape) -> list[str]:
    """Return lines that locate the segment's first row, or first vector of rows, in each operand."""
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
