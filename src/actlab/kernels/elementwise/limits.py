"""A formula's limits at −∞ and +∞, where its program would multiply infinity by zero."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, takewhile
from math import copysign, inf, isfinite, isinf, isnan
from typing import Any, final

import torch
from torch import Tensor

from actlab.formula.expr import Call, Expr, walk
from actlab.lower.straight_line import Leaf
from actlab.lower.to_torch import program

# The places where the formula is watched on its way out, and how near the last two values must lie to each other.
PLACES = tuple(10.0**power for power in (1, 2, 4, 8, 16, 32, 64, 100))
# Where the formula is watched instead if its program breaks off before: an exponential may overflow.
NEARER = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
_FEWEST = 5
_SETTLED = 1e-9
_GONE = 1e-12
_SAME = 2.0**-52
_OSCILLATING = frozenset({"sin", "cos", "spherical_bessel"})


@final
@dataclass(frozen=True)
class End:
    """A formula's limit on one side and where it is reached.

    Attributes:
        limit: what it tends to.
        place: from where on it is that; infinite where it never quite is.
    """

    limit: float
    place: float


@lru_cache(maxsize=4096)
def ends(root: Expr, arg: Leaf) -> tuple[End | None, End | None]:
    """Return the ends on the left and the right; None if the program finds them itself, or none is known.

    Seen, at eight places out to 10^100 or, where the program breaks off, to 640, as a value that no longer moves, as a
    size that keeps shrinking to nothing, or as one that keeps growing; with a sine in it, that grows as the argument
    does.
    """
    function, swinging = program((root,), (arg,)).function, swings(root)
    return _missed(function, sign=-1.0, swings=swinging), _missed(function, sign=1.0, swings=swinging)


def swings(root: Expr) -> bool:
    """Return whether the formula oscillates: whether it contains a sine or the like."""
    return any(isinstance(node, Call) and node.atom in _OSCILLATING for node in walk(root))


def _missed(function: Callable[..., Any], *, sign: float, swings: bool) -> End | None:
    """Return the end on one side if the formula itself gives NaN there."""
    *values, there = _values(function, [*PLACES, inf], sign=sign)
    if not isnan(there):
        return None
    found = limit(values, swings=swings)
    if found is not None:
        return End(found, sign * _reached(found, values))
    nearer = list(takewhile(isfinite, _values(function, NEARER, sign=sign)))
    found = limit(nearer, swings=swings) if len(nearer) >= _FEWEST and not swings else None
    return None if found is None else End(found, sign * inf)


def _values(function: Callable[..., Any], places: Sequence[float], *, sign: float) -> list[float]:
    at = sign * torch.tensor(places, dtype=torch.float64)
    with torch.no_grad():
        values: Tensor = function(at)
    found: list[float] = values.expand(at.shape).tolist()
    return found


def _reached(limit: float, values: list[float]) -> float:
    """Return the place, not among the first two, from which the value is the limit to the last digit."""
    near = _SAME * abs(limit) if isfinite(limit) else -1.0
    for at in range(2, len(values)):
        if all(abs(value - limit) <= near for value in values[at:]):
            return PLACES[at]
    return inf


def limit(values: list[float], *, swings: bool) -> float | None:
    """Return the limit of values at `PLACES`, with or without a sine in the formula; None if it is not clear."""
    *_, third, second, last = values
    if any(isnan(each) for each in (third, second, last)):
        return None
    if isinf(third) and third == second == last and not swings:
        return last
    near = _SETTLED * abs(last)
    if abs(last - second) <= near and abs(second - third) <= near:
        return last
    sizes = [abs(each) for each in values[-5:]]
    if all(after < before for before, after in pairwise(sizes)) and sizes[-1] < _GONE:
        return copysign(0.0, last)
    if swings:  # its sizes at eight places may grow by chance
        ratios = [value / place for value, place in zip(values, PLACES, strict=True)][-3:]
        along = ratios[-1] != 0 and max(ratios) - min(ratios) <= _SETTLED * abs(ratios[-1])
        return copysign(inf, last) if along else None
    grows = all(after > before for before, after in pairwise(sizes)) and sizes[-1] > 2 * sizes[0]
    return copysign(inf, last) if grows else None
