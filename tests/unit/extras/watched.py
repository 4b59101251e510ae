"""A `watch` that notes how it was used."""

from __future__ import annotations

from typing import Any

from actlab.diagnosis.report import Report


class NotedWatch:
    """Takes the place of `actlab.watch` in a callback."""

    def __init__(self) -> None:
        self.model: Any = None
        self.given: dict[str, Any] = {}
        self.losses: list[float | None] = []
        self.entered = self.left = 0

    def __call__(self, model: Any, **given: Any) -> NotedWatch:
        self.model, self.given = model, given
        return self

    def __enter__(self) -> NotedWatch:
        self.entered += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.left += 1

    def step(self, loss: Any = None) -> None:
        self.losses.append(None if loss is None else float(loss))

    def report(self) -> Report:
        return Report(())
