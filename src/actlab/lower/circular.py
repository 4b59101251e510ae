"""Circular functions, the arc tangent and the spherical Bessel functions, in vector code."""

from __future__ import annotations

from fractions import Fraction

from actlab.lower.arithmetic import Arithmetic, Num
from actlab.lower.numerals import PI, horner, kept_exact, kept_zero, leading_part, with_sign
from actlab.lower.vector import DIGITS, INTEGER, Value

# The bits of the parts in which π/2 is taken away, but for the last, which has all. The first and a whole number leave
# an exact difference; so do they all in float64, where a product of the next ones with a whole number is exact, so that
# what a difference loses can be bounded: beside a multiple of π/2 up to 2^30 there is no more than 2^-57 left.
_PARTS = {"single": (11, 11), "short": (29, 29), "full": (29, 23, 23, 23)}

# The largest arguments whose reduction in these parts keeps every digit.
_FARTHEST = {"float": 8192.0, "double": float(2**30)}


def sin(a: Arithmetic, x: Num) -> Num:
    return kept_zero(a, x, _circular(a, x, quarter=0))


def cos(a: Arithmetic, x: Num) -> Num:
    return _circular(a, x, quarter=1)


def sin_of_half_turns(a: Arithmetic, turns: Num) -> Num:
    """Compute sin(π·turns), accurate also where π·turns has no fractional digits."""
    return kept_zero(a, turns, _of_half_turns(a, turns, quarter=0))


def cos_of_half_turns(a: Arithmetic, turns: Num) -> Num:
    """Compute cos(π·turns), likewise."""
    return _of_half_turns(a, turns, quarter=1)


def atan(a: Arithmetic, x: Num) -> Num:
    """Compute the arc tangent, reduced to |v| <= tan(π/8) with one division."""
    size = a.abs(x)
    small = a.block.compare("olt", size.hi, a.real(Fraction("0.41421356")))
    large = a.block.compare("ogt", size.hi, a.real(Fraction("2.41421356")))
    one = a.constant(1)
    infinite = a.block.compare("oeq", size.hi, a.real(float("inf")))
    top = a.select(small, size, a.select(large, a.constant(-1), a.sub(size, one)))
    bottom = a.select(small, one, a.select(large, size, a.add(size, one)))
    v = a.select(infinite, a.constant(0), a.div(top, bottom))
    offset = a.select(
        small, a.constant(0), a.select(large, a.constant(kept_exact(PI / 2)), a.constant(kept_exact(PI / 4)))
    )
    square = a.block.mul(v.hi, v.hi)
    cubed = a.block.mul(a.block.mul(square, v.hi), horner(a, "atan", square))
    return with_sign(a, a.add(offset, a.renewed(v.hi, cubed, v.lo)), x)


def spherical_bessel(a: Arithmetic, order: int, x: Num, *, turns: Num | None = None) -> Num:
    """Compute jₙ: a power series near 0, the upward recurrence elsewhere.

    Args:
        a: the arithmetic.
        order: n.
        x: the argument.
        turns: the argument in half turns, where that is known.
    """
    near = a.block.compare("olt", a.block.abs(x.hi), a.real(float(2 + order)))
    one = a.constant(1)
    small, large = a.select(near, x, a.constant(0)), a.select(near, one, x)
    cosine, sine = (cos(a, large), sin(a, large)) if turns is None else _both_of_half_turns(a, turns)
    divisor, scale = _divisor(a, large, turns)
    below, here = a.div(cosine, divisor), a.div(sine, divisor)
    for k in range(order):
        below, here = here, a.sub(a.mul(a.div(a.constant(2 * k + 1), large), here), below)
    return a.select(near, _bessel_series(a, order, small), Num(here.hi, here.lo, scale=scale))


def _both_of_half_turns(a: Arithmetic, turns: Num) -> tuple[Num, Num]:
    return cos_of_half_turns(a, turns), sin_of_half_turns(a, turns)


def _divisor(a: Arithmetic, x: Num, turns: Num | None) -> tuple[Num, Value | None]:
    """Return the divisor of a sine of x, and the quotient's power of two: π times the half turns may overflow."""
    if turns is None or a.recipe.accuracy == "short":  # float32's largest number is not large in float64
        return x, None
    block, half = a.block, {"float": 64, "double": 512}[a.kind]
    far = block.compare("ogt", block.abs(turns.hi), a.real(Fraction(2) ** (2 * half - 24)))
    brought = a.mul(a.mul(turns, a.constant(Fraction(1, 2**half))), a.constant(kept_exact(PI)))
    return a.select(far, brought, x), block.select(far, a.real(float(-half)), a.real(0.0))


