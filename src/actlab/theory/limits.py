"""Limits of a formula at the ends of its domain, from values ever farther out with many digits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from mpmath import mp

from actlab.formula.expr import Expr
from actlab.theory.bounded_mpmath import TooLarge
from actlab.theory.multiprecision import precise
from actlab.theory.record import Asymptote, Unknown
from actlab.theory.signs import oscillates

_BITS = 1400
# Up to 1e120 rational tails have settled to every digit.
_POWERS = (1, 2, 3, 4, 6, 9, 15, 30, 60, 90, 120)
_NEAR = 1e-25


@lru_cache(maxsize=2048)
def limit_far(formula: Expr, side: int) -> float | Unknown:
    """Return the limit at -∞ (side -1) or ∞ (side 1)."""
    phases = range(8) if oscillates(formula) else range(1)
    found = {limit_of(far_values(formula, side, phase=phase)) for phase in phases}
    return found.pop() if len(found) == 1 else Unknown("it oscillates")


@lru_cache(maxsize=2048)
def limit_near(formula: Expr, place: float, side: int) -> float | Unknown:
    """Return the limit at a finite point from the left (side -1) or from the right (side 1)."""
    function = precise(formula, bits=_BITS)
    values: list[Any] = []
    with mp.workprec(_BITS):
        for power in (2, 4, 8, 16, 32, 64, 128, 200, 300, 400):
            try:
                value = function(mp.mpf(place) + side * mp.mpf("1.37") * mp.mpf(2) ** -power)
            except TooLarge:
                break
            if value is None:
                return Unknown("it is undefined nearby")
            values.append(value)
    return limit_of(values)


@lru_cache(maxsize=512)
def far_values(formula: Expr, side: int, *, phase: int = 0) -> tuple[Any, ...] | None:
    """Return values ever farther out; None if the formula is undefined there. The phase shifts every point a little."""
    function = precise(formula, bits=_BITS)
    values: list[Any] = []
    with mp.workprec(_BITS):
        for place in far_places(side, phase=phase):
            try:
                value = function(place)
            except TooLarge:
                break
            if value is None:
                return None
            values.append(value)
    return tuple(values)


def far_places(side: int, *, phase: int = 0) -> list[Any]:
    """Return points ever farther out, none a whole number or a multiple of π."""
    return [side * (mp.mpf(10) ** power * mp.sqrt(7) + phase * mp.sqrt(mp.mpf("0.61"))) for power in _POWERS]


def limit_of(values: Sequence[Any] | None) -> float | Unknown:
    """Return the limit of a sequence of values ever farther out."""
    if values is None:
        return Unknown("it is undefined there")
    if len(values) < 3:
        return Unknown("it cannot be computed far enough out")
    with mp.workprec(_BITS):
        a, b, c = values[-3:]
        if abs(b - c) <= mp.mpf(10) ** -17 * abs(c) and abs(a - c) <= mp.mpf(10) ** -16 * abs(c):
            return float(c)
        if abs(c) < _NEAR and abs(c) <= abs(b) <= abs(a):
            return 0.0
        if (
            mp.sign(a) == mp.sign(b) == mp.sign(c)
            and abs(a) < abs(b) < abs(c)
            and abs(c - b) >= mp.mpf(0.9) * abs(b - a)
        ):
            return math.copysign(math.inf, float(mp.sign(c)))
        if len(values) >= 4 and abs(b - c) < mp.mpf(0.7) * abs(a - b) < mp.mpf(0.49) * abs(values[-4] - a):
            return Unknown("it converges too slowly to determine the limit, if there is one")
    return Unknown("it does not converge")


@lru_cache(maxsize=1024)
def asymptote(formula: Expr, side: int) -> Asymptote | Unknown | None:
    """Return the asymptote on this side; None if there is no such line."""
    limit = limit_far(formula, side)
    if isinstance(limit, float) and math.isfinite(limit):
        return Asymptote(0.0, limit)
    values = far_values(formula, side)
    if isinstance(limit, Unknown) or values is None:
        return limit if isinstance(limit, Unknown) else Unknown("it is undefined there")
    if len(values) < len(_POWERS):
        return None
    if oscillates(formula):
        return Unknown("it oscillates")
    with mp.workprec(_BITS):
        (x1, x2, x3), (y1, y2, y3) = (far_places(side)[-4:-1], values[-4:-1])
        slope = (y3 - y2) / (x3 - x2)
        intercept = y2 - slope * x2
        if abs(slope * x1 + intercept - y1) <= mp.mpf(10) ** -17 * (1 + abs(intercept)):
            # the intercept is a difference of large numbers: what is left below this is the curvature of the tail
            return Asymptote(float(slope), 0.0 if abs(intercept) < _NEAR else float(intercept))
    return None
