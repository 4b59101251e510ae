"""Every picture of a comparison, drawn from its facts; nothing here computes what is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actlab.report.facts import Course, Courses, Gap, Gaps, Prices
from actlab.report.labels import apart
from actlab.report.shape import ENDS, Line, Shape
from actlab.report.style import COLOURS, DERIVATIVE, INK, LINES, MARKERS, PAPER, QUIET, axes, image, look
from actlab.report.wording import name_text
from actlab.train.kinds import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL = (252.0, 176.0)  # points; one of several side by side
WIDE = 400.0
PANEL_TEXT, WIDE_TEXT = 9.0, 10.5
ROW = 30.0  # the height of one arm in the picture of differences
NAME = 20  # characters of an arm's name


def course_svg(course: Course, courses: Courses, *, metric: Metric) -> bytes:
    """The learning curve of one arm before the control's."""
    colour = COLOURS[course.verdict]
    with look(points=PANEL_TEXT, text_as="none"):
        figure, ax = axes(*PANEL)
        if courses.shows_baseline:
            ax.axhline(courses.baseline, color=QUIET, linewidth=1, linestyle=(0, (1, 2)))
        if course.verdict != "control":
            control = courses.arms[0]
            ax.plot(control.epochs, control.median, color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
        for band, share in ((course.outer, 0.14), (course.inner, 0.28)):
            low, high = zip(*band, strict=True)
            ax.fill_between(course.epochs, low, high, color=colour, alpha=share, linewidth=0)
        ax.plot(course.epochs, course.median, color=colour, marker=_dot(len(course.epochs)))
        ax.set_xlabel("epoch")
        ax.set_ylabel(_label(metric, limit=26))
        ax.set_ylim(*courses.limits)
        _whole_numbers(ax)
        return image(figure, "svg")


def gaps_svg(gaps: Gaps, *, metric: Metric, control: str) -> bytes:
    """The paired differences: a dot a seed, the interval, the region of practical equivalence, the zero line."""
    height = ROW * len(gaps.arms) + 52
    with look(points=WIDE_TEXT, text_as="none"):
        figure, ax = axes(WIDE, height)
        ax.axvspan(-gaps.region, gaps.region, color=COLOURS["equivalent"], alpha=0.16, linewidth=0)
        ax.axvline(0, color=INK, linewidth=1)
        for number, gap in enumerate(gaps.arms):
            _gap(ax, gap, place=number, ends=gaps.limits)
        ax.set_xlim(*gaps.limits)
        ax.set_ylim(len(gaps.arms) - 0.4, -0.6)
        ax.set_yticks(range(len(gaps.arms)), [name_text(gap.arm, limit=NAME) for gap in gaps.arms])
        ax.tick_params(axis="y", labelcolor=INK)
        ax.grid(visible=False, axis="y")
        ax.spines["left"].set_visible(False)
        ax.set_xlabel(f"test {metric.name}: difference from\n{name_text(control, limit=NAME)} ({metric.unit})")
        return image(figure, "svg")


def prices_svg(prices: Prices, *, metric: Metric) -> bytes:
    """What every arm reaches against what a training step of it costs."""
    with look(points=WIDE_TEXT, text_as="none"):
        figure, ax = axes(WIDE, 300)
        for price in prices.arms:
            ax.errorbar(
                price.relative_step,
                price.test,
                yerr=price.spread,
                fmt=MARKERS[price.verdict],
                color=COLOURS[price.verdict],
                markeredgecolor=PAPER,
                markersize=8,
                elinewidth=1.1,
            )
        ax.set_xlabel("time of a training step, relative to the control's (×)")
        ax.set_ylabel(f"test {_label(metric, limit=40)}")
        _name_points(ax, prices)
        return image(figure, "svg")


def shape_svg(shape: Shape) -> bytes:
    """An activation and its derivative, as a panel of several."""
    with look(points=PANEL_TEXT, text_as="none"):
        figure, ax = axes(*PANEL)
        draw_shape(ax, shape)
        return image(figure, "svg")


def draw_shape(ax: Axes, shape: Shape) -> None:
    """Draw an activation and its derivative on these axes."""
    ax.axhline(0, color=QUIET, linewidth=0.8)
    ax.axvline(0, color=QUIET, linewidth=0.8)
    _lines(ax, shape.derivative, colour=DERIVATIVE, dashes=(0, (4, 1.6)))
    _lines(ax, shape.value, colour=COLOURS["better"], dashes="solid")
    ax.set_xlim(*ENDS)
    ax.set_ylim(*shape.limits)
    ax.set_xlabel("input")
    ax.set_ylabel("value, derivative")


def _lines(ax: Axes, lines: tuple[Line, ...], *, colour: str, dashes: str | tuple[float, tuple[float, float]]) -> None:
    for line in lines:
        xs, ys = zip(*line, strict=True)
        ax.plot(xs, ys, color=colour, linestyle=dashes)


def _label(metric: Metric, *, limit: int) -> str:
    """Name and unit of the metric, on two lines where they are long."""
    between = " " if len(metric.name) + len(metric.unit) < limit else "\n"
    return f"{metric.name}{between}({metric.unit})"


def _dot(count: int) -> str:
    """A single epoch is a dot: a line of one point cannot be seen."""
    return "o" if count == 1 else ""


def _whole_numbers(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_locator(MaxNLocator(5))


def _gap(ax: Axes, gap: Gap, *, place: int, ends: tuple[float, float]) -> None:
    colour = COLOURS[gap.verdict]
    low, high = max(gap.low, ends[0]), min(gap.high, ends[1])
    ax.plot([low, high], [place, place], color=colour, linewidth=3, alpha=0.75, solid_capstyle="butt")
    for end, bound, arrow in ((gap.low, ends[0], "<"), (gap.high, ends[1], ">")):
        if end != max(min(end, ends[1]), ends[0]):  # it goes on beyond the picture
            ax.plot([bound], [place], marker=arrow, color=colour, markersize=7, clip_on=False)
    ax.scatter(gap.each, [place + 0.24] * len(gap.each), s=13, color=colour, alpha=0.55, linewidth=0)
    ax.plot(
        [gap.estimate],
        [place],
        marker=MARKERS[gap.verdict],
        color=colour,
        markersize=8,
        markeredgecolor=PAPER,
        zorder=3,
    )


def _name_points(ax: Axes, prices: Prices) -> None:
    """Names in a column at the right, each joined to its point: they can never lie on each other."""
    low, high = ax.get_ylim()
    ax.set_ylim(low, high)
    step = 0.058 * (high - low)
    places = apart([price.test for price in prices.arms], gap=step, limits=(low + step / 2, high - step / 2))
    across = ax.get_yaxis_transform()
    for price, place in zip(prices.arms, places, strict=True):
        ax.annotate(
            name_text(price.arm, limit=NAME),
            xy=(price.relative_step, price.test),
            xycoords="data",
            xytext=(1.03, place),
            textcoords=across,
            color=COLOURS[price.verdict],
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": LINES, "linewidth": 0.8, "shrinkA": 1, "shrinkB": 5},
        )
