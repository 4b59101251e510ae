"""A measured quantity at every site, at a few training steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from actlab.telemetry.quantities import Point, Quantities

MOMENTS = 5
"""Lines in one picture: more could not be distinguished."""


@final
@dataclass(frozen=True)
class Moment:
    """One measured step: a value for every site in depth order, None if it was not measured there."""

    step: int
    values: tuple[float | None, ...]


def moments(quantities: Quantities, quantity: Callable[[Point], float]) -> tuple[Moment, ...]:
    """Return a quantity at the first, the last, and a few steps between; empty if no step was measured."""
    by_site = [{point.step: point for point in site.points} for site in quantities.sites]
    return tuple(
        Moment(step, tuple(_value(points.get(step), quantity) for points in by_site))
        for step in drawn_steps(quantities)
    )


def drawn_steps(quantities: Quantities) -> tuple[int, ...]:
    """Return the steps that charts show."""
    return spread_out(sorted({point.step for site in quantities.sites for point in site.points}), count=MOMENTS)


def spread_out(values: Sequence[int], *, count: int) -> tuple[int, ...]:
    """Return the first value, the last, and some evenly between them.

    Example:
        >>> spread_out(range(100), count=5), spread_out([3, 7], count=5)
        ((0, 25, 50, 74, 99), (3, 7))
    """
    if len(values) <= count:
        return tuple(values)
    last = len(values) - 1
    return tuple(values[round(place * last / (count - 1))] for place in range(count))


def _value(point: Point | None, quantity: Callable[[Point], float]) -> float | None:
    value = math.nan if point is None else quantity(point)
    return value if math.isfinite(value) else None
