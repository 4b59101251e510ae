"""List the built-in tasks."""

from __future__ import annotations

from dataclasses import dataclass

from actlab.train.builtin import TASKS


@dataclass(frozen=True)
class Tasks:
    """The built-in tasks: name and description of each."""

    rows: tuple[tuple[str, str], ...]

    def to_json(self) -> list[dict[str, str]]:
        """Return one object per task."""
        return [{"name": name, "about": about} for name, about in self.rows]

    def lines(self) -> list[str]:
        """Return one line per task."""
        width = max(len(name) for name, _ in self.rows)
        return [f"{name:<{width}}  {about}" for name, about in self.rows]


def tasks() -> Tasks:
    """List the built-in tasks that `advise`, `check`, `sites` and `memory` accept by name."""
    return Tasks(tuple((name, builtin.sentence) for name, builtin in TASKS.items()))
