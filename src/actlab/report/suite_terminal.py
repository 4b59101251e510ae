"""A comparison over tasks for reading in a terminal: the tasks, the arms over all, the matrix, the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO
from itertools import chain
from shutil import get_terminal_size
from textwrap import wrap

from rich import box
from rich.console import Console
from rich.measure import measure_renderables
from rich.table import Table
from rich.text import Text

from actlab.report.suite_table import MATRIX_SENTENCE, arm_rows, counts_text, marked, matrix, task_rows
from actlab.report.wording import MARKS, change_text, p_text, seconds_text, with_minus_signs
from actlab.sites.site_text import name_text
from actlab.study.comparison import Comparison
from actlab.study.over_tasks import SCALE_SENTENCE, Overall

NAME = 24
SHORT = 14
METRICS, DEVIATIONS = "metrics", "standard deviations"


def suite_lines(overall: Overall, comparisons: Sequence[Comparison], width: int | None = None) -> list[str]:
    """Return a comparison over tasks as plain lines, by default as wide as the terminal."""
    wide = width or get_terminal_size().columns
    took = f", {seconds_text(overall.seconds)}" if overall.seconds > 0 else ""
    table, hidden = _tasks(overall, comparisons, wide)
    return [
        *wrap(f"{len(overall.tasks)} tasks, {len(overall.arms)} activations{took}. {SCALE_SENTENCE}", wide),
        "",
        *table,
        *wrap(_legend(hidden), wide),
        "",
        *_arms(overall, wide),
        "",
        *_matrix(overall, wide),
        "",
        *wrap(with_minus_signs(overall.verdict), wide),
        *(line for note in _notes(overall, comparisons) for line in wrap(f"Note: {with_minus_signs(note)}", wide)),
    ]


def _legend(hidden: Sequence[str]) -> str:
    """Explain the table of tasks, and say what was hidden."""
    marks = ", ".join(f"{mark} {word}" for word, mark in MARKS.items() if word != "control")
    shown = "mean over the seeds" if DEVIATIONS in hidden else "mean ± standard deviation of the seeds"
    rest = f" Hidden in this width: {', '.join(hidden)}." if hidden else ""
    return f"Test metrics, {shown}; {MARKS['control']} marks the control; verdicts on each task alone: {marks}.{rest}"


def _notes(overall: Overall, comparisons: Sequence[Comparison]) -> Iterable[str]:
    """Yield the notes over all, then those of each task, with its name."""
    yield from overall.notes
    for task, found in zip(overall.tasks, comparisons, strict=True):
        for note in found.notes:
            yield f"{name_text(task.task)}: {note}"


def _tasks(overall: Overall, comparisons: Sequence[Comparison], wide: int) -> tuple[list[str], tuple[str, ...]]:
    """Return the table of tasks, and what is hidden where it is too wide: the metrics, then the deviations too."""
    rows = task_rows(overall, comparisons)
    arms = [name_text(arm.activation, SHORT) for arm in overall.arms]
    start = [[name_text(row.full_name, NAME), str(row.study)] for row in rows]
    cells = [list(map(marked, row.cells)) for row in rows]
    short = [[f"{cell.text.partition(' ')[0]} {MARKS[cell.verdict]}" for cell in row.cells] for row in rows]
    metrics = [[row.metric] for row in rows]
    shapes = (
        (["task", "study", "metric", *arms], zip(start, metrics, cells, strict=True)),
        (["task", "study", *arms], zip(start, cells, strict=True)),
        (["task", "study", *arms], zip(start, short, strict=True)),
    )
    tables = [
        text_table(headings, [list(chain(*parts)) for parts in lines], texts=(0, 2) if "metric" in headings else (0,))
        for headings, lines in shapes
    ]
    chosen = next((number for number, table in enumerate(tables) if _width(table) <= wide), len(tables) - 1)
    return drawn(tables[chosen], wide), (METRICS, DEVIATIONS)[:chosen]


def _arms(overall: Overall, wide: int) -> list[str]:
    """Return the table of arms; where it is too wide, without the intervals."""
    columns = {
        "over all tasks": [name_text(row.full_name, NAME) for row in arm_rows(overall)],
        "verdict": [f"{MARKS[row.verdict]} {row.verdict}" for row in arm_rows(overall)],
        "gain, regions": [row.gain for row in arm_rows(overall)],
        "interval": [row.interval for row in arm_rows(overall)],
        "p, Holm": [row.p for row in arm_rows(overall)],
        "wins/ties/losses": [row.counts for row in arm_rows(overall)],
    }
    table = text_table(list(columns), list(zip(*columns.values(), strict=True)), texts=(0, 1))
    if _width(table) > wide:
        del columns["interval"]
        table = text_table(list(columns), list(zip(*columns.values(), strict=True)), texts=(0, 1))
    return drawn(table, wide)


def _matrix(overall: Overall, wide: int) -> list[str]:
    """Return the matrix, or where that is too wide, a line for each pair."""
    rows = matrix(overall)
    names = [name_text(name, NAME) for name, _ in rows]
    cells = [
        [name, *("" if cell is None else "\n".join((cell.text, *cell.lines)) for cell in row)]
        for name, (_, row) in zip(names, rows, strict=True)
    ]
    table = text_table(["gain of row over column", *names], cells, texts=(0,))
    if _width(table) <= wide:
        return [*drawn(table, wide), *wrap(MATRIX_SENTENCE, wide)]
    pairs = [
        [
            f"{name_text(pair.arm, NAME)} over {name_text(pair.other, NAME)}",
            change_text(pair.gain, 2),
            counts_text(pair),
            p_text(pair.p),
        ]
        for pair in overall.pairs
    ]
    headings = ["pair", "gain, regions", "wins/ties/losses", "p, not corrected"]
    return drawn(text_table(headings, pairs, texts=(0,)), wide)


def text_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, texts: Sequence[int]) -> Table:
    """Return a table of texts; the columns `texts` are aligned to the left, the others to the right."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False, collapse_padding=True)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place in texts else "right", vertical="top")
    for row in rows:
        table.add_row(*map(Text, row))  # as Text, because brackets in a name would be read as markup
    return table


def _width(table: Table) -> int:
    console = _console(10_000)
    return measure_renderables(console, console.options, [table]).maximum


def _console(width: int) -> Console:
    return Console(file=StringIO(), width=width, color_system=None, legacy_windows=False, force_jupyter=False)


def drawn(table: Table, width: int) -> list[str]:
    """Return the plain lines of a table."""
    console = _console(width)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().rstrip("\n").split("\n")]
