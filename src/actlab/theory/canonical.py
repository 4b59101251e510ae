"""Functions compared up to what the layers around them absorb: f(x) = a·g(b·x + c) + d·x + e.

The measure |f''| forgets d and e, scales with a, and moves with b and c. Its quantiles therefore propose b and c; a, d
and e are then linear least squares, and b and c are refined until the residual is rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from actlab.theory.evaluate import Floats

Function = Callable[[Floats], Floats]

# Two functions are the same if no point of the dense grid parts them by more than this, relative to the values there.
SAME = 1e-6
_REACH = 32.0
_GRID: Floats = np.linspace(-_REACH, _REACH, 4097) + 1e-3 * np.pi  # no kink at a round number lies on it
_SHARES = np.array([0.1, 0.25, 0.5, 0.75, 0.9])
_STRAIGHT = 1e-11
_ITERATIONS = 40


@dataclass(frozen=True)
class Scaling:
    """The five numbers of f(x) = a·g(b·x + c) + d·x + e."""

    a: float
    b: float
    c: float
    d: float
    e: float

    def applied(self, function: Function, x: Floats) -> Floats:
        """Return a·g(b·x + c) + d·x + e."""
        return self.a * function(self.b * x + self.c) + self.d * x + self.e


@dataclass(frozen=True)
class Shape:
    """Where the second derivative of a function lies.

    Attributes:
        quantiles: places below which 10, 25, 50, 75 and 90 % of the total variation of f' lie.
        turns: places at which f'' changes its sign.
        is_straight: whether f is a straight line.
        jump: the place of the largest jump; None if f is continuous.
    """

    quantiles: tuple[float, ...]
    turns: tuple[float, ...]
    is_straight: bool
    jump: float | None = None

    @property
    def center(self) -> float:
        """The median of |f''|."""
        return self.quantiles[2]

    @property
    def width(self) -> float:
        """The distance between the quartiles of |f''|; 0 if f'' is a single kink."""
        width = self.quantiles[3] - self.quantiles[1]
        return width if width > 1.5 * (_GRID[1] - _GRID[0]) else 0.0


def shape(function: Function) -> Shape | None:
    """Return where the second derivative lies; None if f is not finite anywhere near 0 or too rarely."""
    with np.errstate(all="ignore"):
        values = function(_GRID)
        usable = np.isfinite(values) & (np.abs(values) < 1e150)
        if usable.sum() < len(_GRID) // 8:
            return None
        x, y = _GRID[usable], values[usable]
        bends = np.diff(np.diff(y) / np.diff(x))
    floor = _STRAIGHT * (1 + np.abs(y)[1:-1]) / (x[1] - x[0])
    bends = np.where(np.abs(bends) > floor, bends, 0.0)
    mass = np.cumsum(np.abs(bends))
    if not mass[-1] > 0:
        return Shape((0.0,) * 5, (), True)
    places = x[1:-1]
    quantiles = np.interp(_SHARES * mass[-1], mass - 0.5 * np.abs(bends), places)
    large = np.nonzero(np.abs(bends) > 1e-6 * np.abs(bends).max())[0]
    signs = np.sign(bends[large])
    turns = (places[large][:-1] + places[large][1:])[signs[1:] != signs[:-1]] / 2
    return Shape(tuple(map(float, quantiles)), tuple(map(float, turns)), False, _jump(function, x, y))


def _jump(function: Function, x: Floats, y: Floats) -> float | None:
    """Return the place of the largest jump, by bisection."""
    at = int(np.argmax(np.abs(np.diff(y))))
    low, high = x[at], x[at + 1]
    first = gap = abs(y[at + 1] - y[at])
    for step in range(45):
        middle = (low + high) / 2
        left, here, right = function(np.array([low, middle, high]))
        low, high = (low, middle) if abs(here - left) >= abs(right - here) else (middle, high)
        gap = max(abs(here - left), abs(right - here))
        if step == 6 and not gap > 0.3 * first:
            return None
    return float((low + high) / 2)


def proposals(own: Shape, other: Shape) -> list[tuple[float, float]]:
    """Return likely pairs (b, c) that lay the second derivative of g on that of f."""
    ratio = other.width / own.width if own.width and other.width else 1.0
    found = [(sign * ratio, other.center - sign * ratio * own.center) for sign in (1, -1)]
    if own.jump is not None and other.jump is not None:
        return [(b, other.jump - b * own.jump) for b, _ in found]
    own_turns = sorted(own.turns, key=abs)[:8]
    other_turns = sorted(sorted(other.turns, key=abs)[:2])
    if len(other_turns) == 2 and len(own.turns) >= 2:
        near = sorted(own_turns)
        for left, right in pairwise(near):
            for first, second in (other_turns, other_turns[::-1]):
                b = (second - first) / (right - left)
                found.append((b, first - b * left))
    return found


@dataclass(frozen=True)
class Fit:
    """The best scaling of g onto f, parameters of g, and the root mean square of what is left, weighted."""

    scaling: Scaling
    params: tuple[float, ...]
    residual: float


def fitted(
    x: Floats,
    y: Floats,
    family: Callable[..., Floats],
    *,
    start: Sequence[float],
    weights: Floats,
    linear: bool = True,
    pinned: tuple[float, float] | None = None,
    iterations: int = _ITERATIONS,
) -> Fit | None:
    """Fit a·g(b·x + c; params) + d·x + e to values by variable projection and Levenberg-Marquardt.

    Args:
        x, y: the points and the values of f there, all finite.
        family: g of the points and its parameters.
        start: b, c and the parameters.
        weights: by which the residuals are multiplied.
        linear: whether d may differ from 0.
        pinned: places of a jump of f and of g, which b and c lay on each other.
        iterations: the most steps; 0 solves for a, d and e alone.
    """
    columns = [np.ones_like(x), x] if linear else [np.ones_like(x)]
    target = y * weights

    def project(theta: Floats) -> tuple[Floats, Floats] | None:
        with np.errstate(all="ignore"):
            inside = theta[0] * (x - pinned[0]) + pinned[1] if pinned else theta[0] * x + theta[1]
            g = family(inside, *theta[2:])
            matrix = np.stack([g, *columns], axis=1) * weights[:, None]
            size = np.sqrt((matrix * matrix).sum(axis=0)) + 1e-300
        if not np.isfinite(size).all():
            return None
        solution, *_ = np.linalg.lstsq(matrix / size, target, rcond=1e-13)
        return target - (matrix / size) @ solution, solution / size

    theta = np.array(start, dtype=float)
    now = project(theta)
    if now is None:
        return None
    cost, damping = float(now[0] @ now[0]), 1e-3
    enough = 1e-28 * float(target @ target)
    for _ in range(iterations):
        if cost <= enough:
            break
        jacobian = np.empty((len(x), len(theta)))
        for index in range(len(theta)):
            step = 1e-6 * (1 + abs(theta[index]))
            moved = theta.copy()
            moved[index] += step
            beside = project(moved)
            if beside is None:
                return None
            jacobian[:, index] = (beside[0] - now[0]) / step
        normal, pull = jacobian.T @ jacobian, jacobian.T @ now[0]
        better = False
        for _ in range(8):
            change = np.linalg.lstsq(normal + damping * np.diag(np.diag(normal) + 1e-300), -pull, rcond=None)[0]
            then = project(theta + change)
            if then is not None and float(then[0] @ then[0]) < cost:
                gained = cost - float(then[0] @ then[0])
                theta, now, better = theta + change, then, True
                cost, damping = cost - gained, damping / 10
                break
            damping *= 10
        # A fit that will succeed converges faster than linearly.
        if not better or gained <= 0.02 * (cost + gained):
            break
    a, e, *d = now[1]
    if pinned:
        theta[1] = pinned[1] - theta[0] * pinned[0]
    scaling = Scaling(float(a), float(theta[0]), float(theta[1]), float(d[0]) if d else 0.0, float(e))
    return Fit(scaling, tuple(map(float, theta[2:])), float(np.sqrt(cost / len(x))))


@cache
def normal_points(count: int = 161) -> tuple[Floats, Floats]:
    """Return points over ±6 and the roots of their shares of a standard normal input."""
    points = np.linspace(-6, 6, count)
    density = np.exp(-points * points / 2)
    return points, np.sqrt(density / density.sum())


def largest_difference(one: Function, other: Function) -> tuple[float, float]:
    """Return the largest relative difference of two functions on a dense grid with tails, and where it is."""
    x = dense_grid()
    with np.errstate(all="ignore"):
        first, second = one(x), other(x)
        gap = np.abs(first - second) / (1 + np.abs(first))
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    gap = np.where(same, 0.0, np.where(np.isfinite(gap), gap, np.inf))
    # The value in a jump or kink may be placed by rounding: single points beside it do not count.
    lone = gap > 100 * np.maximum(np.roll(gap, 1), np.roll(gap, -1)) + SAME
    at = int(np.argmax(np.where(lone, 0.0, gap)))
    return float(np.where(lone, 0.0, gap)[at]), float(x[at])


@cache
def dense_grid() -> Floats:
    """Return the points at which functions are compared: dense within ±12, tails out to ±100."""
    tail = np.geomspace(12, 100, 80)
    return np.concatenate([-tail[::-1], np.linspace(-12, 12, 1601) + 1e-3 * np.e, tail])


def _settled(function: Function, own: Shape) -> tuple[float, float]:
    """Return the median and the distance of the quartiles of |f''| in a window that moves and scales with f."""
    center, width = own.center, own.width
    for _ in range(3):
        x = center + (5 * width or 2 * (_GRID[1] - _GRID[0])) * np.linspace(-1, 1, 1025)
        with np.errstate(all="ignore"):
            y = function(x)
            bends = np.abs(np.diff(y, 2))
        bends[~np.isfinite(bends)] = 0
        bends[bends <= 4e-15 * np.abs(y[1:-1])] = 0
        mass = np.cumsum(bends)
        if not mass[-1] > 0:
            break
        low, center, high = np.interp(np.array([0.25, 0.5, 0.75]) * mass[-1], mass - 0.5 * bends, x[1:-1])
        width = float(high - low) if width else 0.0
    return float(center), width or 1.0


def canonical_key(function: Function, *, digits: int = 2) -> str | None:
    """Return a text that functions share if each is a·g(b·x + c) + d·x + e of the others.

    Equal keys mean equal to about 1 % of the part that is not linear; unequal keys of equal functions are rare, at
    a value that rounds both ways. It costs an evaluation at 4,097 points, three at 1,025
    and one at 41.

    Args:
        function: maps an array of float64 to one of the same shape.
        digits: decimals of the normalized shape that are kept.

    Returns:
        The key, "line" for a straight line, or None if f is finite too rarely to be compared.

    Example:
        >>> canonical_key(np.tanh) == canonical_key(lambda x: 3 - 2 * np.tanh(1 - 0.7 * x) + 0.3 * x)
        True
        >>> canonical_key(np.tanh) == canonical_key(np.arctan)
        False
    """
    own = shape(function)
    if own is None:
        return None
    if own.is_straight:
        return "line"
    center, width = _settled(function, own)
    steps = np.linspace(-4, 4, 41)
    with np.errstate(all="ignore"):
        values = function(center + width * steps)
    if not np.isfinite(values).all():
        return None
    curved = values - np.polyval(np.polyfit(steps, values, 1), steps)
    size = np.sqrt((curved * curved).mean())
    if not size > 0:
        return None
    curved = curved / size
    at = np.array([2, 8, 14, 20, 26, 32, 38])
    written = (
        ",".join(f"{part + 0.0:.{digits}f}".replace("-0." + "0" * digits, "0." + "0" * digits) for part in turned[at])
        for turned in (curved, -curved, curved[::-1], -curved[::-1])
    )
    return min(written)
