"""The LLVM IR of the kernels that measure an activation's inputs unit by unit, and count them in bins.

The signature is that of every kernel. A segment is a block of units side by side (`across`: each lane is a unit), or
one unit whose numbers lie in runs (`along`: the lanes are added at the end). The arguments are 64-bit integers:

    0 base, the address of z; 1 rows; 2 rowstep and 3 segmentstep, in elements; 4 run, the elements side by side in a
    row; 5 baseshift; 6 baseinto, the table's first unit; 7 fieldstep, from field to field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from actlab.formula.expr import Expr, Input
from actlab.kernels.elementwise.limits import ends
from actlab.kernels.runtime.frame import DONE, framed, header
from actlab.kernels.runtime.loop import Memory, loaded, narrowed, spread_out, stored_as, widened
from actlab.kernels.statistics.fields import MIDDLE, SMALLEST, Field
from actlab.lower.arithmetic import Arithmetic, Num, Recipe
from actlab.lower.to_llvm import Lowering
from actlab.lower.vector import Block, Kind, Value

ARGUMENTS = ("base", "rows", "rowstep", "segmentstep", "run", "baseshift", "baseinto", "fieldstep")
LANES = 16

# Vectors whose sums are taken in the arithmetic's type before float64 gets them: a conversion costs more than an
# addition, and sixteen roundings are 1e-6 of what is added up at most.
_RUN = 16

# How far ahead numbers are fetched, in rows where a segment takes a part of each, else in numbers of this and the next
# row: a CPU prefetches by itself only within a page of memory.
_ROWS_AHEAD = 16
_AHEAD = 1024

_SUMMED = (Field.SLOPE_SUM, Field.SHIFTED, Field.SQUARES, Field.Y_SUM, Field.Y_SQUARES)
_COUNTED = (Field.FIRED, Field.NON_FINITE, Field.Y_ZEROS)
# Finite numbers may overflow the arithmetic's type when they are added up, and must not be infinite for that.
_HELD = frozenset({Field.SHIFTED, Field.Y_SUM})
_LARGEST = float.fromhex("0x1.fffffep127")  # of float32


@final
@dataclass(frozen=True)
class UnitPlan:
    """What to measure.

    Attributes:
        value, slope: f and f' of the input `x`.
        x: the input.
        memory: the dtype of z.
        recipe: how it computes.
        floor: the |f'| that must be exceeded to count as fired.
        across: whether units lie side by side.
        by_row: whether all of a row that belongs to a segment is one vector, as it is across.
        by_output: the function whose derivative is computed from the rounded output; empty if there is none.
    """

    value: Expr
    slope: Expr
    x: Input
    memory: Memory
    recipe: Recipe
    floor: float
    across: bool
    by_row: bool
    by_output: str = ""


def text_of(plan: UnitPlan) -> str:
    """Return the kernel as an LLVM IR module: for every segment runs of vectors, until all rows are done.

    Raises:
        CannotLower: the formula holds something that vector code cannot spell.
    """
    block, flush = Block(lanes=LANES, label="body"), Block(lanes=LANES, label="flush", prefix="f")
    kind = plan.recipe.kind
    inner = _body(plan, block)
    outer = {field: _flushed(flush, field, inner[field], kind) for field in _SUMMED}
    kept = [field for field in Field if field in inner and field not in _SUMMED]
    loop = [
        *_begin(plan),
        "  br label %stretch",
        "stretch:",
        *(_phi("%far", field, outer[field], "segment", "flush", block) for field in _SUMMED),
        *(_phi("%kept", field, inner[field], "segment", "flush", block) for field in kept),
        "  %rowfrom = phi i64 [ 0, %segment ], [ %rownext, %flush ]",
        "  %from = phi i64 [ 0, %segment ], [ %next, %flush ]",
        "  br label %body",
        "body:",
        *(_phi("%acc", field, inner[field], "stretch", block.label, block) for field in _SUMMED),
        *(
            _phi("%acc", field, inner[field], "stretch", block.label, block, first=f"%kept{int(field)}")
            for field in kept
        ),
        f"  %row = phi i64 [ %rowfrom, %stretch ], [ %rownext, %{block.label} ]",
        f"  %i = phi i64 [ %from, %stretch ], [ %next, %{block.label} ]",
        f"  %turn = phi i64 [ 1, %stretch ], [ %turnnext, %{block.label} ]",
        *block.lines,
        *_onward(plan),
        "  %more = icmp ult i64 %rownext, %rows",
        f"  %within = icmp ult i64 %turn, {_RUN // _parts(plan)}",
        "  %turnnext = add i64 %turn, 1",
        "  %stay = and i1 %more, %within",
        "  br i1 %stay, label %body, label %flush",
        "flush:",
        *flush.lines,
        f"  br i1 %more, label %stretch, label %{DONE}",
    ]
    ends = {**{field: inner[field] for field in kept}, **outer}
    finish = [*_positions(plan), *(line for field in Field for line in _stored(plan, field, ends.get(field)))]
    declarations = block.declarations | flush.declarations | set(_declared())
    return framed(declarations, entry=header(ARGUMENTS), segment=loop, finish=finish)


def _phi(
    name: str, field: Field, held: Value, before: str, after: str, block: Block, *, first: str = "zeroinitializer"
) -> str:
    of = block.vector(held.kind)
    return f"  {name}{int(field)} = phi {of} [ {first}, %{before} ], [ {held.name}, %{after} ]"


def _onward(plan: UnitPlan) -> list[str]:
    """Return lines that move to the next numbers."""
    if plan.by_row:
        return ["  %next = add i64 %i, 0", f"  %rownext = add i64 %row, {_parts(plan)}"]
    return [
        f"  %onward = add i64 %i, {_parts(plan) * LANES}",
        "  %wrap = icmp uge i64 %onward, %length",
        "  %next = select i1 %wrap, i64 0, i64 %onward",
        "  %rowafter = add i64 %row, 1",
        "  %rownext = select i1 %wrap, i64 %rowafter, i64 %row",
    ]


def _parts(plan: UnitPlan) -> int:
    """Return how many vectors are evaluated at a time: AVX-512 registers, whose instructions run side by side."""
    return 4 if plan.recipe.scalef and plan.recipe.kind == "float" else 1


def _begin(plan: UnitPlan) -> list[str]:
    """Return lines that locate the segment and its shifts."""
    stored = stored_as(plan.memory)
    lines = [
        "  %beside = mul i64 %at, %segmentstep",
        f"  %start = getelementptr {stored}, ptr %base, i64 %beside",
        f"  %unit = mul i64 %at, {LANES if plan.across else 1}",
        "  %home = getelementptr double, ptr %baseinto, i64 %unit",
        "  %shiftplace = getelementptr double, ptr %baseshift, i64 %unit",
    ]
    if plan.across:
        lines += [
            "  %length = sub i64 %run, %unit",
            *_lanes_below("%length", "columns"),
            f"  %shifts = call <{LANES} x double> @llvm.masked.load.v{LANES}f64.p0(ptr %shiftplace, i32 8,"
            f" <{LANES} x i1> %columns, <{LANES} x double> zeroinitializer)",
        ]
    else:
        lines += [
            "  %length = add i64 %run, 0",
            *_lanes_below("%length", "columns"),
            "  %oneshift = load double, ptr %shiftplace",
            *spread_out(LANES, "double", "%oneshift", seed="%seedshift", into="%shifts"),
        ]
    return lines


def _lanes_below(count: str, name: str) -> list[str]:
    """Return lines that mask the lanes before the count-th, or none of them if it is larger."""
    of = f"<{LANES} x i32>"
    places = ", ".join(f"i32 {lane}" for lane in range(LANES))
    return [
        f"  %held{name} = call i64 @llvm.smin.i64(i64 {count}, i64 {LANES})",
        f"  %few{name} = trunc i64 %held{name} to i32",
        *spread_out(LANES, "i32", f"%few{name}", seed=f"%seed{name}", into=f"%all{name}"),
        f"  %{name} = icmp slt {of} <{places}>, %all{name}",
    ]


def _body(plan: UnitPlan, block: Block) -> dict[Field, Value]:
    """Return every field after the next vectors of numbers."""
    kind = plan.recipe.kind
    wide = Block(lanes=_parts(plan) * LANES, label=block.label, prefix="w")
    parts = [_loaded(plan, block, at) for at in range(_parts(plan))]
    y, slope = _pair(plan, wide, _joined(wide, [part.clean for part in parts]))
    block.declarations |= wide.declarations
    block.lines += wide.lines
    block.label = wide.label
    held: dict[Field, Value] = {
        field: Value(f"%acc{int(field)}", _kind(field, kind)) for field in Field if field is not Field.POSITIONS
    }
    for at, part in enumerate(parts):
        own_y, own_slope = (_split(block, each, at, len(parts)) for each in (y, slope))
        held = _added(plan, block, part, own_y, own_slope, held)
    return held


@final
@dataclass(frozen=True)
class _Part:
    """One vector of z.

    Attributes:
        clean: its numbers, 0 for those that do not count.
        counts, mask: which count, being finite, and which there are.
    """

    clean: Value
    counts: Value
    mask: Value


def _loaded(plan: UnitPlan, block: Block, at: int) -> _Part:
    kind, stored = plan.recipe.kind, stored_as(plan.memory)
    mask = Value(f"%mask{at}", "i1")
    if plan.by_row:
        block.lines += [
            f"  %row{at} = add i64 %row, {at}",
            f"  %is{at} = icmp ult i64 %row{at}, %rows",
            f"  %mask{at} = select i1 %is{at}, {block.vector('i1')} %columns, {block.vector('i1')} zeroinitializer",
            f"  %offset{at} = mul i64 %row{at}, %rowstep",
            f"  %aheadrow{at} = add i64 %row{at}, {_ROWS_AHEAD}",
            f"  %ahead{at} = mul i64 %aheadrow{at}, %rowstep",
        ]
    else:
        block.lines += [
            f"  %down{at} = mul i64 %row, %rowstep",
            f"  %i{at} = add i64 %i, {at * LANES}",
            f"  %offset{at} = add i64 %down{at}, %i{at}",
            f"  %rest{at} = sub i64 %length, %i{at}",
            *_lanes_below(f"%rest{at}", f"mask{at}"),
            f"  %later{at} = add i64 %i{at}, {_AHEAD}",
            f"  %over{at} = sub i64 %later{at}, %length",
            f"  %isover{at} = icmp sge i64 %over{at}, 0",
            f"  %step{at} = add i64 %over{at}, %rowstep",
            f"  %on{at} = select i1 %isover{at}, i64 %step{at}, i64 %later{at}",
            f"  %ahead{at} = add i64 %down{at}, %on{at}",
        ]
    block.lines += [
        f"  %aheadplace{at} = getelementptr {stored}, ptr %start, i64 %ahead{at}",
        f"  call void @llvm.prefetch.p0(ptr %aheadplace{at}, i32 0, i32 3, i32 1)",
    ]
    block.lines.append(f"  %place{at} = getelementptr {stored}, ptr %start, i64 %offset{at}")
    raw = loaded(block, f"%place{at}", plan.memory, mask=mask)
    z = widened(block, raw, memory=plan.memory, kind=kind)
    is_finite = block.compare("olt", block.abs(z), block.real(float("inf"), kind))
    counts = block.binary("and", is_finite, mask)
    return _Part(block.select(counts, z, block.real(0.0, kind)), counts, mask)


def _added(
    plan: UnitPlan, block: Block, part: _Part, y: Value, slope: Value, held: dict[Field, Value]
) -> dict[Field, Value]:
    """Return every field after this part."""
    kind, counts, shifts = plan.recipe.kind, part.counts, Value("%shifts", "double")
    moved = block.sub(part.clean, shifts if kind == "double" else block.convert("fptrunc", shifts, kind))
    fired = block.compare("ogt", slope, block.real(plan.floor, kind))
    is_zero = block.compare("oeq", y, block.real(0.0, kind))
    larger = block.compare("ogt", slope, held[Field.SLOPE_MAX])
    brought = {
        Field.FIRED: (block.binary("and", fired, counts), _one_more(block, held[Field.FIRED])),
        Field.SLOPE_MAX: (block.binary("and", larger, counts), slope),
        Field.SLOPE_SUM: (counts, block.add(held[Field.SLOPE_SUM], slope)),
        Field.SHIFTED: (counts, block.add(held[Field.SHIFTED], moved)),
        Field.SQUARES: (counts, block.fma(moved, moved, held[Field.SQUARES])),
        Field.NON_FINITE: (block.binary("xor", counts, part.mask), _one_more(block, held[Field.NON_FINITE])),
        Field.Y_SUM: (counts, block.add(held[Field.Y_SUM], y)),
        Field.Y_SQUARES: (counts, block.fma(y, y, held[Field.Y_SQUARES])),
        Field.Y_ZEROS: (block.binary("and", is_zero, counts), _one_more(block, held[Field.Y_ZEROS])),
    }
    return {field: block.select(where, more, held[field]) for field, (where, more) in brought.items()}


def _joined(wide: Block, parts: list[Value]) -> Value:
    """Join the vectors into one."""
    width, kind = LANES, parts[0].kind
    while len(parts) > 1:
        of, places = f"<{width} x {kind}>", ", ".join(f"i32 {lane}" for lane in range(2 * width))
        parts = [
            wide.line(f"shufflevector {of} {left.name}, {of} {right.name}, <{2 * width} x i32> <{places}>", kind)
            for left, right in zip(parts[::2], parts[1::2], strict=True)
        ]
        width *= 2
    return parts[0]


def _split(block: Block, value: Value, at: int, parts: int) -> Value:
    """Return the at-th of the vectors that were joined."""
    if parts == 1:
        return value
    of = f"<{parts * LANES} x {value.kind}>"
    places = ", ".join(f"i32 {at * LANES + lane}" for lane in range(LANES))
    return block.line(f"shufflevector {of} {value.name}, {of} poison, <{LANES} x i32> <{places}>", value.kind)


def _kind(field: Field, kind: Kind) -> Kind:
    """Return the type in which a field is summed during a run."""
    return "i32" if field in _COUNTED else kind


def _one_more(block: Block, count: Value) -> Value:
    return block.binary("add", count, block.whole(1, "i32"))


def _flushed(block: Block, field: Field, run: Value, kind: Kind) -> Value:
    """Add a run's sum to one in float64."""
    if kind != "double":
        if field in _HELD:
            most = block.real(_LARGEST, kind)
            run = block.select(block.compare("ogt", run, most), most, run)
            least = block.real(-_LARGEST, kind)
            run = block.select(block.compare("olt", run, least), least, run)
        run = block.convert("fpext", run, "double")
    return block.add(Value(f"%far{int(field)}", "double"), run)


