"""The real line cut into parts on which a formula is smooth and defined, or defined nowhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from actlab.formula.expr import Call, Div, Expr, Number, Pow, is_constant, walk
from actlab.theory.bounded_mpmath import TooLarge
from actlab.theory.limits import limit_far, limit_near
from actlab.theory.multiprecision import precise
from actlab.theory.pieces import inside, pieces
from actlab.theory.record import Unknown
from actlab.theory.signs import zeros

_MOST_PARTS = 64


@dataclass(frozen=True)
class Part:
    """An open interval and the formula there, without conditions and without poles inside."""

    lower: float
    upper: float
    formula: Expr


@lru_cache(maxsize=512)
def parts(root: Expr) -> tuple[Part, ...] | Unknown:
    """Return the parts where the formula is defined, left to right."""
    found = pieces(root, zeros=zeros)
    if found is None:
        return Unknown("not every point at which its conditions change sides could be determined")
    whole: list[Part] = []
    for piece in found:
        spans = _defined_spans(piece.formula, piece.lower, piece.upper)
        if spans is None:
            return Unknown("its domain could not be determined")
        whole += [Part(a, b, piece.formula) for a, b in spans]
    if len(whole) > _MOST_PARTS:
        return Unknown(f"it has more than {_MOST_PARTS} parts")
    return tuple(whole) if whole else Unknown("it is undefined everywhere")


def value(formula: Expr, place: float) -> float | None:
    """Return the formula at one point, rounded once; None if it is undefined or cannot be computed."""
    try:
        found = precise(formula)(place)
    except TooLarge:
        return None
    return None if found is None else float(found) + 0.0


def end_value(formula: Expr, place: float, side: int) -> float | Unknown:
    """Return the one-sided limit at an end of a part, from the left (side -1) or from the right (side 1)."""
    if math.isinf(place):
        return limit_far(formula, 1 if place > 0 else -1)
    known = value(formula, place)
    return limit_near(formula, place, side) if known is None else known


def _defined_spans(formula: Expr, lower: float, upper: float) -> list[tuple[float, float]] | None:
    """Cut where a divisor or the argument of a logarithm or root is 0; drop the spans where it is undefined."""
    spans = [(lower, upper)]
    for edge in _edges(formula):
        cut: list[tuple[float, float]] = []
        for low, high in spans:
            known = zeros(edge, low, high)
            if known is None:
                return None
            cut += pairwise([low, *known, high])
        spans = [span for span in cut if _is_defined(edge, *span)]
    return [span for span in spans if _is_defined(formula, *span)]


def _edges(formula: Expr) -> Iterator[Expr]:
    seen = set()
    for node in walk(formula):
        edge = _edge(node)
        if edge is not None and not is_constant(edge) and edge not in seen:
            seen.add(edge)
            yield edge


def _edge(node: object) -> Expr | None:
    match node:
        case Div(_, right):
            return right
        case Call("log" | "sqrt", (operand,)):
            return operand
        case Call("log1p", (operand,)):
            return 1 + operand
        case Pow(base, Number(power)) if power.denominator == 1 and power >= 0:
            return None
        case Pow(base, _):
            return base
        case _:
            return None


def _is_defined(formula: Expr, lower: float, upper: float) -> bool:
    """Return whether it has a real value at a point inside, at which no exponent happens to be whole."""
    middle = inside(lower, upper)
    place = middle * 1.0371 if math.isinf(upper - lower) else middle + 0.0371 * (upper - lower)
    try:
        return precise(formula)(place) is not None
    except TooLarge:
        return True
