"""A formula's derivative on a weighted grid, with both sides of every jump: step tables are fitted to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.formula.expr import Input
from actlab.lower import to_numpy

Floats = NDArray[np.float64]
Density = Callable[[Floats], Any] | Any
"""Where an activation's inputs lie: measured ones as numbers of any shape, or their density as a function of places."""

MOST_POINTS = 4001

# Shares of a cell: what counts as beside a place, and by how much a derivative may differ there before it is a jump.
_BESIDE = 1e-6
_JUMP = 1e-3

# Of the whole weight this share is spread evenly, so that places without inputs get a sensible level.
_EVEN = 1e-3

# A derivative that still grows by a quarter from one of these windows to the next has no bound: even x·log(x)'s does.
_FAR = (1e4, 1e8, 1e12)
_GROWTH = 1.25

# A singularity between two points of the grid shows as a derivative that grows as the grid is refined.
_LOOKS = 8
_SINGULAR = 30.0


@dataclass(frozen=True, eq=False)
class SlopeSamples:
    """A derivative's values, in the order of their places.

    Attributes:
        slope: the derivative itself.
        places: where; the places of jumps stand twice.
        slopes: the derivative there, from either side where it jumps.
        weights: how much each counts.
        scale: what a weighted sum of squared errors is multiplied by: the width of a cell for an integral over the
            span, or 1 where the weights are shares that sum to 1.
    """

    slope: Callable[[Floats], Floats]
    places: Floats
    slopes: Floats
    weights: Floats
    scale: float


def slope_samples(act: Activation, *, density: Density | None, span: tuple[float, float], points: int) -> SlopeSamples:
    """Sample the activation's derivative on an even grid.

    Args:
        act: an activation of one input.
        density: where its inputs lie; evenly over the span if left out. Inputs outside count at the span's ends.
        span: the first and the last place.
        points: how many places, both ends included.

    Raises:
        BadInput: the derivative is undefined or has no bound, or the grid or the density cannot be used.
    """
    lower, upper = _checked_span(span, points=points)
    slope = slope_function(act)
    places = np.linspace(lower, upper, points)
    cell = (upper - lower) / (points - 1)
    slopes = slope(places)
    _refuse_unbounded(act.name, slope, places, slopes)
    weights = np.ones(points) if density is None else _shares(density, places)
    jumps = _jumps(slope, places, slopes, cell=cell)
    doubled = np.repeat(places, 1 + jumps)
    sides = np.repeat(slopes, 1 + jumps)
    at = np.flatnonzero(jumps) + np.arange(int(jumps.sum()))  # the left one of each pair
    sides[at], sides[at + 1] = slope(places[jumps] - _BESIDE * cell), slope(places[jumps] + _BESIDE * cell)
    halved = np.repeat(weights / (1 + jumps), 1 + jumps)
    return SlopeSamples(slope, doubled, sides, halved, cell if density is None else 1.0)


def slope_function(act: Activation) -> Callable[[Floats], Floats]:
    """Return the derivative of an activation of one input as a function of arrays that raises no warnings.

    Raises:
        BadInput: the activation has two inputs.
    """
    if len(act.inputs) != 1:
        raise BadInput(f"{act.name} has {len(act.inputs)} inputs; a step table needs an activation of one input.")
    function = to_numpy.program([act.derivative()], [Input(act.inputs[0])]).function

    def slope(places: Floats) -> Floats:
        with np.errstate(all="ignore"):
            return np.asarray(np.broadcast_to(function(places), places.shape), dtype=np.float64)  # type: ignore[call-overload]  # a generated function has no types

    return slope


def _checked_span(span: tuple[float, float], *, points: int) -> tuple[float, float]:
    if not (len(span) == 2 and np.isfinite(span).all() and span[0] < span[1]):
        raise BadInput(f"span must be two finite numbers, the lower first; got {span}.")
    if not isinstance(points, int) or not 3 <= points <= MOST_POINTS:
        raise BadInput(f"points must be an integer from 3 to {MOST_POINTS}; got {points!r}.")
    return float(span[0]), float(span[1])


def _jumps(slope: Callable[[Floats], Floats], places: Floats, slopes: Floats, *, cell: float) -> NDArray[np.bool_]:
    """Return where the derivatives from either side differ."""
    step = slope(places + _BESIDE * cell) - slope(places - _BESIDE * cell)
    return np.abs(step) > _JUMP * max(float(np.ptp(slopes)), 1e-30)


def _shares(density: Density, places: Floats) -> Floats:
    """Return the share of the inputs at each place."""
    raw = np.asarray(density(places), dtype=np.float64) if callable(density) else _counts(density, places)
    if raw.shape != places.shape or not np.isfinite(raw).all() or (raw < 0).any() or raw.sum() <= 0:
        raise BadInput(
            "density must be a non-empty array of finite inputs, or a function that returns a finite weight of at least"
            " 0 for each point, not all of them 0."
        )
    return np.asarray((1 - _EVEN) * raw / raw.sum() + _EVEN / len(places))


def _counts(measured: Any, places: Floats) -> Floats:
    """Count the measured inputs nearest to each place."""
    inputs = np.asarray(measured.detach().double().cpu() if hasattr(measured, "detach") else measured, dtype=np.float64)
    inputs = inputs.reshape(-1)
    if not np.isfinite(inputs).all():
        return np.zeros(0)
    nearest = np.rint((inputs.clip(places[0], places[-1]) - places[0]) / (places[1] - places[0])).astype(np.int64)
    return np.bincount(nearest, minlength=len(places)).astype(np.float64)


def _refuse_unbounded(name: str, slope: Callable[[Floats], Floats], places: Floats, slopes: Floats) -> None:
    refused = "few bits cannot represent it. Use memory=None, which saves the input"
    if not np.isfinite(slopes).all():
        at = float(places[~np.isfinite(slopes)][0])
        raise BadInput(f"the derivative of {name} is {slopes[~np.isfinite(slopes)][0]:g} at x = {at:g}: {refused}.")
    largest = float(np.abs(slopes).max())
    if _largest_on_closer_look(slope, places, slopes) > _SINGULAR * max(largest, 1e-30):
        at = float(places[np.abs(slopes).argmax()])
        raise BadInput(f"the derivative of {name} has no bound near x = {at:g}: {refused}.")
    windows = [_largest_between(slope, *window) for window in pairwise(_FAR)]
    if windows[1] > _GROWTH * max(largest, windows[0]) or np.isinf(windows).any():
        raise BadInput(f"the derivative of {name} has no bound: it grows with |x|, and {refused}.")


def _largest_between(slope: Callable[[Floats], Floats], near: float, far: float) -> float:
    """Return the largest magnitude on either side between these distances, ignoring what is undefined."""
    away = np.geomspace(near, far, 257)[1:]
    magnitudes = np.abs(slope(np.concatenate([-away, away])))
    return float(np.nanmax(magnitudes, initial=0.0))


def _largest_on_closer_look(slope: Callable[[Floats], Floats], places: Floats, slopes: Floats) -> float:
    """Return the largest magnitude, refining the grid where it is largest."""
    at, width = float(places[np.abs(slopes).argmax()]), float(places[1] - places[0])
    largest = 0.0
    for _ in range(_LOOKS):
        near = np.linspace(at - width, at + width, 65)
        magnitudes = np.nan_to_num(np.abs(slope(near)), nan=0.0)
        at, width, largest = float(near[magnitudes.argmax()]), width / 16, max(largest, float(magnitudes.max()))
    return largest
