"""Inputs and targets: converted to tensors, checked, and split into training, validation and test parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from actlab.errors import BadTask

MIN_ROWS = 20
"""Fewer rows cannot be split into three useful parts."""


@final
@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs and their targets, one row per example."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def first(self, rows: int) -> Examples:
        """Return the first rows."""
        return Examples(self.inputs[:rows], self.targets[:rows])


Rows = Examples | tuple[Any, Any]


def examples(rows: Rows, *, part: str) -> Examples:
    """Convert one part of the data to checked tensors: floating-point numbers become float32, integers int64.

    Raises:
        BadTask: the rows are not a pair, not numbers, not finite, or differ in length.
    """
    if not isinstance(rows, Examples):
        if not isinstance(rows, tuple | list) or len(rows) != 2:
            raise BadTask(f"{part} must be a pair (inputs, targets); got {article(rows)}.")
        rows = Examples(_tensor(rows[0], what=f"{part} inputs"), _tensor(rows[1], what=f"{part} targets"))
    if len(rows.inputs) != len(rows.targets):
        raise BadTask(
            f"{part} must have one target per input; got {len(rows.inputs)} inputs and {len(rows.targets)} targets."
        )
    if len(rows) == 0:
        raise BadTask(f"{part} must have at least one row; got none.")
    return rows


def split(parts: dict[str, Examples], *, seed: int = 0) -> dict[str, Examples]:
    """Return all three parts; for each missing one, split a fifth of the rows off the training part.

    The split is stratified by class; for a regression it is a plain shuffle.

    Raises:
        BadTask: there are too few rows to split.
    """
    missing = [part for part in ("valid", "test") if part not in parts]
    if not missing:
        return parts
    train = parts["train"]
    if len(train) < MIN_ROWS:
        raise BadTask(
            f"train must have at least {MIN_ROWS} rows to split off a part for {missing[0]}; got {len(train)}. Pass"
            f" more rows, or {missing[0]}= itself."
        )
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    if not train.targets.is_floating_point() and train.targets.dim() == 1:
        order = order[train.targets[order].argsort(stable=True)]
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    kept = torch.ones(len(train), dtype=torch.bool)
    for number, part in enumerate(missing):
        chosen = place % 5 == number + 1
        parts = {**parts, part: Examples(train.inputs[chosen], train.targets[chosen])}
        kept &= ~chosen
    return {**parts, "train": Examples(train.inputs[kept], train.targets[kept])}


def article(found: object) -> str:
    """Describe a value, for an error message."""
    if isinstance(found, Tensor):
        return f"a tensor of shape {tuple(found.shape)}"
    if found is None or isinstance(found, bool | int | float | str):
        return repr(found) if len(repr(found)) <= 40 else f"a {type(found).__name__}"
    if isinstance(found, tuple | list):
        return f"a {type(found).__name__} of {len(found)} entries"
    return f"a value of type {type(found).__name__}"


def _count(values: int) -> str:
    return "1 value that is" if values == 1 else f"{values} values that are"


def _tensor(values: Any, *, what: str) -> Tensor:
    try:
        tensor = values.detach().cpu() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    except (TypeError, ValueError) as error:
        raise BadTask(f"{what} must be numbers; got {article(values)} ({error}).") from error
    if tensor.is_complex() or tensor.dim() == 0:
        raise BadTask(f"{what} must be real numbers, one row per example; got {article(tensor)}.")
    if not tensor.is_floating_point():
        return tensor.float() if tensor.dtype == torch.bool and "inputs" in what else tensor.long()
    bad = ~tensor.isfinite()
    if bad.any():
        row = int(bad.reshape(len(tensor), -1).any(1).nonzero()[0])
        raise BadTask(
            f"{what} must be finite; got {_count(int(bad.sum()))} NaN or infinite, the first in row {row}. Replace"
            " them, or drop their rows."
        )
    return tensor.float()
