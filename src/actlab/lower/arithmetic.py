"""Real arithmetic in vector code, plain or with each number as an unevaluated sum of two.

A *paired* number hi + lo carries the rounding error of hi along (Dekker 1971; Ogita, Rump, Oishi 2005), so that a
formula's intermediate roundings do not add up. `lo` is a few units in the last place of `hi` at most: products leave
out lo·lo. Where `hi` is infinite or NaN, `lo` may be NaN and is ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Literal, final

from actlab.lower.vector import DIGITS, Block, Kind, Value, hexadecimal, nearest

Accuracy = Literal["single", "short", "full"]


@final
@dataclass(frozen=True)
class Num:
    """A number of the program: a vector and, in paired arithmetic, its correction.

    Attributes:
        hi: the number, rounded.
        lo: what to add to it; None for nothing.
        constant: its exact value where it is a constant.
        scale: the power of two by which it is still to be multiplied, so that a factor such as e⁻¹⁰⁰ keeps its
            digits in a product although it alone is subnormal; None for 0.
    """

    hi: Value
    lo: Value | None = None
    constant: Fraction | None = None
    scale: Value | None = None


@final
class Strategy(Enum):
    """Which rounding errors a program carries along.

    Attributes:
        PLAIN: none.
        FIRM: those of divisors and dividends inside elementary functions; quotients carry none.
        FIRM_ARGUMENTS: those, and of sums and products that are arguments of elementary functions.
        FIRM_SUMS: those of `FIRM`, and of the formula's own sums and products.
        LIGHT: those of quotients inside elementary functions, of what is multiplied by them, and of sums and products
            that are arguments of elementary functions, which magnify errors.
        PAIRED: all.
    """

    PLAIN = "plain"
    FIRM = "firm"
    FIRM_ARGUMENTS = "firm arguments"
    FIRM_SUMS = "firm sums"
    LIGHT = "light"
    PAIRED = "paired"


_FIRM = frozenset({Strategy.FIRM, Strategy.FIRM_ARGUMENTS, Strategy.FIRM_SUMS})


@final
class Span(Enum):
    """How a program treats intermediate results that overflow or underflow.

    Attributes:
        DTYPE: it loses them.
        RESCUED: a branch computes elements again in `SCALED` if their result is tiny, huge or NaN, or their input is
            huge. It costs next to nothing while there are none.
        SCALED: every number, except inside elementary functions, carries a power of two along. For float64.
        TINY_EXPONENTIALS: exponentials do not underflow: what elementary functions take in `SCALED` programs.
    """

    DTYPE = "dtype"
    RESCUED = "rescued"
    SCALED = "scaled"
    TINY_EXPONENTIALS = "tiny exponentials"


@final
@dataclass(frozen=True)
class Recipe:
    """How a program computes a formula.

    Attributes:
        accuracy: which polynomials the elementary functions take: `single` in float32 arithmetic, `short` for float32
            results computed in float64, `full` in float64.
        strategy: which rounding errors it carries along.
        span: what it does against overflow and underflow on the way.
        scalef: whether the CPU scales by a power of two in one instruction (AVX-512).
        tabled: whether exponentials look sixteen numbers up in a register (AVX-512): half a unit in the last place at
            the price of one.
    """

    accuracy: Accuracy
    strategy: Strategy = Strategy.PLAIN
    span: Span = Span.DTYPE
    scalef: bool = False
    tabled: bool = False

    @property
    def kind(self) -> Kind:
        """The arithmetic's type."""
        return "float" if self.accuracy == "single" else "double"

    @property
    def paired(self) -> bool:
        """Whether every number carries its rounding error along."""
        return self.strategy is Strategy.PAIRED

    @property
    def light(self) -> bool:
        """Whether quotients inside elementary functions carry their rounding errors."""
        return self.strategy is Strategy.LIGHT

    @property
    def firm(self) -> bool:
        """Whether only what is divided inside elementary functions carries its rounding errors."""
        return self.strategy in _FIRM

    @property
    def scaled(self) -> bool:
        """Whether every number carries a power of two along."""
        return self.span is Span.SCALED


# In scaled arithmetic larger and smaller numbers than these powers of two are brought nearer to 1 by the third: then
# no product, no quotient and no correction of one is too large or too small.
_MOST, _LEAST, _SHIFT = 400, -400, 600

# The power of two that a 0 counts with in scaled arithmetic: below any other number's.
_NOTHING = -1e15


