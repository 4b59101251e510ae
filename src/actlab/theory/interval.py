"""Bounds of a formula over boxes of x: interval arithmetic, rounded outwards, on many boxes at once.

The bounds hold for every real number in the box, not only for sampled ones. A box on which a
formula may be undefined is bounded by nothing and not `sure`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

import numpy as np
from scipy import special

from actlab.formula.expr import (
    Add,
    Call,
    Compare,
    Constant,
    Div,
    Expr,
    Input,
    Mul,
    Neg,
    Node,
    Number,
    Pow,
    Sub,
    Where,
    walk,
)
from actlab.theory.evaluate import Flags, Floats

INF = np.inf
_MAX = float(np.finfo(float).max)
# Below this, elementary functions may lose digits or flush to 0, and are trusted no further.
TINY = 1e-305
# NumPy's elementary functions are right to a few units in the last place, SciPy's special ones to some dozens.
_ELEMENTARY, _SPECIAL = 2e-15, 3e-14


@dataclass(frozen=True)
class Bounds:
    """The least and the greatest value over each box; `sure` where the formula is defined on all of its inside."""

    lower: Floats
    upper: Floats
    sure: Flags


Pair = tuple[Floats, Floats]


def bounds(formula: Expr, lower: Floats, upper: Floats) -> Bounds:
    """Return bounds of the formula of x over each box [lower, upper]."""
    with np.errstate(all="ignore"):
        walker = _Walker(lower, upper)
        done: dict[Node, Pair] = {}
        for node in walk(formula):
            if isinstance(node, Expr):
                low, high = walker.bound(node, done)
                # what overflows is finite still
                low = np.where(np.isnan(low), -INF, np.minimum(low, _MAX))
                done[node] = low, np.where(np.isnan(high), INF, np.maximum(high, -_MAX))
        low, high = done[formula]
        return Bounds(np.where(walker.sure, low, -INF), np.where(walker.sure, high, INF), walker.sure)


def tight_bounds(formula: Expr, slope: Expr | None, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return bounds of a continuous formula over each box, tighter than `bounds` by use of its derivative.

    Where the derivative has one sign the ends bound the inside; elsewhere the formula lies between the lines from an
    end with the least and the greatest derivative.
    """
    direct = bounds(formula, low, high)
    least, most = direct.lower, direct.upper
    if slope is None:
        return least, most
    steep = bounds(slope, low, high)
    start, end = bounds(formula, low, low), bounds(formula, high, high)
    smooth = direct.sure & steep.sure
    up, down = smooth & (steep.lower >= 0), smooth & (steep.upper <= 0)
    least = np.maximum(least, np.where(up, start.lower, np.where(down, end.lower, -np.inf)))
    most = np.minimum(most, np.where(up, end.upper, np.where(down, start.upper, np.inf)))
    with np.errstate(all="ignore"):
        for known, run in ((start, high - low), (end, low - high)):
            reach = np.stack([steep.lower * run, steep.upper * run, np.zeros_like(run)])
            slack = 1e-14 * np.abs(reach).max(axis=0)
            linear = smooth & np.isfinite(slack)
            least = np.where(linear, np.fmax(least, known.lower + reach.min(axis=0) - slack), least)
            most = np.where(linear, np.fmin(most, known.upper + reach.max(axis=0) + slack), most)
    return least, most