def _positions(plan: UnitPlan) -> list[str]:
    """Return lines that count the numbers of each lane, or of all together."""
    if not plan.across:
        return ["  %many = mul i64 %rows, %run", "  %positions = uitofp i64 %many to double"]
    return [
        "  %many = uitofp i64 %rows to double",
        *spread_out(LANES, "double", "%many", seed="%seedmany", into="%positions"),
    ]


def _pair(plan: UnitPlan, block: Block, z: Value) -> tuple[Value, Value]:
    """Compute f and |f'|."""
    arithmetic = Arithmetic(block, plan.recipe)
    low = Lowering(arithmetic, {plan.x: Num(z)})
    y = _with_ends(plan, block, plan.value, z, arithmetic.value(low.number(plan.value)))
    if plan.by_output:
        stored = narrowed(block, y, memory=plan.memory)
        y = widened(block, stored, memory=plan.memory, kind=plan.recipe.kind)
        one = block.real(1.0, plan.recipe.kind)
        other = block.sub(one, y) if plan.by_output == "sigmoid" else block.sub(one, block.mul(y, y))
        return y, block.abs(block.mul(y, other) if plan.by_output == "sigmoid" else other)
    slope = _with_ends(plan, block, plan.slope, z, arithmetic.value(low.number(plan.slope)))
    return y, block.abs(slope)


