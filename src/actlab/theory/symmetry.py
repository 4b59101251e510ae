"""Odd, even and positively homogeneous formulas: identities tested to forty digits at many points."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mpmath import mp

from actlab.formula.expr import Expr
from actlab.theory.bounded_mpmath import TooLarge
from actlab.theory.multiprecision import precise
from actlab.theory.parts import Part
from actlab.theory.pieces import inside
from actlab.theory.record import Unknown

_PLACES = ("0", "0.0137", "0.31", "0.77", "1.19", "2.03", "3.7", "5.9", "8.3", "14.1", "31.7", "77.3")
_FACTORS = ("0.029", "0.83", "1.7", "13.3")
_AGREE = 40  # digits
# Four hundred digits: exp(-700) is not lost beside 1, nor is a tail that cancels down to it.
_BITS = 1400

# Both sides of an identity, of the formula and a place.
Sides = Callable[[Callable[[Any], Any], Any], tuple[Any, Any]]


def is_odd(formula: Expr, cut: tuple[Part, ...]) -> bool | Unknown:
    return _holds(lambda f, x: (f(-x), -f(x)), formula, cut)


def is_even(formula: Expr, cut: tuple[Part, ...]) -> bool | Unknown:
    return _holds(lambda f, x: (f(-x), f(x)), formula, cut)


def is_homogeneous(formula: Expr, cut: tuple[Part, ...]) -> bool | Unknown:
    """Return whether f(c·x) = c·f(x) for every c above 0."""
    for factor in _FACTORS:
        c = mp.mpf(factor)
        holds = _holds(_scaled_by(c), formula, cut)
        if holds is not True:
            return holds
    return True


def _scaled_by(factor: Any) -> Sides:
    return lambda f, x: (f(factor * x), factor * f(x))


def _holds(sides: Sides, formula: Expr, cut: tuple[Part, ...]) -> bool | Unknown:
    function = precise(formula, bits=_BITS)

    def defined(x: Any) -> Any:
        value = function(x)
        if value is None:
            raise ArithmeticError
        return value

    tried = 0
    with mp.workprec(_BITS):
        for place in _places(cut):
            try:
                left, right = sides(defined, place)
            except TooLarge:
                continue
            except ArithmeticError:
                if function(place) is not None:
                    return False  # defined at a place and not at its mirror image
                continue
            tried += 1
            if abs(left - right) > mp.mpf(10) ** -_AGREE * max(abs(left), abs(right)):
                return False
    return True if tried >= len(_PLACES) // 2 else Unknown("it cannot be computed at enough points")


def _places(cut: tuple[Part, ...]) -> list[Any]:
    """Return points on both sides of 0, inside every part and at its ends."""
    ends = [end for part in cut for end in (part.lower, part.upper) if math.isfinite(end)]
    middles = [inside(part.lower, part.upper) * 0.97 for part in cut]
    return [sign * mp.mpf(place) for sign in (1, -1) for place in (*_PLACES, *ends, *middles)]