class _Walker:
    """The rules, one for each kind of node, and where the formula is known to be defined."""

    def __init__(self, lower: Floats, upper: Floats) -> None:
        self.lower, self.upper = lower, upper
        self.sure: Flags = np.ones(lower.shape, dtype=bool)

    def bound(self, node: Expr, done: Mapping[Node, Pair]) -> Pair:
        match node:
            case Number(value):
                return self.filled(*_number(value))
            case Constant():
                return self.filled(np.nextafter(np.pi, 0), np.nextafter(np.pi, 4))
            case Input():
                return self.lower, self.upper
            case Neg(operand):
                low, high = done[operand]
                return -high, -low
            case Add(left, right):
                return _sum(done[left], done[right])
            case Sub(left, right):
                low, high = done[right]
                return _sum(done[left], (-high, -low))
            case Mul(left, right):
                return _square(done[left]) if left == right else _product(done[left], done[right])
            case Div(left, right):
                return self.quotient(done[left], done[right])
            case Pow(base, exponent):
                return self.power(done[base], exponent, done[exponent])
            case Call("spherical_bessel", (order, x)):
                return _spherical_bessel(int(done[order][0].flat[0]), done[x])
            case Call(atom, args):
                return self.call(atom, [done[arg] for arg in args])
            case Where(condition, then, otherwise):
                return _where(condition, done, done[then], done[otherwise])
        raise AssertionError(f"no bounds for {type(node).__name__}")

    def filled(self, low: float, high: float) -> Pair:
        return np.full_like(self.lower, low), np.full_like(self.lower, high)

    def require(self, defined: Flags) -> None:
        self.sure = self.sure & defined

    def quotient(self, left: Pair, right: Pair) -> Pair:
        low, high = right
        self.require((low >= 0) | (high <= 0))
        straddles = (low < 0) & (high > 0)
        flat = (low == 0) & (high == 0)
        # the ends of the reciprocal, 0 being approached from inside
        under = np.where(high == 0, -INF, np.nextafter(1 / high, -INF))
        over = np.where(low == 0, INF, np.nextafter(1 / low, INF))
        low_out, high_out = _product(left, (under, over))
        by_ends = _hull([left[0] / low, left[0] / high, left[1] / low, left[1] / high])
        clear = ~straddles & (low != 0) & (high != 0)
        low_out = np.where(clear, np.maximum(low_out, np.nextafter(by_ends[0], -INF)), low_out)
        high_out = np.where(clear, np.minimum(high_out, np.nextafter(by_ends[1], INF)), high_out)
        open_ = straddles | flat
        return np.where(open_, -INF, low_out), np.where(open_, INF, high_out)

    def power(self, base: Pair, exponent: Expr, power: Pair) -> Pair:
        if isinstance(exponent, Number) and exponent.value.denominator == 1:
            return self.whole_power(base, int(exponent.value))
        low, high = base
        self.require((low > 0) | ((low >= 0) & (power[0] > 0)) | ((low >= 0) & (high > 0)))
        logs = np.log(np.maximum(low, 0)), np.log(np.maximum(high, 0))
        low_out, high_out = _product(power, (_wider(logs[0], -1, _ELEMENTARY), _wider(logs[1], 1, _ELEMENTARY)))
        return np.maximum(_wider(np.exp(low_out), -1, _ELEMENTARY), 0), _wider(np.exp(high_out), 1, _ELEMENTARY)

    def whole_power(self, base: Pair, exponent: int) -> Pair:
        if exponent < 0:
            return self.quotient(self.filled(1, 1), self.whole_power(base, -exponent))
        if exponent == 1:
            return base
        if exponent == 2:
            return _square(base)
        low, high = base[0] ** float(exponent), base[1] ** float(exponent)
        # a power of what is not 0 may flush to 0
        low = np.where((low == 0) & (base[0] != 0), np.sign(base[0]) ** exponent * TINY, low)
        high = np.where((high == 0) & (base[1] != 0), np.sign(base[1]) ** exponent * TINY, high)
        if exponent % 2:
            return _wider(low, -1, _ELEMENTARY), _wider(high, 1, _ELEMENTARY)
        least = np.where((base[0] <= 0) & (base[1] >= 0), 0, np.minimum(low, high) - TINY)
        return np.maximum(_wider(least, -1, _ELEMENTARY), 0), _wider(np.maximum(low, high), 1, _ELEMENTARY)

    def call(self, atom: str, args: list[Pair]) -> Pair:
        low, high = args[0]
        if atom in _DOMAIN:
            least = _DOMAIN[atom]
            self.require((low >= least) & (high >= least))
            low, high = np.maximum(low, least), np.maximum(high, least)
        if atom in _RISING:
            rule = _RISING[atom]
            return rule.between(rule.function(low), rule.function(high))
        if atom in ("min", "max"):
            pick = np.minimum if atom == "min" else np.maximum
            return pick(low, args[1][0]), pick(high, args[1][1])
        return _BENT[atom](low, high)


def _number(value: Fraction) -> tuple[float, float]:
    try:
        nearest = float(value)
    except OverflowError:
        return (_MAX, INF) if value > 0 else (-INF, -_MAX)
    if Fraction(nearest) == value:
        return nearest, nearest
    return float(np.nextafter(nearest, -INF)), float(np.nextafter(nearest, INF))


