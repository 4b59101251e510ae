"""Run a model on a part of the data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from actlab.train.examples import Examples
from actlab.train.tree import called_with, has_rows, joined, leaves
from actlab.user_code import their_code

ROWS_AT_ONCE = 4096
"""Rows that a model is evaluated on at once, which bounds the memory for a large test set."""

NUMBERS_AT_ONCE = 1 << 20
"""Fewer rows are evaluated at once if their inputs hold more numbers, since the layers' outputs are as large."""


def outputs_on(model: nn.Module, part: Examples, *, task: str) -> Any:
    """Return the outputs of a model for a part of the data, in evaluation mode and without gradients.

    Outputs that cannot be joined row by row, such as distributions, are computed for all rows at once.

    Raises:
        BadTask: the model raised.
    """
    model.eval()
    rows, at_once = len(part), _at_once(part.inputs)
    with torch.no_grad(), their_code(f"task '{task}': the model"):
        outputs = [output(model, part.first(at_once).inputs)]
        if at_once >= rows:
            return outputs[0]
        if not has_rows(outputs[0], at_once):
            return output(model, part.inputs)
        starts = range(at_once, rows, at_once)
        outputs += [output(model, part.at(slice(start, start + at_once)).inputs) for start in starts]
    return joined(outputs)


def output(model: nn.Module, inputs: Any) -> Any:
    """Return the output of a model for inputs of any form."""
    if isinstance(inputs, Tensor):
        return model(inputs)
    positional, named = called_with(inputs)
    return model(*positional, **named)


def _at_once(inputs: Any) -> int:
    numbers: int = sum(each.numel() // len(each) for each in leaves(inputs))
    return max(1, min(ROWS_AT_ONCE, NUMBERS_AT_ONCE // max(1, numbers)))
