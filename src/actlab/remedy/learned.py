"""How often each remedy repaired each finding: data that `bench/repair.py` makes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import final

COMMAND = "python bench/repair.py --table"
"""What makes the data."""

DATA = "learned.json"


@final
@dataclass(frozen=True)
class Row:
    """What was measured of one remedy for one kind of finding.

    Attributes:
        remedy: its id.
        finding: the id of the kind.
        tried: how often it was tried.
        kept: how often it was kept.
        median: the median gain of those that were trained, in regions of practical equivalence; None if none was.
        low, high: the 95 % interval of the median, by ranks; None if there are too few.
    """

    remedy: str
    finding: str
    tried: int
    kept: int
    median: float | None = None
    low: float | None = None
    high: float | None = None


@cache
def learned() -> tuple[Row, ...]:
    """Return the rows, sorted by finding and then by how often the remedy was kept."""
    file = resources.files("actlab.remedy") / DATA
    rows = [Row(**each) for each in json.loads(file.read_text(encoding="utf-8"))]
    return tuple(sorted(rows, key=lambda row: (row.finding, -row.kept / max(1, row.tried), row.remedy)))
