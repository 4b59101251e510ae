"""The data of every picture of a comparison, as frozen values; nothing here draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from actlab.report.table import ranked, spread
from actlab.study.comparison import ArmResult, Comparison
from actlab.study.verdict import BETTER, UNDECIDED
from actlab.train.loop import Epoch

Limits = tuple[float, float]

ROOM = 0.06
"""Of a picture's span, left free beyond the outermost value."""

FAR = 1.6
"""Times the error of the best constant answer: further up, a learning curve is cut off."""


@dataclass(frozen=True)
class Course:
    """The validation metric of one arm over the epochs, summed up over its seeds.

    Attributes:
        arm: its name.
        verdict: what was found about it.
        epochs: 1, 2, ...
        median: the median over the seeds.
        inner: lower and upper quartile.
        outer: lowest and highest seed.
        ended: how many seeds diverged before the last epoch; from there on they count as the best constant answer.
    """

    arm: str
    verdict: str
    epochs: tuple[int, ...]
    median: tuple[float, ...]
    inner: tuple[Limits, ...]
    outer: tuple[Limits, ...]
    ended: int


@dataclass(frozen=True)
class Courses:
    """The learning curves of all arms, on one pair of axes; the best constant answer may lie outside of it."""

    arms: tuple[Course, ...]
    limits: Limits
    baseline: float

    @property
    def shows_baseline(self) -> bool:
        """Whether the best constant answer lies within the axes."""
        return self.limits[0] <= self.baseline <= self.limits[1]


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


@dataclass(frozen=True)
class Price:
    """What one arm reaches and what a training step of it costs, relative to the control's."""

    arm: str
    verdict: str
    relative_step: float
    test: float
    spread: float


@dataclass(frozen=True)
class Prices:
    """What all arms whose steps were timed reach and cost; `missing` names the others."""

    arms: tuple[Price, ...]
    missing: tuple[str, ...]


def courses(comparison: Comparison) -> Courses:
    """The learning curves."""
    longest = max((len(curve) for arm in comparison.arms for curve in arm.curves), default=0)
    arms = tuple(_course(arm, length=longest, after=comparison.baseline) for arm in ranked(comparison))
    shown = [value for arm in arms for pair in arm.inner for value in pair]
    if not comparison.metric.larger_is_better:
        last = [arm.median[-1] for arm in arms if arm.median]
        # An error that explodes would press all other curves flat against the axis.
        most = max([FAR * comparison.baseline, *(1.1 * value for value in last if value < 4 * comparison.baseline)])
        shown = [min(value, most) for value in shown]
    return Courses(arms, with_room(shown or [comparison.baseline]), comparison.baseline)


def gaps(comparison: Comparison) -> Gaps:
    """The paired differences with their intervals."""
    arms = tuple(
        Gap(arm.activation, arm.verdict, found.each, found.estimate, found.low, found.high)
        for arm in ranked(comparison)
        if (found := arm.difference) is not None
    )
    shown = [value for arm in arms for value in (*arm.each, arm.low, arm.high) if math.isfinite(value)]
    return Gaps(arms, comparison.region, with_room([*shown, 0.0, comparison.region, -comparison.region]))


def prices(comparison: Comparison) -> Prices:
    """What every arm reaches and costs."""
    relative = comparison.cost.relative_step
    arms = tuple(
        Price(arm.activation, arm.verdict, relative[arm.activation], arm.test, spread(arm.tests))
        for arm in ranked(comparison)
        if arm.activation in relative
    )
    missing = tuple(arm.activation for arm in comparison.arms if arm.activation not in relative)
    return Prices(arms, missing)


def with_room(values: Sequence[float]) -> Limits:
    """Limits that hold all values, with some room beyond.

    Example:
        >>> with_room([0.0, 100.0]), with_room([3.0])
        ((-6.0, 106.0), (2.0, 4.0))
    """
    low, high = min(values), max(values)
    room = ROOM * (high - low) or 1.0
    return low - room, high + room


def _course(arm: ArmResult, *, length: int, after: float) -> Course:
    runs = [_lengthened(curve, length=length, after=after) for curve in arm.curves]
    each = list(zip(*runs, strict=True))
    return Course(
        arm=arm.activation,
        verdict=arm.verdict,
        epochs=tuple(range(1, length + 1)),
        median=tuple(median(values) for values in each),
        inner=tuple(_quartiles(values) for values in each),
        outer=tuple((min(values), max(values)) for values in each),
        ended=sum(len(curve) < length for curve in arm.curves),
    )


def _lengthened(curve: Sequence[Epoch], *, length: int, after: float) -> list[float]:
    """The validation metrics, to full length: leaving a diverged seed out would flatter the arm."""
    return [epoch.valid for epoch in curve] + [after] * (length - len(curve))


def _quartiles(values: Sequence[float]) -> Limits:
    if len(values) < 2:
        return values[0], values[0]
    lower, _, upper = quantiles(values, n=4, method="inclusive")
    return lower, upper


def tone(comparison: Comparison) -> str:
    """The verdict that the whole comparison amounts to: the control can be bettered, matched, or neither."""
    verdicts = {arm.verdict for arm in comparison.arms[1:]}
    if BETTER in verdicts:
        return BETTER
    return verdicts.pop() if len(verdicts) == 1 else UNDECIDED
