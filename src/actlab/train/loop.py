"""A plain training loop that gives the same numbers for the same seed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actlab.train.examples import Examples
from actlab.train.task import OPTIMIZERS, Task
from actlab.user_code import their_code

EVALUATED_AT_ONCE = 4096
"""Rows that a model is evaluated on at once, which bounds the memory for a large test set."""


@dataclass(frozen=True)
class Epoch:
    """One point of a learning curve: the mean training loss of an epoch, and the metric on the validation part."""

    loss: float
    valid: float


@dataclass(frozen=True)
class Run:
    """The result of one training run.

    Attributes:
        curve: one point per epoch, up to a divergence.
        valid: the metric on the validation part at the end; after a divergence, that of the best constant prediction.
        diverged: whether a loss or an output was not finite.
        steps: the number of training steps.
    """

    curve: tuple[Epoch, ...]
    valid: float
    diverged: bool
    steps: int


def train(model: nn.Module, task: Task, *, rate: float, seed: int) -> Run:
    """Train `model`, in place, at one learning rate.

    The order of the rows is drawn from `seed`, and so is what the model draws itself, such as dropout, from PyTorch's
    global generator, which is restored afterwards.

    A divergence ends the run; `diverged` is then set, and the score is that of the best constant prediction.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _train(model, task, rate=rate, order=torch.Generator().manual_seed(seed))


def metric_on_test(model: nn.Module, task: Task) -> float | None:
    """Return the metric on the test part, or None if the outputs are not finite."""
    value, is_finite = _metric(model, task, part=task.test)
    return value if is_finite else None


def _train(model: nn.Module, task: Task, *, rate: float, order: torch.Generator) -> Run:
    optimizer = OPTIMIZERS[task.optimizer](model.parameters(), lr=rate)
    curve: list[Epoch] = []
    for epoch in range(task.epochs):
        loss = _epoch(model, task, optimizer=optimizer, order=order)
        if loss is None:
            return Run(tuple(curve), task.baseline(task.valid), True, epoch * task.steps // task.epochs)
        valid, is_finite = _metric(model, task, part=task.valid)
        curve.append(Epoch(loss, valid))
        if not is_finite:
            return Run(tuple(curve), valid, True, (epoch + 1) * task.steps // task.epochs)
    return Run(tuple(curve), curve[-1].valid, False, task.steps)


def _epoch(model: nn.Module, task: Task, *, optimizer: torch.optim.Optimizer, order: torch.Generator) -> float | None:
    """Train one epoch and return the mean loss, or None as soon as a loss is not finite."""
    total = 0.0
    model.train()
    shuffled = torch.randperm(len(task.train), generator=order)
    for start in range(0, len(shuffled), task.batch_size):
        rows = shuffled[start : start + task.batch_size]
        if len(rows) == 1 and len(task.train) > 1:
            continue  # BatchNorm cannot take a batch of one
        loss = step(model, task, optimizer=optimizer, rows=rows)
        if not loss.isfinite():
            return None
        total += loss.item() * len(rows)
    return total / len(task.train)


def step(model: nn.Module, task: Task, *, optimizer: torch.optim.Optimizer, rows: Tensor) -> Tensor:
    """Train one step and return the loss of the batch."""
    optimizer.zero_grad(set_to_none=True)
    with their_code(f"task '{task.name}': the model"):
        loss = task.loss(model(task.train.inputs[rows]), task.train.targets[rows])
        torch.autograd.backward(loss)
    optimizer.step()
    return loss.detach()


def _metric(model: nn.Module, task: Task, *, part: Examples) -> tuple[float, bool]:
    """Return the metric on one part and whether all outputs are finite; leave the model in evaluation mode."""
    model.eval()
    starts = range(0, len(part), EVALUATED_AT_ONCE)
    with torch.no_grad(), their_code(f"task '{task.name}': the model"):
        outputs = torch.cat([model(part.inputs[start : start + EVALUATED_AT_ONCE]) for start in starts])
    if not bool(outputs.isfinite().all()):
        return task.baseline(part), False
    return task.score(outputs, part), True


def step_seconds(model: nn.Module, task: Task, *, rate: float, steps: int = 30, warm: int = 5) -> list[float]:
    """Return the seconds of each of a few training steps, after a warm-up."""
    optimizer = OPTIMIZERS[task.optimizer](model.parameters(), lr=rate)
    rows = torch.arange(min(task.batch_size, len(task.train)))
    model.train()
    seconds = []
    with torch.random.fork_rng(devices=[]):
        for _ in range(warm + steps):
            start = time.perf_counter()
            step(model, task, optimizer=optimizer, rows=rows)
            seconds.append(time.perf_counter() - start)
    return seconds[warm:]
