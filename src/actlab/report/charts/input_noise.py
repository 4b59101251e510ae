"""Test results under noise in the inputs: one line for each arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actlab.report.chart import Chart, Compared, Picture
from actlab.report.labels import apart
from actlab.report.style import COLORS, LINES, MARKERS, PAPER, WIDE, WIDE_TEXT, axes, image, look
from actlab.report.table import ranked
from actlab.report.wording import metric_label, number_text, places_of
from actlab.sites.site_text import name_text
from actlab.study.measuring import NOISE
from actlab.train.kinds import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = 20  # characters of an arm's name


@dataclass(frozen=True)
class Line:
    """The mean test metric of one arm at each level of noise."""

    arm: str
    verdict: str
    means: tuple[float, ...]


@dataclass(frozen=True)
class Lines:
    """The lines of all arms, best first, and the levels of noise."""

    arms: tuple[Line, ...]
    levels: tuple[float, ...]
    metric: Metric
    places: int


def facts(data: Compared) -> Lines:
    """Return the mean metric of every arm at each level."""
    comparison = data.comparison
    noise = [each for each in comparison.measured if each.measure == NOISE]
    means = [{value.arm: value.mean for value in each.arms} for each in noise]
    arms = tuple(
        Line(arm.activation, arm.verdict, tuple(found for each in means if (found := each[arm.activation]) is not None))
        for arm in (ranked(comparison) if noise else ())
    )
    levels = tuple(each.level or 0.0 for each in noise)
    return Lines(arms, levels, comparison.metric, places_of(comparison.metric, region=comparison.region))


def svg(lines: Lines) -> bytes:
    """Draw a line for every arm; the levels are evenly spaced."""
    places = range(len(lines.levels))
    with look(points=WIDE_TEXT, text_as="none"):
        figure, ax = axes(WIDE, 280)
        for line in reversed(lines.arms):  # the best in front
            ax.plot(
                places,
                line.means,
                color=COLORS[line.verdict],
                marker=MARKERS[line.verdict],
                markeredgecolor=PAPER,
                markersize=7,
                linewidth=1.4,
            )
        ax.set_xticks(list(places), [f"{level:g}" if level else "none" for level in lines.levels])
        ax.set_xlabel("size of the noise in the inputs")
        ax.set_ylabel(f"test {metric_label(lines.metric, limit=40)}")
        _name_ends(ax, lines)
        return image(figure, "svg")


def _name_ends(ax: Axes, lines: Lines) -> None:
    """Write the names in a column at the right, each joined to the end of its line."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    ax.set_xlim(left, right)
    ax.set_ylim(low, high)
    step, last = 0.062 * (high - low), len(lines.levels) - 1
    heights = apart([line.means[-1] for line in lines.arms], gap=step, limits=(low + step / 2, high - step / 2))
    for line, height in zip(lines.arms, heights, strict=True):
        ax.annotate(
            name_text(line.arm, limit=NAME),
            xy=(last, line.means[-1]),
            xycoords="data",
            xytext=(1.03, (height - low) / (high - low)),
            textcoords="axes fraction",
            color=COLORS[line.verdict],
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": LINES, "linewidth": 0.8, "shrinkA": 1, "shrinkB": 5},
        )


def alt_text(lines: Lines) -> str:
    """Describe the lines in words."""
    each = "; ".join(
        f"{line.arm}: {number_text(line.means[0], lines.places)} without noise,"
        f" {number_text(line.means[-1], lines.places)} with noise of size {lines.levels[-1]:g}"
        for line in lines.arms
    )
    return f"Test {lines.metric.name}, in {lines.metric.unit}, by the noise in the inputs. {each}."


CHART = Chart(
    name="noise",
    title="Noise in the inputs: {metric} by its size",
    caption="{better} is better. Mean over the seeds of the models that were compared, on noisy test inputs.",
    order=25,
    page="comparison",
    facts=facts,
    draw=lambda lines: (Picture(svg(lines), alt_text(lines)),) if lines.arms else (),
)
