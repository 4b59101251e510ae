"""What a study measured beside the metric, by arm: shown with intervals, never tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import final

from actlab.study.measuring import CALIBRATED, NOISE, Measuring
from actlab.study.outcome import Outcome
from actlab.study.signed_rank import SignedRank
from actlab.train.input_noise import noise_name
from actlab.train.kinds import Metric
from actlab.train.metrics import CALIBRATION, METRICS

ALPHA = 0.05


@final
@dataclass(frozen=True)
class ShownDifference:
    """A mean paired difference from the control with its 95 % interval, which is shown and not tested.

    The interval inverts the exact signed-rank test, for this difference alone: of twenty intervals, one is expected to
    miss.

    Attributes:
        mean: the mean difference.
        low: the lower end of the interval.
        high: the upper end.
        pairs: the number of seeds with both values.
    """

    mean: float
    low: float
    high: float
    pairs: int


@final
@dataclass(frozen=True)
class ArmValue:
    """What was measured of one arm.

    Attributes:
        arm: the name of the arm.
        values: one value a seed; None for a run that diverged and has none.
        mean: their mean over the seeds that have one; None if none has.
        difference: the difference from the control; None for the control, without pairs, and without noise.
        change: under noise, the mean of what it changes; None otherwise.
        change_difference: by how much it changes more than of the control; None as for the difference.
    """

    arm: str
    values: tuple[float | None, ...]
    mean: float | None
    difference: ShownDifference | None
    change: float | None = None
    change_difference: ShownDifference | None = None


@final
@dataclass(frozen=True)
class Measured:
    """One thing that was measured beside the metric, of every arm.

    Attributes:
        measure: what asked for it: "noise" or "calibration".
        name: the name of the metric.
        unit: the unit of its values.
        larger_is_better: whether a larger value is better.
        level: the size of the noise in the inputs; 0 without noise, None if it is not about noise.
        arms: the values, the control's first.
    """

    measure: str
    name: str
    unit: str
    larger_is_better: bool
    level: float | None
    arms: tuple[ArmValue, ...]


def measured_on_request(
    runs: Mapping[str, Sequence[Outcome]], *, metric: Metric, measuring: Measuring
) -> tuple[Measured, ...]:
    """Return what was measured beside the metric, from the runs that the seeds chose.

    A run that diverged counts under noise as in the metric, as the baseline, which no noise changes. It has no
    calibration.

    Args:
        runs: the runs of every arm, paired by seed; the control first.
        metric: the metric of the task.
        measuring: what was asked for.
    """
    found = []
    if NOISE in measuring.measures:
        clean = {arm: [run.test for run in each] for arm, each in runs.items()}
        found.append(_of_arms(NOISE, metric, clean, level=0.0))
        for level in measuring.noise_levels:
            name = noise_name(level)
            values = {arm: [run.beside.get(name, run.test) for run in each] for arm, each in runs.items()}
            changes = {
                arm: [one - other for one, other in zip(own, clean[arm], strict=True)] for arm, own in values.items()
            }
            found.append(_of_arms(NOISE, metric, values, level=level, changes=changes))
    if CALIBRATED in measuring.measures:
        for each in (METRICS[name].metric for name in CALIBRATION):
            scores = {arm: [_score(run, each, metric=metric) for run in own] for arm, own in runs.items()}
            found.append(_of_arms(CALIBRATED, each, scores, level=None))
    return tuple(found)


def _score(run: Outcome, wanted: Metric, *, metric: Metric) -> float | None:
    """Return a metric of a run; that of the task is its test metric."""
    return run.test if wanted == metric else run.beside.get(wanted.name)


def names_beside(measuring: Measuring) -> frozenset[str]:
    """Return the names of the scores that only this measuring asked for, so that no column repeats them."""
    calibration = CALIBRATION if CALIBRATED in measuring.measures else ()
    return frozenset(
        {noise_name(level) for level in measuring.noise_levels} | {METRICS[name].metric.name for name in calibration}
    )


Values = Mapping[str, Sequence[float | None]]


def _of_arms(
    measure: str, metric: Metric, values: Values, *, level: float | None, changes: Values | None = None
) -> Measured:
    control, *_ = values

    def difference(arm: str, each: Values) -> ShownDifference | None:
        # Without noise, the verdict has the difference, with the interval that was tested.
        return None if arm == control or level == 0 else shown_difference(each[arm], each[control])

    arms = tuple(
        ArmValue(
            arm=arm,
            values=tuple(own),
            mean=_mean(own),
            difference=difference(arm, values),
            change=_mean(changes[arm]) if changes else None,
            change_difference=difference(arm, changes) if changes else None,
        )
        for arm, own in values.items()
    )
    return Measured(measure, metric.name, metric.unit, metric.larger_is_better, level, arms)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def shown_difference(own: Sequence[float | None], control: Sequence[float | None]) -> ShownDifference | None:
    """Return the paired difference with its 95 % interval; None without a pair that has both values.

    Example:
        >>> shown_difference([2.0, 3.0, 4.0, 5.0, 6.0, 7.0, None], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
        ShownDifference(mean=3.5, low=1.0, high=6.0, pairs=6)
    """
    pairs = [one - other for one, other in zip(own, control, strict=True) if one is not None and other is not None]
    if not pairs:
        return None
    test = SignedRank(tuple(pairs))
    shown = test.interval(ALPHA)
    return ShownDifference(test.mean, shown.low, shown.high, len(pairs))
