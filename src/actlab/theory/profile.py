"""A formula as a chain of intervals on each of which it is monotone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from actlab.formula.expr import Expr
from actlab.theory.evaluate import slope_of
from actlab.theory.parts import Part, end_value, parts, value
from actlab.theory.pieces import inside
from actlab.theory.record import Unknown
from actlab.theory.signs import signs


@dataclass(frozen=True)
class Stretch:
    """An open stretch.

    Attributes:
        lower, upper: where it ends.
        start, end: what the formula tends to there, from inside.
        direction: 1 rising, -1 falling, 0 constant.
    """

    lower: float
    upper: float
    start: float | Unknown
    end: float | Unknown
    direction: int


@dataclass(frozen=True)
class Level:
    """A value that the formula attains at `at`, or only tends to (`at` is None)."""

    value: float
    at: float | None


@dataclass(frozen=True)
class Profile:
    """The stretches left to right, and the values at the places between them (None if undefined)."""

    stretches: tuple[Stretch, ...]
    joints: tuple[tuple[float, float | None], ...]

    def levels(self) -> list[Level]:
        """Return every value that could be the least or the greatest."""
        found = [Level(there, place) for place, there in self.joints if there is not None]
        for stretch in self.stretches:
            if stretch.direction == 0 and isinstance(stretch.start, float):
                found.append(Level(stretch.start, self.place_on(stretch)))
            found += [Level(end, None) for end in (stretch.start, stretch.end) if isinstance(end, float)]
        return found

    def place_on(self, plateau: Stretch) -> float:
        """Return the point nearest to 0 at which the plateau's value is attained."""
        nearest = min(max(0.0, plateau.lower), plateau.upper)
        if nearest in (plateau.lower, plateau.upper) and dict(self.joints).get(nearest) != plateau.start:
            return inside(plateau.lower, plateau.upper)
        return nearest

    def unknown_end(self, side: int) -> Unknown | None:
        """Return why an end is unknown whose value could be the greatest (side 1) or the least (side -1)."""
        for stretch in self.stretches:
            for end, outwards in ((stretch.start, -stretch.direction), (stretch.end, stretch.direction)):
                if isinstance(end, Unknown) and outwards == side:
                    return end
        return None

    def directions(self) -> set[int]:
        """Return the directions on stretches and over jumps."""
        found = {stretch.direction for stretch in self.stretches}
        for one, other in zip(self.steps(), self.steps()[1:], strict=False):
            if one is not None and other is not None and one != other:
                found.add(1 if other > one else -1)
        return found

    def steps(self) -> list[float | None]:
        """Yield the values beside and at each joint in turn, None between stretches that do not meet."""
        joints = dict(self.joints)
        found: list[float | None] = []
        for left, right in pairwise(self.stretches):
            sides = [side if isinstance(side, float) else None for side in (left.end, right.start)]
            found += [None, sides[0], joints.get(left.upper), sides[1], None]
        return found


@lru_cache(maxsize=512)
def profile(root: Expr, *, slopes: int = 0) -> Profile | Unknown:
    """Return the profile of a formula, or of its derivative (`slopes` 1)."""
    smooth = parts(root)
    if isinstance(smooth, Unknown):
        return smooth
    formula = root
    for _ in range(slopes):
        formula = slope_of(formula)
        smooth = tuple(Part(part.lower, part.upper, slope_of(part.formula)) for part in smooth)
    stretches: list[Stretch] = []
    for part in smooth:
        runs = signs(slope_of(part.formula), part.lower, part.upper)
        if runs is None:
            return Unknown("not all of its turning points could be determined")
        ends = [_end(part, run.lower, 1) for run in runs] + [_end(part, part.upper, -1)]
        stretches += [
            Stretch(run.lower, run.upper, start, end, run.sign)
            for run, start, end in zip(runs, ends, ends[1:], strict=False)
        ]
    joints = [stretch.lower for stretch in stretches[1:]] + [stretch.upper for stretch in stretches[:-1]]
    ends_of_domain = [end for end in (stretches[0].lower, stretches[-1].upper) if math.isfinite(end)]
    return Profile(
        tuple(stretches), tuple((place, value(formula, place)) for place in sorted({*joints, *ends_of_domain}))
    )


def _end(part: Part, place: float, side: int) -> float | Unknown:
    return end_value(part.formula, place, side)


def turns(found: Profile) -> Iterator[tuple[int, Level]]:
    """Return the attained local minima (-1) and maxima (1), left to right; of a plateau the point nearest to 0."""
    before: int | None = None
    flat: list[Level] = []
    for direction, level in _moves(found):
        if direction:
            yield from _turn(before, direction, flat)
            before, flat = direction, []
        if level is not None:
            flat.append(level)
    yield from _turn(before, None, flat)


def _turn(before: int | None, after: int | None, flat: list[Level]) -> Iterator[tuple[int, Level]]:
    if not flat:
        return
    nearest = min(flat, key=lambda level: abs(level.at or 0.0))
    sides = {side for side in (None if before is None else -before, after) if side is not None}
    if len(sides) == 1:
        yield -sides.pop(), nearest


def _moves(found: Profile) -> Iterator[tuple[int, Level | None]]:
    """Yield each direction with the value attained after it."""
    joints = dict(found.joints)
    at: float | None = None
    for stretch in found.stretches:
        there = joints.get(stretch.lower)
        here = stretch.start if isinstance(stretch.start, float) else None
        if there is not None:
            yield _way(at, there), Level(there, stretch.lower)
            yield _way(there, here), None
        level = None
        if stretch.direction == 0 and here is not None:
            level = Level(here, found.place_on(stretch))
        yield stretch.direction, level
        at = stretch.end if isinstance(stretch.end, float) else None
    there = joints.get(found.stretches[-1].upper)
    if there is not None:
        yield _way(at, there), Level(there, found.stretches[-1].upper)


def _way(start: float | None, end: float | None) -> int:
    if start is None or end is None or math.isclose(start, end, rel_tol=1e-14, abs_tol=1e-300):
        return 0
    return 1 if end > start else -1
