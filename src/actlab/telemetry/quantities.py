"""What was measured of a running network, as values: findings are drawn from these and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

from torch import Tensor

from actlab.sites.site import Site, Unseen
from actlab.telemetry.distinct_examples import Fingerprints


@final
@dataclass(frozen=True, eq=False)
class UnitStatistics:
    """What the inputs `z` of one activation `f` were, unit by unit; each tensor is float64, one element a unit.

    Attributes:
        examples: how many different examples were seen; neither the positions of one example nor its repeats are
            independent.
        positions: how many numbers each unit saw.
        fired: at how many of them |f'(z)| exceeded the floor: ε · max|f'|, and 0 in the dtype.
        slope_max, slope_mean: of |f'(z)|.
        mean, variance: of z, its finite values.
        non_finite: how many were not finite.
        histogram_borders, histogram: of z over all units; the first and the last count what lies beyond.
        within: the variance of z about its mean in the same step, so that what only training moves does not count; NaN
            where no step had two examples. None where it was not measured.
        shown: how many examples were seen, repeats counted; None where none was repeated.
    """

    examples: int
    positions: Tensor
    fired: Tensor
    slope_max: Tensor
    slope_mean: Tensor
    mean: Tensor
    variance: Tensor
    non_finite: Tensor
    histogram_borders: Tensor
    histogram: Tensor
    within: Tensor | None = None
    shown: int | None = None

    @property
    def looked_at(self) -> int:
        """How many examples were seen, repeats counted."""
        return self.examples if self.shown is None else self.shown


@final
@dataclass(frozen=True)
class Point:
    """One measured step at one site.

    Attributes:
        step: the number of the training step, from 0.
        dead_share, saturated_share: of the units, in this step alone.
        zero_share: of the outputs that are exactly 0: sparsity.
        mean, variance: of the activation's output over the step.
        gradient_rms: of the loss's gradient by the activation's output, as for a loss that is the mean over the batch,
            unscaled; NaN where none came.
    """

    step: int
    dead_share: float
    saturated_share: float
    zero_share: float
    mean: float
    variance: float
    gradient_rms: float


@final
@dataclass(frozen=True)
class SiteQuantities:
    """What was measured at one site.

    Attributes:
        site: where.
        slope_bound: the largest |f'|, over all numbers.
        total: over all measured steps.
        recent: over the last of them, at least as many examples as make a dead unit worth telling.
        points: step by step; thinned evenly where there would be too many to keep.
    """

    site: Site
    slope_bound: float
    total: UnitStatistics
    recent: UnitStatistics
    points: tuple[Point, ...]


@final
@dataclass(frozen=True)
class ParameterQuantities:
    """What was measured of one parameter: the RMS of its last update over the RMS of its values, step by step.

    Attributes:
        name: its dotted name.
        updates: pairs of step and ratio.
    """

    name: str
    updates: tuple[tuple[int, float], ...]


@final
@dataclass(frozen=True)
class FirstNonFinite:
    """Where and when a number that is not finite was seen first."""

    site: Site
    step: int


@final
@dataclass(frozen=True)
class Quantities:
    """What was measured of a running network.

    Attributes:
        steps, measured: training steps seen, and those of them that were measured.
        sites: in the order in which a forward pass comes by.
        parameters: every parameter that trains.
        losses: pairs of step and loss, where the loss was told.
        first_non_finite: None where all was finite.
        unseen: what could not be looked into.
        fingerprints: of the different examples; None where they cannot be told apart, and all count as different.
    """

    steps: int
    measured: int
    sites: tuple[SiteQuantities, ...]
    parameters: tuple[ParameterQuantities, ...]
    losses: tuple[tuple[int, float], ...]
    first_non_finite: FirstNonFinite | None
    unseen: tuple[Unseen, ...]
    fingerprints: Fingerprints | None = None


def of_distinct(found: Quantities) -> Quantities:
    """The same, where a loop goes over its examples again and again: no unit was seen on more than there are."""
    if found.fingerprints is None:
        return found
    total, recent = found.fingerprints.total.numel(), found.fingerprints.recent.numel()
    sites = tuple(replace(at, total=_held(at.total, total), recent=_held(at.recent, recent)) for at in found.sites)
    return replace(found, sites=sites)


def _held(units: UnitStatistics, distinct: int) -> UnitStatistics:
    return replace(units, examples=min(units.examples, distinct), shown=units.examples)
