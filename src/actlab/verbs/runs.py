"""List the studies of a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actlab.sites.site_text import name_text
from actlab.study.archive import Stored, studies
from actlab.study.store import Store
from actlab.study.suite_store import StoredSuite, suites

STORE = "actlab-runs.db"
VERDICT = 60  # characters


@dataclass(frozen=True)
class Runs:
    """The studies of a store, the newest first; a comparison on several tasks stands before its studies.

    Attributes:
        rows: the studies.
        suites: the comparisons on several tasks, each with its studies.
    """

    rows: tuple[Stored, ...]
    suites: tuple[StoredSuite, ...] = ()

    def to_json(self) -> list[dict[str, Any]]:
        """Return one object per study and per comparison on several tasks."""
        return [_as_json(row) if isinstance(row, Stored) else _suite_as_json(row) for row in self._ordered()]

    def lines(self) -> list[str]:
        """Return a table, one line per study and per comparison on several tasks."""
        if not self.rows:
            return ["The store holds no studies."]
        cells = [_cells(row) if isinstance(row, Stored) else _suite_cells(row) for row in self._ordered()]
        table = [("run", "task", "attempt", "begun", "trials", "state", "verdict"), *cells]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]

    def _ordered(self) -> list[Stored | StoredSuite]:
        """Return each suite before the newest of its studies."""
        before = {max(each.study.id for each in suite.members): suite for suite in self.suites}
        return [
            each for row in self.rows for each in ((before[row.study.id], row) if row.study.id in before else (row,))
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


def _suite_as_json(row: StoredSuite) -> dict[str, Any]:
    return {
        "number": row.shown,
        "name": ", ".join(row.tasks),
        "attempt": 1,
        "created": row.created.isoformat(),
        "version": row.version,
        "done": sum(each.study.done for each in row.members),
        "planned": _planned(row),
        "state": row.state,
        "verdict": row.verdict,
        "studies": [each.study.id for each in row.members],
    }


def _planned(row: StoredSuite) -> int | None:
    planned = [each.study.planned for each in row.members]
    return None if None in planned else sum(each or 0 for each in planned)


def _suite_cells(row: StoredSuite) -> tuple[str, ...]:
    done, planned = sum(each.study.done for each in row.members), _planned(row)
    return (
        row.shown,
        name_text(f"{len(row.tasks)} tasks: {', '.join(row.tasks)}", limit=24),
        "",
        f"{row.created:%Y-%m-%d %H:%M}",
        f"{done:,} of {'?' if planned is None else f'{max(planned, done):,}'}",
        row.state,
        name_text(row.verdict, limit=VERDICT),
    )


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
        found = studies(opened)
        return Runs(found, suites(opened, found))
