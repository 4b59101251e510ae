"""Inputs and targets: converted to tensors, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NotRequired, Protocol, TypedDict, final

import numpy as np
import torch
from torch import Tensor

from actlab.errors import BadTask
from actlab.train.tree import leaves, mapped


@final
@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs and their targets, one row per example.

    Attributes:
        inputs: a tensor; or a tuple of tensors, the arguments of the model; or a dict of its keyword arguments.
        targets: a tensor; or a tuple or a dict of tensors, as the loss takes them.
        drawn: how the rows were drawn, if they are a part of a split.
    """

    inputs: Any
    targets: Any
    drawn: Drawn | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(next(leaves(self.inputs)))

    @property
    def target_count(self) -> int:
        """The number of targets: several per row for masks, texts and several labels."""
        return self.targets.numel() if isinstance(self.targets, Tensor) else len(self)

    def first(self, rows: int) -> Examples:
        """Return the first rows."""
        return self.at(slice(rows))

    def at(self, rows: Tensor | slice) -> Examples:
        """Return these rows, by their numbers, by a mask or by a slice."""
        inputs = mapped(lambda values: values[rows], self.inputs)
        same = self.targets is self.inputs
        return Examples(inputs, inputs if same else mapped(lambda values: values[rows], self.targets))


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

    Without targets (None), the inputs are the targets.

    Raises:
        BadTask: the rows are not a pair, not numbers, not finite, or differ in length.
    """
    if not isinstance(rows, Examples):
        if not isinstance(rows, tuple | list) or len(rows) != 2:
            raise BadTask(
                f"{part} must be a pair (inputs, targets); got {article(rows)}. Without targets, pass (inputs, None)."
            )
        inputs = _tensors(rows[0], what=f"{part} inputs")
        targets = inputs if rows[1] is None else _tensors(rows[1], what=f"{part} targets")
        rows = Examples(inputs, targets)
    counts = [len(values) for values in (*leaves(rows.inputs), *leaves(rows.targets))]
    if len(set(counts)) > 1:
        found = f"{counts[0]} inputs and {counts[-1]} targets" if len(counts) == 2 else f"{counts} rows"
        raise BadTask(f"{part} must have one target per input; got {found}.")
    if counts[0] == 0:
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


def shapes(tree: Any) -> str:
    """Describe the shapes of the tensors in a tree, for an error message.

    Example:
        >>> shapes(torch.ones(2, 3)), shapes({"a": torch.ones(2), "b": torch.ones(2, 1)})
        ('shape (2, 3)', 'shapes (2,) and (2, 1)')
    """
    found = [str(tuple(each.shape)) for each in leaves(tree) if isinstance(each, Tensor)]
    return f"shape{'' if len(found) == 1 else 's'} {' and '.join(found)}"


def _count(values: int) -> str:
    return "1 value that is" if values == 1 else f"{values} values that are"


def _tensors(values: Any, *, what: str) -> Any:
    """Convert a tree of arrays; a tuple or a dict of arrays holds several, other sequences are one array."""
    if isinstance(values, Mapping) and values:
        return {str(name): _tensors(each, what=f"{what} '{name}'") for name, each in values.items()}
    if isinstance(values, tuple) and values and all(_is_array(each) for each in values):
        return tuple(_tensors(each, what=f"{what} {number}") for number, each in enumerate(values))
    return _tensor(values, what=what)


def _is_array(values: object) -> bool:
    return isinstance(values, Mapping | Tensor | np.ndarray) and getattr(values, "ndim", 1) > 0


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
