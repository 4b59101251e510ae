"""Constants to sixty digits, polynomials and small selections: the building blocks of the elementary functions."""

from __future__ import annotations

import struct
from decimal import Decimal, localcontext
from fractions import Fraction

from actlab.lower.arithmetic import Arithmetic, Num
from actlab.lower.polynomials import polynomial
from actlab.lower.vector import Value, nearest


def _root_of_two(sixteenths: int) -> Fraction:
    """Return 2^(sixteenths/16) to sixty digits."""
    with localcontext() as context:
        context.prec = 60
        return Fraction(Decimal(2) ** (Decimal(sixteenths) / 16))


def _logarithm(value: Fraction) -> Fraction:
    """Return the natural logarithm to sixty digits."""
    with localcontext() as context:
        context.prec = 60
        return Fraction((Decimal(value.numerator) / Decimal(value.denominator)).ln())


LN2 = Fraction("0.693147180559945309417232121458176568075500134360255254120680009")
PI = Fraction("3.14159265358979323846264338327950288419716939937510582097494459")
HALF_ROOT = Fraction("0.707106781186547524400844362104849039284835937688474036588339869")  # 1/√2
INVERSE_ROOT_TWO_PI = Fraction("0.398942280401432677939946059934381868475858631164934657665925829")

# 2^(j/16), and what its rounding to float32 loses.
POWERS = tuple(_root_of_two(j) for j in range(16))
POWERS_LOST = tuple(power - Fraction(nearest(power, "float")) for power in POWERS)

# 1/(1 + j/15), and its logarithm with the other sign, likewise.
INVERSES = tuple(Fraction(nearest(Fraction(15, 15 + j), "float")) for j in range(16))
INVERSE_LOGS = tuple(_logarithm(1 / inverse) for inverse in INVERSES)
INVERSE_LOGS_LOST = tuple(log - Fraction(nearest(log, "float")) for log in INVERSE_LOGS)

# Leading parts of ln 2 and π/2 short enough that a whole number of them is exact.
LEADING_BITS = {"float": 12, "double": 33}


def horner(a: Arithmetic, name: str, x: Value) -> Value:
    """Evaluate the named polynomial."""
    first, *rest = reversed(polynomial(a.recipe.accuracy, name))
    result = a.real(first)
    for coefficient in rest:
        result = a.block.fma(result, x, a.real(coefficient))
    return result


def leading_part(value: Fraction, *, bits: int) -> Fraction:
    """Cut the value to so many significant bits."""
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    step = Fraction(2) ** (exponent - bits)
    return (value // step) * step


def kept_exact(value: Fraction) -> Fraction:
    """Round a constant to a hundred and fifty bits, so that all recipes use the same."""
    return Fraction(round(value * 2**150), 2**150)


def bits_of(value: Fraction, kind: str) -> int:
    """Return the bits of the float nearest to a positive value, as an integer."""
    packed = struct.pack("<f" if kind == "float" else "<d", float(value))
    return int.from_bytes(packed, "little")


def clamped(a: Arithmetic, x: Num, *, low: float | None, high: float | None) -> Num:
    """Hold x between the limits; NaN stays. A held x has no correction."""
    block, hi = a.block, x.hi
    if high is not None:
        hi = block.select(block.compare("ogt", hi, a.real(high)), a.real(high), hi)
    if low is not None:
        hi = block.select(block.compare("olt", hi, a.real(low)), a.real(low), hi)
    if x.lo is None:
        return Num(hi)
    return Num(hi, block.select(block.compare("oeq", hi, x.hi), x.lo, a.real(0.0)))


def with_sign(a: Arithmetic, size: Num, x: Num) -> Num:
    """Return the non-negative size with the sign of x."""
    if size.lo is None:
        return Num(a.block.copysign(size.hi, x.hi))
    if a.recipe.firm:  # whose corrections have the number's own sign
        return Num(a.block.copysign(size.hi, x.hi), a.block.copysign(size.lo, x.hi))
    below = a.block.compare("olt", x.hi, a.real(0.0))
    signed = a.select(below, a.neg(size), size)
    zero = a.block.compare("oeq", x.hi, a.real(0.0))
    return a.select(zero, x, signed)


def kept_zero(a: Arithmetic, x: Num, result: Num) -> Num:
    """Return the result, but x itself where x is 0, so that −0 stays −0."""
    zero = a.block.compare("oeq", x.hi, a.real(0.0))
    return a.select(zero, x, result)


def below_zero(a: Arithmetic, x: Num) -> Value:
    return a.block.compare("olt", x.hi, a.real(0.0))
