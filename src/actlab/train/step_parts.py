"""Time the two parts of a training step: forward, to the loss, and backward."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from actlab.train.noise import PlainNoise
from actlab.train.task import Task
from actlab.user_code import their_code


def forward(model: nn.Module, task: Task, *, noise: PlainNoise, number: int = 0) -> Tensor:
    """Return the loss of the task's first batch."""
    batch = task.train.first(task.batch_size)
    with their_code(f"task '{task.name}': the model"):
        return task.loss(noise.apply(model, batch.inputs, step=number), batch.targets)


def part_seconds(model: nn.Module, task: Task, *, steps: int, warm: int) -> tuple[list[float], list[float]]:
    """Return the seconds of the forward and of the backward pass in each of a few steps, after a warm-up.

    The weights stay as they are.
    """
    noise, ahead, back = PlainNoise(model, 0), [], []
    model.train()
    with torch.random.fork_rng(devices=[]):
        for number in range(warm + steps):
            model.zero_grad()
            start = time.perf_counter()
            loss = forward(model, task, noise=noise, number=number)
            middle = time.perf_counter()
            torch.autograd.backward(loss)
            end = time.perf_counter()
            ahead.append(middle - start)
            back.append(end - middle)
    return ahead[warm:], back[warm:]
