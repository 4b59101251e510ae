"""mpmath's functions, which raise where they are undefined or would take unbounded time.

mpmath gives complex logarithms, and `exp(exp(exp(x)))` of a large x would need more digits than there is memory.
"""

from __future__ import annotations

from typing import Any

from mpmath import mp

# Arguments beyond 2**4096 are refused: an exponential of one takes milliseconds, of its square already seconds.
_LARGEST_POWER = 4096

Real = Any  # mpmath carries no types


class Undefined(ArithmeticError):
    """The formula has no real value here."""


class TooLarge(ArithmeticError):
    """The value cannot be computed in bounded time."""


def tame(x: Real) -> Real:
    """Return the number, if an exponential of it can be computed in bounded time."""
    if mp.isfinite(x) and mp.mag(x) > _LARGEST_POWER:
        raise TooLarge
    return x


def log(x: Real) -> Real:
    if x < 0:
        raise Undefined
    return mp.log(x)


def log1p(x: Real) -> Real:
    if x < -1:
        raise Undefined
    return mp.log1p(x)


def sqrt(x: Real) -> Real:
    if x < 0:
        raise Undefined
    return mp.sqrt(x)


def power(base: Real, exponent: Real) -> Real:
    """Return a power whose exponent is not a fixed whole number: real only for bases above 0."""
    if exponent == mp.nint(exponent) and mp.mag(exponent) < 64:
        return base ** int(exponent)
    if base < 0 or (base == 0 and exponent <= 0):
        raise Undefined
    return mp.exp(tame(exponent * mp.log(base))) if base else base
