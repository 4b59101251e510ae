"""Formulas at single points to at least fifty digits, however much cancels.

`theory.multiprecision` takes real numbers of any size to a fixed number of bits. Here the points are numbers of a dtype
and the bits are raised until the result is sure. What no dtype could hold is cut off: mpmath gives e^(−2^2000) to the
last digit and takes a tenth of a second for it. Such a value is 0, or its limit; a product with it is then 0 too, a
quotient by it undefined, and neither is ever a wrong number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from mpmath import mp

from actlab.formula.expr import Expr
from actlab.lower import straight_line
from actlab.lower.straight_line import Leaf
from actlab.theory import multiprecision
from actlab.theory.bounded_mpmath import TooLarge, Undefined

Real = Any  # mpmath carries no types

# Bits of the first attempt (fifty digits and some), and of the last: x − tanh(x) at 1e-308 needs 2050.
FIRST, LAST = multiprecision.PRECISION, 6_400

# Two attempts, the second with a quarter more bits, must agree to this many.
_AGREED = 120

# A difference that is 0 with fewer bits than this may have cancelled down to nothing.
_ZERO = 3_000

# e to the power of −2^40 is 10^(−4.8·10¹¹), and so is the tail of a normal distribution at 2^20.
_FAR = 2**40
_FAR_ROOT = 2**20

# Cancels near 0, which the rising precision makes good; mpmath's own takes milliseconds.
_SPHERICAL_BESSEL = '''
def spherical_bessel(n, x):
    """The spherical Bessel function j_n, by its recurrence."""
    if x == 0:
        return mp.mpf(n == 0)
    below, here = mp.cos(x) / x, mp.sin(x) / x
    for k in range(n):
        below, here = here, (2 * k + 1) / x * here - below
    return here
'''


def exp(x: Real) -> Real:
    if x > _FAR:
        raise TooLarge
    return mp.exp(x) if x > -_FAR else mp.mpf(0)


def expm1(x: Real) -> Real:
    if x > _FAR:
        raise TooLarge
    return mp.expm1(x) if x > -_FAR else mp.mpf(-1)


def sigmoid(x: Real) -> Real:
    decay = exp(-abs(x))
    return (1 if x >= 0 else decay) / (1 + decay)


def log_sigmoid(x: Real) -> Real:
    return min(x, mp.mpf(0)) - mp.log1p(exp(-abs(x)))


def tanh(x: Real) -> Real:
    return mp.tanh(x) if abs(x) < _FAR else mp.sign(x)


def erf(x: Real) -> Real:
    return mp.erf(x) if abs(x) < _FAR_ROOT else mp.sign(x)


def erfc(x: Real) -> Real:
    return mp.erfc(x) if abs(x) < _FAR_ROOT else 1 - mp.sign(x)


def normal_cdf(x: Real) -> Real:
    return erfc(-x / mp.sqrt(2)) / 2


def normal_pdf(x: Real) -> Real:
    return mp.npdf(x) if abs(x) < _FAR_ROOT else mp.mpf(0)


_OWN = tuple(each.__name__ for each in (exp, expm1, sigmoid, log_sigmoid, tanh, erf, erfc, normal_cdf, normal_pdf))

_SPELLING = replace(
    multiprecision.SPELLING,
    imports=f"{multiprecision.SPELLING.imports}\nfrom {__name__} import {', '.join(_OWN)}",
    atoms={
        **multiprecision.SPELLING.atoms,
        **{name: f"{name}({{0}})" for name in _OWN},
        "softplus": "-log_sigmoid(-{whole})",
    },
    preambles={"spherical_bessel": _SPHERICAL_BESSEL},
)


@lru_cache(maxsize=512)
def exact(formula: Expr, args: tuple[Leaf, ...]) -> Callable[..., Any]:
    """Make the formula a function of doubles that returns an mpmath number, or None if it has no real value there.

    The precision is raised until two attempts agree. A value so small or so large that it cannot be computed in bounded
    time is 0 or None too: none of the dtypes could hold it.
    """
    real = multiprecision.with_real_powers(formula)
    function = straight_line.program([real], args, spelling=_SPELLING).function

    def attempt(places: Sequence[float], bits: int) -> Any:
        with mp.workprec(bits):
            return mp.mpmathify(function(*map(mp.mpf, places)))

    def evaluate(*places: float) -> Any:
        try:
            return _agreed(lambda bits: attempt(places, bits), first=_first(places))
        except (Undefined, TooLarge, ZeroDivisionError, OverflowError, MemoryError):
            return None

    return evaluate


def _agreed(attempt: Callable[[int], Any], *, first: int) -> Any:
    bits = first
    while True:
        value, again = attempt(bits), attempt(bits + bits // 4 + 32)
        if not mp.isfinite(again):
            return None
        cancelled = again == 0 and bits < _ZERO
        if not cancelled and abs(again - value) <= mp.ldexp(abs(again), -_AGREED):
            return again
        if bits >= LAST:
            return again
        bits *= 2


def _first(places: Sequence[float]) -> int:
    """Choose the first bits: a sine of a large number needs as many more as the number has before its point."""
    return FIRST + max(0, *(math.frexp(place)[1] for place in places))