def _with_ends(plan: UnitPlan, block: Block, formula: Expr, z: Value, value: Value) -> Value:
    left, right = ends(formula, plan.x)
    for end, order in ((left, "ole"), (right, "oge")):
        if end is not None:
            beyond = block.compare(order, z, block.real(end.place, z.kind))
            value = block.select(beyond, block.real(end.limit, z.kind), value)
    return value


def _stored(plan: UnitPlan, field: Field, held: Value | None) -> list[str]:
    """Return lines that add the field's numbers to those in the table."""
    at, of = int(field), f"<{LANES} x double>"
    lines = [
        f"  %fieldat{at} = mul i64 %fieldstep, {at}",
        f"  %slot{at} = getelementptr double, ptr %home, i64 %fieldat{at}",
    ]
    wide, kind = "%positions", of if plan.across else "double"
    if held is not None:
        more, wide = _wide(field, held)
        lines += more
        if not plan.across:
            name, start = ("fmax", "") if field is Field.SLOPE_MAX else ("fadd", "double -0.0, ")
            lines.append(f"  %joined{at} = call double @llvm.vector.reduce.{name}.v{LANES}f64({start}{of} {wide})")
            wide = f"%joined{at}"
    bits = f"<{LANES} x i1> %columns"
    load = f"call {of} @llvm.masked.load.v{LANES}f64.p0(ptr %slot{at}, i32 8, {bits}, {of} zeroinitializer)"
    lines.append(f"  %old{at} = {load if plan.across else f'load double, ptr %slot{at}'}")
    if field is Field.SLOPE_MAX:
        lines.append(f"  %larger{at} = fcmp ogt {kind} {wide}, %old{at}")
        condition = f"<{LANES} x i1>" if plan.across else "i1"
        lines.append(f"  %new{at} = select {condition} %larger{at}, {kind} {wide}, {kind} %old{at}")
    else:
        lines.append(f"  %new{at} = fadd {kind} %old{at}, {wide}")
    if plan.across:
        return [*lines, f"  call void @llvm.masked.store.v{LANES}f64.p0({of} %new{at}, ptr %slot{at}, i32 8, {bits})"]
    return [*lines, f"  store double %new{at}, ptr %slot{at}"]


