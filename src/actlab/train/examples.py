"""Inputs and targets: made of tensors or arrays, checked, and split into training, validation and test part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from actlab.errors import BadTask

MIN_ROWS = 20
"""Fewer rows than this in all cannot be split into three parts that say anything."""


@final
@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs and their targets, one row each."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def first(self, rows: int) -> Examples:
        """The first few rows."""
        return Examples(self.inputs[:rows], self.targets[:rows])


Rows = Examples | tuple[Any, Any]


def examples(rows: Rows, *, part: str) -> Examples:
    """Checked tensors of what was given for one part; real numbers become float32, whole ones int64.

    Raises:
        BadTask: not a pair, not numbers, not finite, or inputs and targets of different lengths.
    """
    if not isinstance(rows, Examples):
        if not isinstance(rows, tuple | list) or len(rows) != 2:
            raise BadTask(f"{part} must be a pair (inputs, targets); found {article(rows)}.")
        rows = Examples(_tensor(rows[0], what=f"{part} inputs"), _tensor(rows[1], what=f"{part} targets"))
    if len(rows.inputs) != len(rows.targets):
        raise BadTask(f"{part} has {len(rows.inputs)} inputs but {len(rows.targets)} targets; give one target a row.")
    if len(rows) == 0:
        raise BadTask(f"{part} has no rows.")
    return rows


def split(parts: dict[str, Examples], *, seed: int = 0) -> dict[str, Examples]:
    """All three parts: those given, and a fifth of all rows split off the training part for each that is not.

    Classes keep their shares in every part; of a regression, the split is a plain shuffle.

    Raises:
        BadTask: fewer rows than can be split.
    """
    missing = [part for part in ("valid", "test") if part not in parts]
    if not missing:
        return parts
    train = parts["train"]
    if len(train) < MIN_ROWS:
        raise BadTask(
            f"train has {len(train)} rows; at least {MIN_ROWS} are needed to split off a part for {missing[0]}."
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
    """What a value is, in words fit for an error."""
    if isinstance(found, Tensor):
        return f"a tensor of shape {tuple(found.shape)}"
    if found is None or isinstance(found, bool | int | float | str):
        return repr(found) if len(repr(found)) <= 40 else f"a {type(found).__name__}"
    return f"a value of type {type(found).__name__}"


def _tensor(values: Any, *, what: str) -> Tensor:
    try:
        tensor = values.detach().cpu() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    except (TypeError, ValueError) as error:
        raise BadTask(f"{what} must be numbers; found {article(values)} ({error}).") from error
    if tensor.is_complex() or tensor.dim() == 0:
        raise BadTask(f"{what} must be real numbers, one row each; found {article(tensor)}.")
    if not tensor.is_floating_point():
        return tensor.float() if tensor.dtype == torch.bool and "inputs" in what else tensor.long()
    bad = ~tensor.isfinite()
    if bad.any():
        row = int(bad.reshape(len(tensor), -1).any(1).nonzero()[0])
        raise BadTask(
            f"{what} hold {int(bad.sum())} values that are NaN or infinite, the first in row {row}; mend or drop them."
        )
    return tensor.float()
