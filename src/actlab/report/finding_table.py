"""Findings for reading in a terminal: errors first, then what could not be inspected, then the count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from shutil import get_terminal_size

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from actlab.report.finding_text import by_severity, count_text
from actlab.report.folding import Block, fixes, folded, folded_unseen, where_lines
from actlab.rules.finding import Finding
from actlab.rules.finding_text import sentence_text
from actlab.sites.site import Unseen
from actlab.sites.site_text import unseen_text

STYLES = {"error": "bold red", "warning": "yellow", "information": "blue"}
INDENT = 4


@dataclass(frozen=True)
class FindingTable:
    """Findings as something that Rich renders; those that are alike at many places are one block.

    Attributes:
        findings: what was found.
        unseen: what could not be inspected.
        remedies: a sentence for the id of every remedy.
        root: the folder that paths are relative to.
        nothing: the text shown if there are no findings.
        last: follows the count, such as how many findings are accepted.
    """

    findings: Sequence[Finding]
    unseen: Sequence[Unseen]
    remedies: Mapping[str, str]
    root: Path
    nothing: str = "nothing found"
    last: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for block in folded(by_severity(self.findings)):
            yield Group(*self._parts(block))
            yield ""
        if self.unseen:
            yield Text("Not inspected:", style="bold")
            for one in folded_unseen(self.unseen):
                yield _hanging("  ", Text(unseen_text(one.first, place=one.places), style="dim"))
            yield ""
        count = count_text(self.findings, nothing=self.nothing)
        yield Text(f"{count[0].upper()}{count[1:]}{self.last}.", style="bold")

    def _parts(self, block: Block) -> Iterator[Table | Padding]:
        # As Text, because brackets in a place would be read as markup.
        heading = Text.assemble((block.severity, STYLES[block.severity]), " ", (block.id, "bold"), "  ")
        yield _hanging(heading, Text(block.title, style="bold"))
        for where in where_lines(block, root=self.root):
            yield self._labelled("where:", Text(where, style="cyan"))
        yield Padding(Text(sentence_text(block.message)), (0, 0, 0, INDENT))
        if block.evidence:
            yield self._labelled("evidence:", Text(block.evidence, style="dim"))
        for fix in fixes(block, self.remedies):
            yield self._labelled("fix:", Text(fix, style="green"))

    def _labelled(self, label: str, text: Text) -> Padding:
        return Padding(_hanging(f"{label} ", text), (0, 0, 0, INDENT))


def _hanging(start: str | Text, text: Text) -> Table:
    """Put a text behind a start, with all its lines indented alike."""
    table = Table.grid()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(start if isinstance(start, Text) else Text(start), text)
    return table


def table_lines(table: FindingTable, width: int | None = None) -> list[str]:
    """Return the findings as plain lines, no wider than `width`; by default as wide as the terminal."""
    wide = width or get_terminal_size().columns
    console = Console(file=StringIO(), width=wide, color_system=None, legacy_windows=False, force_jupyter=False)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().rstrip("\n").split("\n")]
