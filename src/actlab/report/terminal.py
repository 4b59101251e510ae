"""A comparison for reading in a terminal: the table of arms, then the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from shutil import get_terminal_size

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from actlab.report.measured import MeasuredTable, measured_tables
from actlab.report.table import Row, rows
from actlab.report.wording import MARKS, NOTHING, STEP_TIMES, number_text, places_of, seconds_text, with_minus_signs
from actlab.sites.site_text import name_text
from actlab.study.arm_text import activation_of
from actlab.study.comparison import Comparison

NAME = 24
ARM_NAME = 40
"""Names are cut to so many characters; those of arms with factors, to more."""
STEP_TIME = "step\ntime"
BETWEEN = 2  # spaces between two columns, one of them from the box
STYLES = {
    "control": "bold",
    "better": "bold blue",
    "worse": "red",
    "minor": "cyan",
    "equivalent": "green",
    "undecided": "dim",
}


@dataclass(frozen=True)
class Column:
    """A column. In a narrow terminal the columns with the highest `gives_way` are hidden first; those with 0 never."""

    heading: str
    cells: tuple[str, ...]
    gives_way: int = 0
    is_text: bool = False

    @property
    def width(self) -> int:
        """Width of the widest cell."""
        return max(cell_len(line) for text in (self.heading, *self.cells) for line in text.split("\n"))


@dataclass(frozen=True)
class ComparisonTable:
    """The comparison as something that Rich renders, fitted to the available width."""

    comparison: Comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        every = columns(rows(self.comparison))
        shown = fitting(every, width=options.max_width)
        yield Text(f"{name_text(self.comparison.task)}: {self.comparison.sentence}", style="bold")
        yield Text(_what_is_measured(self.comparison))
        yield ""
        yield _table(shown, verdicts=[arm.verdict for arm in rows(self.comparison)])
        left_out = [column.heading.replace("\n", " ") for column in every if column not in shown]
        if left_out:
            yield Text(f"Columns hidden in this width: {', '.join(left_out)}.", style="dim")
        if any(column.heading == STEP_TIME for column in shown):
            yield Text(STEP_TIMES, style="dim")
        for table in measured_tables(self.comparison):
            yield from _measured(table)
        yield ""
        yield Text(with_minus_signs(self.comparison.verdict), style="bold")
        for note in self.comparison.notes:
            yield Text(f"Note: {with_minus_signs(note)}", style="dim")


def comparison_lines(comparison: Comparison, width: int | None = None) -> list[str]:
    """Return the comparison as plain lines, no wider than `width`; by default as wide as the terminal."""
    wide = width or get_terminal_size().columns
    console = Console(file=StringIO(), width=wide, color_system=None, legacy_windows=False, force_jupyter=False)
    with console.capture() as captured:
        console.print(ComparisonTable(comparison))
    return [line.rstrip() for line in captured.get().rstrip("\n").split("\n")]


def columns(table: Sequence[Row]) -> tuple[Column, ...]:
    """Return the columns of the table in order."""
    # A divergence must not be hidden.
    any_diverged = any(not row.diverged.startswith("0 ") for row in table)
    return (
        Column("activation", tuple(map(_shown_name, (row.activation for row in table))), is_text=True),
        Column("verdict", tuple(f"{MARKS[row.verdict]} {row.verdict}" for row in table), is_text=True),
        Column("test", tuple(f"{row.test} ± {row.spread}" for row in table)),
        Column("difference", tuple(row.difference for row in table)),
        Column("interval", tuple(row.interval for row in table), gives_way=1),
        Column("p, Holm", tuple(row.p for row in table), gives_way=2),
        *_beside(table),
        Column("valid", tuple(row.valid for row in table), gives_way=6),
        Column("rate", tuple(row.rate for row in table), gives_way=4),
        Column("diverged", tuple(row.diverged for row in table), gives_way=1 if any_diverged else 5),
        Column("steps to\ntarget", tuple(f"{row.steps}\n{row.missed}".strip() for row in table), gives_way=7),
        Column(STEP_TIME, tuple(row.step_time for row in table), gives_way=3),
    )


def _shown_name(name: str) -> str:
    return name_text(name, NAME if activation_of(name) == name else ARM_NAME)


def _beside(table: Sequence[Row]) -> Iterator[Column]:
    """Yield a column for each metric beside that of the task."""
    values = [dict(row.beside) for row in table]
    for name in dict.fromkeys(name for each in values for name in each):
        yield Column(name.replace(" ", "\n", 1), tuple(each.get(name, NOTHING) for each in values), gives_way=4)


def fitting(every: Sequence[Column], width: int) -> tuple[Column, ...]:
    """Return the columns that fit side by side, hiding the least important ones first.

    A narrow column may remain although a wider one that is more important is hidden.
    """
    shown: list[Column] = [column for column in every if column.gives_way == 0]
    for column in sorted((column for column in every if column.gives_way), key=lambda one: one.gives_way):
        if _total([*shown, column]) <= width:
            shown.append(column)
    return tuple(column for column in every if column in shown)


def _total(shown: Sequence[Column]) -> int:
    return sum(column.width for column in shown) + BETWEEN * (len(shown) - 1)


def _table(shown: Sequence[Column], *, verdicts: Sequence[str]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, BETWEEN - 1, 0, 0), show_edge=False, pad_edge=False, collapse_padding=True
    )
    for column in shown:
        table.add_column(column.heading, justify="left" if column.is_text else "right", vertical="top")
    for number, verdict in enumerate(verdicts):
        table.add_row(*_cells(shown, number=number, style=STYLES[verdict]))
    return table


def _cells(shown: Sequence[Column], *, number: int, style: str) -> Iterator[Text]:
    for column in shown:
        # As Text, because brackets in a name would be read as markup.
        yield Text(column.cells[number], style=style if column.is_text else "")


def _measured(measured: MeasuredTable) -> Iterator[Text | Table | str]:
    """Yield the heading of a table, the table, and how to read it."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, BETWEEN - 1, 0, 0), show_edge=False, pad_edge=False)
    for number, head in enumerate(measured.heads):
        table.add_column(Text(head), justify="right" if number else "left", vertical="top")
    for row in measured.rows:
        table.add_row(*(Text(f"{cell.text}\n{cell.small}".rstrip("\n")) for cell in row))
    yield ""
    yield Text(measured.title, style="bold")
    yield table
    yield Text(measured.about, style="dim")


def _what_is_measured(comparison: Comparison) -> str:
    metric = comparison.metric
    direction = "more" if metric.larger_is_better else "less"
    seeds = comparison.plan.looks[comparison.look].seeds
    took = f", {seconds_text(comparison.cost.seconds)}" if comparison.cost.seconds > 0 else ""
    name = comparison.baseline_name
    baseline = number_text(comparison.baseline, places_of(metric, region=comparison.region))
    return (
        f"Test {metric.name} in {metric.unit}, {direction} is better; mean ± standard deviation of {seeds} seeds{took}."
        f" {name[:1].upper()}{name[1:]} has {baseline}."
    )
