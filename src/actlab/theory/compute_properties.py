"""Every property of an activation, computed from its formula."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.expr import Expr
from actlab.theory.evaluate import of_x, slope_of
from actlab.theory.extremes import greatest, least, unbounded
from actlab.theory.gated import factors
from actlab.theory.kinks import apart, kinks, smoothness
from actlab.theory.limits import asymptote, limit_far
from actlab.theory.parts import Part, end_value, parts, value
from actlab.theory.profile import Level, Profile, Stretch, profile, turns
from actlab.theory.record import Asymptotes, Extent, Extremum, Limits, Properties, Span, Steepest, Unknown
from actlab.theory.signs import signs, takes_both_signs
from actlab.theory.symmetry import is_even, is_homogeneous, is_odd

_CLOSE = 1e-13


def established(act: Activation | AxisActivation) -> Properties:
    """Compute the properties of an activation."""
    if isinstance(act, AxisActivation):
        attained = Unknown("it acts along an axis")
        return _nothing_but(act.label, Extent(act.lower, act.upper, attained, attained), attained)
    if len(act.inputs) == 2:
        return _nothing_but(act.label, _extent_of_product(act), Unknown("it has two inputs"))
    return _of_formula(act.label, of_x(act))


def _nothing_but(label: str, extent: Extent, why: Unknown) -> Properties:
    rest: dict[str, Any] = {name: why for name in Properties.__dataclass_fields__ if name not in ("formula", "range")}
    rest["limits"], rest["asymptotes"] = Limits(why, why), Asymptotes(why, why)
    return Properties(formula=label, range=extent, **rest)


def _extent_of_product(act: Activation) -> Extent:
    """Return the range from those of the two factors; whether an end is attained stays unknown."""
    why = Unknown("it has two inputs")
    shares = factors(act)
    if shares is None:
        return Extent(why, why, why, why)
    first, second = (_extent(share) for share in shares)
    ends = [first.lower, first.upper], [second.lower, second.upper]
    products = []
    for one in ends[0]:
        for other in ends[1]:
            if isinstance(one, Unknown) or isinstance(other, Unknown):
                return Extent(why, why, why, why)
            products.append(0.0 if 0 in (one, other) else one * other)
    return Extent(min(products), max(products), why, why)


def _of_formula(label: str, formula: Expr) -> Properties:
    cut = parts(formula)
    shape, slopes = profile(formula), profile(formula, slopes=1)
    extent = _extent(formula)
    steepest = _steepest(formula, slopes)
    bent = convexity(formula, slopes)
    minima, maxima = (_extrema(shape, side) for side in (-1, 1))
    known = cut if isinstance(cut, tuple) else ()
    domain = _domain(formula, cut)
    limits = Limits(limit_far(formula, -1), limit_far(formula, 1))
    return Properties(
        formula=label,
        domain=domain,
        range=extent,
        limits=limits,
        asymptotes=Asymptotes(asymptote(formula, -1), asymptote(formula, 1)),
        value_at_zero=value(formula, 0.0),
        derivative_at_zero=value(slope_of(formula), 0.0),
        roots=_roots(formula, cut),
        minimum=_global(formula, shape, extent.lower, extent.lower_attained, side=-1),
        maximum=_global(formula, shape, extent.upper, extent.upper_attained, side=1),
        minima=minima,
        maxima=maxima,
        kinks=kinks(formula),
        smoothness=smoothness(formula),
        monotone=_monotone(formula, shape),
        direction=_direction(formula, shape),
        convex=bent if isinstance(bent, Unknown) else 1 in bent,
        concave=bent if isinstance(bent, Unknown) else -1 in bent,
        odd=is_odd(formula, known) if _could_mirror(limits, -1) else False,
        even=is_even(formula, known) if _could_mirror(limits, 1) else False,
        homogeneous=is_homogeneous(formula, known),
        lipschitz=_least_constant(steepest, domain),
        steepest=steepest,
        saturates=_sides(formula, shape, constant=False),
        flat=_sides(formula, shape, constant=True),
    )


def _could_mirror(limits: Limits, sign: int) -> bool:
    """Return whether both limits agree up to the sign: 1/(1 + exp(-x - 700)) is 1 at every sampled point."""
    left, right = limits.left, limits.right
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return True
    return math.isclose(left, sign * right, rel_tol=1e-9, abs_tol=1e-9)


def _least_constant(steepest: Steepest | Unknown, domain: tuple[Span, ...] | Unknown) -> float | Unknown:
    if isinstance(steepest, Unknown):
        return steepest
    if math.isfinite(steepest.slope) and (isinstance(domain, Unknown) or len(domain) != 1):
        return Unknown("its domain has gaps")
    return steepest.slope


def _domain(formula: Expr, cut: tuple[Part, ...] | Unknown) -> tuple[Span, ...] | Unknown:
    if isinstance(cut, Unknown):
        return cut
    spans = [Span(cut[0].lower, cut[0].upper)]
    for part in cut[1:]:
        if part.lower == spans[-1].upper and value(formula, part.lower) is not None:
            spans[-1] = Span(spans[-1].lower, part.upper)
        else:
            spans.append(Span(part.lower, part.upper))
    return tuple(spans)


def _extent(formula: Expr) -> Extent:
    shape = profile(formula)
    lower, lower_taken = _bound(formula, shape, -1)
    upper, upper_taken = _bound(formula, shape, 1)
    return Extent(lower, upper, lower_taken, upper_taken)


def _bound(formula: Expr, shape: Profile | Unknown, side: int) -> tuple[float | Unknown, bool | Unknown]:
    """Return the infimum (side -1) or supremum (side 1), and whether it is attained."""
    if isinstance(shape, Profile):
        best = _extreme_level(shape, side)
        missing = shape.unknown_end(side)
        if missing is None or math.isinf(best.value):
            return best.value, best.at is not None
        return missing, missing
    found = greatest(formula) if side > 0 else least(formula)
    if found is not None:
        near = [limit for limit in (limit_far(formula, -1), limit_far(formula, 1)) if isinstance(limit, float)]
        rounded = any(math.isclose(limit, found[0], rel_tol=1e-9, abs_tol=1e-12) for limit in near)
        return found[0], Unknown("whether it is attained was not proved") if rounded else True
    if side * math.inf in (limit_far(formula, -1), limit_far(formula, 1)) or unbounded(formula, side):
        return side * math.inf, False
    return shape, shape


def _extreme_level(shape: Profile, side: int) -> Level:
    """Return the outermost level; among equal ones one that is attained, nearest to 0."""
    levels = shape.levels()
    outermost = max(side * level.value for level in levels) * side
    equal = [
        level for level in levels if level.value == outermost or math.isclose(level.value, outermost, rel_tol=_CLOSE)
    ]
    taken = [level for level in equal if level.at is not None]
    if taken:
        nearest = min(taken, key=lambda level: abs(level.at or 0.0))
        return Level(outermost, nearest.at)
    return Level(outermost, None)


def _global(
    formula: Expr, shape: Profile | Unknown, bound: float | Unknown, taken: bool | Unknown, *, side: int
) -> Extremum | Unknown | None:
    if isinstance(bound, Unknown):
        return bound
    if taken is not True:
        return taken if isinstance(taken, Unknown) else None
    if isinstance(shape, Profile):
        place = _extreme_level(shape, side).at
        assert place is not None
        return Extremum(place, bound)
    found = greatest(formula) if side > 0 else least(formula)
    assert found is not None
    return Extremum(found[1], found[0])


def _extrema(shape: Profile | Unknown, side: int) -> tuple[Extremum, ...] | Unknown:
    if isinstance(shape, Unknown):
        return shape
    return tuple(Extremum(level.at, level.value) for way, level in turns(shape) if way == side and level.at is not None)


def _monotone(formula: Expr, shape: Profile | Unknown) -> bool | Unknown:
    if isinstance(shape, Unknown):
        return False if takes_both_signs(slope_of(formula)) else shape
    if any(left.upper != right.lower for left, right in pairwise(shape.stretches)) or _has_pole(shape):
        return Unknown("its domain has gaps")
    return len(shape.directions() - {0}) <= 1


def _has_pole(shape: Profile) -> bool:
    inner = {stretch.lower for stretch in shape.stretches[1:]}
    return any(value_there is None or math.isinf(value_there) for place, value_there in shape.joints if place in inner)


def _direction(formula: Expr, shape: Profile | Unknown) -> int | Unknown | None:
    monotone = _monotone(formula, shape)
    if isinstance(monotone, Unknown) or isinstance(shape, Unknown):
        return monotone if isinstance(monotone, Unknown) else None
    return next(iter(shape.directions() - {0}), 0) if monotone else None


def _steepest(formula: Expr, slopes: Profile | Unknown) -> Steepest | Unknown:
    bent = kinks(formula)
    if isinstance(bent, Unknown) and isinstance(slopes, Unknown):
        return bent
    if isinstance(bent, tuple) and any(kink.jumps for kink in bent):
        return Steepest(None, math.inf)
    if isinstance(slopes, Profile):
        return _steepest_level(slopes)
    slope = slope_of(formula)
    if not isinstance(parts(formula), tuple):
        return slopes
    if unbounded(slope, 1) or unbounded(slope, -1):
        return Steepest(None, math.inf)
    most, fewest = greatest(slope), least(slope)
    if most is None or fewest is None:
        return slopes
    size, place = max((abs(most[0]), most[1]), (abs(fewest[0]), fewest[1]))
    return Steepest(place, size)


def _steepest_level(slopes: Profile) -> Steepest | Unknown:
    for side in (-1, 1):
        missing = slopes.unknown_end(side)
        if missing is not None:
            return missing
    ends = [_extreme_level(slopes, side) for side in (1, -1)]
    steep = max(ends, key=lambda level: (abs(level.value), level.at is not None))
    return Steepest(steep.at, abs(steep.value))


def convexity(formula: Expr, slopes: Profile | Unknown) -> set[int] | Unknown:
    """Return 1 for a convex formula, -1 for a concave one, both for a straight line."""
    cut = parts(formula)
    if isinstance(slopes, Unknown):
        return set() if takes_both_signs(slope_of(slope_of(formula))) else slopes
    if isinstance(cut, Unknown):
        return cut
    spans = _domain(formula, cut)
    if isinstance(spans, Unknown) or len(spans) > 1:
        return Unknown("its domain has gaps")
    found = {stretch.direction for stretch in slopes.stretches} - {0}
    for left, right in pairwise(cut):
        values = (
            end_value(left.formula, left.upper, -1),
            value(formula, right.lower),
            end_value(right.formula, right.lower, 1),
        )
        if any(apart(values[1], side) for side in (values[0], values[2])):
            return set()
        before = end_value(slope_of(left.formula), left.upper, -1)
        after = end_value(slope_of(right.formula), right.lower, 1)
        if isinstance(before, Unknown):
            return before
        if isinstance(after, Unknown):
            return after
        if apart(before, after):
            found.add(1 if after > before else -1)
    return {1, -1} if not found else found if len(found) == 1 else set()


def _roots(formula: Expr, cut: tuple[Part, ...] | Unknown) -> tuple[Span, ...] | Unknown:
    if isinstance(cut, Unknown):
        return cut
    spans: list[Span] = []
    for part in cut:
        runs = signs(part.formula, part.lower, part.upper, strict=True)
        if runs is None:
            return Unknown("not all of its roots could be determined")
        for before, run in zip((None, *runs), runs, strict=False):
            if run.sign == 0:
                spans.append(Span(run.lower, run.upper))
            elif before is not None and before.sign != 0:
                spans.append(Span(run.lower, run.lower))
    ends = {end for part in cut for end in (part.lower, part.upper) if math.isfinite(end)}
    spans += [
        Span(end, end) for end in ends if value(formula, end) == 0 and not any(s.lower <= end <= s.upper for s in spans)
    ]
    return tuple(sorted(spans, key=lambda span: span.lower))


def _sides(formula: Expr, shape: Profile | Unknown, *, constant: bool) -> tuple[str, ...] | Unknown:
    """Return the sides on which it tends to a finite limit and is, or is not, exactly constant."""
    if isinstance(shape, Unknown):
        return shape
    found = []
    for name, stretch, side in (("left", shape.stretches[0], -1), ("right", shape.stretches[-1], 1)):
        limit = limit_far(formula, side)
        if (
            isinstance(limit, float)
            and math.isfinite(limit)
            and _reaches_out(stretch, side)
            and (stretch.direction == 0) == constant
        ):
            found.append(name)
    return tuple(found)


def _reaches_out(stretch: Stretch, side: int) -> bool:
    return math.isinf(stretch.lower if side < 0 else stretch.upper)