def _bessel_series(a: Arithmetic, order: int, x: Num) -> Num:
    leading = one = a.constant(1)
    for k in range(1, order + 1):
        leading = a.mul(leading, a.mul(x, a.constant(Fraction(1, 2 * k + 1))))
    square = a.mul(x, x)
    terms = {"single": 10, "short": 12, "full": 18}[a.recipe.accuracy]
    total = one
    for k in range(terms, 0, -1):
        factor = a.constant(Fraction(-1, 2 * k * (2 * k + 2 * order + 1)))
        total = a.add(one, a.mul(a.mul(square, factor), total))
    return a.mul(leading, total)


def _circular(a: Arithmetic, x: Num, *, quarter: int) -> Num:
    """Compute sin(x + quarter·π/2): reduced by π/2 in parts, then one of two polynomials; huge x by the C library."""
    block = a.block
    n = block.rounded(block.mul(x.hi, a.real(2 / PI)))
    signed = _in_quadrant(a, _reduced(a, x, n), n, quarter=quarter)
    far = block.compare("ogt", block.abs(x.hi), a.real(_FARTHEST[a.kind]))
    near = a.value(signed) if not a.recipe.paired else signed.hi
    beyond = block.guarded(far, "cos" if quarter else "sin", x.hi, otherwise=near)
    if signed.lo is None:
        return Num(beyond)
    return Num(beyond, block.select(far, a.real(0.0), signed.lo))


def _of_half_turns(a: Arithmetic, turns: Num, *, quarter: int) -> Num:
    """Compute sin(π·turns + quarter·π/2), subtracting whole turns and quarters exactly before anything is rounded."""
    block = a.block
    t = block.fma(a.real(-2.0), block.rounded(block.mul(turns.hi, a.real(0.5))), turns.hi)
    n = block.rounded(block.add(t, t))
    left = Num(block.fma(a.real(-0.5), n, t), turns.lo)
    return _in_quadrant(a, a.mul(left, a.constant(kept_exact(PI))), n, quarter=quarter)


def _in_quadrant(a: Arithmetic, r: Num, n: Value, *, quarter: int) -> Num:
    """Compute sin(r + (n + quarter)·π/2) for |r| <= π/4."""
    block = a.block
    magic = a.real(Fraction(3, 2) * 2 ** (DIGITS[a.kind] - 1))
    quadrant = block.binary("add", block.bits(block.add(n, magic)), block.whole(quarter, INTEGER[a.kind]))
    result = a.select(_bit(a, quadrant, 1), _cos_near(a, r), _sin_near(a, r))
    return a.select(_bit(a, quadrant, 2), a.neg(result), result)


def _reduced(a: Arithmetic, x: Num, n: Value) -> Num:
    """Compute x − n·π/2."""
    block = a.block
    minus, rest, r = block.neg(n), PI / 2, x.hi
    lost = x.lo
    for step, bits in enumerate((*_PARTS[a.recipe.accuracy], None)):
        part = rest if bits is None else leading_part(rest, bits=bits)
        before, r = r, block.fma(minus, a.real(part), r)
        if a.recipe.paired and step:  # the first step is exact, but not x less what it leaves
            error = block.fma(minus, a.real(part), block.sub(before, r))
            lost = error if lost is None else block.add(lost, error)
        rest -= part
    return Num(r, lost)


def _bit(a: Arithmetic, whole: Value, bit: int) -> Value:
    block = a.block
    kept = block.binary("and", whole, block.whole(bit, whole.kind))
    return block.line(f"icmp ne {block.vector(whole.kind)} {kept.name}, zeroinitializer", "i1")


def _sin_near(a: Arithmetic, r: Num) -> Num:
    block = a.block
    square = block.mul(r.hi, r.hi)
    cubic = block.mul(block.mul(square, r.hi), horner(a, "sin", square))
    if r.lo is None:
        return a.renewed(r.hi, cubic)
    # a correction of the angle is worth cos r = 1 − r²/2 + r⁴/24 as much: it may be large beside what is left of it
    slope = block.fma(block.fma(square, a.real(Fraction(1, 24)), a.real(-0.5)), square, a.real(1.0))
    return a.renewed(r.hi, cubic, block.mul(r.lo, slope))


def _cos_near(a: Arithmetic, r: Num) -> Num:
    block = a.block
    square = a.mul(r, r)
    higher = block.mul(block.mul(square.hi, square.hi), horner(a, "cos", square.hi))
    if r.lo is not None:  # what the correction of the angle is worth in r⁴/24
        bend = block.mul(block.mul(square.hi, r.hi), a.real(Fraction(1, 6)))
        higher = block.fma(bend, r.lo, higher)
    down = a.mul(a.constant(Fraction(-1, 2)), square)
    total = a.add_smaller(a.constant(1), down)
    if not a.recipe.paired:
        # 1 − r²/2 rounds; what it lost goes into the small terms
        lost = block.sub(down.hi, block.sub(total.hi, a.real(1.0)))
        return a.renewed(total.hi, higher, lost, down.lo)
    return a.renewed(total.hi, higher, total.lo)
