"""Measure the memory that activations save for the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from actlab.measure.memory.summary import Memory
from actlab.measure.memory.summary import memory as measured
from actlab.train.subject import Subject
from actlab.train.task import Task
from actlab.verbs.task_lookup import subject_named


def memory(
    data: str | Path | Task | Subject | None = None,
    *,
    target: str | None = None,
    task: str | None = None,
    input: Sequence[str] = (),
    compiled: bool = True,
    progress: Callable[[int, int, float | None, str], None] | None = None,
) -> Memory:
    """Measure what one training step saves for the backward pass, as the model is and with few-bit memory.

    Args:
        data: as for `check`.
        target: the table column to predict.
        task: the name of a built-in task; the default without `data` is the built-in example.
        input: the shapes of random inputs, such as `["32,4"]` or `["32,16:int64"]`, for a model without a batch.
        compiled: measure under torch.compile too.
        progress: called after each choice with the number done, the total, the seconds left if known, and a label.

    Raises:
        BadTask, BadTable, BadInput: the message says what to change.
    """
    subject = subject_named(data, target=target, task=task, verb="memory", input=input)
    return measured(subject, compiled=compiled, progress=progress)
