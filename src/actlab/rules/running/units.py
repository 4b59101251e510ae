"""The units of a layer: which can be dead or saturated, and which are dead."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from actlab.formula.activation import Activation
from actlab.telemetry.quantities import Quantities, SiteQuantities, UnitStatistics


def unit_sites(quantities: Quantities) -> Iterator[SiteQuantities]:
    """Yield the sites whose units can be dead or saturated: neither a softmax nor the gate of a gated unit."""
    for at in quantities.sites:
        if isinstance(at.site.formula, Activation) and at.site.gate is None:
            yield at


def is_dead(units: UnitStatistics) -> Tensor:
    """Return for every unit whether its derivative was zero on every example."""
    return (units.fired == 0) & (units.positions > 0) & is_finite(units)


def is_finite(units: UnitStatistics) -> Tensor:
    """Return for every unit whether all its inputs were finite; NaN and infinity are findings of their own."""
    return units.non_finite == 0


def indices(units: Tensor) -> tuple[int, ...]:
    """Return the indices of the marked units."""
    return tuple(int(place) for place in units.flatten().nonzero().flatten())
