"""Measure the signal in a model beside what the theory of wide networks predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actlab.study.control_diagnosis import signal_in
from actlab.telemetry.signal.answer import Signal, signal_lines
from actlab.train.subject import Subject
from actlab.train.task import Task
from actlab.verbs.task_lookup import subject_named


@dataclass(frozen=True)
class Propagated:
    """The signal at each activation of a model, measured and predicted.

    Attributes:
        name: the model or task.
        signal: the numbers, and why measurement and theory part.
    """

    name: str
    signal: Signal

    def to_json(self) -> dict[str, Any]:
        """Return the name, and one object per site with all numbers."""
        return {"name": self.name, **self.signal.to_json()}

    def lines(self) -> list[str]:
        """Return a table of the sites, and the reasons below it."""
        return signal_lines(self.signal)


def signal(
    data: str | Path | Task | Subject | None = None,
    *,
    target: str | None = None,
    task: str | None = None,
    input: Sequence[str] = (),
) -> Propagated:
    """Measure the signal at each activation of a model, and predict it from the variances of the weights.

    Args:
        data: as for `check`; a loss is not needed.
        target: the table column to predict.
        task: the name of a built-in task.
        input: the shapes of random inputs, such as `["32,4"]` or `["32,16:int64"]`, for a model without a batch.

    Raises:
        BadTask, BadTable, BadInput: the message says what to change.
    """
    subject = subject_named(data, target=target, task=task, verb="signal", input=input)
    return Propagated(subject.name, signal_in(subject))
