"""A task as a study measures it: with noise in labels, test rows with noise in their inputs, or more metrics."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

import torch
from torch import Tensor

from actlab.errors import BadTask
from actlab.train.examples import Examples
from actlab.train.input_noise import InputNoise, generator
from actlab.train.metrics import with_metric
from actlab.train.task import Task

STREAM = 4
"""Label noise is drawn from a stream of a seed that nothing else uses."""


def with_metrics(task: Task, names: Sequence[str]) -> Task:
    """Return the task with these metrics beside its own, those that it has already once.

    Raises:
        BadTask: a metric is for another kind of task.
    """
    known = [task.metric, *task.beside]
    asked = [with_metric(task.kind, name, loss=task.loss, task=task.name).metric for name in names]
    return _changed(task, beside=(*task.beside, *(metric for metric in asked if metric not in known)))


def with_input_noise(task: Task, levels: Sequence[float], *, seed: int) -> Task:
    """Return the task with its test rows judged once more with noise of each size in their inputs."""
    return _changed(task, noise=InputNoise(tuple(levels), seed))


def with_label_noise(task: Task, share: float, *, seed: int) -> Task:
    """Return the task with a share of the training and validation targets wrong; the test targets stay.

    A class becomes another class, drawn at random; another target becomes that of another row of the same part.

    Args:
        task: the task.
        share: how many of the targets, from 0 to 1; their number is rounded.
        seed: what is drawn from; the same seed makes the same targets wrong.

    Raises:
        BadTask: the task has no targets, or several tensors of them.

    Example:
        >>> from actlab.train.builtin import builtin_task
        >>> task = builtin_task("digits-relu")
        >>> noisy = with_label_noise(task, 0.25, seed=0)
        >>> wrong = noisy.train.targets != task.train.targets
        >>> round(float(wrong.float().mean()), 2), torch.equal(noisy.test.targets, task.test.targets)
        (0.25, True)
    """
    if not isinstance(task.train.targets, Tensor) or task.train.targets is task.train.inputs:
        raise BadTask(f"task '{task.name}': label noise requires targets that are one tensor. Leave it out.")
    return _changed(
        task,
        train=_wrong(task.train, task, share=share, chance=generator(seed, STREAM, 0)),
        valid=_wrong(task.valid, task, share=share, chance=generator(seed, STREAM, 1)),
    )


def _wrong(part: Examples, task: Task, *, share: float, chance: torch.Generator) -> Examples:
    """Return a part with a share of its targets wrong, without the note of how it was drawn."""
    targets = part.targets
    if targets.is_floating_point() and task.kind.name != "binary":
        rows = _some(len(targets), share=share, chance=chance)
        others = (rows + torch.randint(1, max(2, len(targets)), rows.shape, generator=chance)) % len(targets)
        return replace(part, targets=targets.index_copy(0, rows, targets[others]), drawn=None)
    classes = 2 if task.kind.name == "binary" else task.classes
    flat = targets.flatten()
    places = _some(len(flat), share=share, chance=chance)
    steps = torch.randint(1, classes, places.shape, generator=chance)
    wrong = flat.index_copy(0, places, (flat[places] + steps.to(flat.dtype)) % classes)
    return replace(part, targets=wrong.view(targets.shape), drawn=None)


def _some(count: int, *, share: float, chance: torch.Generator) -> Tensor:
    return torch.randperm(count, generator=chance)[: round(share * count)]


def _changed(task: Task, **values: object) -> Task:
    changed = copy(task)
    changed._set(**values)
    return changed
