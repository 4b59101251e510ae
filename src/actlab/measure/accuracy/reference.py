"""What a formula is worth at many points, and what counts as a unit there.

Most points are told by `running`, in float64 for narrower dtypes and in long double for float64; where its own bound
says that this is not enough, by fifty digits (`exact`). At infinity the limit is meant.
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

# A reference may be wrong by this share of a unit before fifty digits are asked.
DOUBT = 1 / 16

# No more points than this are taken to fifty digits for one formula; of more, an even choice, and the rest is left out.
MOST_DOUBTFUL = 2_000

Columns = tuple[NDArray[np.float64], ...]


@final
@dataclass(frozen=True)
class Reference:
    """A formula's exact values at points, and how errors are measured there.

    Attributes:
        formula, args: what is told, and of what.
        columns: the points, one array an argument.
        values: the exact values, held within the dtype's range; NaN where there is none or none could be told.
        unit: one unit in the last place of the value, or near a root of the largest operand.
        near_root: where the formula's outermost sum cancels: its value is below half of its larger operand.
        exactly_told: how many points took fifty digits.
    """

    formula: Expr
    args: tuple[Leaf, ...]
    columns: Columns
    values: Reals
    unit: Reals
    near_root: Flags
    exactly_told: int

    def at(self, place: int) -> Any:
        """The exact value at one point, once more and to fifty digits; None where it cannot be told so."""
        point = [float(column[place]) for column in self.columns]
        return exact(self.formula, self.args)(*point) if np.isfinite(point).all() else None


def working(fmt: Format) -> np.dtype[Any]:
    """The arithmetic of the reference: some eleven bits wider at least, where the machine has it."""
    return np.dtype(np.longdouble if fmt.digits > 24 else np.float64)


def reference(formula: Expr, args: tuple[Leaf, ...], columns: Columns, *, fmt: Format) -> Reference:
    """The formula's exact values at the points, which may be infinite in the inputs; NaN there gives NaN."""
    kind = working(fmt)
    finite = np.logical_and.reduce([np.isfinite(column) for column in columns])
    given = {arg: np.where(finite, column, 0.5).astype(kind) for arg, column in zip(args, columns, strict=True)}
    done = evaluated([formula, *_recurrences(formula)], given)
    with np.errstate(all="ignore"):
        operand = largest_operand(formula, done)
        told, scale = done[formula], np.zeros_like(done[formula].value) if operand is None else operand
        near = (np.abs(told.value) < scale / 2) & np.isfinite(scale) & (scale > 2.0**fmt.least)
        unit = np.where(near, spacing(held(scale, fmt), fmt), spacing(held(told.value, fmt), fmt))
        overflows = np.abs(told.value) - told.error > np.ldexp(kind.type(1), fmt.most + 1)
        doubtful = finite & ~(told.error <= DOUBT * unit) & ~overflows
    values = np.where(doubtful | ~finite, np.nan, told.value)
    asked = _few(np.flatnonzero(doubtful))
    values[asked] = _exactly(formula, args, columns, asked, kind=kind)
    for place in np.flatnonzero(~finite):
        values[place] = _limit(formula, args, [float(column[place]) for column in columns])
    values = held(values, fmt)
    with np.errstate(all="ignore"):
        unit = np.where(near, unit, spacing(values, fmt))
    return Reference(formula, args, columns, values, unit, near & finite, len(asked))


def largest_operand(root: Expr, done: Mapping[Any, Bounded]) -> Reals | None:
    """The magnitude of the larger operand of the formula's outermost sum; None of a formula that is no sum.

    The sum is looked for through signs, through products and quotients by a common factor, by which its operands are
    then multiplied, and through `where`, at each point in the branch that is taken there. A spherical Bessel function
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
    """The differences that the formula's spherical Bessel functions are."""
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
    """The limit where one input is infinite and the others are finite; NaN where it is not told."""
    if np.isnan(point).any() or np.isinf(point).sum() != 1:
        return np.nan
    at = int(np.flatnonzero(np.isinf(point))[0])
    exchange: dict[Expr, Expr] = {
        arg: expr(exactly(place)) for arg, place in zip(args, point, strict=True) if arg != args[at]
    }
    exchange[args[at]] = Input("x")
    limit = limit_far(substitute(formula, exchange), 1 if point[at] > 0 else -1)
    return limit if isinstance(limit, float) else np.nan
