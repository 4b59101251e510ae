"""Means against the standard normal density, panel by panel, until two orders agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from actlab.theory.evaluate import Flags, Floats

# exp(-z**2/4), the weight that each factor of a square bears, is still a double here.
FARTHEST = 54.0
# What lies this many powers of e below the peak of the integrand is left out.
_NEGLIGIBLE = 100.0

_LOW, _HIGH = 16, 24
_MOST_SWEEPS = 220
_MOST_POINTS = 3_000_000

# How far two orders may differ, of a panel's own size and of the whole: 1e-10 is promised, and the higher of two
# orders that agree to 1e-12 is far better than that.
_OF_PANEL, _OF_WHOLE = 2e-12, 1e-16

Function = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Means:
    """The mean of a function and of its square, and its variance, computed without cancellation."""

    mean: float
    mean_square: float
    variance: float

    def of_product(self, other: Means) -> Means:
        """Return the means of the product with a function of an independent variable."""
        return Means(
            self.mean * other.mean,
            self.mean_square * other.mean_square,
            self.variance * other.mean_square + self.mean * self.mean * other.variance,
        )


class NotFinite(ArithmeticError):
    """The function, or the mean of its square, has no finite value; `place` is where that shows."""

    def __init__(self, place: float) -> None:
        super().__init__(f"not finite at {place}")
        self.place = place


class NotSettled(ArithmeticError):
    """Refining the panels near `place` does not bring two orders together."""

    def __init__(self, place: float) -> None:
        super().__init__(f"not settled at {place}")
        self.place = place


@dataclass(frozen=True)
class Panels:
    """Panels on which a function of a standard normal variable, and its square, are settled.

    Attributes:
        ends: the ends of the panels, in order.
        places: the nodes.
        values: the function at the nodes, times the root of the weights.
        roots: the roots of the weights; the weights include the normal density.
    """

    ends: Floats
    places: Floats
    values: Floats
    roots: Floats


def gaussian_means(function: Function, *, cuts: Sequence[float] = ()) -> Means:
    """Return the means of a function of a standard normal variable z.

    Args:
        function: from an array of places to the values there.
        cuts: where panels should end: kinks, jumps, poles.

    Raises:
        NotFinite: it is infinite or undefined where that counts.
        NotSettled: the mean square cannot be computed accurately, mostly because it does not exist.
    """
    panels = settled_panels(function, cuts=cuts)
    if panels.ends.size == 0:
        return Means(0.0, 0.0, 0.0)
    first, last = float(panels.ends[0]), float(panels.ends[-1])
    outside = (math.erfc(-first / math.sqrt(2)) + math.erfc(last / math.sqrt(2))) / 2
    return _means(panels.values, panels.roots, outside=outside)


def settled_panels(function: Function, *, cuts: Sequence[float] = ()) -> Panels:
    """Return panels on which the mean square is settled; none if the function is 0 in double precision.

    Raises:
        NotFinite: it is infinite or undefined where that counts.
        NotSettled: the mean square cannot be computed accurately, mostly because it does not exist.
    """
    cuts = sorted({0.0, *(cut for cut in cuts if abs(cut) < FARTHEST)})
    span = _where_it_counts(function, cuts)
    if span is None:
        return Panels(*(np.empty(0) for _ in range(4)))
    lower, upper = _first_panels(*span, cuts)
    ends = [np.array(span)]
    kept: list[tuple[Floats, Floats, Floats]] = []
    whole = 0.0
    points = 0
    for _ in range(_MOST_SWEEPS):
        points += lower.size * (_LOW + _HIGH)
        if points > _MOST_POINTS:
            break
        low, low_roots, _ = _at_nodes(function, lower, upper, order=_LOW)
        high, roots, places = _at_nodes(function, lower, upper, order=_HIGH)
        square = np.sum(high * high, axis=1)
        whole_now = whole + float(square.sum())
        settled = _settled(low, high, lower, upper, whole=whole_now)
        settled &= _mean_settled(low * low_roots, high * roots, lower, upper, size=math.sqrt(whole_now))
        kept.append((places[settled].ravel(), high[settled].ravel(), roots[settled].ravel()))
        ends.append(lower[settled])
        whole += float(square[settled].sum())
        if settled.all():
            places, values, roots = (np.concatenate(part) for part in zip(*kept, strict=True))
            return Panels(np.unique(np.concatenate(ends)), places, values, roots)
        lower, upper = _halved(lower[~settled], upper[~settled])
    raise NotSettled(float(lower[0]))


def _means(values: Floats, roots: Floats, *, outside: float) -> Means:
    """Return the means of values, times the root of the weights; `outside` is the probability without nodes."""
    mean = float(values @ roots)
    apart = values - mean * roots
    return Means(mean, float(values @ values), float(apart @ apart) + mean * mean * outside)


def _where_it_counts(function: Function, cuts: Sequence[float]) -> tuple[float, float] | None:
    """Return the span outside of which the integrand is negligible; None if it is 0 everywhere in double precision."""
    # the odd offset keeps the grid off the round numbers where formulas have poles
    grid = np.arange(-FARTHEST, FARTHEST, 0.125) + 0.0317
    between = [a + (b - a) * 0.4871 for a, b in pairwise(cuts)]
    z = np.sort(np.concatenate([grid, np.asarray(between)]))
    values = function(z)
    with np.errstate(divide="ignore", invalid="ignore"):
        power = 2 * np.log(np.abs(values)) - z * z / 2
    finite: Flags = np.isfinite(values)
    peak = power[finite].max(initial=-np.inf)
    if peak == -np.inf and finite.all():
        return None
    counts: Flags = ~finite | (power > peak - _NEGLIGIBLE)
    first, last = _counting_part(counts, finite, z)
    return max(float(first), -FARTHEST), min(float(last), FARTHEST)


def _counting_part(counts: Flags, finite: Flags, z: Floats) -> tuple[float, float]:
    """Return the first and the last place that counts, without values that overflow beyond negligible ones."""
    middle = np.flatnonzero(counts & finite)
    if middle.size == 0:
        raise NotFinite(float(z[z.size // 2]))
    first, last = middle[0], middle[-1]
    wrong = np.flatnonzero(~finite[first : last + 1])
    if wrong.size:
        raise NotFinite(float(z[first + wrong[0]]))
    for edge, step in ((first, -1), (last, 1)):
        beyond = edge + step
        if not 0 <= beyond < z.size or not finite[beyond]:
            raise NotFinite(float(z[np.clip(beyond, 0, z.size - 1)]))
    return float(z[first - 1]), float(z[last + 1])


def _first_panels(lower: float, upper: float, cuts: Sequence[float]) -> tuple[Floats, Floats]:
    inner = [cut for cut in cuts if lower < cut < upper]
    steps = np.arange(np.ceil(lower), np.ceil(upper))
    ends = np.unique(np.concatenate([[lower, upper], inner, steps[(steps > lower) & (steps < upper)]]))
    return ends[:-1], ends[1:]


def _halved(lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
    middle = lower / 2 + upper / 2
    return np.concatenate([lower, middle]), np.concatenate([middle, upper])


@cache
def legendre(order: int) -> tuple[Floats, Floats]:
    """Return nodes and weights of Gauss-Legendre quadrature on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return (nodes + 1) / 2, weights / 2


