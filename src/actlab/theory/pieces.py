"""A formula cut into smooth pieces where its conditions change sides.

Straight-line conditions (`x <= 0`, `abs(2*x - 1)`, `max(x, 3)`) are cut in exact arithmetic; others by a finder of
zeros that the caller brings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from types import MappingProxyType

from actlab.formula.expr import Call, Compare, Expr, Neg, Node, Number, Where, walk
from actlab.formula.substitute import substitute
from actlab.theory.affine import line_of
from actlab.theory.evaluate import value_at

MOST_PIECES = 256

# Zeros of a formula strictly between two numbers, in order; None if not all can be determined.
ZeroFinder = Callable[[Expr, float, float], tuple[float, ...] | None]


@dataclass(frozen=True)
class Piece:
    """The formula between two neighboring cuts, without conditions.

    Attributes:
        lower, upper: the ends, which do not belong to it.
        formula: what the whole formula is there.
    """

    lower: float
    upper: float
    formula: Expr

    @property
    def inside(self) -> float:
        """Return a number between the ends, not close to either."""
        return inside(self.lower, self.upper)


def no_zeros_told(difference: Expr, lower: float, upper: float) -> tuple[float, ...] | None:
    """Find no zeros: for callers that need conditions on straight lines only."""
    return None


def pieces(
    root: Expr, *, zeros: ZeroFinder = no_zeros_told, lower: float = -math.inf, upper: float = math.inf
) -> tuple[Piece, ...] | None:
    """Return the pieces from left to right, or None if a cut cannot be found or there are more than `MOST_PIECES`."""
    found: list[Piece] = []
    waiting = [(lower, upper, root)]
    while waiting:
        left, right, formula = waiting.pop()
        switch = next(_free_switches(formula), None)
        if switch is None:
            found.append(Piece(left, right, formula))
            continue
        cut = _cut(switch, left, right, zeros=zeros)
        if cut is None or len(found) + len(waiting) + len(cut) > MOST_PIECES:
            return None
        waiting.extend((a, b, substitute(formula, {switch: chosen})) for a, b, chosen in reversed(cut))
    return tuple(_joined(found))


def inside(lower: float, upper: float) -> float:
    """Return a number strictly between the two, 0 or halfway where they are finite."""
    if lower < 0 < upper:
        return 0.0 if math.isinf(lower) and math.isinf(upper) else inside_finite(lower, upper)
    return inside_finite(lower, upper)


def inside_finite(lower: float, upper: float) -> float:
    if math.isinf(lower):
        return upper - 1 - abs(upper)
    if math.isinf(upper):
        return lower + 1 + abs(lower)
    return lower / 2 + upper / 2


def _free_switches(root: Expr) -> Iterator[Expr]:
    """Return switches whose condition contains no other switch, outermost first; branches they rule out are skipped."""
    switched: set[Node] = set()
    free: list[Expr] = []
    for node in walk(root):
        difference = _difference(node)
        if difference is not None:
            assert isinstance(node, Expr)
            if not any(below in switched for below in difference):
                free.append(node)
            switched.add(node)
        elif not switched.isdisjoint(node.children):
            switched.add(node)
    return reversed(free)


def _difference(node: Node) -> tuple[Expr, ...] | None:
    """Return the formulas whose order decides the switch; a single one is compared with 0."""
    match node:
        case Where(condition, _, _):
            return condition.left, condition.right
        case Call("min" | "max", (left, right)):
            return left, right
        case Call("abs" | "sign", (operand,)):
            return (operand,)
        case _:
            return None


def _cut(switch: Expr, lower: float, upper: float, *, zeros: ZeroFinder) -> list[tuple[float, float, Expr]] | None:
    compared = _difference(switch)
    assert compared is not None
    difference = compared[0] - compared[1] if len(compared) == 2 else compared[0]
    line = line_of(difference)
    if line is not None:
        zero = line.zero
        cuts = [float(zero)] if zero is not None and lower < zero < upper else []
        spans = _spans(lower, upper, cuts)
        return [(a, b, _chosen(switch, line.sign_at(_exact_inside(a, b, zero)))) for a, b in spans]
    places = zeros(difference, lower, upper)
    if places is None:
        return None
    result = []
    for a, b in _spans(lower, upper, list(places)):
        value = value_at(difference, inside(a, b))
        if math.isnan(value):
            return None
        result.append((a, b, _chosen(switch, (value > 0) - (value < 0))))
    return result


def _exact_inside(lower: float, upper: float, zero: Fraction | None) -> Fraction:
    """Return a point inside the span, on the right side of a zero that no double can hold."""
    at = Fraction(inside(lower, upper))
    if zero is not None and float(zero) == upper:
        return min(at, zero - abs(zero - at))
    if zero is not None and float(zero) == lower:
        return max(at, zero + abs(zero - at))
    return at


def _spans(lower: float, upper: float, cuts: list[float]) -> list[tuple[float, float]]:
    ends = [lower, *(cut for cut in cuts if lower < cut < upper), upper]
    return list(pairwise(ends))


_HOLDS: Mapping[str, tuple[int, ...]] = MappingProxyType({"<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (0, 1)})


def _chosen(switch: Expr, sign: int) -> Expr:
    """Return the branch of the switch where its difference has this sign."""
    match switch:
        case Where(Compare(order, _, _), then, otherwise):
            return then if sign in _HOLDS[order] else otherwise
        case Call("min", (left, right)):
            return left if sign <= 0 else right
        case Call("max", (left, right)):
            return left if sign >= 0 else right
        case Call("abs", (operand,)):
            return operand if sign >= 0 else Neg(operand)
        case Call("sign", _):
            return Number(Fraction(sign))
    raise AssertionError("no switch")


def _joined(found: list[Piece]) -> Iterator[Piece]:
    """Join neighbors with the same formula."""
    current = found[0]
    for piece in found[1:]:
        if piece.formula == current.formula:
            current = Piece(current.lower, piece.upper, current.formula)
        else:
            yield current
            current = piece
    yield current
