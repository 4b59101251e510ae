"""Test results against the time of a training step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actlab.report.chart import Chart, Compared, Key, Picture
from actlab.report.labels import apart, uncrossed
from actlab.report.style import COLORS, LINES, MARKERS, PAPER, QUIET, WIDE, WIDE_TEXT, axes, image, look
from actlab.report.table import ranked, spread
from actlab.report.wording import STEP_TIMES, metric_label, number_text, places_of, step_time_text
from actlab.sites.site_text import name_text
from actlab.study.comparison import STEP_TIME
from actlab.train.kinds import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = 20  # characters of an arm's name
COLUMN = 1.03  # the left end of the names, in widths of the axes


@dataclass(frozen=True)
class Price:
    """What one arm reaches, and the time of its training step relative to the control's, with its interval as text."""

    arm: str
    verdict: str
    relative_step: float
    limits: tuple[float, float]
    step_time: str
    test: float
    spread: float


@dataclass(frozen=True)
class Prices:
    """What all arms whose steps were timed reach and cost.

    Attributes:
        arms: these arms, best first.
        missing: the names of the others.
        front: the arms that no other one beats in both, the cheapest first.
        metric: the metric.
        places: decimal places of its values.
    """

    arms: tuple[Price, ...]
    missing: tuple[str, ...]
    front: tuple[str, ...]
    metric: Metric
    places: int


def facts(data: Compared) -> Prices:
    """Return what every arm reaches and costs."""
    comparison = data.comparison
    cost = comparison.cost
    relative = cost.relative_step
    arms = tuple(
        Price(
            arm=(name := arm.activation),
            verdict=arm.verdict,
            relative_step=relative[name],
            limits=(cost.relative_low.get(name, relative[name]), cost.relative_high.get(name, relative[name])),
            step_time=step_time_text(cost, name),
            test=arm.test,
            spread=spread(arm.tests),
        )
        for arm in ranked(comparison)
        if arm.activation in relative
    )
    missing = tuple(arm.activation for arm in comparison.arms if arm.activation not in relative)
    return Prices(
        arms=arms,
        missing=missing,
        front=comparison.fronts.get(STEP_TIME, ()),
        metric=comparison.metric,
        places=places_of(comparison.metric, region=comparison.region),
    )


def svg(prices: Prices) -> bytes:
    """Draw a point with an error bar for every arm."""
    with look(points=WIDE_TEXT, text_as="none"):
        figure, ax = axes(WIDE, 300)
        of = {price.arm: price for price in prices.arms}
        ax.plot(
            [of[arm].relative_step for arm in prices.front],
            [of[arm].test for arm in prices.front],
            color=QUIET,
            linewidth=1,
            linestyle=(0, (1, 2)),
        )
        for price in prices.arms:
            ax.errorbar(
                price.relative_step,
                price.test,
                xerr=[[price.relative_step - price.limits[0]], [price.limits[1] - price.relative_step]],
                yerr=price.spread,
                fmt=MARKERS[price.verdict],
                color=COLORS[price.verdict],
                markeredgecolor=PAPER,
                markersize=8,
                elinewidth=1.1,
            )
        ax.set_xlabel("time of a training step, relative to the control's (×)")
        ax.set_ylabel(f"test {metric_label(prices.metric, limit=40)}")
        _name_points(ax, prices)
        return image(figure, "svg")


def alt_text(prices: Prices) -> str:
    """Describe results and costs in words."""
    each = "; ".join(
        f"{price.arm}: {number_text(price.test, prices.places)} at {price.step_time}" for price in prices.arms
    )
    front = ", ".join(prices.front)
    return (
        f"Test {prices.metric.name}, in {prices.metric.unit}, against the time of a training step. {each}. No other arm"
        f" is better in both than: {front}."
    )


def draw(prices: Prices) -> tuple[Picture, ...]:
    """Draw the picture, unless no arm was timed."""
    return (Picture(svg(prices), alt_text(prices)),) if prices.arms else ()


def notes(prices: Prices) -> tuple[str, ...]:
    """Name the arms without a time."""
    if not prices.arms or not prices.missing:
        return ()
    return (f"Not timed: {', '.join(map(name_text, prices.missing))}.",)


def _name_points(ax: Axes, prices: Prices) -> None:
    """Write the names in a column at the right, each joined to its point, so that they never overlap."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    ax.set_xlim(left, right)
    ax.set_ylim(low, high)
    step = 0.058 * (high - low)
    places = apart([price.test for price in prices.arms], gap=step, limits=(low + step / 2, high - step / 2))
    # In shares of the axes, so that both directions count alike.
    points = [
        ((price.relative_step - left) / (right - left), (price.test - low) / (high - low)) for price in prices.arms
    ]
    heights = uncrossed(points, [(place - low) / (high - low) for place in places], at=COLUMN)
    for price, height in zip(prices.arms, heights, strict=True):
        ax.annotate(
            name_text(price.arm, limit=NAME),
            xy=(price.relative_step, price.test),
            xycoords="data",
            xytext=(COLUMN, height),
            textcoords="axes fraction",
            color=COLORS[price.verdict],
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": LINES, "linewidth": 0.8, "shrinkA": 1, "shrinkB": 5},
        )


CHART = Chart(
    name="cost",
    title="Cost: {metric} against step time",
    caption=(
        "{better} is better, left is cheaper. Mean over the seeds with one standard deviation, and the time of a"
        f" training step with its 95 % interval, measured separately, on one thread. {STEP_TIMES}"
    ),
    order=20,
    page="comparison",
    facts=facts,
    draw=draw,
    notes=notes,
    legend=lambda prices: (Key("dotted", "joins the arms (†) that no other one beats in both"),) if prices.arms else (),
    empty="No step was timed.",
    is_half=True,
)
