"""The training runs of one repair: each is done once, and counted against a budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from actlab.errors import BadInput
from actlab.remedy.training import Run, Training, run

Progress = Callable[[int, int, float | None, str], None]


@final
@dataclass(frozen=True)
class Budget:
    """What a repair may spend: training runs, seconds, or both.

    Example:
        >>> Budget.read("40"), Budget.read("10m"), Budget.read("90s")
        (Budget(runs=40, seconds=None), Budget(runs=None, seconds=600.0), Budget(runs=None, seconds=90.0))
    """

    runs: int | None = 40
    seconds: float | None = None

    @staticmethod
    def read(text: str | int) -> Budget:
        """Return the budget that a text names: `40` runs, `10m`, `90s` or `1h`.

        Raises:
            BadInput: it is another text.
        """
        units = {"s": 1.0, "m": 60.0, "h": 3600.0}
        typed = str(text).strip()
        try:
            if typed[-1:] in units:
                seconds = float(typed[:-1]) * units[typed[-1]]
                if 0 < seconds < float("inf"):
                    return Budget(None, seconds)
            elif int(typed) > 0:
                return Budget(int(typed), None)
        except ValueError:
            pass
        raise BadInput(f"budget must be training runs, such as 40, or a time, such as 10m; got '{typed}'.")


class OutOfBudget(Exception):
    """The next run would exceed the budget."""


@final
class Runs:
    """The runs so far.

    Attributes:
        done: how many were trained.
        seconds: how long that took.
    """

    def __init__(self, budget: Budget, progress: Progress | None = None) -> None:
        self.budget, self._progress = budget, progress
        self.done, self._began = 0, time.monotonic()
        self._known: dict[tuple[tuple[str, ...], int], Run] = {}

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    @property
    def left(self) -> int:
        """How many runs may still be trained, at the speed so far."""
        most = 10_000 if self.budget.runs is None else self.budget.runs - self.done
        if self.budget.seconds is not None:
            each = self.seconds / max(1, self.done)
            most = min(most, int((self.budget.seconds - self.seconds) / max(each, 1e-3)))
        return max(0, most)

    def of(self, training: Training, key: tuple[str, ...], seed: int, *, label: str) -> Run:
        """Return the run of a training, trained now unless it was before.

        Args:
            training: what is trained.
            key: names it: the changes since the start.
            seed: the seed.
            label: for the progress.

        Raises:
            OutOfBudget: nothing is left.
        """
        if (key, seed) not in self._known:
            if self.left < 1:
                raise OutOfBudget
            self.report(label)
            self._known[key, seed] = run(training, seed)
            self.done += 1
            self.report(label)
        return self._known[key, seed]

    def knows(self, key: tuple[str, ...], seed: int) -> bool:
        """Return whether this run was trained."""
        return (key, seed) in self._known

    def metrics(self, key: tuple[str, ...]) -> list[float]:
        """Return the metrics of all seeds with which a training was run."""
        found = {seed: each.metric for (name, seed), each in self._known.items() if name == key}
        return [value for seed, value in sorted(found.items())]

    def curve(self, key: tuple[str, ...]) -> tuple[float, ...]:
        """Return the mean metric after each epoch, over the runs of a training; it ends with the shortest of them."""
        curves = [each.curve for (name, _), each in self._known.items() if name == key]
        return tuple(sum(values) / len(values) for values in zip(*curves, strict=False))

    def report(self, label: str) -> None:
        """Show the progress."""
        if self._progress is not None:
            if self.budget.runs is not None:
                self._progress(min(self.done, self.budget.runs), self.budget.runs, None, label)
            else:
                whole = int(self.budget.seconds or 0)
                self._progress(min(int(self.seconds), whole), whole, whole - self.seconds, label)
