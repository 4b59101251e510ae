"""A repair for reading in a terminal: what was found, what was tried, what is kept, and the diff."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from shutil import get_terminal_size

from rich.console import Console
from rich.table import Table
from rich.text import Text

from actlab.remedy.evidence import Difference
from actlab.remedy.handover import Handover
from actlab.remedy.outcome import NOTHING, Outcome, State, alarms
from actlab.train.kinds import after_number


def repair_lines(outcome: Outcome, handed: Handover) -> list[str]:
    """Return a repair as lines of text, as wide as the terminal."""
    lines = [_state_line("before", outcome.before, outcome)]
    if outcome.verdict == NOTHING:
        return [*lines, "Nothing to repair: neither an error nor a warning was found."]
    if outcome.tried:
        lines += ["", *_table(outcome), ""]
    lines += [_state_line("after", outcome.after, outcome)]
    lines += [f"Kept: {each.name}." for each in outcome.kept]
    lines.append(f"Verdict: {outcome.verdict}, after {outcome.runs} training runs in {outcome.seconds:.0f} s.")
    if outcome.best and not outcome.kept:
        lines.append(f"Most promising, but not proved: {' + '.join(each.name for each in outcome.best)}.")
    lines += [f"{each.remedy} does not apply: {each.reason.rstrip('.')}." for each in outcome.refused]
    if outcome.not_tried:
        lines.append(f"Not tried, as the budget was spent: {'; '.join(outcome.not_tried)}.")
    lines += [*outcome.notes, *(f"{note[0].upper()}{note[1:].rstrip('.')}." for note in handed.notes)]
    if handed.lines:
        lines += ["", "To write by hand:", *(f"    {line}" for line in handed.lines)]
    if handed.diff:
        lines += ["", *handed.diff.rstrip("\n").split("\n")]
    return lines


def _state_line(when: str, state: State, outcome: Outcome) -> str:
    found = [f"{each.id} {each.title}" for each in alarms(state.findings)]
    listed = "; ".join(dict.fromkeys(found)) or "no error or warning"
    if state.metric is None:
        return f"{when.capitalize()}: {listed}."
    seeds = "" if state.seeds == 1 else f", mean of {state.seeds} seeds"
    number = f"{state.metric:.4g}{after_number(outcome.metric.unit)}"
    return f"{when.capitalize()}: {listed}; validation {outcome.metric.name} {number}{seeds}."


def _table(outcome: Outcome) -> list[str]:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("finding", "remedy", "difference", "interval", "p", "kept", "why"):
        table.add_column(name, overflow="fold", justify="right" if name in ("difference", "p") else "left")
    for each in outcome.tried:
        cells = [each.finding, each.remedy, *_numbers(each.difference), "yes" if each.kept else "no", each.reason]
        table.add_row(*map(Text, cells))
    console = Console(
        file=StringIO(), width=max(80, get_terminal_size().columns), color_system=None, legacy_windows=False
    )
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().rstrip("\n").split("\n")]


def _numbers(difference: Difference | None) -> Iterator[str]:
    if difference is None:
        yield from ("", "", "")
        return
    yield f"{difference.mean:+.3g}".replace("-", "−")
    if difference.p is None:
        yield from ("one seed", "")
        return
    low = "−∞" if difference.low is None else f"{difference.low:.3g}"
    high = "∞" if difference.high is None else f"{difference.high:.3g}"
    yield f"{low} … {high}".replace("-", "−")
    yield f"{difference.p:.3g}"
