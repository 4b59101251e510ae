"""The tables of a comparison over tasks as text: the arms, the tasks, and the matrix of all pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from actlab.report.table import spread
from actlab.report.wording import (
    MARKS,
    NOTHING,
    change_text,
    interval_text,
    level_text,
    number_text,
    p_text,
    places_of,
    with_minus_signs,
)
from actlab.sites.site_text import name_text
from actlab.study.comparison import Comparison
from actlab.study.over_tasks import Overall, OverallArm, Pair
from actlab.train.kinds import after_number

PLACES = 2
"""Decimal places of a gain in regions."""

DARKEST = 3.0
"""A gain of so many regions has the darkest color."""

MATRIX_SENTENCE = (
    "Each cell compares the arm of its row with that of its column: the mean gain over the tasks in regions; the tasks"
    " on which it wins, ties and loses by more than the region that does not matter; the p-value of the exact"
    " signed-rank test over the tasks. These p-values are not corrected, so that a cell does not depend on which other"
    " arms are compared (Ismail-Fawaz et al. 2023, arXiv:2305.11921); the verdicts above are."
)


@final
@dataclass(frozen=True)
class ArmRow:
    """One arm over all tasks, every number as text."""

    activation: str
    full_name: str
    verdict: str
    gain: str
    interval: str
    level: str
    p: str
    counts: str
    sentence: str


@final
@dataclass(frozen=True)
class Cell:
    """A cell of a heat table.

    Attributes:
        text: its number.
        lines: smaller lines below it.
        verdict: the verdict that it shows, if any.
        tone: "better" or "worse".
        heat: the depth of its color, from 0 to 100.
        is_best: whether it is among the best of its row.
    """

    text: str
    lines: tuple[str, ...] = ()
    verdict: str = ""
    tone: str = "better"
    heat: int = 0
    is_best: bool = False


@final
@dataclass(frozen=True)
class TaskRow:
    """One task, every number as text; a cell for each arm in the order of the arms."""

    task: str
    full_name: str
    study: int
    metric: str
    region: str
    cells: tuple[Cell, ...]


def arm_rows(overall: Overall) -> tuple[ArmRow, ...]:
    """Return a row for each arm: the control, then the others, the best one on average first."""
    control, *others = overall.arms
    return tuple(_arm_row(arm) for arm in (control, *sorted(others, key=lambda arm: -arm.gain)))


def _arm_row(arm: OverallArm) -> ArmRow:
    difference = arm.difference
    return ArmRow(
        activation=name_text(arm.activation),
        full_name=arm.activation,
        verdict=arm.verdict,
        gain=change_text(arm.gain, PLACES) if difference else NOTHING,
        interval=interval_text(difference, PLACES) if difference else NOTHING,
        level=level_text(difference.level) if difference else NOTHING,
        p=p_text(difference.adjusted_p) if difference else NOTHING,
        counts=counts_text(arm) if difference else NOTHING,
        sentence=with_minus_signs(arm.sentence),
    )


def counts_text(one: OverallArm | Pair) -> str:
    """Return wins, ties and losses, as 4/2/1."""
    return f"{one.wins}/{one.ties}/{one.losses}"


def task_rows(overall: Overall, comparisons: Sequence[Comparison]) -> tuple[TaskRow, ...]:
    """Return a row for each task: mean and spread of every arm, its gain in regions, and its verdict there."""
    rows = []
    for task, found in zip(overall.tasks, comparisons, strict=True):
        places = places_of(found.metric, region=found.region)
        cells = tuple(
            Cell(
                text=f"{number_text(arm.test, places)} ± {number_text(spread(arm.tests), places)}",
                lines=() if arm.difference is None else (f"{change_text(gain, PLACES)} regions",),
                verdict=arm.verdict,
                tone=_tone(gain),
                heat=_heat(gain),
                is_best=arm.activation in found.group,
            )
            for arm, gain in zip(found.arms, task.gains, strict=True)
        )
        region = f"{number_text(task.region, places)}{after_number(task.unit)}"
        rows.append(TaskRow(name_text(task.task), task.task, task.study, task.metric, region, cells))
    return tuple(rows)


def matrix(overall: Overall) -> tuple[tuple[str, tuple[Cell | None, ...]], ...]:
    """Return the multi-comparison matrix: for each arm, the best first, a cell for every arm; None on the diagonal."""
    names = [arm.activation for arm in overall.ranked]
    return tuple(
        (name, tuple(None if name == other else _matrix_cell(overall.pair(name, other)) for other in names))
        for name in names
    )


def _matrix_cell(pair: Pair) -> Cell:
    return Cell(
        text=change_text(pair.gain, PLACES),
        lines=(counts_text(pair), f"p {p_text(pair.p)}"),
        tone=_tone(pair.gain),
        heat=_heat(pair.gain),
    )


def _tone(gain: float) -> str:
    return "better" if gain >= 0 else "worse"


def _heat(gain: float) -> int:
    return round(100 * min(1.0, abs(gain) / DARKEST))


def marked(cell: Cell) -> str:
    """Return the cell of a task for a terminal: the number with the mark of its verdict.

    Example:
        >>> marked(Cell("91.20 ± 0.40", verdict="better"))
        '91.20 ± 0.40 ▲'
    """
    return f"{cell.text} {MARKS[cell.verdict]}"
