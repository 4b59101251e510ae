"""What every picture shows, in words, for those who do not see it."""

from __future__ import annotations

from collections.abc import Sequence

from actlab.report.facts import Course, Gaps, Prices
from actlab.report.health_facts import Moment
from actlab.report.shape import ENDS, Shape
from actlab.report.wording import change_text, number_text, ratio_text
from actlab.train.kinds import Metric


def course_in_words(course: Course, *, metric: Metric, places: int) -> str:
    """A learning curve in words."""
    first, last = (number_text(course.median[end], places) for end in (0, -1))
    low, high = (number_text(value, places) for value in course.outer[-1])
    return (
        f"Learning curve of {course.arm}: the median validation {metric.name} goes from {first} {metric.unit} after"
        f" the first epoch to {last} after epoch {course.epochs[-1]}, where the seeds lie between {low} and {high}."
    )


def gaps_in_words(gaps: Gaps, *, metric: Metric, places: int) -> str:
    """The paired differences in words."""
    each = "; ".join(
        f"{gap.arm}, {gap.verdict}: {change_text(gap.estimate, places)},"
        f" interval {change_text(gap.low, places)} to {change_text(gap.high, places)}"
        for gap in gaps.arms
    )
    return f"Differences from the control in test {metric.name}, in {metric.unit}. {each}."


def prices_in_words(prices: Prices, *, metric: Metric, places: int) -> str:
    """Results against costs in words."""
    each = "; ".join(
        f"{price.arm}: {number_text(price.test, places)} at {ratio_text(price.relative_step)}" for price in prices.arms
    )
    return f"Test {metric.name}, in {metric.unit}, against the time of a training step. {each}."


def shape_in_words(shape: Shape) -> str:
    """An activation's curve in words."""
    (_, left), (_, right) = shape.value[0][0], shape.value[-1][-1]
    return (
        f"{shape.label} and its derivative for inputs from {ENDS[0]:g} to {ENDS[1]:g};"
        f" its value goes from {left:.3g} to {right:.3g}."
    )


def moments_in_words(moments: Sequence[Moment], *, of: str) -> str:
    """A quantity over depth and time in words."""
    each = "; ".join(
        f"at step {moment.step}: {', '.join('none' if value is None else f'{value:.2g}' for value in moment.values)}"
        for moment in (moments[0], moments[-1])
    )
    return f"{of} at every site from input to output; {each}."
