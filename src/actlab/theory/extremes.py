"""The global maximum and minimum of a formula, by branch and bound."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from actlab.formula.derivative import derivative
from actlab.formula.expr import Call, Expr, Input, Neg, Where, walk
from actlab.theory.bounded_mpmath import TooLarge
from actlab.theory.evaluate import Floats, evaluator
from actlab.theory.interval import tight_bounds
from actlab.theory.multiprecision import precise
from actlab.theory.signs import TOP, period, refined, size

_MOST_SWEEPS = 60
_MOST_BOXES = 20_000
# Node evaluations of boxes, formula and slope: about a second. The catalog's dearest take 3 million.
_MOST_WORK = 5_000_000
_TOLERANCE = 1e-11
# A value beyond is that of a formula without bound.
_FAR = 1e60


@lru_cache(maxsize=1024)
def greatest(formula: Expr) -> tuple[float, float] | None:
    """Return the maximum over all x and where it is attained nearest to 0; None if it is not proved."""
    length = period(formula)
    end = TOP if length is None else length / 2
    powers = 2.0 ** np.concatenate([np.arange(-8, 14), [16, 20, 30, 40, 60, 100, 200]])
    ends = np.unique(np.clip(np.concatenate([-powers, [0, -end, end], powers]), -end, end))
    low, high = ends[:-1], ends[1:]
    values = evaluator((formula,))
    slope = None if _may_jump(formula) else derivative(formula, Input("x"))
    nodes = size(formula) + (0 if slope is None else size(slope))
    best, place, work = -math.inf, 0.0, 0
    for _ in range(_MOST_SWEEPS):
        work += low.size * nodes
        if work > _MOST_WORK:
            return None
        tried = np.concatenate([low, low / 2 + high / 2, high])
        found = values(tried)[0]
        best, place = _better(found, tried, best, place)
        _, upper = tight_bounds(formula, slope, low, high)
        slack = _TOLERANCE * (1 + abs(best))
        keep = upper > best + slack
        low, high = low[keep], high[keep]
        if low.size == 0:
            return None if abs(place) > 0.1 * TOP else _polished(formula, best, place)
        if low.size > _MOST_BOXES or not math.isfinite(best):
            return None
        middle = np.where(
            (low > 0) & (high > 4 * low) | (high < 0) & (low < 4 * high),
            np.sign(low) * np.sqrt(np.abs(low)) * np.sqrt(np.abs(high)),
            low / 2 + high / 2,
        )
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
    return None


def least(formula: Expr) -> tuple[float, float] | None:
    """Return the minimum over all x and where it is attained; None if it is not proved."""
    found = greatest(Neg(formula))
    return None if found is None else (0.0 - found[0], found[1])


def _may_jump(formula: Expr) -> bool:
    return any(isinstance(node, Where) or (isinstance(node, Call) and node.atom == "sign") for node in walk(formula))


def unbounded(formula: Expr, side: int) -> bool:
    """Return whether it exceeds every bound that a double could hold, sampled far out."""
    places = 1e80 * (1 + np.arange(64) / 7.3)
    values = evaluator((formula,))(np.concatenate([-places, places]))[0] * side
    return bool(np.nanmax(values, initial=-np.inf) > _FAR)


def _better(found: Floats, tried: Floats, best: float, place: float) -> tuple[float, float]:
    if not np.isfinite(found).any():
        return best, place
    top = float(np.nanmax(np.where(np.isfinite(found), found, -np.inf)))
    if top < best:
        return best, place
    at = tried[np.isfinite(found) & (found >= top - 1e-15 * abs(top))]
    nearest = float(at[np.argmin(np.abs(at))])
    return (top, nearest) if top > best or abs(nearest) < abs(place) else (best, place)


def _polished(formula: Expr, best: float, place: float) -> tuple[float, float]:
    """Refine a maximum to the last digits: the derivative changes sign close by."""
    slope = derivative(formula, Input("x"))
    for reach in (1e-4, 1e-3):
        low, high = place - reach * (1 + abs(place)), place + reach * (1 + abs(place))
        at = refined(slope, low, high)
        try:
            value = precise(formula)(at)
        except TooLarge:
            return best, place
        if value is not None and float(value) >= best - 1e-15 * abs(best):
            return float(value), at
    return best, place
