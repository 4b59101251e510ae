"""Learning curves: the validation metric of every arm by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

from actlab.report.axis_limits import Limits, padded
from actlab.report.chart import Chart, Compared, Key, Picture
from actlab.report.style import COLORS, INK, PANEL, PANEL_TEXT, QUIET, axes, image, look
from actlab.report.table import ranked
from actlab.report.wording import metric_label, number_text, places_of
from actlab.study.comparison import ArmResult, Comparison
from actlab.train.kinds import Metric, after_number
from actlab.train.loop import Epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAR = 1.6
"""Multiple of the baseline's error above which a learning curve is cut off."""


@dataclass(frozen=True)
class Course:
    """The validation metric of one arm over the epochs, summarized over its seeds.

    Attributes:
        arm: its name.
        verdict: what was found about it.
        epochs: 1, 2, ...
        median: the median over the seeds.
        inner: lower and upper quartile.
        outer: lowest and highest seed.
        ended: how many seeds diverged; from then on they count as the baseline. One that reached its plateau before the
            last epoch stays at its last value.
        seeds: how many seeds there are.
    """

    arm: str
    verdict: str
    epochs: tuple[int, ...]
    median: tuple[float, ...]
    inner: tuple[Limits, ...]
    outer: tuple[Limits, ...]
    ended: int
    seeds: int


@dataclass(frozen=True)
class Courses:
    """The learning curves of all arms, on the same axes; the baseline may lie outside of them."""

    arms: tuple[Course, ...]
    limits: Limits
    baseline: float
    baseline_name: str
    metric: Metric
    places: int

    @property
    def shows_baseline(self) -> bool:
        """Whether the baseline lies within the axes."""
        return self.limits[0] <= self.baseline <= self.limits[1]


def facts(data: Compared) -> Courses:
    """Return the learning curves."""
    comparison = data.comparison
    longest = max((len(curve) for arm in comparison.arms for curve in arm.curves), default=0)
    arms = tuple(_course(arm, comparison, length=longest) for arm in ranked(comparison))
    shown = [value for arm in arms for pair in arm.inner for value in pair]
    if not comparison.metric.larger_is_better:
        last = [arm.median[-1] for arm in arms if arm.median]
        # An error that explodes would press all other curves flat against the axis.
        most = max([FAR * comparison.baseline, *(1.1 * value for value in last if value < 4 * comparison.baseline)])
        shown = [min(value, most) for value in shown]
    return Courses(
        arms=arms,
        limits=padded(shown or [comparison.baseline]),
        baseline=comparison.baseline,
        baseline_name=comparison.baseline_name,
        metric=comparison.metric,
        places=places_of(comparison.metric, region=comparison.region),
    )


def svg(course: Course, courses: Courses) -> bytes:
    """Draw the learning curve of one arm in front of the control's."""
    color = COLORS[course.verdict]
    with look(points=PANEL_TEXT, text_as="none"):
        figure, ax = axes(*PANEL)
        if courses.shows_baseline:
            ax.axhline(courses.baseline, color=QUIET, linewidth=1, linestyle=(0, (1, 2)))
        if course.verdict != "control":
            control = courses.arms[0]
            ax.plot(control.epochs, control.median, color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
        for band, share in ((course.outer, 0.14), (course.inner, 0.28)):
            low, high = zip(*band, strict=True)
            ax.fill_between(course.epochs, low, high, color=color, alpha=share, linewidth=0)
        # A line of a single point is invisible without a marker.
        ax.plot(course.epochs, course.median, color=color, marker="o" if len(course.epochs) == 1 else "")
        ax.set_xlabel("epoch")
        ax.set_ylabel(metric_label(courses.metric, limit=26))
        ax.set_ylim(*courses.limits)
        _whole_numbers(ax)
        return image(figure, "svg")


def alt_text(course: Course, courses: Courses) -> str:
    """Describe a learning curve in words."""
    metric, places = courses.metric, courses.places
    first, last = (number_text(course.median[end], places) for end in (0, -1))
    low, high = (number_text(value, places) for value in course.outer[-1])
    return (
        f"Learning curve of {course.arm}: the median validation {metric.name} goes from"
        f" {first}{after_number(metric.unit)} after the first epoch to {last} after epoch {course.epochs[-1]}, where"
        f" the seeds lie between {low} and {high}."
    )


def draw(courses: Courses) -> tuple[Picture, ...]:
    """Draw one picture for every arm that completed an epoch."""
    return tuple(
        Picture(
            svg(course, courses),
            alt_text(course, courses),
            name=course.arm,
            verdict=course.verdict,
            remark=f"{course.ended} of {course.seeds} seeds diverged" if course.ended else "",
        )
        for course in courses.arms
        if course.epochs
    )


def legend(courses: Courses) -> tuple[Key, ...]:
    """Explain lines and bands."""
    baseline = (
        (Key("dotted", f"{courses.baseline_name.removeprefix('the ')}, {{baseline}}"),)
        if courses.shows_baseline
        else ()
    )
    return (
        Key("", "median over the seeds"),
        Key("inner", "middle half of the seeds"),
        Key("outer", "all seeds"),
        Key("dashed", "the control, {control}"),
        *baseline,
    )


def _course(arm: ArmResult, comparison: Comparison, *, length: int) -> Course:
    seeds = comparison.plan.seeds[: len(arm.curves)]
    runs = [
        _lengthened(
            curve, length=length, after=comparison.baseline if seed in arm.diverged_seeds or not curve else None
        )
        for curve, seed in zip(arm.curves, seeds, strict=True)
    ]
    each = list(zip(*runs, strict=True))
    return Course(
        arm=arm.activation,
        verdict=arm.verdict,
        epochs=tuple(range(1, length + 1)),
        median=tuple(median(values) for values in each),
        inner=tuple(_quartiles(values) for values in each),
        outer=tuple((min(values), max(values)) for values in each),
        ended=len(arm.diverged_seeds),
        seeds=len(arm.curves),
    )


def _lengthened(curve: Sequence[Epoch], *, length: int, after: float | None) -> list[float]:
    """Fill the validation metrics to full length: leaving out a diverged seed would flatter the arm.

    Args:
        curve: the epochs of a seed.
        length: the number of epochs of the longest curve.
        after: what a seed that diverged counts as; None for one that did not, which stays at its last value.
    """
    values = [epoch.valid for epoch in curve]
    return values + [values[-1] if after is None else after] * (length - len(curve))


def _quartiles(values: Sequence[float]) -> Limits:
    if len(values) < 2:
        return values[0], values[0]
    lower, _, upper = quantiles(values, n=4, method="inclusive")
    return lower, upper


def _whole_numbers(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_locator(MaxNLocator(5))


CHART = Chart(
    name="learning",
    title="Learning curves: validation {metric} by epoch",
    caption="",
    order=30,
    page="comparison",
    facts=facts,
    draw=draw,
    legend=legend,
    empty="No run completed its first epoch.",
)
