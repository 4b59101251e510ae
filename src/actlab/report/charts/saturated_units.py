"""The share of saturated units over depth and time."""

from __future__ import annotations

from actlab.report.chart import Chart, Picture
from actlab.report.depth_lines import LEGEND, moments_in_words, share_svg
from actlab.report.moments import Moment, moments
from actlab.telemetry.quantities import Quantities


def facts(quantities: Quantities) -> tuple[Moment, ...]:
    """Return the share of saturated units at each site."""
    return moments(quantities, lambda point: point.saturated_share)


def alt_text(shown: tuple[Moment, ...]) -> str:
    """Describe the shares in words."""
    return moments_in_words(shown, of="Saturated units")


CHART = Chart(
    name="saturated",
    title="Saturated units",
    caption="units whose mean derivative is near zero on a flat side of the function",
    order=30,
    page="diagnosis",
    facts=facts,
    draw=lambda shown: (Picture(share_svg(shown), alt_text(shown)),) if shown else (),
    legend=lambda shown: LEGEND,
)
