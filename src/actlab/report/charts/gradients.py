"""The size of the gradient over depth and time."""

from __future__ import annotations

from actlab.report.chart import Chart, Picture
from actlab.report.depth_lines import LEGEND, logarithmic_svg, moments_in_words
from actlab.report.moments import Moment, moments
from actlab.telemetry.quantities import Quantities


def facts(quantities: Quantities) -> tuple[Moment, ...]:
    """Return the RMS of the loss's gradient with respect to each activation's output."""
    return moments(quantities, lambda point: point.gradient_rms)


def svg(shown: tuple[Moment, ...]) -> bytes:
    """Draw the gradients on a logarithmic axis."""
    return logarithmic_svg(shown, label="gradient, RMS")


def alt_text(shown: tuple[Moment, ...]) -> str:
    """Describe the gradients in words."""
    return moments_in_words(shown, of="Size of the gradient")


CHART = Chart(
    name="gradients",
    title="Gradient size",
    caption="RMS of the loss gradient with respect to each activation's output",
    order=10,
    page="diagnosis",
    facts=facts,
    draw=lambda shown: (Picture(svg(shown), alt_text(shown)),) if shown else (),
    legend=lambda shown: LEGEND,
)
