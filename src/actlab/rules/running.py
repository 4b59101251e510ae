"""The findings about a running network, from what was measured of it."""

from __future__ import annotations

from actlab.rules.dead_units import constant_units, dead_units
from actlab.rules.finding import Finding
from actlab.rules.gradient_flow import exploding_gradient, spreading_of_values, vanishing_gradient
from actlab.rules.loss_plateau import loss_does_not_move
from actlab.rules.saturation import saturated_units
from actlab.rules.training import non_finite, updates
from actlab.telemetry.loss_trend import progress
from actlab.telemetry.quantities import Quantities
from actlab.telemetry.settings import Settings


def running_findings(quantities: Quantities, settings: Settings) -> tuple[Finding, ...]:
    """Everything that the quantities say, by id and then in the order of the sites.

    Args:
        quantities: what was measured; the findings rest on nothing else.
        settings: the thresholds.
    """
    course = progress(quantities.losses, settings)
    rules = (
        dead_units,
        saturated_units,
        vanishing_gradient,
        exploding_gradient,
        spreading_of_values,
        non_finite,
        updates,
        constant_units,
    )
    found = [finding for rule in rules for finding in rule(quantities, course, settings)]
    found.extend(loss_does_not_move(found, course))
    return tuple(sorted(found, key=lambda finding: finding.id))
