"""The exact value of a formula at many points, and the unit of the errors there.

Most points are computed by `error_bounds`, in float64 for narrower dtypes and in long double for float64. Where its own
bound is not small enough, `multiprecision` takes fifty digits. At infinity the value is the limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from actlab.formula.atoms import recurrence
from actlab.formula.expr import Add, Call, Div, Expr, Input, Mul, Neg, Number, Sub, Where, exactly, expr, walk
from actlab.formula.substitute import substitute
from actlab.lower.straight_line import Leaf
from actlab.measure.accuracy.error_bounds import Bounded, branch, evaluated, nearest
from actlab.measure.accuracy.multiprecision import exact
from actlab.measure.accuracy.ulp import Flags, Format, Reals, held, spacing
from actlab.theory.limits import limit_far

# A reference may be wrong by this share of a unit before fifty digits are computed.
DOUBT = 1 / 16

# At most this many points of one formula are computed to fifty digits: of more, an even choice.
MOST_DOUBTFUL = 2_000

Columns = tuple[NDArray[np.float64], ...]


@final
@dataclass(frozen=True)
class Reference:
    """A formula's exact values at points, and the units of errors there.

    Attributes:
        formula, args: the formula and its arguments.
        columns: the points, one array an argument.
        values: the exact values, limited to the dtype's range; NaN where there is none or it is unknown.
        unit: one unit in the last place of the value, or near a root of the largest operand.
        near_root: where the formula's outermost sum cancels: its value is below half of its larger operand.
        to_fifty_digits: how many points needed fifty digits.
    """

    formula: Expr
    args: tuple[Leaf, ...]
    columns: Columns
    values: Reals
    unit: Reals
    near_root: Flags
    to_fifty_digits: int

    def at(self, place: int) -> Any:
        """Compute the exact value at one point to fifty digits; None if that is impossible."""
        point = [float(column[place]) for column in self.columns]
        return exact(self.formula, self.args)(*point) if np.isfinite(point).all() else None


def working(fmt: Format) -> np.dtype[Any]:
    """Return the dtype of the reference: at least eleven bits wider, if the machine has one."""
    return np.dtype(np.longdouble if fmt.digits > 24 else np.float64)


def reference(formula: Expr, args: tuple[Leaf, ...], columns: Columns, *, fmt: Format) -> Reference:
    """Compute the formula's exact values at the points, which may be infinite in the inputs; NaN there gives NaN."""
    kind = working(fmt)
    finite = np.logical_and.reduce([np.isfinite(column) for column in columns])
    given = {arg: np.where(finite, column, 0.5).astype(kind) for arg, column in zip(args, columns, strict=True)}
    done = evaluated([formula, *_recurrences(formula)], given)
    with np.errstate(all="ignore"):
        operand = largest_operand(formula, done)
        found, scale = done[formula], np.zeros_like(done[formula].value) if operand is None else operand
        near = (np.abs(found.value) < scale / 2) & np.isfinite(scale) & (scale > 2.0**fmt.least)
        unit = np.where(near, spacing(held(scale, fmt), fmt), spacing(held(found.value, fmt), fmt))
        overflows = np.abs(found.value) - found.error > np.ldexp(kind.type(1), fmt.most + 1)
        doubtful = finite & ~(found.error <= DOUBT * unit) & ~overflows
    values = np.where(doubtful | ~finite, np.nan, found.value)
    asked = _few(np.flatnonzero(doubtful))
    values[asked] = _exactly(formula, args, columns, asked, kind=kind)
    for place in np.flatnonzero(~finite):
        values[place] = _limit(formula, args, [float(column[place]) for column in columns])
    values = held(values, fmt)
    with np.errstate(all="ignore"):
        unit = np.where(near, unit, spacing(values, fmt))
    return Reference(formula, args, columns, values, unit, near & finite, len(asked))


def largest_operand(root: Expr, done: Mapping[Any, Bounded]) -> Reals | None:
    """Return the magnitude of the larger operand of the formula's outermost sum; None if it has none.

    The search goes through signs, through products and quotients by a common factor, by which the operands are then
    multiplied, and through `where`, at each point in the branch taken there. A spherical Bessel function
    beyond its first maximum is the difference of its recurrence.
    """
    match root:
        case Add(left, right) | Sub(left, right):
            return np.maximum(np.abs(done[left].value), np.abs(done[right].value))
        case Neg(operand):
            return largest_operand(operand, done)
        case Mul(left, right):
            sides = [(left, right), (right, left)]
            found = [
                np.abs(done[other].value) * inner
                for side, other in sides
                if (inner := largest_operand(side, done)) is not None
            ]
            return np.maximum.reduce(found) if found else None
        case Div(left, right):
            above = largest_operand(left, done)
            return None if above is None else above / np.abs(done[right].value)
        case Where(condition, then, otherwise):
            inside = [largest_operand(side, done) for side in (then, otherwise)]
            if inside[0] is None and inside[1] is None:
                return None
            none = np.zeros_like(done[root].value)
            taken, _ = branch(condition, done)
            one, other = (none if each is None else each for each in inside)
            return np.where(taken, one, other)
        case Call("spherical_bessel", (Number(order), x)) if order > 0:
            inner = largest_operand(recurrence(int(order), x), done)
            assert inner is not None
            return np.where(np.abs(done[x].value) >= 2 + int(order), inner, 0)
    return None


def _recurrences(formula: Expr) -> Iterator[Expr]:
    """Iterate over the recurrences of the formula's spherical Bessel functions."""
    for node in walk(formula):
        match node:
            case Call("spherical_bessel", (Number(order), x)) if order > 0:
                yield recurrence(int(order), x)


def _few(places: NDArray[np.intp]) -> NDArray[np.intp]:
    if len(places) <= MOST_DOUBTFUL:
        return places
    return places[np.linspace(0, len(places) - 1, MOST_DOUBTFUL).astype(np.intp)]


def _exactly(
    formula: Expr, args: tuple[Leaf, ...], columns: Columns, places: NDArray[np.intp], *, kind: np.dtype[Any]
) -> list[Any]:
    function = exact(formula, args)
    values = []
    for place in places:
        value = function(*(float(column[place]) for column in columns))
        values.append(np.nan if value is None else nearest(value, kind))
    return values


def _limit(formula: Expr, args: Sequence[Leaf], point: Sequence[float]) -> float:
    """Return the limit where one input is infinite and the others are finite; NaN if it is unknown."""
    if np.isnan(point).any() or np.isinf(point).sum() != 1:
        return np.nan
    at = int(np.flatnonzero(np.isinf(point))[0])
    exchange: dict[Expr, Expr] = {
        arg: expr(exactly(place)) for arg, place in zip(args, point, strict=True) if arg != args[at]
    }
    exchange[args[at]] = Input("x")
    limit = limit_far(substitute(formula, exchange), 1 if point[at] > 0 else -1)
    return limit if isinstance(limit, float) else np.nan
