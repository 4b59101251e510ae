"""Sizes from layer to layer: of the gradient on its way back, and of the activations on their way forward."""

from __future__ import annotations

import math
from statistics import median

from actlab.formula.activation import Activation
from actlab.rules.finding import Severity
from actlab.rules.rule import Found, found
from actlab.rules.run import Run
from actlab.telemetry.depth_trend import Course, course
from actlab.telemetry.loss_trend import Progress
from actlab.telemetry.quantities import Point, Quantities, SiteQuantities, UnitStatistics
from actlab.telemetry.settings import Settings


def elementwise_sites(quantities: Quantities) -> list[SiteQuantities]:
    """Return the sites in order, without softmax, whose inputs and outputs are on another scale."""
    return [at for at in quantities.sites if isinstance(at.site.formula, Activation)]


def unless_learned(loss: Progress) -> Severity:
    """Return "warning", or "information" if the loss halved all the same."""
    return "information" if loss.learned else "warning"


def gradients(quantities: Quantities, settings: Settings) -> tuple[dict[str, float], Course | None]:
    """Return the norm of one example's gradient by site, and its trend over depth.

    The norm rather than the RMS: weights of variance 1/fan_in preserve it from layer to layer, and pooling changes it
    least. A site without a gradient does not count: a residual branch that begins at 0 has none at first.
    """
    sizes = {}
    for number, at in enumerate(elementwise_sites(quantities)):
        size = median_gradient(at.points) * math.sqrt(numbers_per_example(at))
        if size > 0 and math.isfinite(size):
            sizes[f"{number} {at.site.name}"] = size
    if max(sizes.values(), default=0.0) <= settings.gradient_floor:
        return sizes, None
    return sizes, course(list(sizes.values()))


def median_gradient(points: tuple[Point, ...]) -> float:
    """Return the median RMS of the gradient over the measured steps; NaN without any."""
    finite = [point.gradient_rms for point in points if math.isfinite(point.gradient_rms)]
    return median(finite) if finite else math.nan


def numbers_per_example(at: SiteQuantities) -> int:
    """Return how many numbers one example has at the site."""
    return math.prod(max(1, size) for size in at.site.shape[1:])  # -1 stands for a size that varies


def _spread(units: UnitStatistics) -> float:
    """Return the variance over examples, without what training changes from step to step if that is known."""
    within = math.nan if units.within is None else float(units.within.nanmean())
    return within if math.isfinite(within) else float(units.variance.nanmean())


def variance_trend(run: Run, *, grows: bool) -> Found | None:
    """Return a report, at the last site, if the variance of activations changes geometrically this way."""
    sites = [at for at in elementwise_sites(run.quantities) if at.recent.examples > 1]
    spreads = [_spread(at.recent) for at in sites]
    if not spreads or not all(0 < spread < math.inf for spread in spreads):
        return None
    line = course([math.sqrt(spread) for spread in spreads])
    if line is None or (line.slope > 0) != grows:
        return None
    if not line.is_geometric(math.sqrt(run.settings.variance_ratio), run.settings):
        return None
    factor = math.exp(2 * abs(line.slope))
    follows = "16-bit numbers may overflow" if grows else "the last layers see nearly the same input for every example"
    return found(
        f"the variance of the activations' inputs {'grows' if grows else 'falls'} by a factor of {factor:.2g} per"
        f" layer, from {spreads[0]:.2g} to {spreads[-1]:.2g} over {line.layers} layers; {follows}",
        site=sites[-1].site,
        severity=unless_learned(run.loss),
        **line.evidence(),
        variances=tuple(spreads),
        examples=min(at.recent.examples for at in sites),
    )
