"""Where a smooth formula is positive, negative or zero, proved by interval arithmetic rather than sampled.

Boxes whose bounds exclude 0 are decided; others are halved until they are as narrow as a point. Where halving
cannot end (an underflowing or cancelling tail) the sign is taken from values with sixty digits at many places, and
only if the formula does not oscillate. A formula built of sines of straight lines is looked at over one period.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from mpmath import mp

from actlab.formula.atoms import ATOMS
from actlab.formula.derivative import derivative
from actlab.formula.expr import Call, Expr, Input, Node, is_constant, walk
from actlab.theory.affine import line_of
from actlab.theory.bounded_mpmath import TooLarge
from actlab.theory.evaluate import Flags, Floats, evaluator
from actlab.theory.interval import tight_bounds
from actlab.theory.multiprecision import precise

# Beyond, cubes would overflow: what lies there is taken to go on as it is here.
TOP = 1e100
# Two places nearer than this, relative or times 0.01 near 0, count as one.
PLACE = 1e-10
_MOST_SWEEPS = 60
_MOST_BOXES = 3_000
# Where a formula is flatter than its rounding, a zero is accepted although the sign close by is not proved.
_WIDEST_SPOT = 1e-3
# Relative to the largest value: below it, in a tail, the sign comes from samples if the proof fails.
_NEGLIGIBLE = 1e-12
_UNDERFLOW, _OVERFLOW, _VERY_FAR = 1e-280, 1e280, 1e30
# A formula without these has no feature narrower than its distance from 0, far out.
_SHARP = frozenset(ATOMS) - {"log", "log1p", "sqrt", "abs", "atan"}
# More changes of sign than this in a sample are taken for endlessly many.
_MOST_PLACES = 40
# Node evaluations of boxes: about a second.
_MOST_WORK = 10_000_000
_LARGEST_SLOPE = 600
_SAMPLES = 24
# With 400 bits the square of a number beyond loses its last digits before the decimal point.
_FARTHEST_SAMPLE = 1e40


@dataclass(frozen=True)
class Run:
    """A stretch on which the formula has one sign: -1, 0 (all of it) or 1."""

    lower: float
    upper: float
    sign: int


@lru_cache(maxsize=2048)
def signs(formula: Expr, lower: float, upper: float, *, strict: bool = False) -> tuple[Run, ...] | None:
    """Return the stretches of one sign between the two ends, left to right, or None if they cannot be determined.

    Unless `strict`, a stretch may hold places where the formula touches 0; if so, two neighbors of equal sign meet
    at each such place.
    """
    if is_constant(formula):
        value = precise(formula)(0)
        return None if value is None else (Run(lower, upper, int(mp.sign(value))),)
    if math.isinf(lower) or math.isinf(upper):
        length = period(formula)
        if length is not None:
            return _over_all_periods(signs(formula, -length / 2, length / 2), lower, upper) if not strict else None
    found = _Search(formula, lower, upper, strict=strict).runs()
    return None if found is None else tuple(found)


def _over_all_periods(found: tuple[Run, ...] | None, lower: float, upper: float) -> tuple[Run, ...] | None:
    """Return one run if the sign never changes; infinitely many cannot be listed."""
    found_signs = set() if found is None else {run.sign for run in found}
    return (Run(lower, upper, found_signs.pop()),) if len(found_signs) == 1 else None


def period(formula: Expr) -> float | None:
    """Return the period of a formula built of sines and cosines of straight lines alone, else None."""
    speeds: list[Fraction] = []
    waiting: list[Node] = [formula]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Input):
            return None
        line = line_of(node.args[0]) if isinstance(node, Call) and node.atom in ("sin", "cos") else None
        if line is None:
            waiting.extend(node.children)
        elif line.slope:
            speeds.append(abs(line.slope))
    if not speeds or len(speeds) > 200:
        return None
    common = Fraction(
        math.gcd(*(speed.numerator for speed in speeds)), math.lcm(*(speed.denominator for speed in speeds))
    )
    return 2 * math.pi / float(common) if max(speeds) / common < 100 else None


def zeros(formula: Expr, lower: float, upper: float) -> tuple[float, ...] | None:
    """Return every zero strictly between the ends, or None if they cannot be determined."""
    found = signs(formula, lower, upper, strict=True)
    if found is None or any(run.sign == 0 for run in found):
        return None
    return tuple(run.lower for run in found[1:])


def takes_both_signs(formula: Expr) -> bool:
    """Return whether it is clearly positive at one point and clearly negative at another: a proof by example."""
    places = np.linspace(-15, 15, 997)
    value = evaluator((formula,))(places)[0]
    finite = np.isfinite(value)
    places, value = places[finite], value[finite]
    clear = 1e-6 * np.abs(value).max(initial=0.0)
    if not (value > clear).any() or not (value < -clear).any():
        return False
    return all(_is_no_rounding(formula, float(places[at])) for at in (value.argmax(), value.argmin()))


def _is_no_rounding(formula: Expr, place: float) -> bool:
    """Return whether sixty and twice as many digits agree in the leading ones, which they do not after cancellation."""
    try:
        one, other = (precise(formula, bits=bits)(place) for bits in (200, 400))
    except TooLarge:
        return False
    return one is not None and other is not None and bool(abs(one - other) < abs(other) / 1000)


def oscillates(formula: Expr) -> bool:
    """Return whether it contains a sine, cosine or Bessel function."""
    return any(isinstance(node, Call) and node.atom in ("sin", "cos", "spherical_bessel") for node in walk(formula))


def size(formula: Expr) -> int:
    """Return the number of distinct nodes."""
    return sum(1 for _ in walk(formula))


class _Search:
    """The search: boxes are halved until each has a sign or is as narrow as a point."""

    def __init__(self, formula: Expr, lower: float, upper: float, *, strict: bool) -> None:
        self.formula, self.lower, self.upper, self.strict = formula, lower, upper, strict
        slope = derivative(formula, Input("x"))
        self.slope = slope if size(slope) <= _LARGEST_SLOPE else None
        self.is_algebraic = not any(isinstance(node, Call) and node.atom in _SHARP for node in walk(formula))
        self.scale = 0.0
        self.work = 0
        self.lost: list[tuple[Floats, Floats]] = []
        self.decided: list[tuple[Floats, Floats, Floats]] = []
        self.narrow: list[tuple[Floats, Floats]] = []

    def runs(self) -> list[Run] | None:
        places = self.sampled_places()
        if len(places) > _MOST_PLACES:
            return None
        low, high = self.first_boxes(places)
        for _ in range(_MOST_SWEEPS):
            if low.size == 0:
                break
            sign, greatest = self.sign_of(low, high)
            known = ~np.isnan(sign)
            self.decided.append((low[known], high[known], sign[known]))
            low, high, greatest = low[~known], high[~known], greatest[~known]
            lost = self.is_lost(low, high, greatest)
            self.lost.append((low[lost], high[lost]))
            low, high = low[~lost], high[~lost]
            small = _is_small(low, high)
            self.narrow.append((low[small], high[small]))
            low, high = low[~small], high[~small]
            self.work += (low.size + 50) * size(self.formula) * 2
            if low.size > _MOST_BOXES or self.work > _MOST_WORK:
                break
            low, high = _halved(low, high)
        return self.assembled(low, high)

    def first_boxes(self, changes: list[tuple[float, float]]) -> tuple[Floats, Floats]:
        """Return boxes that widen away from 0, with a tiny one around each sampled change of sign."""
        powers = np.concatenate([2.0 ** np.arange(-12, 14), 2.0 ** np.array([16, 20, 30, 40, 60, 100, 200])])
        ends = np.concatenate([-powers, [0.0], powers, [max(self.lower, -TOP), min(self.upper, TOP)]])
        ends = np.unique(ends[(ends >= self.lower) & (ends <= self.upper)])
        for before, after in changes:
            place = refined(self.formula, before, after)
            reach = _reach(place)
            ends = ends[np.abs(ends - place) > reach]
            ends = np.sort(np.append(ends, [place - reach, place + reach]))
        ends = np.unique(np.clip(ends, max(self.lower, -TOP), min(self.upper, TOP)))
        return ends[:-1], ends[1:]

    def sampled_places(self) -> list[tuple[float, float]]:
        """Return pairs of neighbors in a sample between which the sign changes, and set `scale`."""
        outer = [max(self.lower, -1e4), min(self.upper, 1e4)]
        if not outer[0] < outer[1]:
            return []
        fine = np.linspace(-12, 12, 1201) + 0.0007
        grid = np.concatenate([fine, np.linspace(-2000, 2000, 16001), np.sinh(np.linspace(-9.8, 9.8, 601))])
        x = np.sort(grid[(grid > outer[0]) & (grid < outer[1])])
        if math.isfinite(self.lower) and math.isfinite(self.upper):
            x = np.sort(np.append(x, np.linspace(self.lower, self.upper, 203)[1:-1]))
        value = evaluator((self.formula,))(x)[0]
        self.scale = min(1.0, float(np.abs(value[np.isfinite(value)]).max(initial=0.0)))
        sign = np.sign(value)
        x, sign = x[np.abs(sign) == 1], sign[np.abs(sign) == 1]
        changes = np.flatnonzero((sign[:-1] * sign[1:]) < 0)
        return [(float(x[at]), float(x[at + 1])) for at in changes]

    def sign_of(self, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """Return the sign (-1 or 1 where proved, 0 where it vanishes, else NaN) and the largest possible magnitude."""
        least, most = tight_bounds(self.formula, self.slope, low, high)
        sign = np.full(low.shape, np.nan)
        edge = 0 if self.strict else -5e-324
        sign[(least > edge) & (most > 0)] = 1
        sign[(most < -edge) & (least < 0)] = -1
        sign[(most == 0) & (least == 0)] = 0
        return sign, np.maximum(np.abs(least), np.abs(most))

    def is_lost(self, low: Floats, high: Floats, greatest: Floats) -> Flags:
        """Return which boxes lie in a tail where halving does not help: only rounding is left, or changes with ln x."""
        near, far = np.minimum(np.abs(low), np.abs(high)), np.maximum(np.abs(low), np.abs(high))
        wide = high - low > 1e-3 * far
        negligible = (greatest <= _NEGLIGIBLE * self.scale) | (greatest >= _OVERFLOW)
        lost: Flags = (near >= 2) & wide & negligible | wide & (greatest <= _UNDERFLOW) | (near >= _VERY_FAR)
        if self.is_algebraic:
            lost |= (near > 64) & (high - low < far / 16)
        return lost

    def assembled(self, low: Floats, high: Floats) -> list[Run] | None:
        parts = [
            Run(a, b, int(s)) for group in self.decided for a, b, s in zip(*(g.tolist() for g in group), strict=True)
        ]
        if low.size:
            # where a formula touches 0 its rounding may hide the sign on more than one place
            self.narrow.append((low, high))
        stretches = _joined_boxes(*(np.concatenate(side) for side in zip(*self.lost, strict=True))) if self.lost else []
        if len(stretches) > 200:
            return None
        for a, b in stretches:
            sign = self.sign_by_samples(a, b)
            if sign is None:
                return None
            parts.append(Run(a, b, sign))
        spots = _gathered(self.narrow)
        if any(b - a > _WIDEST_SPOT * (1 + abs(a)) for a, b in spots) or len(spots) > 200:
            return None
        outside = [run for run in parts if not any(a <= run.lower and run.upper <= b for a, b in spots)]
        return self.joined(sorted(outside, key=lambda run: run.lower), spots)

    def sign_by_samples(self, low: float, high: float) -> int | None:
        """Return the sign of many samples, where a proof would take too many boxes; None if they disagree."""
        if oscillates(self.formula):
            return None
        function = precise(self.formula, bits=400)
        found_signs = set()
        count = 0
        low, high = max(low, -_FARTHEST_SAMPLE), min(high, _FARTHEST_SAMPLE)
        for share in np.linspace(0.003, 0.997, _SAMPLES).tolist():
            try:
                value = function(_between(low, high, share))
            except TooLarge:
                continue
            if value is None:
                return None
            found_signs.add(int(mp.sign(value)))
            count += 1
        return found_signs.pop() if len(found_signs) == 1 and 0 not in found_signs and count >= _SAMPLES // 3 else None

    def joined(self, parts: list[Run], spots: list[tuple[float, float]]) -> list[Run] | None:
        """Join neighbors of one sign; a narrow box between two runs becomes the point where they meet."""
        merged: list[Run] = []
        for run in parts:
            if merged and merged[-1].sign == run.sign and merged[-1].upper == run.lower:
                merged[-1] = replace(merged[-1], upper=run.upper)
            else:
                merged.append(run)
        if not merged:
            return None
        merged = self.without_false_touches(merged)
        for at in range(1, len(merged)):
            place = self.meeting(merged[at - 1], merged[at], spots)
            if place is None:
                return None
            merged[at - 1], merged[at] = replace(merged[at - 1], upper=place), replace(merged[at], lower=place)
        if not (_near(merged[0].lower, self.lower) and _near(merged[-1].upper, self.upper)):
            return None
        merged[0] = replace(merged[0], lower=self.lower)
        merged[-1] = replace(merged[-1], upper=self.upper)
        return merged

    def without_false_touches(self, merged: list[Run]) -> list[Run]:
        """Join neighbors of one sign unless the formula is far smaller between them than beside."""
        kept = merged[:1]
        for run in merged[1:]:
            if run.sign == kept[-1].sign and not self.touches(kept[-1].upper, run.lower):
                kept[-1] = replace(kept[-1], upper=run.upper)
            else:
                kept.append(run)
        return kept

    def touches(self, low: float, high: float) -> bool:
        function = precise(self.formula, bits=400)
        reach = 100 * max(high - low, PLACE * 0.01)
        try:
            near = [function(place) for place in (low, low / 2 + high / 2, high)]
            beside = [function(place) for place in (low - reach, high + reach)]
        except TooLarge:
            return True
        if any(value is None for value in near + beside):
            return True
        return bool(min(map(abs, near)) <= 0.1 * min(map(abs, beside)))

    def meeting(self, left: Run, right: Run, spots: list[tuple[float, float]]) -> float | None:
        if left.upper == right.lower:
            return left.upper
        if not any(a <= left.upper and right.lower <= b for a, b in spots):
            return None
        if left.sign * right.sign < 0:
            return refined(self.formula, left.upper, right.lower)
        return touched(self.formula, left.upper, right.lower)


def refined(formula: Expr, low: float, high: float) -> float:
    """Return where the sign changes, to the last digit of a double."""
    function = precise(formula)
    with mp.workprec(120):
        a, b = mp.mpf(low), mp.mpf(high)
        fa, fb = function(a), function(b)
        if fa is None or fb is None or mp.sign(fa) * mp.sign(fb) >= 0:
            return low / 2 + high / 2
        for step in range(120):
            if b - a <= mp.mpf(2) ** -70 * max(abs(a), abs(b)):
                break
            middle = (a * fb - b * fa) / (fb - fa) if step % 3 else (a + b) / 2
            if not a < middle < b:
                middle = (a + b) / 2
            value = function(middle)
            if value is None or value == 0:
                return float(middle)
            if mp.sign(value) == mp.sign(fa):
                a, fa = middle, value
            else:
                b, fb = middle, value
        place = float((a + b) / 2)
    # a zero of high order drowns in rounding, however many digits: take the round number if it is exactly one
    rounded = round(place, 12) + 0.0
    return rounded if low <= rounded <= high and function(rounded) == 0 else place


def touched(formula: Expr, low: float, high: float) -> float:
    """Return where it touches 0 between the two: the roundest number at which it is exactly 0, else the middle."""
    middle = low / 2 + high / 2
    function = precise(formula)
    for digits in range(10):
        candidate = round(middle, digits)
        if low <= candidate <= high and function(candidate) == 0:
            return candidate + 0.0
    return middle


def _between(low: float, high: float, share: float) -> Any:
    """Return a point between, spaced geometrically if the ends are far apart and on one side of 0."""
    with mp.workprec(400):
        a, b = mp.mpf(low), mp.mpf(high)
        if a * b > 0 and max(abs(a), abs(b)) > 4 * min(abs(a), abs(b)):
            return mp.sign(a) * abs(a) * (b / a) ** mp.mpf(share)
        return a + (b - a) * mp.mpf(share)


def _reach(place: float) -> float:
    return PLACE / 4 * max(abs(place), 0.01)


def _is_small(low: Floats, high: Floats) -> Flags:
    small: Flags = high - low <= PLACE * np.maximum(np.maximum(np.abs(low), np.abs(high)), 0.01)
    return small


def _halved(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    with np.errstate(all="ignore"):
        apart = (low > 0) & (high > 4 * low) | (high < 0) & (low < 4 * high)
        geometric = np.sign(low) * np.sqrt(np.abs(low)) * np.sqrt(np.abs(high))
    middle = np.where(apart, geometric, low / 2 + high / 2)
    return np.concatenate([low, middle]), np.concatenate([middle, high])


def _joined_boxes(low: Floats, high: Floats) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for a, b in sorted(zip(low.tolist(), high.tolist(), strict=True)):
        if joined and a <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(b, joined[-1][1])
        else:
            joined.append((a, b))
    return joined


def _gathered(narrow: list[tuple[Floats, Floats]]) -> list[tuple[float, float]]:
    """Join narrow boxes that lie close together for their width."""
    spots: list[tuple[float, float]] = []
    for a, b in _joined_boxes(*(np.concatenate(side) for side in zip(*narrow, strict=True))) if narrow else []:
        if spots and a - spots[-1][1] <= 4 * max(b - a, spots[-1][1] - spots[-1][0]):
            spots[-1] = spots[-1][0], b
        else:
            spots.append((a, b))
    return spots


def _near(place: float, end: float) -> bool:
    if math.isinf(end):
        return abs(place) >= TOP
    return abs(place - end) <= 1e-6 * (1 + abs(end))
