"""Progress on standard error."""

from __future__ import annotations

import json
from typing import Any

from actlab.cli.printed import say, shown


class ProgressBar:
    """A progress bar on standard error; it appears with the first progress and disappears on every exit.

    Args:
        shown: whether it is shown.
        as_json: write each progress as a line of JSON instead, for a program that waits.
    """

    def __init__(self, *, shown: bool, as_json: bool = False) -> None:
        self.shown, self.as_json = shown, as_json
        self.bar: Any = None
        self.row: Any = None

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def say(self, line: str) -> None:
        """Print a line that stays."""
        if not self.shown:
            return
        if self.bar is not None:
            self.bar.console.print(shown(line), markup=False, highlight=False)
        else:
            say(line)

    def advance(self, done: float, total: int, seconds_left: float | None, label: str) -> None:
        """Move the bar to `done` of `total`."""
        if self.as_json:
            values = {"done": done, "total": total, "seconds_left": seconds_left, "label": label}
            say(json.dumps(values, ensure_ascii=False, allow_nan=False))
            return
        if not self.shown:
            return
        if self.bar is None:
            self._start(total)
        left = "" if seconds_left is None else f"{int(seconds_left // 60)}:{int(seconds_left % 60):02d} left"
        self.bar.update(self.row, completed=done, total=total, description=shown(label), left=left)

    def _start(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=Console(stderr=True),
        )
        self.row = self.bar.add_task("", total=total, left="")
        self.bar.start()