def _at_nodes(function: Function, lower: Floats, upper: Floats, *, order: int) -> tuple[Floats, Floats, Floats]:
    """Return the weighted values, the roots of the weights and the nodes, one row per panel."""
    nodes, weights = legendre(order)
    width = (upper - lower)[:, None]
    z = lower[:, None] + width * nodes
    roots = np.exp(-z * z / 4) * np.sqrt(width * weights / np.sqrt(2 * np.pi))
    values = function(z.ravel()).reshape(z.shape)
    if not np.isfinite(values).all():
        raise NotFinite(float(z[~np.isfinite(values)][0]))
    return values * roots, roots, z


def _settled(low: Floats, high: Floats, lower: Floats, upper: Floats, *, whole: float) -> Flags:
    """Return which panels the higher order has settled."""
    square = np.sum(high * high, axis=1)
    apart = np.abs(np.sum(low * low, axis=1) - square)
    tight: Flags = (upper - lower) <= 1e-14 * np.maximum(np.abs(lower), np.abs(upper))
    if np.any(tight & (square > 1e-13 * whole)):
        raise NotSettled(float(lower[tight][0]))
    agree: Flags = apart <= _OF_PANEL * square + _OF_WHOLE * whole
    agree |= tight
    return agree


def _mean_settled(low: Floats, high: Floats, lower: Floats, upper: Floats, *, size: float) -> Flags:
    """Return which panels the higher order has settled for the mean: a square may be smooth where its root is not."""
    apart = np.abs(np.sum(low, axis=1) - np.sum(high, axis=1))
    agree: Flags = apart <= _OF_PANEL * np.sum(np.abs(high), axis=1) + _OF_WHOLE * size
    agree |= (upper - lower) <= 1e-14 * np.maximum(np.abs(lower), np.abs(upper))
    return agree
