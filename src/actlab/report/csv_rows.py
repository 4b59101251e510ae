"""A comparison as two CSV tables: one row an arm, and one row a replicate."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from actlab.report.table import spread
from actlab.study.comparison import STEP_TIME, ArmResult, Comparison

ARM_COLUMNS = (
    *("task", "activation", "verdict", "in_group", "recommended", "metric", "unit", "seeds", "test_mean", "test_sd"),
    *("valid_mean", "difference_mean", "difference_estimate", "difference_low", "difference_high", "level", "p"),
    *("p_holm", "learning_rate", "diverged", "runs", "still_learning", "epochs", "steps_to_target", "step_time"),
    *("step_time_low", "step_time_high", "missed_target", "seconds_to_target", "on_front"),
)
REPLICATE_COLUMNS = ("task", "activation", "replicate", "seed", "learning_rate", "test", "difference", "epochs")


def arms_csv(comparison: Comparison) -> str:
    """Return one row for each arm, the control first; a cell is empty if it does not apply."""
    return csv_table(ARM_COLUMNS, (_arm(arm, comparison) for arm in comparison.arms))


def replicates_csv(comparison: Comparison) -> str:
    """Return one row for each arm and seed: the learning rate that the seed chose, and the test metric with it."""
    return csv_table(REPLICATE_COLUMNS, replicate_rows(comparison))


MEASURED_COLUMNS = (
    *("task", "activation", "measure", "name", "level", "unit", "value"),
    *("difference_mean", "difference_low", "difference_high", "pairs", "source"),
)


def measured_csv(comparison: Comparison) -> str:
    """Return one row for each arm and each thing that was measured on request; a difference is from the control."""
    return csv_table(MEASURED_COLUMNS, measured_rows(comparison))


def measured_rows(comparison: Comparison) -> Iterable[Sequence[Any]]:
    """Return the rows of `measured_csv`, in the order of `MEASURED_COLUMNS`."""
    task = comparison.task
    for of in comparison.measured:
        for each in of.arms:
            found = each.difference
            ends = (found.mean, found.low, found.high, found.pairs) if found else (None,) * 4
            yield task, each.arm, of.measure, of.name, of.level, of.unit, each.mean, *ends, None
            if each.change is not None:
                found = each.change_difference
                ends = (found.mean, found.low, found.high, found.pairs) if found else (None,) * 4
                yield task, each.arm, of.measure, f"change of {of.name}", of.level, of.unit, each.change, *ends, None
    nothing = (None,) * 5
    for cost in comparison.cost.arms:
        for name, timing in (("forward", cost.forward), ("backward", cost.backward)):
            yield task, cost.arm, "cost", name, None, "seconds", timing.seconds, *nothing
            ratio = (timing.relative, None, timing.low, timing.high, None, None)
            yield task, cost.arm, "cost", f"{name}, relative to the control", None, "", *ratio
        counts = (
            ("saved for backward", "bytes", cost.saved_bytes),
            ("parameters", "", cost.parameters),
            ("product FLOPs", "per row", cost.product_flops),
            ("activation operations", "per row", cost.activation_operations),
        )
        for name, unit, value in counts:
            yield task, cost.arm, "cost", name, None, unit, value, *nothing
    for arm in comparison.cost.energy:
        step = arm.step
        yield task, arm.arm, "energy", step.kind, None, "joules per step", step.joules, *(None,) * 4, step.source


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
        arm.missed_target,
        cost.seconds_to_target.get(name),
        int(name in comparison.fronts.get(STEP_TIME, ())),
    )


def _replicates(arm: ArmResult, comparison: Comparison) -> Iterable[Sequence[Any]]:
    each = arm.difference.each if arm.difference else (None,) * len(arm.tests)
    for number, (test, rate, difference) in enumerate(zip(arm.tests, arm.rates, each, strict=True)):
        epochs = len(arm.curves[number]) if number < len(arm.curves) else None
        seed = comparison.plan.seeds[number]
        yield comparison.task, arm.activation, number + 1, seed, rate, test, difference, epochs
