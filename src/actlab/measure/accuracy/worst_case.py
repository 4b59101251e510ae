"""The errors of results against a reference: the largest, and where a result is not finite but should be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

import numpy as np
from mpmath import mp
from numpy.typing import NDArray

from actlab.formula.expr import Input
from actlab.measure.accuracy.error_bounds import nearest
from actlab.measure.accuracy.points import CORE
from actlab.measure.accuracy.record import Place, Stretch, Worst
from actlab.measure.accuracy.reference import Reference
from actlab.measure.accuracy.ulp import Flags, Format, Reals, held, rounds_to_finite, spacing

# The largest errors are computed again against fifty digits, to exclude errors of the reference.
_VERIFIED = 6

# The guaranteed errors in units in the last place, forward and backward; a mode that is not listed guarantees none.
_SIXTEEN = 0.501  # half a unit for rounding once, plus two units of float32
BOUNDS: Mapping[tuple[str, str], tuple[float, float]] = MappingProxyType(
    {
        ("accurate", "float32"): (2.0, 4.0),
        ("accurate", "float64"): (4.0, 4.0),
        ("accurate", "bfloat16"): (_SIXTEEN, _SIXTEEN),
        ("accurate", "float16"): (_SIXTEEN, _SIXTEEN),
    }
)


@final
@dataclass(frozen=True)
class Errors:
    """The error at each point in units; NaN without an exact value."""

    ulps: NDArray[np.float64]
    got: NDArray[np.float64]


def errors(results: NDArray[np.float64], truth: Reference, fmt: Format) -> Errors:
    """Compute the errors: infinite if a result is NaN or infinite and the exact value is a number of the dtype.

    An exact value just below infinity counts as the power of two that follows the largest number.
    """
    wide = truth.values.dtype
    with np.errstate(all="ignore"):
        off = np.abs(held(results.astype(wide), fmt) - truth.values) / truth.unit
        lost = np.isnan(results) & ~np.isnan(truth.values)
        overflown = np.isinf(results) & rounds_to_finite(truth.values, fmt)
    off = np.where(lost | overflown, np.inf, off)
    return Errors(off.astype(np.float64), results)


def worst(found: Errors, truth: Reference, *, fmt: Format, bound: float | None) -> Worst:
    """Find the largest errors at finite inputs, near roots and elsewhere, computed to fifty digits."""
    finite = np.logical_and.reduce([np.isfinite(column) for column in truth.columns])
    away, near = finite & ~truth.near_root, finite & truth.near_root
    core = np.logical_and.reduce([np.abs(column) <= CORE for column in truth.columns])
    ulp, at = _largest(found, truth, away, fmt=fmt)
    root, root_at = _largest(found, truth, near, fmt=fmt)
    inner, _ = _largest(found, truth, away & core, fmt=fmt)
    points = int((~np.isnan(found.ulps)).sum())
    return Worst(ulp, at, root, root_at, inner, bound, points, truth.to_fifty_digits)


def _largest(found: Errors, truth: Reference, among: Flags, *, fmt: Format) -> tuple[float, Place | None]:
    places = np.flatnonzero(among & ~np.isnan(found.ulps))
    if not len(places):
        return 0.0, None
    ranked = places[np.argsort(-found.ulps[places], kind="stable")[:_VERIFIED]]
    verified = [(_verified(found, truth, int(place), fmt=fmt), int(place)) for place in ranked]
    ulp, place = max(verified, key=lambda pair: pair[0])
    return ulp, place_of(truth, place)


def place_of(truth: Reference, place: int) -> Place:
    """Return the inputs at the point as plain numbers: one, or a pair."""
    inputs = zip(truth.args, truth.columns, strict=True)
    point = tuple(float(column[place]) for arg, column in inputs if isinstance(arg, Input))
    return point[0] if len(point) == 1 else point


def _verified(found: Errors, truth: Reference, place: int, *, fmt: Format) -> float:
    rough, got = float(found.ulps[place]), float(found.got[place])
    exact = truth.at(place) if math.isfinite(rough) and math.isfinite(got) else None
    if exact is None or abs(exact) > fmt.largest:
        return rough
    wide: Reals = np.asarray([nearest(exact, truth.values.dtype)])
    unit = truth.unit[place] if truth.near_root[place] else spacing(wide, fmt)[0]
    with mp.workprec(300):
        return float(abs(mp.mpf(got) - exact) / mp.mpf(float(unit)))


def not_finite(found: Errors, truth: Reference, *, fmt: Format, direction: str) -> Iterator[Stretch]:
    """Find the stretches of points, in order, at which a result is NaN or infinite and should not be."""
    with np.errstate(all="ignore"):
        ought = rounds_to_finite(truth.values, fmt)
        lost = np.isnan(found.got) & ~np.isnan(truth.values)
    wrong = lost | (np.isinf(found.got) & ought)
    if not wrong.any():
        return
    order = np.lexsort(truth.columns[::-1])
    order = order[~np.isnan(truth.values[order])]
    kinds = np.where(wrong, np.where(np.isnan(found.got), 1, np.where(found.got > 0, 2, 3)), 0)[order]
    ranks = np.arange(len(order))
    if len(truth.columns) > 1 and isinstance(truth.args[1], Input):  # stretches in a plane have no ends
        runs = [ranks[kinds == kind] for kind in (1, 2, 3) if (kinds == kind).any()]
    else:
        runs = np.split(ranks, np.flatnonzero(np.diff(kinds)) + 1)
    for run in runs:
        kind = int(kinds[run[0]])
        if kind:
            ends = place_of(truth, int(order[run[0]])), place_of(truth, int(order[run[-1]]))
            yield Stretch(direction, ("", "nan", "inf", "-inf")[kind], *ends, points=len(run))


def as_doubles(tensor: Any) -> NDArray[np.float64]:
    """Return a tensor's numbers, exactly."""
    doubles: NDArray[np.float64] = tensor.detach().double().numpy()
    return doubles
