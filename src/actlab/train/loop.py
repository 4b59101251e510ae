"""A plain training loop that gives the same numbers for the same seed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from actlab.train.clipping import clip_gradients
from actlab.train.examples import Examples
from actlab.train.fused import Optimizer, optimizer_of
from actlab.train.judge import judged, judged_on_test
from actlab.train.noise import PlainNoise
from actlab.train.plateau import has_ended, is_still_learning
from actlab.train.run import Epoch as Epoch
from actlab.train.run import Run as Run
from actlab.train.task import OPTIMIZERS, Task
from actlab.user_code import their_code


def train(model: nn.Module, task: Task, *, rate: float, seed: int, clip: float | None = None) -> Run:
    """Train `model`, in place, at one learning rate, to its plateau; leave it with the weights of its best epoch.

    Gradients are clipped to the norm `clip`, if it is not None.

    The order of the rows is drawn from `seed`, and so is dropout, from a stream that batched lanes share. What else the
    model draws comes from PyTorch's global generator, seeded likewise and restored afterwards.

    A divergence ends the run; `diverged` is then set, and the scores are the baseline of the task.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _train(model, task, rate=rate, seed=seed, clip=clip)


def _train(model: nn.Module, task: Task, *, rate: float, seed: int, clip: float | None) -> Run:
    order, noise = torch.Generator().manual_seed(seed), PlainNoise(model, seed)
    optimizer = optimizer_of(OPTIMIZERS[task.optimizer], model, rate=rate)
    curve: list[Epoch] = []
    best, weights = 0, _copied(model)
    while not curve or not has_ended([each.valid for each in curve], task):
        first_step = len(curve) * task.steps_per_epoch
        loss = _epoch(model, task, optimizer=optimizer, order=order, noise=noise, first_step=first_step, clip=clip)
        if loss is None:
            return diverged(curve, task, steps=len(curve) * task.steps_per_epoch)
        valid, is_finite = _metric(model, task, part=task.valid)
        curve.append(Epoch(loss, valid))
        if not is_finite:
            return diverged(curve, task, steps=len(curve) * task.steps_per_epoch)
        if not best or task.metric.is_better(valid, than=curve[best - 1].valid):
            best, weights = len(curve), _copied(model)
    model.load_state_dict(weights)
    scores, is_finite = judged_on_test(model, task)
    if not is_finite:
        return diverged(curve, task, steps=len(curve) * task.steps_per_epoch)
    return finished(curve, task, best=best, scores=scores)


def finished(curve: Sequence[Epoch], task: Task, *, best: int, scores: Mapping[str, float]) -> Run:
    """Return the result of a run that ended by itself, with its scores on the test part."""
    values = [each.valid for each in curve]
    return Run(
        curve=tuple(curve),
        best=best,
        valid=values[best - 1],
        test=scores[task.metric.name],
        diverged=False,
        still_learning=is_still_learning(values, task),
        steps=len(curve) * task.steps_per_epoch,
        beside={name: value for name, value in scores.items() if name != task.metric.name},
    )


def diverged(curve: Sequence[Epoch], task: Task, *, steps: int) -> Run:
    """Return the result of a run that diverged, which scores as the baseline."""
    return Run(
        curve=tuple(curve),
        best=0,
        valid=task.baseline(task.valid),
        test=task.baseline(task.test),
        diverged=True,
        still_learning=False,
        steps=steps,
    )


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _epoch(
    model: nn.Module,
    task: Task,
    *,
    optimizer: Optimizer,
    order: torch.Generator,
    noise: PlainNoise,
    first_step: int,
    clip: float | None,
) -> float | None:
    """Train one epoch and return the mean loss, or None as soon as a loss is not finite."""
    total = 0.0
    model.train()
    shuffled = torch.randperm(len(task.train), generator=order)
    for number, start in enumerate(range(0, len(shuffled), task.batch_size), start=first_step):
        rows = shuffled[start : start + task.batch_size]
        if len(rows) == 1 and len(task.train) > 1:
            continue  # BatchNorm cannot take a batch of one
        loss = step(model, task, optimizer=optimizer, rows=rows, noise=noise, number=number, clip=clip)
        if not loss.isfinite():
            return None
        total += loss.item() * len(rows)
    return total / len(task.train)


def step(
    model: nn.Module,
    task: Task,
    *,
    optimizer: Optimizer,
    rows: Tensor,
    noise: PlainNoise,
    number: int,
    clip: float | None = None,
) -> Tensor:
    """Train one step, the run's step of this number, and return the loss of the batch."""
    optimizer.zero_grad()
    with their_code(f"task '{task.name}': the model"):
        batch = task.train.at(rows)
        loss = task.loss(noise.apply(model, batch.inputs, step=number), batch.targets)
        torch.autograd.backward(loss)
    if clip is not None:
        clip_gradients(model.parameters(), norm=clip)
    optimizer.step()
    return loss.detach()


def _metric(model: nn.Module, task: Task, *, part: Examples) -> tuple[float, bool]:
    """Return the metric on one part and whether all outputs are finite; leave the model in evaluation mode."""
    scores, is_finite = judged(model, task, part, beside=False)
    return scores[task.metric.name], is_finite


def step_seconds(
    model: nn.Module, task: Task, *, rate: float, steps: int = 30, warm: int = 5, clip: float | None = None
) -> list[float]:
    """Return the seconds of each of a few training steps, after a warm-up."""
    optimizer = optimizer_of(OPTIMIZERS[task.optimizer], model, rate=rate)
    rows = torch.arange(min(task.batch_size, len(task.train)))
    noise = PlainNoise(model, 0)
    model.train()
    seconds = []
    with torch.random.fork_rng(devices=[]):
        for number in range(warm + steps):
            start = time.perf_counter()
            step(model, task, optimizer=optimizer, rows=rows, noise=noise, number=number, clip=clip)
            seconds.append(time.perf_counter() - start)
    return seconds[warm:]