@final
class Arithmetic:
    """The four operations, comparison and roots on `Num`s, written into a block.

    Attributes:
        block: where the instructions go.
        recipe: how numbers are kept.
    """

    def __init__(self, block: Block, recipe: Recipe) -> None:
        self.block = block
        self.recipe = recipe
        self.kind: Kind = recipe.kind

    def constant(self, value: Fraction | int) -> Num:
        """Return an exact constant, with its correction in paired arithmetic."""
        exact = Fraction(value)
        hi = nearest(exact, self.kind)
        rest = exact - Fraction(hi) if hi - hi == 0 else Fraction(0)
        lo = self.block.real(rest, self.kind) if self.recipe.paired and rest else None
        return Num(self.block.real(hi, self.kind), lo, exact)

    def value(self, number: Num) -> Value:
        """Return the number as one vector, rounded once."""
        total = self._collapsed(number)
        return total if number.scale is None else self.scaled(total, number.scale)

    def settled(self, number: Num) -> Num:
        """Return the number with its power of two multiplied in."""
        if number.scale is None:
            return number
        hi = self.scaled(number.hi, number.scale)
        return Num(hi, None if number.lo is None else self.scaled(number.lo, number.scale))

    def kept_within(self, number: Num) -> Num:
        """Return the number scaled nearer to 1, with the power of two set apart."""
        if number.constant is not None and (
            number.constant == 0 or Fraction(2) ** _LEAST < abs(number.constant) < Fraction(2) ** _MOST
        ):
            return number
        block, size = self.block, self.block.abs(number.hi)
        large = block.compare("ogt", size, self.real(Fraction(2) ** _MOST))
        small = block.compare("olt", size, self.real(Fraction(2) ** _LEAST))

        def chosen(down: Fraction | float, up: Fraction | float, same: float) -> Value:
            return block.select(large, self.real(down), block.select(small, self.real(up), self.real(same)))

        factor = chosen(Fraction(1, 2**_SHIFT), Fraction(2**_SHIFT), 1.0)
        shift = chosen(float(_SHIFT), float(-_SHIFT), 0.0)
        lo = None if number.lo is None else block.mul(number.lo, factor)
        return Num(
            block.mul(number.hi, factor), lo, scale=shift if number.scale is None else block.add(number.scale, shift)
        )

    def _aligned(self, a: Num, b: Num) -> tuple[Num, Num, Value]:
        """Return two numbers as multiples of one power of two, the larger of theirs, and that."""
        block = self.block
        a, b = self.kept_within(a), self.kept_within(b)
        scales = []
        for each in (a, b):
            zero = block.compare("oeq", each.hi, self.real(0.0))
            scales.append(block.select(zero, self.real(_NOTHING), each.scale or self.real(0.0)))
        first, second = scales
        common = block.select(block.compare("ogt", first, second), first, second)
        one, other = (
            self.settled(Num(each.hi, each.lo, scale=block.sub(scale, common)))
            for each, scale in zip((a, b), scales, strict=True)
        )
        return one, other, common

    def neg(self, a: Num) -> Num:
        return Num(
            self.block.neg(a.hi),
            None if a.lo is None else self.block.neg(a.lo),
            None if a.constant is None else -a.constant,
            a.scale,
        )

    def add(self, a: Num, b: Num) -> Num:
        if not self.recipe.scaled:
            return self._sum(self.settled(a), self.settled(b))
        one, other, scale = self._aligned(a, b)
        total = self._sum(one, other)
        if total.lo is None:
            return Num(total.hi, scale=scale)
        # what cancels leaves the correction alone: a `hi` of 0 does not show its power of two
        hi = self._collapsed(total)
        lo = self.block.sub(total.lo, self.block.sub(hi, total.hi))
        return Num(hi, lo, scale=scale)

    def _sum(self, a: Num, b: Num) -> Num:
        block = self.block
        total = block.add(a.hi, b.hi)
        if not self.recipe.paired:
            return Num(total, self._sum_of_corrections(a, b))
        # two-sum: the rounding error of the sum, exactly
        back = block.sub(total, a.hi)
        error = block.add(block.sub(a.hi, block.sub(total, back)), block.sub(b.hi, back))
        return Num(total, self._with(error, a.lo, b.lo))

    def renewed(self, large: Value, small: Value, *corrections: Value | None) -> Num:
        """Add large + small + corrections, `small` not being a correction yet but smaller than `large`."""
        if not self.recipe.paired:
            return Num(self.block.add(large, self._with(small, *corrections)))
        total = self.block.add(large, small)
        error = self.block.sub(small, self.block.sub(total, large))
        return Num(total, self._with(error, *corrections))

    def add_smaller(self, a: Num, b: Num) -> Num:
        """Add a + b where b is never the larger one: half the work."""
        block, a, b = self.block, self.settled(a), self.settled(b)
        if self._is_plain:
            return Num(block.add(self._collapsed(a), self._collapsed(b)))
        total = block.add(a.hi, b.hi)
        return Num(total, self._with(block.sub(b.hi, block.sub(total, a.hi)), a.lo, b.lo))

    def _sum_of_corrections(self, a: Num, b: Num) -> Value | None:
        if a.lo is None or b.lo is None:
            return a.lo or b.lo
        return self.block.add(a.lo, b.lo)

    @property
    def _is_plain(self) -> bool:
        return not (self.recipe.paired or self.recipe.light or self.recipe.firm)

    def sub(self, a: Num, b: Num) -> Num:
        if not self.recipe.paired:
            return self.add(a, self.neg(b)) if a.lo or b.lo else Num(self.block.sub(self.value(a), self.value(b)))
        return self.add(a, self.neg(b))

    def mul(self, a: Num, b: Num) -> Num:
        block = self.block
        if self.recipe.scaled:
            a, b = self.kept_within(a), self.kept_within(b)
        if _is_power_of_two(a.constant) or _is_power_of_two(b.constant):
            return self._scaled(a, b)
        product, scale = block.mul(a.hi, b.hi), self._scales(a, b)
        if not self.recipe.paired and a.lo is None and b.lo is None:
            return Num(product, scale=scale)
        if self.recipe.firm:
            return self._firm_product(a, b)
        return self.exact_product(a, b)

    def exact_product(self, a: Num, b: Num) -> Num:
        """Return a·b with its rounding error."""
        block = self.block
        product, scale = block.mul(a.hi, b.hi), self._scales(a, b)
        error = block.fma(a.hi, b.hi, block.neg(product))
        if a.lo is not None:
            error = block.fma(a.lo, b.hi, error)
        if b.lo is not None:
            error = block.fma(a.hi, b.lo, error)
        return Num(product, error, scale=scale)

    def div(self, a: Num, b: Num) -> Num:
        if not self.recipe.scaled:
            return self._quotient(a, self.settled(b))
        a, b = self.kept_within(a), self.kept_within(b)
        quotient = self._quotient(a, Num(b.hi, b.lo, b.constant))
        scale = self._scales(quotient, Num(b.hi, scale=None if b.scale is None else self.block.neg(b.scale)))
        return Num(quotient.hi, quotient.lo, scale=scale)

    def _quotient(self, a: Num, b: Num) -> Num:
        block = self.block
        if not self.recipe.paired:
            a, b = (
                Num(self._collapsed(a), scale=a.scale, constant=a.constant),
                Num(self._collapsed(b), constant=b.constant),
            )
        if _is_power_of_two(b.constant) and b.constant is not None:
            return self._scaled(a, self.constant(1 / b.constant))
        quotient = block.div(a.hi, b.hi)
        if not self.recipe.paired:
            return Num(quotient, scale=a.scale)
        return Num(quotient, block.div(self._remainder(a, b, quotient), b.hi), scale=a.scale)

    def div_near_one(self, a: Num, b: Num) -> Num:
        """Divide a by b, b from 1/2 to 8, with one division of the cheapest kind."""
        block, b = self.block, self.settled(b)
        if self._is_plain and self.recipe.accuracy == "single":
            return Num(block.div(self._collapsed(a), self._collapsed(b)), scale=a.scale)
        if self.recipe.firm:
            return self._firm_quotient(a, b)
        reciprocal = self.reciprocal_near_one(b.hi)
        quotient = block.mul(a.hi, reciprocal)
        if self.recipe.accuracy == "short":
            return Num(quotient, scale=a.scale)
        correction = block.mul(self._remainder(a, b, quotient), reciprocal)
        if self._is_plain:
            return Num(block.add(quotient, correction), scale=a.scale)
        return Num(quotient, correction, scale=a.scale)

    def _firm_quotient(self, a: Num, b: Num) -> Num:
        """Return a / b rounded towards zero, with a correction that is never 0 of the other sign: 0·b and ∞·b stay
        right.
        """
        block = self.block
        below = block.div(self.real(1 - Fraction(1, 2**22)), b.hi)
        quotient = block.mul(a.hi, below)
        return Num(quotient, block.mul(self._remainder(a, b, quotient), below), scale=a.scale)

    def _firm_product(self, a: Num, b: Num) -> Num:
        """Return a·b rounded once with the correction in it; if both have corrections, with a correction again."""
        if a.lo is not None and b.lo is not None:
            return self.exact_product(a, b)
        a, b = (a, b) if a.lo is None else (b, a)
        assert b.lo is not None
        block = self.block
        return Num(block.fma(a.hi, b.hi, block.mul(a.hi, b.lo)), scale=self._scales(a, b))

    def reciprocal_near_one(self, b: Value) -> Value:
        """Return 1 / b for b from 1/2 to 8: for `short` accuracy by a float32 division and one Newton step."""
        block = self.block
        one = block.real(1.0, self.kind)
        if self.recipe.accuracy != "short":
            return block.div(one, b)
        rough = block.div(block.real(1.0, "float"), block.convert("fptrunc", b, "float"))
        guess = block.convert("fpext", rough, "double")
        return block.fma(guess, block.fma(block.neg(b), guess, one), guess)

    def sqrt(self, a: Num) -> Num:
        if not self.recipe.scaled:
            return self._root(self.settled(a))
        block, a = self.block, self.kept_within(a)
        scale = a.scale or self.real(0.0)
        half = block.rounded(block.mul(scale, self.real(0.5)))
        root = self._root(self.settled(Num(a.hi, a.lo, scale=block.fma(self.real(-2.0), half, scale))))
        return Num(root.hi, root.lo, scale=half)

    def _root(self, a: Num) -> Num:
        block = self.block
        a = a if self.recipe.paired else Num(self._collapsed(a))
        root = block.sqrt(a.hi)
        if not self.recipe.paired:
            return Num(root)
        rest = block.fma(block.neg(root), root, a.hi)
        rest = rest if a.lo is None else block.add(rest, a.lo)
        return Num(root, block.div(rest, block.add(root, root)))

    def abs(self, a: Num) -> Num:
        a = a if self.recipe.scaled else self.settled(a)
        if a.lo is None:
            return Num(self.block.abs(a.hi), scale=a.scale)
        below = self.block.compare("olt", a.hi, self.block.real(0.0, self.kind))
        return self.select(below, self.neg(a), Num(self.block.abs(a.hi), a.lo, scale=a.scale))

    def select(self, condition: Value, then: Num, otherwise: Num) -> Num:
        """Return `then` where the condition holds, else `otherwise`."""
        hi, none = self.block.select(condition, then.hi, otherwise.hi), self.real(0.0)
        lo = scale = None
        if then.lo is not None or otherwise.lo is not None:
            lo = self.block.select(condition, then.lo or none, otherwise.lo or none)
        if then.scale is not None or otherwise.scale is not None:
            scale = self.block.select(condition, then.scale or none, otherwise.scale or none)
        return Num(hi, lo, scale=scale)

    def compare(self, order: str, a: Num, b: Num) -> Value:
        """Return where the ordered comparison holds: nowhere that either is NaN."""
        return self.block.compare(order, self.value(a), self.value(b))

    def power(self, base: Num, exponent: int) -> Num:
        """Multiply the base by itself."""
        if exponent < 0:
            return self.div(self.constant(1), self.power(base, -exponent))
        if exponent == 0:
            return self.constant(1)
        half = self.power(base, exponent // 2) if exponent > 1 else None
        if half is None:
            return base
        square = self.mul(half, half)
        return self.mul(square, base) if exponent % 2 else square

    def real(self, value: Fraction | float) -> Value:
        """Return a plain constant vector."""
        return self.block.real(value, self.kind)

    def scaled(self, operand: Value, exponent: Value) -> Value:
        """Return operand · 2^exponent, the exponent a whole number in floating point, rounded once, also into
        subnormals.
        """
        block = self.block
        if self.recipe.scalef:
            return _scalef(block, operand, exponent)
        # four factors, each of them a normal float, whose product is 0 or infinite beyond the limit
        limit = {"float": 400.0, "double": 3300.0}[self.kind]
        held = block.select(block.compare("olt", exponent, self.real(-limit)), self.real(-limit), exponent)
        held = block.select(block.compare("ogt", held, self.real(limit)), self.real(limit), held)
        quarter = block.rounded(block.mul(held, self.real(0.25)))
        rest = block.fma(self.real(-3.0), quarter, held)
        # 1.5·2^(digits−1) added puts a whole number into the lowest bits
        magic = self.real(Fraction(3, 2) * 2 ** (DIGITS[self.kind] - 1))
        first, last = (self._power_of_two(block.add(part, magic)) for part in (quarter, rest))
        return block.mul(block.mul(block.mul(block.mul(operand, last), first), first), first)

    def looked_up(self, table: Sequence[Fraction], index: Value) -> Value:
        """Look up one of sixteen numbers per lane by the lowest four bits of the index, if the recipe is `tabled`."""
        block, function = self.block, "@llvm.x86.avx512.permvar.sf.512"
        block.declarations.add(f"declare <16 x float> {function}(<16 x float>, <16 x i32>)")
        numbers = ", ".join(f"float {hexadecimal(nearest(each, 'float'))}" for each in table)
        parts = []
        for start in range(0, block.lanes, 16):
            places = f"<16 x i32> {_part(block, index, start=start, width=16)}"
            parts.append(block.line(f"call <16 x float> {function}(<16 x float> <{numbers}>, {places})", "float").name)
        return _joined(block, parts, kind="float", width=16)

    def _power_of_two(self, whole_plus_magic: Value) -> Value:
        block = self.block
        bits = block.bits(whole_plus_magic)
        digits, bias = DIGITS[self.kind], {"float": 127, "double": 1023}[self.kind]
        biased = block.binary("add", bits, block.whole(bias, bits.kind))
        return block.from_bits(block.binary("shl", biased, block.whole(digits - 1, bits.kind)), self.kind)

    def _collapsed(self, number: Num) -> Value:
        if number.lo is None:
            return number.hi
        total = self.block.add(number.hi, number.lo)
        if self.recipe.firm and self.recipe.strategy is not Strategy.FIRM_SUMS:
            return total
        # false where the sum is NaN (at infinities), and at −0, which a correction of 0 would turn into +0
        counts = self.block.compare("one", total, number.hi)
        return self.block.select(counts, total, number.hi)

    def _scales(self, a: Num, b: Num) -> Value | None:
        if a.scale is None or b.scale is None:
            return a.scale or b.scale
        return self.block.add(a.scale, b.scale)

    def _remainder(self, a: Num, b: Num, quotient: Value) -> Value:
        """Return a − quotient·b."""
        block = self.block
        minus = block.neg(quotient)
        rest = block.fma(minus, b.hi, a.hi)
        rest = rest if a.lo is None else block.add(rest, a.lo)
        return rest if b.lo is None else block.fma(minus, b.lo, rest)

    def _scaled(self, a: Num, b: Num) -> Num:
        """Return the product with a power of two: exact."""
        if _is_power_of_two(a.constant):
            a, b = b, a
        factor = b.hi
        lo = None if a.lo is None else self.block.mul(a.lo, factor)
        return Num(self.block.mul(a.hi, factor), lo, scale=a.scale)

    def _with(self, error: Value, *corrections: Value | None) -> Value:
        for each in corrections:
            error = error if each is None else self.block.add(error, each)
        return error


def _is_power_of_two(value: Fraction | None) -> bool:
    if value is None or value == 0:
        return False
    return all(part & (part - 1) == 0 for part in (abs(value.numerator), value.denominator))


def _scalef(block: Block, operand: Value, exponent: Value) -> Value:
    """Apply AVX-512's own instruction, on halves or quarters of the vector as its width asks."""
    width, letter, mask = {"float": (16, "s", "i16"), "double": (8, "d", "i8")}[operand.kind]
    of = f"<{width} x {operand.kind}>"
    function = f"@llvm.x86.avx512.mask.scalef.p{letter}.512"
    block.declarations.add(f"declare {of} {function}({of}, {of}, {of}, {mask}, i32)")
    parts = []
    for start in range(0, block.lanes, width):
        operands = [_part(block, each, start=start, width=width) for each in (operand, exponent)]
        text = ", ".join(f"{of} {each}" for each in (*operands, operands[0]))
        parts.append(block.line(f"call {of} {function}({text}, {mask} -1, i32 4)", operand.kind).name)
    return _joined(block, parts, kind=operand.kind, width=width)


def _part(block: Block, operand: Value, *, start: int, width: int) -> str:
    if block.lanes == width:
        return operand.name
    of = block.vector(operand.kind)
    places = ", ".join(f"i32 {start + each}" for each in range(width))
    text = f"shufflevector {of} {operand.name}, {of} poison, <{width} x i32> <{places}>"
    return block.line(text, operand.kind).name


def _joined(block: Block, parts: list[str], *, kind: Kind, width: int) -> Value:
    while len(parts) > 1:
        of, joined = f"<{width} x {kind}>", f"<{2 * width} x i32>"
        places = ", ".join(f"i32 {each}" for each in range(2 * width))
        parts = [
            block.line(f"shufflevector {of} {left}, {of} {right}, {joined} <{places}>", kind).name
            for left, right in zip(parts[::2], parts[1::2], strict=True)
        ]
        width *= 2
    return Value(parts[0], kind)
