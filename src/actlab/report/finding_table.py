"""Findings for reading in a terminal: the gravest first, then what was not seen, then the count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from shutil import get_terminal_size

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from actlab.report.finding_text import (
    MARKS,
    by_severity,
    count_text,
    evidence_text,
    place_text,
    sentence_text,
    unseen_text,
)
from actlab.rules.finding import Finding
from actlab.sites.site import Unseen

STYLES = {"error": "bold red", "warning": "yellow", "information": "blue"}


@dataclass(frozen=True)
class FindingTable:
    """Findings as something that Rich renders, fit for the width there is.

    Attributes:
        findings: what was found.
        unseen: what could not be looked into.
        remedies: a sentence for the id of every remedy.
        root: the folder that paths are told from.
        nothing: said in place of a count of none.
        last: said after the count, such as how many are accepted.
    """

    findings: Sequence[Finding]
    unseen: Sequence[Unseen]
    remedies: Mapping[str, str]
    root: Path
    nothing: str = "nothing found"
    last: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.findings:
            yield self._table()
            yield ""
        if self.unseen:
            yield Text("Not seen:", style="bold")
            for one in self.unseen:
                yield Text(f"  {unseen_text(one)}", style="dim")
            yield ""
        count = count_text(self.findings, nothing=self.nothing)
        yield Text(f"{count[0].upper()}{count[1:]}{self.last}.", style="bold")

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
        table.add_column("severity", no_wrap=True)
        table.add_column("id", no_wrap=True)
        table.add_column("what was found, where, how that is known, what answers it", overflow="fold")
        for number, finding in enumerate(by_severity(self.findings)):
            if number:
                table.add_row()
            style = STYLES[finding.severity]
            severity = Text(f"{MARKS[finding.severity]} {_SHORT[finding.severity]}", style=style)
            # As Text, because brackets in a place would be read as markup.
            table.add_row(severity, Text(finding.id, style="bold"), Text("\n").join(self._told(finding)))
        return table

    def _told(self, finding: Finding) -> Iterator[Text]:
        yield Text(sentence_text(finding.message))
        yield Text(place_text(finding, root=self.root), style="cyan")
        if finding.evidence:
            yield Text(f"evidence: {evidence_text(finding.evidence)}", style="dim")
        for remedy in finding.remedies:
            yield Text(f"→ {self.remedies.get(remedy, remedy)}", style="green")


# In a table of 80 columns every character of a narrow column is one less for the sentence.
_SHORT = {"error": "error", "warning": "warning", "information": "info"}


def table_lines(table: FindingTable, width: int | None = None) -> list[str]:
    """The findings as plain lines, no wider than `width`; by default as wide as the terminal."""
    wide = width or get_terminal_size().columns
    console = Console(file=StringIO(), width=wide, color_system=None, legacy_windows=False, force_jupyter=False)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().rstrip("\n").split("\n")]
