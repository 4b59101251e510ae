"""The table of arms as text, one row for each arm."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import stdev

from actlab.report.wording import (
    NOTHING,
    ON_FRONT,
    change_text,
    interval_text,
    level_text,
    number_text,
    p_text,
    places_of,
    rate_text,
    seconds_text,
    step_time_text,
    steps_text,
    with_minus_signs,
)
from actlab.sites.site_text import name_text
from actlab.study.again import is_again
from actlab.study.comparison import STEP_TIME, ArmResult, Comparison
from actlab.study.verdict import BETTER, UNDECIDED


@dataclass(frozen=True)
class Row:
    """One arm, every number as text.

    Attributes:
        activation: its name, cut if it is very long.
        full_name: its whole name.
        verdict: "control", "better", "worse", "minor", "equivalent" or "undecided".
        test: the mean test metric.
        spread: its standard deviation over the seeds.
        difference: the mean difference from the control.
        interval: the interval of the difference.
        level: the interval's confidence level.
        p: the p-value after Holm.
        valid: the mean validation metric.
        rate: the learning rate chosen for it.
        diverged: how many of its runs diverged.
        steps: median training steps until the target is reached.
        seconds: these steps, times a step timed alone; empty if that is not known.
        missed: how many seeds never reach the target; empty if all do.
        step_time: the time of one training step, relative to the control's, with its interval.
        sentence: what was found about it.
        beside: name and mean of each metric beside that of the task.
    """

    activation: str
    full_name: str
    verdict: str
    test: str
    spread: str
    difference: str
    interval: str
    level: str
    p: str
    valid: str
    rate: str
    diverged: str
    steps: str
    seconds: str
    missed: str
    step_time: str
    sentence: str
    beside: tuple[tuple[str, str], ...] = ()


def rows(comparison: Comparison) -> tuple[Row, ...]:
    """Return a row for each arm: the control, then the others, best first."""
    return tuple(_row(arm, comparison) for arm in ranked(comparison))


def ranked(comparison: Comparison) -> tuple[ArmResult, ...]:
    """Return the arms: the control, then the others, best first."""
    control, *others = comparison.arms
    return (control, *sorted(others, key=lambda arm: -comparison.metric.gain(arm.test, over=0.0)))


def spread(values: tuple[float, ...]) -> float:
    """Return the standard deviation over the seeds; 0 for a single one."""
    return stdev(values) if len(values) > 1 else 0.0


def tone(comparison: Comparison) -> str:
    """Return the verdict of the whole comparison: the control can be improved on, matched, or neither is known."""
    verdicts = {arm.verdict for arm in comparison.arms[1:] if not is_again(arm.activation)} or {UNDECIDED}
    if BETTER in verdicts:
        return BETTER
    return verdicts.pop() if len(verdicts) == 1 else UNDECIDED


def _row(arm: ArmResult, comparison: Comparison) -> Row:
    places = places_of(comparison.metric, region=comparison.region)
    difference = arm.difference
    seconds = comparison.cost.seconds_to_target.get(arm.activation)
    is_on_front = arm.activation in comparison.fronts.get(STEP_TIME, ())
    return Row(
        activation=name_text(arm.activation),
        full_name=arm.activation,
        verdict=arm.verdict,
        test=number_text(arm.test, places),
        spread=number_text(spread(arm.tests), places),
        difference=change_text(difference.mean, places) if difference else NOTHING,
        interval=interval_text(difference, places) if difference else NOTHING,
        level=level_text(difference.level) if difference else NOTHING,
        p=p_text(difference.adjusted_p) if difference else NOTHING,
        valid=number_text(arm.valid, places),
        rate=rate_text(arm.rate),
        diverged=f"{arm.diverged} of {arm.runs}",
        steps=steps_text(arm.steps_to_target),
        seconds="" if seconds is None else seconds_text(seconds),
        missed=f"{arm.missed_target} of {len(arm.tests)} never" if arm.missed_target else "",
        step_time=step_time_text(comparison.cost, arm.activation) + (ON_FRONT if is_on_front else ""),
        sentence=with_minus_signs(arm.sentence),
        beside=tuple((name, f"{value:.4g}".replace("-", "−")) for name, value in arm.beside.items()),
    )
