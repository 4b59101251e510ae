"""Triton: straight-line vector code, line by line, in the language of GPU kernels.

The lines come from a `vector.Block` of one lane, so that a GPU computes what the CPU's kernels compute: the same
operations in the same order, each rounded as IEEE 754 says, hence the same bits. Triton's own `exp`, `tanh` and `/`
are never used: they are approximations, and some take what is subnormal for 0.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import final

from actlab.errors import CannotLower

TYPES: Mapping[str, str] = MappingProxyType(
    {
        "float": "tl.float32", "double": "tl.float64", "half": "tl.float16", "i1": "tl.int1", "i16": "tl.int16",
        "i32": "tl.int32", "i64": "tl.int64",
    }
)  # fmt: skip

# By the operands' type: what an instruction's template may need beside them.
_UNSIGNED = {"i16": "tl.uint16", "i32": "tl.uint32", "i64": "tl.uint64"}
_BITS = {"float": ("tl.int32", 2**31), "double": ("tl.int64", 2**63)}
# 1.5 times the largest whole number with every smaller one among the floats: what is added to it is rounded to a
# whole number, a tie to the even one. For sizes below 2²² and 2⁵¹; larger ones are not used.
_WHOLE = {"float": 1.5 * 2.0**23, "double": 1.5 * 2.0**52}

# By name, and by type where they differ. {0}, {1}, {2} are the operands; `_words` has the other names.
_INSTRUCTIONS: Mapping[str, str] = MappingProxyType(
    {
        "fadd": "{0} + {1}",
        "fsub": "{0} - {1}",
        "fmul": "{0} * {1}",
        "fdiv": "tl.div_rn({0}, {1})",
        "fdiv double": "{0} / {1}",  # rounded once, as `/` of float32 is not
        "fneg": "-{0}",
        "add": "{0} + {1}",
        "sub": "{0} - {1}",
        "and": "{0} & {1}",
        "or": "{0} | {1}",
        "shl": "{0} << {1}",
        "ashr": "{0} >> {1}",
        "lshr": "({0}.to({unsigned}, bitcast=True) >> {1}.to({unsigned}, bitcast=True)).to({to}, bitcast=True)",
        "select": "tl.where({0}, {1}, {2})",
        "bitcast": "{0}.to({to}, bitcast=True)",
        "fpext": "{0}.to({to})",
        "fptrunc": "{0}.to({to})",
        "sitofp": "{0}.to({to})",
        "trunc": "{0}.to({to})",
        "zext": "{0}.to({unsigned}, bitcast=True).to({to})",
        "icmp ne": "{0} != {1}",
        "fcmp oeq": "{0} == {1}",
        "fcmp olt": "{0} < {1}",
        "fcmp ole": "{0} <= {1}",
        "fcmp ogt": "{0} > {1}",
        "fcmp oge": "{0} >= {1}",
        "fcmp one": "({0} < {1}) | ({0} > {1})",
        "fcmp uno": "({0} != {0}) | ({1} != {1})",
        "fcmp ord": "({0} == {0}) & ({1} == {1})",
        "fma": "tl.fma({0}, {1}, {2})",
        "fabs": "tl.abs({0})",
        "sqrt": "tl.sqrt_rn({0})",
        "sqrt double": "tl.sqrt({0})",  # likewise
        "roundeven": "({0} + {whole}) - {whole}",
        "copysign": "(({0}.to({bits}, bitcast=True) & {size}) | ({1}.to({bits}, bitcast=True) & {sign}))"
        ".to({to}, bitcast=True)",
        "minimum": "tl.minimum({0}, {1}, propagate_nan=tl.PropagateNan.ALL)",
        "maximum": "tl.maximum({0}, {1}, propagate_nan=tl.PropagateNan.ALL)",
        # the C library's, called where |x| is too large for the block's own reduction
        "sinf": "tl.sin({0})",
        "sin": "tl.sin({0})",
        "cosf": "tl.cos({0})",
        "cos": "tl.cos({0})",
    }
)

# With one lane these name one of their operands anew: the first, the second, the third.
_NAMING: Mapping[str, int] = MappingProxyType({"extractelement": 0, "insertelement": 1, "phi": 2})

_OPERAND = re.compile(r"splat \(\w+ [^)]+\)|%\w+|zeroinitializer")
_KIND = re.compile(r"<1 x (\w+)>")
_CONSTANT = re.compile(r"splat \((\w+) ([^)]+)\)")
_FUNCTION = re.compile(r"@(?:llvm\.)?(\w+)")


@final
class Spelled:
    """The lines of a block as lines of Triton.

    Attributes:
        constants: the lines that name its constants, which come first.
        lines: its instructions.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self.constants: list[str] = []
        self.lines: list[str] = []
        self._names: dict[str, str] = {}
        for line in lines:
            name, equals, text = line.strip().partition(" = ")
            if equals:  # what has no result branches around a call that is made in every lane here
                self._add(name, text)

    def name(self, operand: str) -> str:
        """Return Triton's name for a value of the block; for a constant, write the line that defines it."""
        if operand not in self._names:
            constant = _CONSTANT.fullmatch(operand)
            self._names[operand] = self._constant(*constant.groups()) if constant else operand.lstrip("%")
        return self._names[operand]

    def _constant(self, kind: str, digits: str) -> str:
        name = f"k{len(self.constants)}"
        value = _real(digits) if digits.startswith("0x") else digits
        self.constants.append(f"{name} = tl.full((), {value}, {TYPES[kind]})")
        return name

    def _add(self, name: str, text: str) -> None:
        word = text.partition(" ")[0]
        operands = [self.name(each) for each in _OPERAND.findall(text) if each != "zeroinitializer"]
        if word in _NAMING:
            self._names[name] = operands[_NAMING[word]]
        elif "vector.reduce.or" not in text:
            self.lines.append(f"{self.name(name)} = {_template(text).format(*operands, *_zero(text), **_words(text))}")


def _template(text: str) -> str:
    word, _, rest = text.partition(" ")
    function = _FUNCTION.search(rest) if word == "call" else None
    key = function[1] if function else f"{word} {rest.partition(' ')[0]}" if word in ("icmp", "fcmp") else word
    if key not in _INSTRUCTIONS:
        raise CannotLower(
            f"the formula's code uses '{key}', which target 'triton' cannot spell. "
            "Add a row to lower/to_triton.py, or choose another target."
        )
    kind = _KIND.search(text)
    return _INSTRUCTIONS.get(f"{key} {kind[1] if kind else ''}", _INSTRUCTIONS[key])


def _zero(text: str) -> tuple[str, ...]:
    return ("0",) if text.endswith("zeroinitializer") else ()


def _words(text: str) -> dict[str, object]:
    """Return what templates name besides the operands, by the first operand's type and the last type of the line."""
    kinds = _KIND.findall(text) or ["i1"]
    bits, sign = _BITS.get(kinds[0], ("", 0))
    return {
        "to": TYPES[kinds[-1]],
        "unsigned": _UNSIGNED.get(kinds[0], ""),
        "whole": _WHOLE.get(kinds[0], ""),
        "bits": bits,
        "size": sign - 1,
        "sign": -sign,
    }


def _real(digits: str) -> str:
    """Return the constant of these bits as Triton reads it; a double has every digit of a `float` too."""
    (value,) = struct.unpack(">d", bytes.fromhex(digits.removeprefix("0x")))
    return repr(value) if value - value == 0 else f'float("{value}")'