def _wider(x: Floats, side: int, relative: float) -> Floats:
    exact = np.isinf(x) | ((x == 0) & (relative == _ELEMENTARY))
    return np.where(exact, x, x + side * (np.abs(x) * relative + TINY))


def _hull(candidates: list[Floats]) -> Pair:
    return np.minimum.reduce(candidates), np.maximum.reduce(candidates)


def _sum(left: Pair, right: Pair) -> Pair:
    return _added(left[0], right[0], -INF), _added(left[1], right[1], INF)


def _added(left: Floats, right: Floats, outwards: float) -> Floats:
    """Return the sum, rounded outwards by one step unless it is exact."""
    total = left + right
    part = total - left
    error = (left - (total - part)) + (right - part)
    return np.where(error == 0, total, np.nextafter(total, outwards))


def _product(left: Pair, right: Pair) -> Pair:
    # 0 times a bound at infinity is 0: the numbers themselves are finite
    candidates = [np.where((a == 0) | (b == 0), 0.0, a * b) for a in left for b in right]
    low, high = _hull(candidates)
    low, high = np.nextafter(low, -INF), np.nextafter(high, INF)
    same = ((left[0] >= 0) & (right[0] >= 0)) | ((left[1] <= 0) & (right[1] <= 0))
    opposite = ((left[0] >= 0) & (right[1] <= 0)) | ((left[1] <= 0) & (right[0] >= 0))
    low, high = np.where(same, np.maximum(low, 0), low), np.where(opposite, np.minimum(high, 0), high)
    nothing = ((left[0] == 0) & (left[1] == 0)) | ((right[0] == 0) & (right[1] == 0))
    one = (left[0] == 1) & (left[1] == 1)
    other = (right[0] == 1) & (right[1] == 1)
    low = np.where(nothing, 0, np.where(one, right[0], np.where(other, left[0], low)))
    high = np.where(nothing, 0, np.where(one, right[1], np.where(other, left[1], high)))
    return low, high


def _square(base: Pair) -> Pair:
    low, high = base[0] * base[0], base[1] * base[1]
    least = np.where((base[0] <= 0) & (base[1] >= 0), 0, np.minimum(low, high))
    most = np.where((base[0] == 0) & (base[1] == 0), 0, np.nextafter(np.maximum(low, high), INF))
    return np.maximum(np.nextafter(least, -INF), 0), most


@dataclass(frozen=True)
class _Rising:
    """A non-decreasing atom: its bounds are its values at the ends, within its own range."""

    function: Callable[[Floats], Floats]
    relative: float
    least: float = -INF
    most: float = INF

    def between(self, low: Floats, high: Floats) -> Pair:
        low, high = _wider(low, -1, self.relative), _wider(high, 1, self.relative)
        return np.maximum(low, self.least), np.minimum(high, self.most)


_RISING: Mapping[str, _Rising] = MappingProxyType(
    {
        "exp": _Rising(np.exp, _SPECIAL, least=0),
        "expm1": _Rising(np.expm1, _ELEMENTARY, least=-1),
        "log": _Rising(np.log, _ELEMENTARY),
        "log1p": _Rising(np.log1p, _ELEMENTARY),
        "sigmoid": _Rising(special.expit, _SPECIAL, least=0, most=1),
        "log_sigmoid": _Rising(special.log_expit, _SPECIAL, most=0),
        "softplus": _Rising(lambda x: -special.log_expit(-x), _SPECIAL, least=0),
        "tanh": _Rising(np.tanh, _ELEMENTARY, least=-1, most=1),
        "erf": _Rising(special.erf, _ELEMENTARY * 4, least=-1, most=1),
        "atan": _Rising(np.arctan, _ELEMENTARY, least=-1.5707963267948968, most=1.5707963267948968),
        "sqrt": _Rising(np.sqrt, _ELEMENTARY, least=0),
        "sign": _Rising(np.sign, 0.0, least=-1, most=1),
    }
)

_DOMAIN: Mapping[str, float] = MappingProxyType({"log": 0.0, "sqrt": 0.0, "log1p": -1.0})


