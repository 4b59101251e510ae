"""The last measured steps of a training, within a bound of memory."""

from __future__ import annotations

from collections.abc import Sized
from threading import Lock
from typing import Generic, Protocol, TypeVar, final

MOST_STEPS = 300
MOST_LOOKS = 20_000
"""Of a network with many activations fewer steps are kept: a look takes some 3 kB."""
_FEWEST_STEPS = 8


class Numbered(Protocol):
    """A measured step, as far as its place in a history depends on it."""

    @property
    def step(self) -> int:
        """The number of the training step."""

    @property
    def looks(self) -> Sized:
        """The activations that it shows."""


AStep = TypeVar("AStep", bound=Numbered)


@final
class History(Generic[AStep]):
    """Measured steps, the recent ones whole and the older ones thinned. Any thread may add and read."""

    def __init__(self) -> None:
        self._steps: list[AStep] = []
        self._lock = Lock()

    def add(self, measured: AStep) -> None:
        """Add a step; one of the same number or later ones, from before a restart, are replaced."""
        with self._lock:
            while self._steps and self._steps[-1].step >= measured.step:
                self._steps.pop()
            self._steps.append(measured)
            most = max(_FEWEST_STEPS, min(MOST_STEPS, MOST_LOOKS // max(1, len(measured.looks))))
            if len(self._steps) > most:  # the first step stays
                half = len(self._steps) // 2
                self._steps = [*self._steps[:half:2], *self._steps[half:]]

    def clear(self) -> None:
        """Forget all steps."""
        with self._lock:
            self._steps.clear()

    def steps(self) -> tuple[AStep, ...]:
        """Return the steps that are kept, the first one first."""
        with self._lock:
            return tuple(self._steps)

    def at(self, step: int | None) -> AStep | None:
        """Return the last kept step up to this number, the latest of all for None, or the first if all are later."""
        kept = self.steps()
        before = [each for each in kept if step is None or each.step <= step]
        return before[-1] if before else (kept[0] if kept else None)
