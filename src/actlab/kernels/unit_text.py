"""The text of the kernels that measure an activation's inputs unit by unit, and count them in bins.

The face is that of every kernel. A segment is a block of units side by side (`across`: each lane is a unit), or one
unit whose numbers lie in runs (`along`: the lanes are added up at the end). The arguments are 64-bit integers:

    0 base, the address of z; 1 rows; 2 rowstep and 3 segmentstep, in elements; 4 run, the elements side by side in a
    row; 5 baseshift; 6 baseinto, the table's first unit; 7 fieldstep, from field to field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from actlab.formula.expr import Expr, Input
from actlab.kernels.ends import ends
from actlab.kernels.frame import DONE, framed, header
from actlab.kernels.module_text import SIZE, Memory, narrowed, widened
from actlab.kernels.unit_fields import MIDDLE, SMALLEST, Field
from actlab.lower.arithmetic import Arithmetic, Num, Recipe
from actlab.lower.to_llvm import Lowering
from actlab.lower.vector import Block, Kind, Value

ARGUMENTS = ("base", "rows", "rowstep", "segmentstep", "run", "baseshift", "baseinto", "fieldstep")
LANES = 16

_STORED: dict[Memory, Kind] = {"float": "float", "double": "double", "half": "half", "bfloat": "i16"}
_WIDTH = {"float": "f32", "double": "f64", "half": "f16", "i16": "i16"}
# What is counted stays in the arithmetic's type, which holds whole numbers to 2^24; sums are in float64.
_SUMS = frozenset({Field.SLOPE_SUM, Field.SHIFTED, Field.SQUARES, Field.Y_SUM, Field.Y_SQUARES})


@final
@dataclass(frozen=True)
class UnitPlan:
    """What is measured.

    Attributes:
        value, slope: f and f' of the input `x`.
        x: the input.
        memory: the dtype of z.
        recipe: how it computes.
        floor: the |f'| that must be exceeded to count as fired.
        across: whether units lie side by side.
        by_output: the function whose slope is computed of the rounded output; none where empty.
    """

    value: Expr
    slope: Expr
    x: Input
    memory: Memory
    recipe: Recipe
    floor: float
    across: bool
    by_output: str = ""


def text_of(plan: UnitPlan) -> str:
    """The kernel as a module of LLVM's language.

    Raises:
        CannotLower: the formula holds something that vector code cannot spell.
    """
    block = Block(lanes=LANES, label="body")
    kind = plan.recipe.kind
    results = _body(plan, block)
    ends_with = {field: block.line(_accumulated(block, field, results[field], kind), _kind(field, kind))
                 for field in Field}  # fmt: skip
    phis = [
        f"  %acc{int(field)} = phi {block.vector(_kind(field, kind))} [ zeroinitializer, %segment ],"
        f" [ {ends_with[field].name}, %{block.label} ]"
        for field in Field
    ]
    loop = [
        *_begin(plan),
        "  br label %body",
        "body:",
        f"  %r = phi i64 [ 0, %segment ], [ %rnext, %{block.label} ]",
        f"  %i = phi i64 [ 0, %segment ], [ %inext, %{block.label} ]",
        *phis,
        *block.lines,
        f"  %onward = add i64 %i, {LANES}",
        "  %wrap = icmp uge i64 %onward, %length",
        "  %inext = select i1 %wrap, i64 0, i64 %onward",
        "  %radd = add i64 %r, 1",
        "  %rnext = select i1 %wrap, i64 %radd, i64 %r",
        "  %more = icmp ult i64 %rnext, %rows",
        f"  br i1 %more, label %body, label %{DONE}",
    ]
    finish = [line for field in Field for line in _stored(plan, field, ends_with[field])]
    return framed(block.declarations | set(_declared(plan)), entry=header(ARGUMENTS), segment=loop, finish=finish)


def _kind(field: Field, kind: Kind) -> Kind:
    return "double" if field in _SUMS else kind


def _begin(plan: UnitPlan) -> list[str]:
    """Where the segment lies, and its shifts."""
    stored = _STORED[plan.memory]
    lines = [
        "  %beside = mul i64 %at, %segmentstep",
        f"  %start = getelementptr {stored}, ptr %base, i64 %beside",
        f"  %unit = mul i64 %at, {LANES if plan.across else 1}",
        "  %home = getelementptr double, ptr %baseinto, i64 %unit",
        "  %shiftplace = getelementptr double, ptr %baseshift, i64 %unit",
    ]
    if plan.across:
        lines += [
            "  %left = sub i64 %run, %unit",
            f"  %short = icmp ult i64 %left, {LANES}",
            f"  %length = select i1 %short, i64 %left, i64 {LANES}",
            *_lanes_below("%length", "columns"),
            f"  %shifts = call <{LANES} x double> @llvm.masked.load.v{LANES}f64.p0(ptr %shiftplace, i32 8,"
            f" <{LANES} x i1> %columns, <{LANES} x double> zeroinitializer)",
        ]
    else:
        of = f"<{LANES} x double>"
        lines += [
            "  %length = add i64 %run, 0",
            "  %oneshift = load double, ptr %shiftplace",
            f"  %seedshift = insertelement {of} poison, double %oneshift, i32 0",
            f"  %shifts = shufflevector {of} %seedshift, {of} poison, <{LANES} x i32> zeroinitializer",
        ]
    return lines


def _lanes_below(count: str, name: str) -> list[str]:
    of = f"<{LANES} x i64>"
    places = ", ".join(f"i64 {lane}" for lane in range(LANES))
    return [
        f"  %seed{name} = insertelement {of} poison, i64 {count}, i32 0",
        f"  %all{name} = shufflevector {of} %seed{name}, {of} poison, <{LANES} x i32> zeroinitializer",
        f"  %{name} = icmp ult {of} <{places}>, %all{name}",
    ]


def _body(plan: UnitPlan, block: Block) -> dict[Field, Value]:
    """What one vector of numbers brings to every field."""
    kind, stored = plan.recipe.kind, _STORED[plan.memory]
    block.lines += [
        "  %down = mul i64 %r, %rowstep",
        "  %offset = add i64 %down, %i",
        f"  %place = getelementptr {stored}, ptr %start, i64 %offset",
        "  %rest = sub i64 %length, %i",
        *_lanes_below("%rest", "mask"),
    ]
    of, mask = block.vector(stored), Value("%mask", "i1")
    raw = block.line(
        f"call {of} @llvm.masked.load.v{LANES}{_WIDTH[stored]}.p0(ptr %place, i32 {SIZE[plan.memory]},"
        f" {block.vector('i1')} %mask, {of} zeroinitializer)",
        stored,
    )
    z = widened(block, raw, memory=plan.memory, kind=kind)
    zero, one = block.real(0.0, kind), block.real(1.0, kind)
    is_finite = block.compare("olt", block.abs(z), block.real(float("inf"), kind))
    counts = block.binary("and", is_finite, mask)
    clean = block.select(counts, z, zero)
    y, slope = _pair(plan, block, clean)
    y, slope = (block.select(counts, each, zero) for each in (y, slope))
    shifts = Value("%shifts", "double")
    near = shifts if kind == "double" else block.convert("fptrunc", shifts, kind)
    moved = block.select(counts, block.sub(clean, near), zero)
    fired = block.compare("ogt", slope, block.real(plan.floor, kind))
    is_zero = block.binary("and", block.compare("oeq", y, zero), counts)
    is_bad = block.binary("xor", counts, mask)
    return {
        Field.POSITIONS: block.select(mask, one, zero),
        Field.FIRED: block.select(fired, one, zero),
        Field.SLOPE_MAX: slope,
        Field.SLOPE_SUM: slope,
        Field.SHIFTED: moved,
        Field.SQUARES: block.mul(moved, moved),
        Field.NON_FINITE: block.select(is_bad, one, zero),
        Field.Y_SUM: y,
        Field.Y_SQUARES: block.mul(y, y),
        Field.Y_ZEROS: block.select(is_zero, one, zero),
    }


def _pair(plan: UnitPlan, block: Block, z: Value) -> tuple[Value, Value]:
    """f and |f'|."""
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


