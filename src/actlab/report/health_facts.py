"""What the pictures of a diagnosis show, as frozen values: gradients and shares of units over depth and time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

from actlab.telemetry.quantities import Point, Quantities

MOMENTS = 5
"""Lines in one picture: more could not be told apart."""

Read = Callable[[Point], float]


@final
@dataclass(frozen=True)
class Moment:
    """One measured step: a value for every site in depth order, None where none was measured."""

    step: int
    values: tuple[float | None, ...]


@final
@dataclass(frozen=True)
class Health:
    """What the activations did over depth and time.

    Attributes:
        sites: their places in the model, in the order in which a forward pass comes by.
        gradients: the RMS of the loss's gradient by each activation's output.
        dead: the share of dead units.
        saturated: the share of saturated units.
        steps: training steps seen.
    """

    sites: tuple[str, ...]
    gradients: tuple[Moment, ...]
    dead: tuple[Moment, ...]
    saturated: tuple[Moment, ...]
    steps: int

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "sites": list(self.sites),
            "steps": self.steps,
            **{
                name: [{"step": moment.step, "values": list(moment.values)} for moment in getattr(self, name)]
                for name in ("gradients", "dead", "saturated")
            },
        }


def health(quantities: Quantities | None) -> Health | None:
    """What the activations did; None where no step was measured."""
    if quantities is None:
        return None
    measured = sorted({point.step for site in quantities.sites for point in site.points})
    if not measured:
        return None
    steps = spread_out(measured, count=MOMENTS)
    by_site = [{point.step: point for point in site.points} for site in quantities.sites]

    def moments(read: Read) -> tuple[Moment, ...]:
        return tuple(Moment(step, tuple(_read(points.get(step), read) for points in by_site)) for step in steps)

    return Health(
        sites=tuple(site.site.name for site in quantities.sites),
        gradients=moments(lambda point: point.gradient_rms),
        dead=moments(lambda point: point.dead_share),
        saturated=moments(lambda point: point.saturated_share),
        steps=quantities.steps,
    )


def spread_out(values: Sequence[int], *, count: int) -> tuple[int, ...]:
    """The first, the last, and some evenly between them.

    Example:
        >>> spread_out(range(100), count=5), spread_out([3, 7], count=5)
        ((0, 25, 50, 74, 99), (3, 7))
    """
    if len(values) <= count:
        return tuple(values)
    last = len(values) - 1
    return tuple(values[round(place * last / (count - 1))] for place in range(count))


def _read(point: Point | None, read: Read) -> float | None:
    value = math.nan if point is None else read(point)
    return value if math.isfinite(value) else None
