"""Kinks and jumps of a formula, and how smooth it is."""

from __future__ import annotations

import math
from itertools import pairwise

from actlab.formula.expr import Expr
from actlab.theory.evaluate import slope_of
from actlab.theory.jumps import ROUNDED
from actlab.theory.parts import end_value, parts, value
from actlab.theory.record import Kink, Unknown
from actlab.theory.signs import size

_HIGHEST = 4
_LARGEST = 3_000


def kinks(root: Expr) -> tuple[Kink, ...] | Unknown:
    """Return every kink, left to right. Poles and ends of the domain do not count."""
    smooth = parts(root)
    if isinstance(smooth, Unknown):
        return smooth
    found = []
    for left, right in pairwise(smooth):
        place = right.lower
        here = value(root, place)
        sides = end_value(left.formula, place, -1), end_value(right.formula, place, 1)
        if (
            left.upper != place
            or here is None
            or not all(isinstance(side, float) and math.isfinite(side) for side in sides)
        ):
            continue
        slopes = (
            end_value(slope_of(left.formula), place, -1),
            end_value(slope_of(right.formula), place, 1),
        )
        jumps = apart(*sides) or apart(sides[0], here)
        if jumps or apart(*slopes):
            found.append(Kink(place, here, value(slope_of(root), place), *slopes, jumps))
    return tuple(found)


def smoothness(root: Expr) -> float | Unknown:
    """Return the number of continuous derivatives on its domain: -1 if it jumps, ∞ if it is smooth."""
    smooth = parts(root)
    if isinstance(smooth, Unknown):
        return smooth
    least: float = math.inf
    for left, right in pairwise(smooth):
        if left.upper == right.lower and left.formula != right.formula:
            order = _agreeing(left.formula, right.formula, right.lower)
            if isinstance(order, Unknown):
                return order
            least = min(least, order)
        elif left.upper == right.lower:
            order = _agreeing_itself(left.formula, root, right.lower)
            if isinstance(order, Unknown):
                return order
            least = min(least, order)
    at_once = kinks(root)
    if isinstance(at_once, tuple) and any(kink.jumps for kink in at_once):
        return -1.0
    return least


def _agreeing(left: Expr, right: Expr, place: float) -> float | Unknown:
    """Return the highest order up to which the derivatives from both sides agree, from -1."""
    for order in range(_HIGHEST + 1):
        sides = end_value(left, place, -1), end_value(right, place, 1)
        if any(isinstance(side, Unknown) or not math.isfinite(side) for side in sides) or apart(*sides):
            return order - 1
        if max(size(left), size(right)) > _LARGEST:
            break
        left, right = slope_of(left), slope_of(right)
    return Unknown(f"its derivatives up to order {order} agree on both sides of {place:g}")


def _agreeing_itself(formula: Expr, root: Expr, place: float) -> float | Unknown:
    """Return the same for one formula at a point where a part of it has a zero or a pole."""
    if value(root, place) is None:
        return math.inf  # the place is outside the domain
    return _agreeing(formula, formula, place)


def _is_finite(side: float | Unknown) -> bool:
    return isinstance(side, float) and math.isfinite(side)


def apart(one: float | Unknown | None, other: float | Unknown | None) -> bool:
    """Return whether two values differ by more than rounding; an unknown value differs from all."""
    if not isinstance(one, float) or not isinstance(other, float):
        return True
    if one == other:
        return False
    if math.isinf(one) or math.isinf(other):
        return True
    return not abs(one - other) <= ROUNDED * (1 + max(abs(one), abs(other)))
