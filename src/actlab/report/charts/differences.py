"""Paired differences from the control, with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actlab.report.axis_limits import Limits, padded
from actlab.report.chart import Chart, Compared, Key, Picture
from actlab.report.style import COLORS, INK, MARKERS, PAPER, WIDE, WIDE_TEXT, axes, image, look
from actlab.report.table import ranked
from actlab.report.wording import change_text, places_of
from actlab.sites.site_text import name_text
from actlab.train.kinds import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 30.0  # points; the height of one arm
NAME = 20  # characters of an arm's name


@dataclass(frozen=True)
class Gap:
    """The paired differences of one arm from the control.

    Attributes:
        arm: its name.
        verdict: what was found about it.
        each: one difference a seed.
        estimate: their Hodges-Lehmann estimate.
        low: the interval's lower end, possibly infinite.
        high: the interval's upper end, possibly infinite.
    """

    arm: str
    verdict: str
    each: tuple[float, ...]
    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Gaps:
    """The paired differences of all candidates, the best first."""

    arms: tuple[Gap, ...]
    region: float
    limits: Limits
    control: str
    metric: Metric
    places: int


def facts(data: Compared) -> Gaps:
    """Return the paired differences with their intervals."""
    comparison = data.comparison
    arms = tuple(
        Gap(arm.activation, arm.verdict, found.each, found.estimate, found.low, found.high)
        for arm in ranked(comparison)
        if (found := arm.difference) is not None
    )
    shown = [value for arm in arms for value in (*arm.each, arm.low, arm.high) if math.isfinite(value)]
    return Gaps(
        arms=arms,
        region=comparison.region,
        limits=padded([*shown, 0.0, comparison.region, -comparison.region]),
        control=comparison.control.activation,
        metric=comparison.metric,
        places=places_of(comparison.metric, region=comparison.region),
    )


def svg(gaps: Gaps) -> bytes:
    """Draw a dot for each seed, the intervals, the region of practical equivalence, and the zero line."""
    height = ROW * len(gaps.arms) + 52
    with look(points=WIDE_TEXT, text_as="none"):
        figure, ax = axes(WIDE, height)
        ax.axvspan(-gaps.region, gaps.region, color=COLORS["equivalent"], alpha=0.16, linewidth=0)
        ax.axvline(0, color=INK, linewidth=1)
        for number, gap in enumerate(gaps.arms):
            _gap(ax, gap, place=number, ends=gaps.limits)
        ax.set_xlim(*gaps.limits)
        ax.set_ylim(len(gaps.arms) - 0.4, -0.6)
        ax.set_yticks(range(len(gaps.arms)), [name_text(gap.arm, limit=NAME) for gap in gaps.arms])
        ax.tick_params(axis="y", labelcolor=INK)
        ax.grid(visible=False, axis="y")
        ax.spines["left"].set_visible(False)
        control = name_text(gaps.control, limit=NAME)
        ax.set_xlabel(f"test {gaps.metric.name}: difference from\n{control} ({gaps.metric.unit})")
        return image(figure, "svg")


def alt_text(gaps: Gaps) -> str:
    """Describe the differences in words."""
    each = "; ".join(
        f"{gap.arm}, {gap.verdict}: {change_text(gap.estimate, gaps.places)},"
        f" interval {change_text(gap.low, gaps.places)} to {change_text(gap.high, gaps.places)}"
        for gap in gaps.arms
    )
    return f"Differences from the control in test {gaps.metric.name}, in {gaps.metric.unit}. {each}."


def _gap(ax: Axes, gap: Gap, *, place: int, ends: Limits) -> None:
    color = COLORS[gap.verdict]
    low, high = max(gap.low, ends[0]), min(gap.high, ends[1])
    ax.plot([low, high], [place, place], color=color, linewidth=3, alpha=0.75, solid_capstyle="butt")
    for end, bound, arrow in ((gap.low, ends[0], "<"), (gap.high, ends[1], ">")):
        if end != max(min(end, ends[1]), ends[0]):  # it extends beyond the picture
            ax.plot([bound], [place], marker=arrow, color=color, markersize=7, clip_on=False)
    ax.scatter(gap.each, [place + 0.24] * len(gap.each), s=13, color=color, alpha=0.55, linewidth=0)
    ax.plot(
        [gap.estimate],
        [place],
        marker=MARKERS[gap.verdict],
        color=color,
        markersize=8,
        markeredgecolor=PAPER,
        zorder=3,
    )


CHART = Chart(
    name="differences",
    title="Differences from the control",
    caption=(
        "Test {metric}, the same seeds with both activations. A small dot is one seed, the large mark the"
        " Hodges–Lehmann estimate, the bar the interval: if it crosses the line at zero, no difference is shown."
    ),
    order=10,
    page="comparison",
    facts=facts,
    draw=lambda gaps: (Picture(svg(gaps), alt_text(gaps)),),
    legend=lambda gaps: (Key("region", "within ±{region}, too small to matter"),),
    is_half=True,
)
