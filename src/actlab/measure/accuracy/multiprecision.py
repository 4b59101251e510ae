"""Formulas at single points to at least fifty digits, however much cancels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from mpmath import mp

from actlab.formula.expr import Call, Expr, Node, Number, Pow, walk
from actlab.formula.substitute import substitute
from actlab.lower import straight_line, to_mpmath
from actlab.lower.straight_line import Leaf
from actlab.theory.bounded_mpmath import TooLarge, Undefined

# Bits of the first attempt (fifty digits and some), and of the last: x − tanh(x) at 1e-308 needs 2050.
FIRST, LAST = 200, 6_400

# Two attempts, the second with a quarter more bits, are believed where they agree to so many.
_AGREED = 120

# A difference that is 0 with fewer bits than this may have cancelled down to nothing.
_ZERO = 3_000

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

_FAR = ("exp", "expm1", "sigmoid", "log_sigmoid", "tanh", "erf", "erfc", "normal_cdf", "normal_pdf")

_SPELLING = replace(
    to_mpmath.SPELLING,
    imports=(
        f"{to_mpmath.SPELLING.imports}\nfrom actlab.measure.accuracy.far import {', '.join(_FAR)}"
        "\nfrom actlab.theory.bounded_mpmath import log, log1p, power, sqrt, tame"
    ),
    atoms={
        **to_mpmath.SPELLING.atoms,
        **{name: f"{name}({{0}})" for name in _FAR},
        "softplus": "-log_sigmoid(-{whole})",
        "sin": "mp.sin(tame({0}))",
        "cos": "mp.cos(tame({0}))",
        "spherical_bessel": "spherical_bessel({0}, tame({1}))",
        "log": "log({0})",
        "log1p": "log1p({0})",
        "sqrt": "sqrt({0})",
        "power": "power({0}, {1})",
    },
    preambles={"spherical_bessel": _SPHERICAL_BESSEL},
)


@lru_cache(maxsize=512)
def exact(formula: Expr, args: tuple[Leaf, ...]) -> Callable[..., Any]:
    """The formula as a function of doubles that gives an mpmath number, or None where it has no real value.

    The precision is raised until two attempts agree. A value so small or so large that it cannot be told in bounded
    time comes out as 0 or None too: no dtype of ours could hold it.
    """
    function = straight_line.program([_real(formula)], args, spelling=_SPELLING).function

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
    """A sine of a large number needs as many bits more as the number has before its point."""
    return FIRST + max(0, *(math.frexp(place)[1] for place in places))


def _real(formula: Expr) -> Expr:
    """Powers that are not whole and fixed, spelled so that they stay real and bounded."""
    powers = [node for node in walk(formula) if isinstance(node, Pow) and not _is_whole(node.exponent)]
    if not powers:
        return formula
    node = powers[0]  # innermost first, so that a power inside a power is exchanged too
    return _real(substitute(formula, {node: Call("power", (node.base, node.exponent))}))


def _is_whole(exponent: Node) -> bool:
    return isinstance(exponent, Number) and exponent.value.denominator == 1 and abs(exponent.value) < 1 << 20
