"""Inputs and targets: converted to tensors, and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NotRequired, Protocol, TypedDict, final

import numpy as np
import torch
from torch import Tensor

from actlab.errors import BadTask


@final
@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs and their targets, one row per example.

    Attributes:
        inputs: the inputs.
        targets: the targets.
        drawn: how the rows were drawn, if they are a part of a split.
    """

    inputs: Tensor
    targets: Tensor
    drawn: Drawn | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.inputs)

    def first(self, rows: int) -> Examples:
        """Return the first rows."""
        return Examples(self.inputs[:rows], self.targets[:rows])

    def at(self, rows: Tensor) -> Examples:
        """Return these rows, by their numbers or by a mask."""
        return Examples(self.inputs[rows], self.targets[rows])


class Parts(TypedDict):
    """The three parts of a task's data, and the size of one unit of the targets if the division scales them."""

    train: Examples
    valid: Examples
    test: Examples
    target_unit: NotRequired[float]


class Divides(Protocol):
    """Divides rows into three parts; the sizes are the same for every split number."""

    @property
    def sentence(self) -> str:
        """Which rows a new split draws, and which noise that leaves out."""

    def parts(self, number: int) -> Parts:
        """Return the three parts of this split."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """How a part was drawn.

    Attributes:
        division: divides the rows again.
        number: the number of the split.
        part: the name of the part.
    """

    division: Divides
    number: int
    part: str


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
