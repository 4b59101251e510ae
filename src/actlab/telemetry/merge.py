"""Turn tables into statistics, and merge the statistics of several processes."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import torch
from torch import Tensor, distributed

from actlab.errors import BadInput
from actlab.kernels.statistics.fields import BORDERS, Field
from actlab.telemetry.distinct_examples import Fingerprints
from actlab.telemetry.quantities import Quantities, UnitStatistics


def statistics(table: Tensor, shift: Tensor, histogram: Tensor, inside: Tensor, *, examples: int) -> UnitStatistics:
    """Return the statistics of a site's units, on the CPU; NaN for a unit without a finite value."""
    kept = table.cpu()
    finite = kept[Field.POSITIONS] - kept[Field.NON_FINITE]
    moved = kept[Field.SHIFTED] / finite
    return UnitStatistics(
        examples=examples,
        positions=kept[Field.POSITIONS].clone(),
        fired=kept[Field.FIRED].clone(),
        slope_max=kept[Field.SLOPE_MAX].clone(),
        slope_mean=kept[Field.SLOPE_SUM] / finite,
        mean=shift.cpu() + moved,
        variance=(kept[Field.SQUARES] / finite - moved * moved).clamp(min=0),
        non_finite=kept[Field.NON_FINITE].clone(),
        histogram_borders=torch.tensor(BORDERS, dtype=torch.float64),
        histogram=histogram.cpu().clone(),
        within=(inside[0] / inside[1]).cpu(),
    )


def merged(one: UnitStatistics, other: UnitStatistics) -> UnitStatistics:
    """Merge two statistics: counts exactly, moments by Chan's formula.

    Raises:
        BadInput: they have different numbers of units.

    Source:
        Chan, Golub, LeVeque 1983, The American Statistician 37.
    """
    if one.positions.shape != other.positions.shape:
        found = f"{one.positions.numel()} and {other.positions.numel()}"
        raise BadInput(f"statistics: the numbers of units must be equal to merge them; got {found}.")
    left, right = one.positions - one.non_finite, other.positions - other.non_finite
    count = left + right
    apart = _where(right, other.mean) - _where(left, one.mean)
    apart = torch.where((left > 0) & (right > 0), apart, 0.0)
    inner = left * _where(left, one.variance) + right * _where(right, other.variance)
    return UnitStatistics(
        examples=one.examples + other.examples,
        positions=one.positions + other.positions,
        fired=one.fired + other.fired,
        slope_max=torch.maximum(one.slope_max, other.slope_max),
        slope_mean=(left * _where(left, one.slope_mean) + right * _where(right, other.slope_mean)) / count,
        mean=torch.where(left > 0, one.mean + apart * right / count, other.mean),
        variance=(inner + apart * apart * left * right / count) / count,
        non_finite=one.non_finite + other.non_finite,
        histogram_borders=one.histogram_borders,
        histogram=one.histogram + other.histogram,
        within=_within(one, other, left, right),
        shown=None if one.shown is other.shown is None else one.looked_at + other.looked_at,
    )


def _within(one: UnitStatistics, other: UnitStatistics, left: Tensor, right: Tensor) -> Tensor | None:
    if one.within is None or other.within is None:
        return None
    left, right = left * ~one.within.isnan(), right * ~other.within.isnan()
    return (_where(left, one.within) * left + _where(right, other.within) * right) / (left + right)


def _where(count: Tensor, value: Tensor) -> Tensor:
    return torch.where(count > 0, value, 0.0)


def gathered(quantities: Quantities) -> Quantities:
    """Merge every site's statistics over all processes of `torch.distributed`; points are those of this process.

    Raises:
        BadInput: the processes measured different sites.
    """
    own = [(each.site.name, each.total, each.recent) for each in quantities.sites]
    everyone: list[list[tuple[str, UnitStatistics, UnitStatistics]] | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyone, own)
    lists = [each for each in everyone if each is not None]
    if any([name for name, *_ in each] != [name for name, *_ in own] for each in lists):
        raise BadInput("the processes measured different sites; their statistics cannot be merged.")
    sites = tuple(
        replace(
            site,
            total=reduce(merged, [each[at][1] for each in lists]),
            recent=reduce(merged, [each[at][2] for each in lists]),
        )
        for at, site in enumerate(quantities.sites)
    )
    return replace(quantities, sites=sites, fingerprints=_gathered(quantities.fingerprints))


def _gathered(own: Fingerprints | None) -> Fingerprints | None:
    """Return the fingerprints of all processes; None if one has none."""
    everyone: list[Fingerprints | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyone, own)
    known = [each for each in everyone if each is not None]
    return reduce(Fingerprints.joined, known) if len(known) == len(everyone) else None
