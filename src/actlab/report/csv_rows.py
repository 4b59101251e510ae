"""A comparison as two CSV tables: one row an arm, and one row a replicate."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from actlab.report.table import spread
from actlab.study.comparison import ArmResult, Comparison

ARM_COLUMNS = (
    *("task", "activation", "verdict", "in_group", "recommended", "metric", "unit", "seeds", "test_mean", "test_sd"),
    *("valid_mean", "difference_mean", "difference_estimate", "difference_low", "difference_high", "level", "p"),
    *("p_holm", "learning_rate", "diverged", "runs", "still_learning", "epochs", "steps_to_target", "step_time"),
    *("step_time_low", "step_time_high"),
)
REPLICATE_COLUMNS = ("task", "activation", "replicate", "seed", "learning_rate", "test", "difference", "epochs")


def arms_csv(comparison: Comparison) -> str:
    """Return one row for each arm, the control first; a cell is empty if it does not apply."""
    return csv_table(ARM_COLUMNS, (_arm(arm, comparison) for arm in comparison.arms))


def replicates_csv(comparison: Comparison) -> str:
    """Return one row for each arm and seed: the learning rate that the seed chose, and the test metric with it."""
    return csv_table(REPLICATE_COLUMNS, replicate_rows(comparison))


def replicate_rows(comparison: Comparison) -> Iterable[Sequence[Any]]:
    """Return the rows of `replicates_csv`, in the order of `REPLICATE_COLUMNS`."""
    return (row for arm in comparison.arms for row in _replicates(arm, comparison))


def csv_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a CSV table with a row of names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _arm(arm: ArmResult, comparison: Comparison) -> Sequence[Any]:
    found, cost, name = arm.difference, comparison.cost, arm.activation
    difference = (
        (found.mean, found.estimate, found.low, found.high, found.level, found.p, found.adjusted_p)
        if found
        else (None,) * 7
    )
    return (
        comparison.task,
        name,
        arm.verdict,
        int(name in comparison.group),
        int(name == comparison.recommended),
        comparison.metric.name,
        comparison.metric.unit,
        len(arm.tests),
        arm.test,
        spread(arm.tests),
        arm.valid,
        *difference,
        arm.rate,
        arm.diverged,
        arm.runs,
        arm.still_learning,
        arm.epochs,
        arm.steps_to_target,
        cost.relative_step.get(name),
        cost.relative_low.get(name),
        cost.relative_high.get(name),
    )


def _replicates(arm: ArmResult, comparison: Comparison) -> Iterable[Sequence[Any]]:
    each = arm.difference.each if arm.difference else (None,) * len(arm.tests)
    for number, (test, rate, difference) in enumerate(zip(arm.tests, arm.rates, each, strict=True)):
        epochs = len(arm.curves[number]) if number < len(arm.curves) else None
        seed = comparison.plan.seeds[number]
        yield comparison.task, arm.activation, number + 1, seed, rate, test, difference, epochs
