"""A comparison as a table of plain numbers and as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from actlab.display.picture import Picture, Series
from actlab.display.table import Table
from actlab.report.table import ranked, spread
from actlab.sites.site_text import name_text
from actlab.study.comparison import Comparison, Difference
from actlab.study.over_tasks import Overall

_COLUMNS = ("activation", "verdict", "test", "sd", "difference", "low", "high", "p", "rate", "diverged", "step time")


def arm_table(comparison: Comparison) -> Table:
    """Return a row for each arm, the control first; the verdict stands below."""
    rows = tuple(
        (
            arm.activation,
            arm.verdict,
            arm.test,
            spread(arm.tests),
            *((found.mean, found.low, found.high, found.adjusted_p) if (found := arm.difference) else (None,) * 4),
            arm.rate,
            arm.diverged,
            comparison.cost.relative_step.get(arm.activation),
        )
        for arm in ranked(comparison)
    )
    metric = comparison.metric
    title = f"{comparison.task}: test {metric.name} in {metric.unit}"
    return Table(title, _COLUMNS, rows, (comparison.verdict, *comparison.notes))


def arm_picture(comparison: Comparison) -> Picture | None:
    """Return the differences from the control with their intervals, best first; None if there is one arm alone."""
    arms = [(arm, arm.difference) for arm in ranked(comparison) if arm.difference is not None]
    if not arms:
        return None
    return _intervals(
        f"{name_text(comparison.task)}: difference from {name_text(comparison.control.activation)}",
        [(f"{name_text(arm.activation)} ({arm.verdict})", difference) for arm, difference in arms if difference],
        label=f"test {comparison.metric.name}, {comparison.metric.unit}",
    )


def suite_table(overall: Overall) -> Table:
    """Return a row for each arm over all tasks, the control first; the verdict stands below."""
    rows = tuple(
        (
            arm.activation,
            arm.verdict,
            arm.gain,
            arm.wins,
            arm.ties,
            arm.losses,
            *((found.low, found.high, found.adjusted_p) if (found := arm.difference) else (None,) * 3),
        )
        for arm in overall.arms
    )
    columns = ("activation", "verdict", "gain", "wins", "ties", "losses", "low", "high", "p")
    return Table(f"{len(overall.tasks)} tasks, gains in regions", columns, rows, (overall.verdict, *overall.notes))


def suite_picture(overall: Overall) -> Picture:
    """Return the differences from the control over all tasks, with their intervals."""
    rows = [(f"{name_text(arm.activation)} ({arm.verdict})", arm.difference) for arm in overall.arms]
    return _intervals(
        f"{len(overall.tasks)} tasks: difference from {name_text(overall.arms[0].activation)}",
        [(name, difference) for name, difference in rows if difference is not None],
        label="gain in regions",
    )


def _intervals(title: str, rows: Sequence[tuple[str, Difference]], *, label: str) -> Picture:
    means, lows, highs = ([getattr(each, part) for _, each in rows] for part in ("mean", "low", "high"))
    series = Series("", means, kind="interval", low=lows, high=highs)
    return Picture(title, (series,), y_label=label, names=tuple(name for name, _ in rows))