def _abs(low: Floats, high: Floats) -> Pair:
    least = np.where((low <= 0) & (high >= 0), 0, np.minimum(np.abs(low), np.abs(high)))
    return least, np.maximum(np.abs(low), np.abs(high))


def _erfc(low: Floats, high: Floats) -> Pair:
    return _tail(special.erfc(high), high, -1), np.minimum(_tail(special.erfc(low), low, 1), 2)


def _normal_cdf(low: Floats, high: Floats) -> Pair:
    return _tail(special.ndtr(low), low, -1), np.minimum(_tail(special.ndtr(high), high, 1), 1)


def _tail(value: Floats, x: Floats, side: int) -> Floats:
    """Return the value rounded outwards, in the tail by as much as the square of the argument enlarges."""
    slack = _SPECIAL + 1e-15 * np.minimum(x * x, 1500)
    return np.maximum(value * (1 + side * slack) + side * TINY, 0)


def _normal_pdf(low: Floats, high: Floats) -> Pair:
    near, far = _abs(low, high)
    density = [np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi) for x in (far, near)]
    # the square of a large argument is rounded before the exponential enlarges that
    slack = 1e-14 + 4e-16 * np.minimum(far * far, 1500)
    return density[0] * (1 - slack), density[1] * (1 + slack) + TINY


def _sin(low: Floats, high: Floats) -> Pair:
    return _cos(low - np.pi / 2, high - np.pi / 2)


def _cos(low: Floats, high: Floats) -> Pair:
    # widened by what the reduction of the argument may lose
    slack = 1e-15 * (1 + np.maximum(np.abs(low), np.abs(high)))
    low, high = low - slack, high + slack
    ends = np.cos(low), np.cos(high)
    turns = np.ceil(low / np.pi), np.floor(high / np.pi)
    holds_top = np.floor(turns[1] / 2) >= np.ceil(turns[0] / 2)
    holds_bottom = np.floor((turns[1] - 1) / 2) >= np.ceil((turns[0] - 1) / 2)
    lost = ~(slack < 1e-3) | ~(high - low < 6.3)
    least = np.where(holds_bottom | lost, -1.0, np.minimum(*ends) - 4e-16)
    most = np.where(holds_top | lost, 1.0, np.maximum(*ends) + 4e-16)
    return np.maximum(least, -1), np.minimum(most, 1)


_BENT: Mapping[str, Callable[[Floats, Floats], Pair]] = MappingProxyType(
    {"abs": _abs, "erfc": _erfc, "normal_pdf": _normal_pdf, "normal_cdf": _normal_cdf, "sin": _sin, "cos": _cos}
)


def _spherical_bessel(order: int, x: Pair) -> Pair:
    """Bound jₙ by its value in the middle and |j'| ≤ 1/2 (order 0) or 1; |j| ≤ 1, and |x j| ≤ 2 up to order 4."""
    low, high = x
    middle, half = low / 2 + high / 2, high / 2 - low / 2
    usable = np.isfinite(middle) & (np.abs(middle) < 1e6)
    centre = np.where(usable, special.spherical_jn(order, np.abs(np.where(usable, middle, 0.0))), 0.0)
    centre = np.where((middle < 0) & (order % 2 == 1), -centre, centre)
    reach = np.where(usable, half * (0.5 if order == 0 else 1.0) + 1e-12, 2.0)
    cap = np.ones_like(low)
    if order <= 4:
        cap = np.minimum(cap, 2 / _abs(low, high)[0])
    return np.maximum(centre - reach, -cap), np.minimum(centre + reach, cap)


def _where(condition: Compare, done: Mapping[Node, Pair], then: Pair, otherwise: Pair) -> Pair:
    left, right = done[condition.left], done[condition.right]
    if condition.order in (">", ">="):
        left, right = right, left
    always = left[1] < right[0] if condition.order in ("<", ">") else left[1] <= right[0]
    never = left[0] >= right[1] if condition.order in ("<", ">") else left[0] > right[1]
    low, high = np.minimum(then[0], otherwise[0]), np.maximum(then[1], otherwise[1])
    low = np.where(always, then[0], np.where(never, otherwise[0], low))
    high = np.where(always, then[1], np.where(never, otherwise[1], high))
    return low, high
