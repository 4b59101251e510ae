"""Losses and metrics of many lanes at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from actlab.train.examples import Examples
from actlab.train.kinds import KINDS
from actlab.train.task import Task

VECTOR = 32
"""A multiple of the numbers that PyTorch's loops take at once."""

Losses = Callable[[Tensor, Tensor], Tensor]
"""Maps outputs and targets of shape (lanes, batch, ...) to one loss per lane."""


def losses_of(task: Task) -> Losses:
    """Return the loss of a task as a function of stacked outputs and targets."""
    general: Losses = torch.vmap(task.loss)
    for name, stacked in _LOSSES.items():
        if task.loss is KINDS[name].loss:
            fits = _has_classes if name == "classification" else _is_flat
            return lambda outputs, targets: (stacked if fits(outputs, targets) else general)(outputs, targets)
    return general


def _is_flat(outputs: Tensor, targets: Tensor) -> bool:
    """Return whether every row has one target, and outputs along one axis."""
    return targets.dim() == 2 and outputs.dim() <= 3


def _has_classes(outputs: Tensor, targets: Tensor) -> bool:
    return outputs.dim() == 3 and targets.dim() == 2 and not targets.is_floating_point()


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    # Classes first: PyTorch's kernel for the last axis takes ten times as long for ten classes.
    shares = F.log_softmax(_in_whole_vectors(outputs.permute(2, 0, 1)).contiguous(), 0)
    return -shares.gather(0, _in_whole_vectors(targets).unsqueeze(0))[0, :, : targets.shape[1]].mean(1)


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs.reshape(targets.shape), targets, reduction="none").mean(1)


def _logistic_error(outputs: Tensor, targets: Tensor) -> Tensor:
    logits, wanted = (_in_whole_vectors(each) for each in (outputs.reshape(targets.shape), targets.to(outputs.dtype)))
    each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return each[:, : targets.shape[1]].mean(1)


def _in_whole_vectors(values: Tensor) -> Tensor:
    """Fill the last axis, the rows of a lane, up with zeros.

    The last elements of a tensor, too few for a vector of the processor, round otherwise than others. So a lane's loss
    would depend on the number of lanes.
    """
    lacking = -values.shape[-1] % VECTOR
    return F.pad(values, (0, lacking)) if lacking else values


_LOSSES = {"classification": _cross_entropy, "regression": _squared_error, "binary": _logistic_error}


def scores_of(tasks: Sequence[Task], outputs: Tensor, parts: Sequence[Examples], targets: Tensor) -> list[float]:
    """Return the metric of each lane.

    Args:
        tasks: the task of each lane.
        outputs: its outputs, of shape (lanes, rows, ...).
        parts: the rows of each lane.
        targets: their targets, stacked.
    """
    kind = tasks[0].kind
    if tasks[0].metric is kind.metric and kind is KINDS["classification"] and _has_classes(outputs, targets):
        right: list[float] = (100.0 * (outputs.argmax(2) == targets).double().mean(1)).tolist()
        return right
    if tasks[0].metric is kind.metric and kind is KINDS["regression"] and _is_flat(outputs, targets):
        errors = (outputs.reshape(targets.shape).double() - targets.double()).square().mean(1).sqrt().tolist()
        return [task.target_unit * error for task, error in zip(tasks, errors, strict=True)]
    return [task.score(own, part) for task, own, part in zip(tasks, outputs.unbind(), parts, strict=True)]