def _accumulated(block: Block, field: Field, brought: Value, kind: Kind) -> str:
    wanted = _kind(field, kind)
    wide = brought if brought.kind == wanted else block.convert("fpext", brought, wanted)
    of = block.vector(wanted)
    if field is Field.SLOPE_MAX:
        larger = block.line(f"fcmp ogt {of} {wide.name}, %acc{int(field)}", "i1")
        return f"select {block.vector('i1')} {larger.name}, {of} {wide.name}, {of} %acc{int(field)}"
    return f"fadd {of} %acc{int(field)}, {wide.name}"


def _stored(plan: UnitPlan, field: Field, held: Value) -> list[str]:
    """The field's numbers, put to those in the table."""
    at, of = int(field), f"<{LANES} x double>"
    lines = [
        f"  %fieldat{at} = mul i64 %fieldstep, {at}",
        f"  %slot{at} = getelementptr double, ptr %home, i64 %fieldat{at}",
    ]
    wide = held.name
    if held.kind != "double":
        wide = f"%wide{at}"
        lines.append(f"  {wide} = fpext <{LANES} x {held.kind}> {held.name} to {of}")
    bits = f"<{LANES} x i1> %columns"
    if plan.across:
        kind, load = (
            of,
            f"call {of} @llvm.masked.load.v{LANES}f64.p0(ptr %slot{at}, i32 8, {bits}, {of} zeroinitializer)",
        )
    else:
        kind, load = "double", f"load double, ptr %slot{at}"
        name = "fmax" if field is Field.SLOPE_MAX else "fadd"
        start = "" if field is Field.SLOPE_MAX else "double -0.0, "
        lines.append(f"  %joined{at} = call double @llvm.vector.reduce.{name}.v{LANES}f64({start}{of} {wide})")
        wide = f"%joined{at}"
    lines.append(f"  %old{at} = {load}")
    if field is Field.SLOPE_MAX:
        lines.append(f"  %larger{at} = fcmp ogt {kind} {wide}, %old{at}")
        condition = f"<{LANES} x i1>" if plan.across else "i1"
        lines.append(f"  %new{at} = select {condition} %larger{at}, {kind} {wide}, {kind} %old{at}")
    else:
        lines.append(f"  %new{at} = fadd {kind} %old{at}, {wide}")
    if plan.across:
        return [*lines, f"  call void @llvm.masked.store.v{LANES}f64.p0({of} %new{at}, ptr %slot{at}, i32 8, {bits})"]
    return [*lines, f"  store double %new{at}, ptr %slot{at}"]


def _declared(plan: UnitPlan) -> list[str]:
    stored, of = _STORED[plan.memory], f"<{LANES} x double>"
    bits = f"<{LANES} x i1>"
    kinds = dict.fromkeys([stored, "double"])
    loads = [
        f"declare <{LANES} x {each}> @llvm.masked.load.v{LANES}{_WIDTH[each]}.p0(ptr, i32, {bits}, <{LANES} x {each}>)"
        for each in kinds
    ]
    return [
        *loads,
        f"declare void @llvm.masked.store.v{LANES}f64.p0({of}, ptr, i32, {bits})",
        f"declare double @llvm.vector.reduce.fadd.v{LANES}f64(double, {of})",
        f"declare double @llvm.vector.reduce.fmax.v{LANES}f64({of})",
    ]


def histogram_text(memory: Memory) -> str:
    """The kernel that counts numbers in bins: a segment is one number; arguments are base, spacing and baseinto."""
    stored = _STORED[memory]
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