def _wide(field: Field, held: Value) -> tuple[list[str], str]:
    """Return the field's lanes in float64."""
    if held.kind == "double":
        return [], held.name
    how = "uitofp" if held.kind == "i32" else "fpext"
    name = f"%wide{int(field)}"
    return [f"  {name} = {how} <{LANES} x {held.kind}> {held.name} to <{LANES} x double>"], name


def _declared() -> list[str]:
    of, bits = f"<{LANES} x double>", f"<{LANES} x i1>"
    return [
        f"declare {of} @llvm.masked.load.v{LANES}f64.p0(ptr, i32, {bits}, {of})",
        f"declare void @llvm.masked.store.v{LANES}f64.p0({of}, ptr, i32, {bits})",
        f"declare double @llvm.vector.reduce.fadd.v{LANES}f64(double, {of})",
        f"declare double @llvm.vector.reduce.fmax.v{LANES}f64({of})",
        "declare i64 @llvm.smin.i64(i64, i64)",
        "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)",
    ]


def histogram_text(memory: Memory) -> str:
    """Return the kernel that counts numbers in bins: a segment is a number; the arguments: base, spacing, baseinto."""
    stored = stored_as(memory)
    to_float = {
        "float": ["  %x = fadd float %raw, 0.0"],
        "double": ["  %x = fptrunc double %raw to float"],
        "half": ["  %x = fpext half %raw to float"],
        "bfloat": [
            "  %wide = zext i16 %raw to i32",
            "  %high = shl i32 %wide, 16",
            "  %x = bitcast i32 %high to float",
        ],
    }[memory]
    lines = [
        "  %offset = mul i64 %at, %spacing",
        f"  %place = getelementptr {stored}, ptr %base, i64 %offset",
        f"  %raw = load {stored}, ptr %place",
        *to_float,
        "  %square = fmul float %x, %x",  # its exponent counts half octaves
        "  %bits = bitcast float %square to i32",
        "  %masked = and i32 %bits, 2147483647",
        "  %exponent = lshr i32 %masked, 23",
        f"  %from = sub i32 %exponent, {127 + SMALLEST}",
        "  %low = call i32 @llvm.smax.i32(i32 %from, i32 0)",
        f"  %away = call i32 @llvm.smin.i32(i32 %low, i32 {MIDDLE - 1})",
        f"  %above = add i32 %away, {MIDDLE}",
        f"  %below = sub i32 {MIDDLE - 1}, %away",
        "  %negative = fcmp olt float %x, 0.0",
        "  %bin = select i1 %negative, i32 %below, i32 %above",
        "  %ordered = fcmp ord float %x, 0.0",
        "  %one = select i1 %ordered, double 1.0, double 0.0",
        "  %slot = getelementptr double, ptr %baseinto, i32 %bin",
        "  %old = load double, ptr %slot",
        "  %new = fadd double %old, %one",
        "  store double %new, ptr %slot",
        f"  br label %{DONE}",
    ]
    declared = ["declare i32 @llvm.smax.i32(i32, i32)", "declare i32 @llvm.smin.i32(i32, i32)"]
    return framed(declared, entry=header(("base", "spacing", "baseinto")), segment=lines)
