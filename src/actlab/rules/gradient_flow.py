"""What grows or dies out from site to site: the gradient on its way back, and the values on their way forward."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from actlab.formula.activation import Activation
from actlab.rules.dead_units import found
from actlab.rules.finding import Finding, Severity
from actlab.telemetry.depth_trend import Course, course
from actlab.telemetry.loss_trend import Progress, was_at_rest
from actlab.telemetry.quantities import Point, Quantities, SiteQuantities
from actlab.telemetry.settings import Settings


def vanishing_gradient(quantities: Quantities, progress: Progress, settings: Settings) -> Iterator[Finding]:
    """AL103, told at the first site."""
    if silent := _silent_front(quantities, settings):
        yield _silent(quantities, silent, progress)
        return
    sizes, line = _gradients(quantities, settings)
    if line is not None and line.slope > 0 and line.is_geometric(settings.vanishing_ratio, settings):
        message = (
            f"on its way back the loss's gradient falls by a factor of {math.exp(line.slope):.2g} a layer: at the first"
            f" of {line.layers} activations it is {1 / line.ratio:.1e} of the last one's, and early layers hardly learn"
        )
        evidence = {**line.evidence(), "gradients": tuple(sizes.values())}
        begins = _vanished(quantities, settings)
        is_late = was_at_rest(quantities.losses, begins, settings, fewest=settings.fewest_losses)
        severity = "information" if is_late else _unless_learned(progress)
        yield found("AL103", severity, message, _first(quantities), evidence)


def _vanished(quantities: Quantities, settings: Settings) -> int:
    """The step from which on the first site's gradient was that much smaller than the last one's."""
    sites = [at for at in _elementwise(quantities) if at.points]
    first, last = ({point.step: point.gradient_rms * math.sqrt(_numbers(at)) for point in at.points}
                   for at in (sites[0], sites[-1]))  # fmt: skip
    there = [step for step in first if step in last and first[step] * settings.vanishing_ratio >= last[step] > 0]
    return there[-1] + 1 if there else 0


def exploding_gradient(quantities: Quantities, progress: Progress, settings: Settings) -> Iterator[Finding]:
    """AL104, told at the first site."""
    sizes, line = _gradients(quantities, settings)
    if line is not None and line.slope < 0 and line.is_geometric(settings.vanishing_ratio, settings):
        message = (
            f"on its way back the loss's gradient grows by a factor of {math.exp(-line.slope):.2g} a layer: at"
            f" the first of {line.layers} activations it is {1 / line.ratio:.1e} times the last one's, and one step"
            " ruins what was learned"
        )
        evidence = {**line.evidence(), "gradients": tuple(sizes.values())}
        yield found("AL104", _unless_learned(progress), message, _first(quantities), evidence)


def spreading_of_values(quantities: Quantities, progress: Progress, settings: Settings) -> Iterator[Finding]:
    """AL105 and AL106, told at the last site, where it is worst."""
    sites = [at for at in _elementwise(quantities) if at.recent.examples > 1]
    spreads = [float(at.recent.variance.nanmean()) for at in sites]
    if not spreads or not all(0 < spread < math.inf for spread in spreads):
        return
    line = course([math.sqrt(spread) for spread in spreads])
    if line is None or not line.is_geometric(math.sqrt(settings.variance_ratio), settings):
        return
    grows = line.slope > 0
    factor = math.exp(2 * abs(line.slope))
    follows = "overflow is near in 16 bits" if grows else "the last layers see nearly the same for every example"
    message = (
        f"the variance of what activations are given {'grows' if grows else 'falls'} by a factor of {factor:.2g} a"
        f" layer, over {line.layers} of them from {spreads[0]:.2g} to {spreads[-1]:.2g}; {follows}"
    )
    evidence = {**line.evidence(), "variances": tuple(spreads), "examples": min(at.recent.examples for at in sites)}
    yield found("AL105" if grows else "AL106", _unless_learned(progress), message, sites[-1], evidence)


def _unless_learned(progress: Progress) -> Severity:
    return "information" if progress.learned else "warning"


def _elementwise(quantities: Quantities) -> list[SiteQuantities]:
    """The sites in order, without softmax: what it gives and gets is of another scale."""
    return [at for at in quantities.sites if isinstance(at.site.formula, Activation)]


def _first(quantities: Quantities) -> SiteQuantities:
    return _elementwise(quantities)[0]


def _gradients(quantities: Quantities, settings: Settings) -> tuple[dict[str, float], Course | None]:
    """The gradient's norm for one example, by site, and how it goes.

    The norm, not the RMS: it is what weights of variance 1/fan_in keep from layer to layer, and what pooling changes
    least. A site without a gradient says nothing here: a residual branch that begins at 0 has none at first.
    """
    sizes = {}
    for number, at in enumerate(_elementwise(quantities)):
        size = _median_gradient(at.points) * math.sqrt(_numbers(at))
        if size > 0 and math.isfinite(size):
            sizes[f"{number} {at.site.name}"] = size
    if max(sizes.values(), default=0.0) <= settings.gradient_floor:
        return sizes, None
    return sizes, course(list(sizes.values()))


def _median_gradient(points: tuple[Point, ...]) -> float:
    sizes = [point.gradient_rms for point in points if math.isfinite(point.gradient_rms)]
    return median(sizes) if sizes else math.nan


def _numbers(at: SiteQuantities) -> int:
    """How many numbers one example has at the site."""
    return math.prod(at.site.shape[1:]) if len(at.site.shape) > 1 else 1


def _silent_front(quantities: Quantities, settings: Settings) -> int:
    """How many of the first sites never got a gradient though the last did; 0 if that may be the start's doing."""
    sites = [at for at in _elementwise(quantities) if at.points]
    if len(sites) < settings.fewest_layers or min(len(at.points) for at in sites) < settings.fewest_steps:
        return 0
    sizes = [_median_gradient(at.points) for at in sites]
    front = next((place for place, size in enumerate(sizes) if size != 0), 0)
    reaches = all(size > 0 for size in sizes[front:]) and front > 0
    return front if reaches and max(sizes[front:]) > settings.gradient_floor else 0


def _silent(quantities: Quantities, silent: int, progress: Progress) -> Finding:
    sites = _elementwise(quantities)
    message = f"no gradient reaches the first {silent} of {len(sites)} activations: it is exactly 0 there"
    evidence = {
        "layers": len(sites),
        "silent": silent,
        "gradients": tuple(_median_gradient(at.points) for at in sites),
        "points": min(len(at.points) for at in sites),
    }
    return found("AL103", _unless_learned(progress), message, sites[0], evidence)
