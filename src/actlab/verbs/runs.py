"""List the studies of a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actlab.sites.site_text import name_text
from actlab.study.archive import Stored, studies
from actlab.study.store import Store

STORE = "actlab-runs.db"
VERDICT = 60  # characters


@dataclass(frozen=True)
class Runs:
    """The studies of a store, the newest first."""

    rows: tuple[Stored, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """Return one object per study."""
        return [_as_json(row) for row in self.rows]

    def lines(self) -> list[str]:
        """Return a table, one line per study."""
        if not self.rows:
            return ["The store holds no studies."]
        table = [("run", "task", "attempt", "begun", "trials", "state", "verdict"), *map(_cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]


def _as_json(row: Stored) -> dict[str, Any]:
    study = row.study
    return {
        "number": study.id,
        "name": study.name,
        "attempt": study.attempt,
        "created": study.created.isoformat(),
        "version": study.version,
        "done": study.done,
        "planned": study.planned,
        "state": row.state,
        "verdict": row.verdict,
    }


def _cells(row: Stored) -> tuple[str, ...]:
    study = row.study
    planned = "?" if study.planned is None else f"{max(study.planned, study.done):,}"
    return (
        str(study.id),
        name_text(study.name, limit=24),
        str(study.attempt),
        f"{study.created:%Y-%m-%d %H:%M}",
        f"{study.done:,} of {planned}",
        row.state,
        name_text(row.verdict, limit=VERDICT),
    )


def runs(store: str | Path = STORE) -> Runs:
    """List the studies of a store, the newest first.

    Args:
        store: the file or database URL.

    Raises:
        BadStudy: there is no such store, or it cannot be read.
    """
    with Store.existing(store) as opened:
        return Runs(studies(opened))
