"""LLVM IR on vectors: straight-line code in which every distinct operation is written once.

Nothing here knows a formula. The text needs no library to be made; `kernels` turns it into machine code.
No operation carries a fast-math flag, and a multiplication is fused with an addition only where `fma` says so: the
bits do not depend on where an element lies in memory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, final

Kind = Literal["float", "double", "half", "i1", "i16", "i32", "i64"]

# Bits of the significand with its leading one, the exponent's bias, and the integer of the same width.
DIGITS = {"float": 24, "double": 53}
BIAS = {"float": 127, "double": 1023}
INTEGER: dict[str, Kind] = {"float": "i32", "double": "i64"}


@final
@dataclass(frozen=True)
class Value:
    """One vector: the name of a result, or a constant."""

    name: str
    kind: Kind


@final
class Block:
    """Collects the lines of one stretch of code.

    Attributes:
        lanes: how many elements a vector has.
        lines: the instructions so far.
        declarations: the intrinsics that they call.
        label: the name of the basic block that the next instruction belongs to.
    """

    def __init__(self, *, lanes: int, label: str, prefix: str = "v") -> None:
        self.lanes = lanes
        self.label = label
        self.lines: list[str] = []
        self.declarations: set[str] = set()
        self._prefix = prefix
        self._count = 0
        self._known: dict[str, Value] = {}
        self._negated: dict[Value, Value] = {}

    def vector(self, kind: str) -> str:
        """Return the vector type of the kind."""
        return f"<{self.lanes} x {kind}>"

    def line(self, text: str, kind: Kind) -> Value:
        """Return the result of the instruction, writing it only the first time."""
        if text not in self._known:
            value = Value(f"%{self._prefix}{self._count}", kind)
            self._count += 1
            self.lines.append(f"  {value.name} = {text}")
            self._known[text] = value
        return self._known[text]

    def real(self, value: Fraction | float, kind: Kind) -> Value:
        """Return a constant, rounded once to the kind."""
        return Value(f"splat ({kind} {hexadecimal(nearest(value, kind))})", kind)

    def whole(self, value: int, kind: Kind) -> Value:
        """Return an integer constant."""
        return Value(f"splat ({kind} {value})", kind)

    def binary(self, name: str, left: Value, right: Value) -> Value:
        """Apply an instruction to two operands of the same kind, such as `fadd` or `and`."""
        return self.line(f"{name} {self.vector(left.kind)} {left.name}, {right.name}", left.kind)

    def add(self, left: Value, right: Value) -> Value:
        return self.binary("fadd", left, right)

    def sub(self, left: Value, right: Value) -> Value:
        return self.binary("fsub", left, right)

    def mul(self, left: Value, right: Value) -> Value:
        return self.binary("fmul", left, right)

    def div(self, left: Value, right: Value) -> Value:
        return self.binary("fdiv", left, right)

    def neg(self, operand: Value) -> Value:
        """Negate; the negative of a negative is the original."""
        if operand not in self._negated:
            negative = self.line(f"fneg {self.vector(operand.kind)} {operand.name}", operand.kind)
            self._negated.update({operand: negative, negative: operand})
        return self._negated[operand]

    def fma(self, left: Value, right: Value, addend: Value) -> Value:
        """Compute left·right + addend, rounded once."""
        return self.intrinsic("fma", left, right, addend)

    def abs(self, operand: Value) -> Value:
        """Return the absolute value, the same for a number and its negative."""
        known = self._negated.get(operand)
        first = min(
            (each for each in (operand, known) if each is not None), key=lambda each: (len(each.name), each.name)
        )
        return self.intrinsic("fabs", first)

    def rounded(self, operand: Value) -> Value:
        """Return the nearest whole number, a tie to the even one."""
        return self.intrinsic("roundeven", operand)

    def sqrt(self, operand: Value) -> Value:
        return self.intrinsic("sqrt", operand)

    def minimum(self, left: Value, right: Value) -> Value:
        """Return the smaller; NaN if either is NaN."""
        return self.intrinsic("minimum", left, right)

    def maximum(self, left: Value, right: Value) -> Value:
        """Return the larger; NaN if either is NaN."""
        return self.intrinsic("maximum", left, right)

    def copysign(self, size: Value, sign: Value) -> Value:
        return self.intrinsic("copysign", size, sign)

    def intrinsic(self, name: str, *operands: Value) -> Value:
        """Call one of LLVM's own functions on vectors of one kind."""
        kind = operands[0].kind
        width = {"float": "f32", "double": "f64"}.get(kind, kind)
        function = f"@llvm.{name}.v{self.lanes}{width}"
        of = self.vector(kind)
        self.declarations.add(f"declare {of} {function}({', '.join([of] * len(operands))})")
        return self.line(f"call {of} {function}({', '.join(f'{of} {each.name}' for each in operands)})", kind)

    def compare(self, order: str, left: Value, right: Value) -> Value:
        """Return where the order holds (`olt`, `ole`, `ogt`, `oge`, `oeq`, `one`, `uno`, ...), as one bit per lane."""
        return self.line(f"fcmp {order} {self.vector(left.kind)} {left.name}, {right.name}", "i1")

    def select(self, condition: Value, then: Value, otherwise: Value) -> Value:
        """Return `then` where the condition holds, else `otherwise`."""
        if then == otherwise:
            return then
        of = self.vector(then.kind)
        return self.line(
            f"select {self.vector('i1')} {condition.name}, {of} {then.name}, {of} {otherwise.name}", then.kind
        )

    def convert(self, name: str, operand: Value, kind: Kind) -> Value:
        """Convert between kinds: `fpext`, `fptrunc`, `bitcast`, `zext`, `trunc`, ..."""
        return self.line(f"{name} {self.vector(operand.kind)} {operand.name} to {self.vector(kind)}", kind)

    def guarded(self, condition: Value, function: str, operand: Value, *, otherwise: Value) -> Value:
        """Call the C library's function of the operand in the lanes where the condition holds; elsewhere take
        `otherwise`.

        A branch that costs next to nothing while it holds in no lane.
        """
        name = {"float": f"{function}f", "double": function}[operand.kind]
        self.declarations.add(f"declare {operand.kind} @{name}({operand.kind})")
        self.declarations.add(f"declare i1 @llvm.vector.reduce.or.v{self.lanes}i1({self.vector('i1')})")
        start, number, of = self.label, f"{self._prefix}{len(self.lines)}", self.vector(operand.kind)
        far, done = f"far{number}", f"done{number}"
        self.lines += [
            f"  %any{number} = call i1 @llvm.vector.reduce.or.v{self.lanes}i1({self.vector('i1')} {condition.name})",
            f"  br i1 %any{number}, label %{far}, label %{done}",
            f"{far}:",
        ]
        gathered = otherwise.name
        for lane in range(self.lanes):
            at = f"{number}_{lane}"
            self.lines += [
                f"  %in{at} = extractelement {of} {operand.name}, i32 {lane}",
                f"  %out{at} = call {operand.kind} @{name}({operand.kind} %in{at})",
                f"  %all{at} = insertelement {of} {gathered}, {operand.kind} %out{at}, i32 {lane}",
            ]
            gathered = f"%all{at}"
        self.lines += [f"  br label %{done}", f"{done}:"]
        self.label = done
        several = self.line(f"phi {of} [ {otherwise.name}, %{start} ], [ {gathered}, %{far} ]", operand.kind)
        return self.select(condition, several, otherwise)

    def branched(
        self, condition: Value, write: Callable[[], Sequence[Value]], *, otherwise: Sequence[Value]
    ) -> list[Value]:
        """Return what `write` computes in the lanes where the condition holds, else `otherwise`.

        A branch that costs next to nothing while it holds in no lane; nothing written in it is known behind it.
        """
        self.declarations.add(f"declare i1 @llvm.vector.reduce.or.v{self.lanes}i1({self.vector('i1')})")
        start, number = self.label, f"{self._prefix}{len(self.lines)}"
        rare, join = f"rare{number}", f"join{number}"
        self.lines += [
            f"  %some{number} = call i1 @llvm.vector.reduce.or.v{self.lanes}i1({self.vector('i1')} {condition.name})",
            f"  br i1 %some{number}, label %{rare}, label %{join}",
            f"{rare}:",
        ]
        self.label = rare
        known, negated = self._known.copy(), self._negated.copy()
        written = write()
        self._known, self._negated = known, negated
        self.lines += [f"  br label %{join}", f"{join}:"]
        end, self.label = self.label, join
        joined = [
            self.line(f"phi {self.vector(one.kind)} [ {one.name}, %{start} ], [ {other.name}, %{end} ]", one.kind)
            for one, other in zip(otherwise, written, strict=True)
        ]
        return [self.select(condition, each, one) for each, one in zip(joined, otherwise, strict=True)]

    def bits(self, operand: Value) -> Value:
        """Return the float's bits as an integer."""
        return self.convert("bitcast", operand, INTEGER[operand.kind])

    def from_bits(self, operand: Value, kind: Kind) -> Value:
        return self.convert("bitcast", operand, kind)


def nearest(value: Fraction | float, kind: str) -> float:
    """Round the value once to the kind, as a Python float; infinite if it is too large."""
    exact = Fraction(value) if isinstance(value, Fraction) or value - value == 0 else None
    if exact is None or exact == 0:
        return float(value)
    digits, bias = DIGITS[kind], BIAS[kind]
    size = abs(exact)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent
    step = Fraction(2) ** (max(exponent, 1 - bias) - digits + 1)
    rounded = round(size / step) * step  # Python rounds a fraction's tie to even
    if rounded >= Fraction(2) ** (bias + 1):
        return float("inf") if exact > 0 else float("-inf")
    return float(rounded) if exact > 0 else -float(rounded)


def hexadecimal(value: float) -> str:
    """Return the float as LLVM reads it, with every bit; a `float` too is written as a double."""
    return "0x" + struct.pack(">d", value).hex().upper()
