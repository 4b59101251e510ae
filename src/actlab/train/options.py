"""The options of a task that the command line and Python can override."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, final

Option = bool | int | float | str
"""The value of an option of a model's factory."""


@final
@dataclass(frozen=True)
class TaskOptions:
    """How a task is read and trained; each field's annotation describes it."""

    text: Annotated[
        str | Path | None, "Text file: predict each character from those before it, with a small transformer."
    ] = None
    epochs: Annotated[
        int | None, "Passes over the training rows, at least; training goes on to a plateau. Default: that of the task."
    ] = None
    rates: Annotated[
        tuple[float, float] | None, "Lowest and highest learning rate to start from. Default: those of the task."
    ] = None
    kind: Annotated[
        str, "Kind of a table's task: classification or regression. Default: as the target's values suggest."
    ] = ""
    metric: Annotated[
        str | None,
        "Metric to judge by, such as balanced accuracy, average precision, f1, mae or loss. Default: as the task's kind"
        " suggests.",
    ] = None
    header: Annotated[bool, "Read the first row of a table as the names of its columns."] = True
    without: Annotated[Sequence[str], "Columns of a table to leave out."] = ()
