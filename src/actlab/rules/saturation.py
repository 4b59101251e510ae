"""Saturated units: those that stay where the function is flat without being exactly linear."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from actlab.rules.dead_units import found, indices, is_dead, unit_sites
from actlab.rules.finding import Finding, Severity
from actlab.telemetry.loss_trend import Progress
from actlab.telemetry.quantities import Quantities, SiteQuantities
from actlab.telemetry.settings import Settings
from actlab.theory.properties import properties
from actlab.theory.record import Properties


def saturated_units(quantities: Quantities, course: Progress, settings: Settings) -> Iterator[Finding]:
    """AL102, site by site."""
    for at in unit_sites(quantities):
        known = properties(at.site.measured)
        if not isinstance(known.saturates, tuple) or not known.saturates or not math.isfinite(at.slope_bound):
            continue
        flat = _is_saturated(at, known, settings)
        if len(known.saturates) == 1:
            flat = flat & ~is_dead(at.recent)  # a rectifier's silent units are dead, and told as such
        if at.recent.looked_at < settings.fewest_examples or not bool(flat.any()):
            continue
        is_last = at is quantities.sites[-1]
        yield _finding(at, flat, _severity(at, flat, known, is_last, course, settings))


def _is_saturated(at: SiteQuantities, known: Properties, settings: Settings) -> Tensor:
    units = at.recent
    flat = (units.slope_mean < settings.saturated_floor * at.slope_bound) & (units.positions > units.non_finite)
    if known.monotone is True:
        return flat
    # It is flat at its turns too, and that is no saturation.
    turns = [turn.at for each in (known.minima, known.maxima) if isinstance(each, tuple) for turn in each]
    lowest, highest = min(turns, default=-math.inf), max(turns, default=math.inf)
    outside = torch.zeros_like(flat)
    if "left" in known.saturates:  # type: ignore[operator]  # not unknown: asked above
        outside |= units.mean < lowest
    if "right" in known.saturates:  # type: ignore[operator]  # likewise
        outside |= units.mean > highest
    return flat & outside


def _severity(
    at: SiteQuantities, flat: Tensor, known: Properties, is_last: bool, course: Progress, settings: Settings
) -> Severity:
    """By consequence: what is flat on one side only is sparse, and an output that is sure and right is well."""
    share = float(flat.double().mean())
    if share <= settings.most or len(known.saturates) < 2:  # type: ignore[arg-type]  # not unknown
        return "information"
    from_start = bool(at.points) and at.points[0].saturated_share > settings.most
    if share > settings.nearly_all and from_start and not is_last:
        return "warning"  # the layers behind it may learn of what it happens to give: those before it cannot
    if course.learned:
        return "information"
    if is_last:
        return "warning" if from_start and course.first > settings.confident_loss else "information"
    return "warning" if from_start or course.stalls else "information"


def _finding(at: SiteQuantities, flat: Tensor, severity: Severity) -> Finding:
    count, width, units = int(flat.sum()), flat.numel(), at.recent
    slope = float(units.slope_mean[flat].mean()) / at.slope_bound
    evidence = {
        "examples": units.examples,
        "units": width,
        "saturated": count,
        "saturated_share": count / width,
        "mean_slope": slope,
        "at_start": at.points[0].saturated_share if at.points else None,
        "saturated_units": indices(flat),
    }
    message = (
        f"{at.site.activation} at {at.site.name}: {count} of {width} units are saturated: over {units.examples}"
        f" examples their mean slope is {slope:.1%} of the largest, and what lies before them learns as much slower"
    )
    return found("AL102", severity, message, at, evidence)
