"""Choose learning rates: for every arm and seed on its own validation data, and the range for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean

from actlab.study.outcome import Outcome
from actlab.study.plan import EXTENSION, FARTHEST, MOST_EXTENSIONS, Plan, Trial
from actlab.train.kinds import Metric

Done = Mapping[Trial, Outcome]

SHARE_AT_END = 0.5
"""The share of an arm's seeds that must choose an end of the range for the range to be extended there."""


def chosen(plan: Plan, done: Done, *, points: Sequence[int], look: int, metric: Metric) -> dict[str, tuple[int, ...]]:
    """Return the point that every arm chose with each seed: the best on validation data, the middle one of equals."""
    seeds = plan.seeds[: plan.looks[look].seeds]
    return {arm: tuple(_best(arm, seed, done, points=points, metric=metric) for seed in seeds) for arm in plan.arms}


def _best(arm: str, seed: int, done: Done, *, points: Sequence[int], metric: Metric) -> int:
    values = {point: metric.gain(done[Trial(arm, point, seed)].valid, over=0.0) for point in sorted(points)}
    most = max(values.values())
    equals = [point for point, value in values.items() if value == most]
    return equals[(len(equals) - 1) // 2]


def tuned(plan: Plan, done: Done, *, arm: str, points: Sequence[int], look: int) -> tuple[float, ...]:
    """Return the validation metric of an arm at every learning rate, averaged over the seeds."""
    seeds = plan.seeds[: plan.looks[look].seeds]
    return tuple(mean(done[Trial(arm, point, seed)].valid for seed in seeds) for point in points)


def extension(plan: Plan, done: Done, *, points: Sequence[int], metric: Metric, region: float) -> tuple[int, ...]:
    """Return the points by which the range is extended: beyond each end where an arm seems to get better still.

    It does if half of its seeds choose the end, or if it is best there on average, and better than in the middle of the
    range by more than `region`. The range is the same for all arms. It is extended at most three times at each end,
    within a factor of forty, and not at all if the plan has a single rate. The seeds of the first look decide.
    """
    low, high = min(points), max(points)
    if low == high:
        return ()
    choices = chosen(plan, done, points=points, look=0, metric=metric)
    courses = [tuned(plan, done, arm=arm, points=points, look=0) for arm in plan.arms]

    def is_open(end: int) -> bool:
        at = 0 if end == low else -1
        return any(Counter(each)[end] >= SHARE_AT_END * len(each) for each in choices.values()) or any(
            _rises_to(at, course, metric=metric, region=region) for course in courses
        )

    most = EXTENSION * MOST_EXTENSIONS
    down = range(low - EXTENSION, low) if low > -most and is_open(low) else ()
    up = range(high + 1, high + 1 + EXTENSION) if high - len(plan.points) + 1 < most and is_open(high) else ()
    lowest, highest = plan.points[0] / FARTHEST, plan.points[-1] * FARTHEST
    return tuple(point for point in (*down, *up) if lowest <= plan.rate(point) <= highest)


def _rises_to(end: int, course: Sequence[float], *, metric: Metric, region: float) -> bool:
    """Return whether a course over the rates is best at one end, and clearly better than in the middle."""
    gains = [metric.gain(value, over=0.0) for value in course]
    return gains[end] == max(gains) and gains[end] - gains[len(gains) // 2] > region


def at_ends(choices: Mapping[str, Sequence[int]], *, points: Sequence[int]) -> dict[str, int]:
    """Return the arms of which at least half of the seeds chose an end of the range, with how many did."""
    ends = (min(points), max(points))
    counts = {arm: max(Counter(each)[end] for end in ends) for arm, each in choices.items()}
    return {arm: count for arm, count in counts.items() if count >= SHARE_AT_END * len(choices[arm])}
