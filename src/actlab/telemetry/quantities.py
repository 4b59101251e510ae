"""The measurements of a training run, as values; the rules about a running network read nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

from torch import Tensor

from actlab.sites.site import Site, Unseen
from actlab.telemetry.distinct_examples import Fingerprints


@final
@dataclass(frozen=True, eq=False)
class UnitStatistics:
    """The statistics of the inputs `z` of one activation `f`; each tensor is float64 with one element per unit.

    Attributes:
        examples: the number of distinct examples; the positions of one example and its repeats are not independent.
        positions: the number of values per unit.
        fired: at how many of them |f'(z)| exceeded the floor ε · max|f'|, and was not 0 in the dtype.
        slope_max, slope_mean: the maximum and the mean of |f'(z)|.
        mean, variance: those of the finite values of z.
        non_finite: the number of values that are NaN or infinite.
        histogram_borders, histogram: of z over all units; the first and the last bin count the values beyond.
        within: the variance of z about its mean in the same step, which excludes drift by training; NaN if no step had
            two examples, None if it was not measured.
        shown: the number of examples, repeats counted; None if none was repeated.
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
        """The number of examples, repeats counted."""
        return self.examples if self.shown is None else self.shown


@final
@dataclass(frozen=True)
class Point:
    """One measured step at one site.

    Attributes:
        step: the number of the training step, from 0.
        dead_share, saturated_share: shares of the units, in this step alone.
        zero_share: the share of the outputs that are exactly 0 (sparsity).
        mean, variance: those of the activation's output over the step.
        gradient_rms: the RMS of the gradient with respect to the activation's output, for a loss that is a mean over
            the batch, without a loss scale; NaN without a gradient.
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
    """The measurements at one site.

    Attributes:
        site: the site.
        slope_bound: the largest |f'| over all inputs.
        total: the statistics over all measured steps.
        recent: those over the last 512 to 1024 examples, enough to report a dead unit.
        points: step by step, at most 512, thinned evenly.
    """

    site: Site
    slope_bound: float
    total: UnitStatistics
    recent: UnitStatistics
    points: tuple[Point, ...]


@final
@dataclass(frozen=True)
class ParameterQuantities:
    """The updates of one parameter: the RMS of each update over the RMS of the values before it.

    Attributes:
        name: the dotted name of the parameter.
        updates: pairs of step and ratio.
    """

    name: str
    updates: tuple[tuple[int, float], ...]


@final
@dataclass(frozen=True)
class FirstNonFinite:
    """The first site and step with a value that is NaN or infinite."""

    site: Site
    step: int


@final
@dataclass(frozen=True)
class Quantities:
    """The measurements of a training run.

    Attributes:
        steps, measured: the number of training steps, and of those that were measured.
        sites: the sites in the order of a forward pass.
        parameters: every trainable parameter.
        losses: pairs of step and loss, if the loss is known.
        first_non_finite: the first value that is not finite, if there is any.
        unseen: the parts of the model that could not be inspected.
        fingerprints: those of the distinct examples; None if there are none, and then all count as distinct.
        broken: the names of the parameters that hold NaN or infinity after the last step.
    """

    steps: int
    measured: int
    sites: tuple[SiteQuantities, ...]
    parameters: tuple[ParameterQuantities, ...]
    losses: tuple[tuple[int, float], ...]
    first_non_finite: FirstNonFinite | None
    unseen: tuple[Unseen, ...]
    fingerprints: Fingerprints | None = None
    broken: tuple[str, ...] = ()


def of_distinct(found: Quantities) -> Quantities:
    """Limit the number of examples of every site to the number of distinct ones."""
    if found.fingerprints is None:
        return found
    total, recent = found.fingerprints.total.numel(), found.fingerprints.recent.numel()
    sites = tuple(replace(at, total=_held(at.total, total), recent=_held(at.recent, recent)) for at in found.sites)
    return replace(found, sites=sites)


def _held(units: UnitStatistics, distinct: int) -> UnitStatistics:
    return replace(units, examples=min(units.examples, distinct), shown=units.examples)
