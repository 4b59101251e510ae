"""Print how often each remedy repaired each finding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

from actlab.jsonable import plain
from actlab.remedy.learned import COMMAND, Row, learned
from actlab.remedy.registry import remedies


@final
@dataclass(frozen=True)
class RemedyTable:
    """The remedies, and what was measured of each on programs that were made faulty on purpose.

    Attributes:
        rows: one for each remedy and kind of finding.
        command: what makes the data.
    """

    rows: tuple[Row, ...]
    command: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        known = [
            {"id": each.id, "tier": each.tier, "sentence": each.sentence, "answers": sorted(each.answers)}
            for each in remedies()
        ]
        return {"remedies": known, "rows": plain(self.rows), "command": self.command}

    def lines(self) -> list[str]:
        """Return the remedies by tier, then the table."""
        lines = ["Remedies, the cheapest first:"]
        lines += [f"  {each.tier}  {each.id:26} {each.sentence}" for each in remedies()]
        lines += ["", "Measured on programs that were made faulty on purpose:"]
        if not self.rows:
            lines.append(f"  nothing yet; `{self.command}` measures it.")
            return lines
        lines.append(f"  {'remedy':26} {'finding':8} {'tried':>6} {'kept':>6}  median gain (95 % interval)")
        for row in self.rows:
            ends = "" if row.low is None or row.high is None else f" ({row.low:.2f} … {row.high:.2f})"
            gain = "" if row.median is None else f"{row.median:.2f}{ends}"
            lines.append(f"  {row.remedy:26} {row.finding:8} {row.tried:6} {row.kept:6}  {gain}")
        return [*lines, "", f"Gains are in regions of practical equivalence. Measured by `{self.command}`."]


def remedy_table() -> RemedyTable:
    """Return how often each remedy was tried and kept for each finding, and what it gained.

    Example:
        >>> remedy_table().command
        'python bench/repair.py --table'
    """
    return RemedyTable(learned(), COMMAND)
