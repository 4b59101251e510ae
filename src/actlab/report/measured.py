"""What was measured beside the metric, as tables of text: the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from actlab.measure.memory.summary import size
from actlab.report.table import ranked
from actlab.report.wording import NOTHING, ON_FRONT, change_text, number_text, places_of, seconds_text
from actlab.sites.site_text import name_text
from actlab.study.arm_cost import ArmCost, Timing
from actlab.study.comparison import OPERATIONS, Comparison
from actlab.study.measured import ArmValue, Measured, ShownDifference
from actlab.study.measuring import CALIBRATED, NOISE

SHOWN = "Differences from the control have 95 % intervals, each for itself: they are shown, not tested."


@dataclass(frozen=True)
class Cell:
    """A cell of a table: a value, and what is added in smaller print."""

    text: str
    small: str = ""


@dataclass(frozen=True)
class MeasuredTable:
    """A table of what was measured.

    Attributes:
        name: identifies it in HTML.
        title: its heading.
        about: how to read it.
        heads: the headings of its columns, the arms first.
        rows: the cells, one row an arm: the control, then the others, best first.
    """

    name: str
    title: str
    about: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def measured_tables(comparison: Comparison) -> tuple[MeasuredTable, ...]:
    """Return a table for each thing that was measured on request."""
    return tuple(_tables(comparison))


def _tables(comparison: Comparison) -> Iterator[MeasuredTable]:
    noise = [each for each in comparison.measured if each.measure == NOISE]
    if noise:
        metric = comparison.metric
        yield MeasuredTable(
            "noise",
            "Noise in the inputs",
            f"Test {metric.name} in {metric.unit} with normal noise in the inputs, of so many standard deviations of"
            f" each input (of integers, so large a share is replaced); mean, and difference from the control. {SHOWN}",
            ("activation", *(f"noise {each.level:g}" if each.level else "no noise" for each in noise)),
            _rows(comparison, noise),
        )
        yield MeasuredTable(
            "change",
            "What the noise changes",
            f"The same less the result without noise, in {metric.unit}; mean, and by how much it differs from what"
            f" it changes of the control. {SHOWN}",
            ("activation", *(f"noise {each.level:g}" for each in noise[1:])),
            _changes(comparison, noise[1:]),
        )
    calibration = [each for each in comparison.measured if each.measure == CALIBRATED]
    if calibration:
        yield MeasuredTable(
            "calibration",
            "Calibration",
            "Whether probabilities are as high as they should be, on the test rows; less is better. The cross-entropy,"
            " or log loss, is in nats; the calibration error, in points, is the mean gap between confidence and"
            f" accuracy in 15 bins. {SHOWN}",
            ("activation", *(each.name for each in calibration)),
            _rows(comparison, calibration),
        )
    yield from _cost_tables(comparison)


def _rows(comparison: Comparison, columns: Sequence[Measured]) -> tuple[tuple[Cell, ...], ...]:
    places = [_places(each, comparison) for each in columns]
    values = [{value.arm: value for value in each.arms} for each in columns]
    return tuple(
        (_name(arm.activation), *(_cell(each[arm.activation], of) for each, of in zip(values, places, strict=True)))
        for arm in ranked(comparison)
    )


def _changes(comparison: Comparison, columns: Sequence[Measured]) -> tuple[tuple[Cell, ...], ...]:
    values = [{value.arm: value for value in each.arms} for each in columns]
    places = places_of(comparison.metric, region=comparison.region)

    def cell(value: ArmValue) -> Cell:
        change = NOTHING if value.change is None else change_text(value.change, places)
        return Cell(change, _difference(value.change_difference, places))

    return tuple(
        (_name(arm.activation), *(cell(each[arm.activation]) for each in values)) for arm in ranked(comparison)
    )


def _name(arm: str) -> Cell:
    return Cell(name_text(arm))


def _places(column: Measured, comparison: Comparison) -> int:
    if column.measure == NOISE:
        return places_of(comparison.metric, region=comparison.region)
    return 2 if column.unit == "points" else 4


def _cell(value: ArmValue, places: int) -> Cell:
    text = NOTHING if value.mean is None else number_text(value.mean, places)
    return Cell(text, _difference(value.difference, places))


def _difference(found: ShownDifference | None, places: int) -> str:
    if found is None:
        return ""
    ends = f"{change_text(found.low, places)} to {change_text(found.high, places)}"
    return f"{change_text(found.mean, places)} ({ends})"


def _cost_tables(comparison: Comparison) -> Iterator[MeasuredTable]:
    costs, fronts = {each.arm: each for each in comparison.cost.arms}, comparison.fronts.get(OPERATIONS, ())
    if costs:
        yield MeasuredTable(
            "costs",
            "Cost in detail",
            "Times of one batch on one thread, and relative to the control's with a 95 % interval; forward includes the"
            " loss. “Saved” is what the batch saves for backward beyond parameters, buffers and the batch itself."
            " Operations are those of one row forward: of matrix products and convolutions, and apart from them of the"
            f" compared activations (an elementary function counts 12); {ON_FRONT} marks arms that no other one beats"
            " in both the test metric and all operations.",
            ("activation", "forward", "backward", "saved", "parameters", "product FLOPs", "activation operations"),
            tuple(_cost_row(costs[arm.activation], is_on_front=arm.activation in fronts) for arm in ranked(comparison)),
        )
    energies = {each.arm: each.step for each in comparison.cost.energy}
    if energies:
        sources = dict.fromkeys(f"{each.kind}: {each.source}" for each in energies.values())
        steps = {arm.activation: arm.steps_to_target for arm in comparison.arms}
        yield MeasuredTable(
            "energy",
            "Energy",
            f"Energy of one training step, and of the steps to the target; {'; '.join(sources)}.",
            ("activation", "a step", "to the target", "how"),
            tuple(
                (
                    _name(arm.activation),
                    Cell(joules_text(energies[arm.activation].joules)),
                    Cell(joules_text(_times(energies[arm.activation].joules, steps[arm.activation]))),
                    Cell(energies[arm.activation].kind),
                )
                for arm in ranked(comparison)
            ),
        )


def _times(joules: float | None, steps: float | None) -> float | None:
    return None if joules is None or steps is None else joules * steps


def _cost_row(cost: ArmCost, *, is_on_front: bool) -> tuple[Cell, ...]:
    operations = cost.activation_operations
    return (
        _name(cost.arm),
        _time(cost.forward),
        _time(cost.backward),
        Cell(size(cost.saved_bytes)),
        Cell(f"{cost.parameters:,}"),
        Cell(f"{cost.product_flops:,}"),
        Cell(NOTHING if operations is None else f"{operations:,}{ON_FRONT if is_on_front else ''}"),
    )


def _time(timing: Timing) -> Cell:
    seconds = seconds_text(timing.seconds)
    if timing.low == timing.high == 1:
        return Cell(seconds)
    return Cell(seconds, f"{timing.relative:.2f}× ({timing.low:.2f} to {timing.high:.2f})")


def joules_text(joules: float | None) -> str:
    """Return an energy for reading.

    Example:
        >>> joules_text(0.0421), joules_text(1234.0), joules_text(None)
        ('42.1 mJ', '1.23 kJ', '–')
    """
    if joules is None:
        return NOTHING
    for unit, worth in (("kJ", 1e3), ("J", 1.0), ("mJ", 1e-3)):
        if joules >= worth:
            return f"{joules / worth:.3g} {unit}"
    return f"{joules * 1e6:.3g} µJ"
