"""The settings of a task's training, and their check."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from actlab.errors import BadTask
from actlab.train.examples import article
from actlab.train.kinds import KINDS

# Fused: one call per step instead of ten per parameter; a step of a small network then takes half the time.
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "sgd": partial(torch.optim.SGD, fused=True),
    "momentum": partial(torch.optim.SGD, momentum=0.9, fused=True),
}


def check_recipe(
    task: str,
    *,
    model: object,
    kind: str,
    epochs: object,
    batch_size: object,
    optimizer: str,
    rates: tuple[float, ...],
) -> None:
    """Raise `BadTask` unless the settings of the task of this name are possible."""

    def refuse(fault: str) -> BadTask:
        return BadTask(f"task '{task}': {fault}")

    if not callable(model):
        raise refuse(
            f"model must be a function that returns a new model; got {article(model)}. Pass a class, or a"
            " function that builds the model."
        )
    for what, number in (("epochs", epochs), ("batch_size", batch_size)):
        if not isinstance(number, int) or number < 1:
            raise refuse(f"{what} must be a positive integer; got {number!r}.")
    if len(rates) != 2 or not 0 < rates[0] <= rates[1] < float("inf"):
        raise refuse(f"rates must be two positive numbers, the lower first; got {rates}.")
    if optimizer not in OPTIMIZERS:
        raise refuse(f"optimizer must be one of {', '.join(OPTIMIZERS)}; got '{optimizer}'.")
    if kind and kind not in KINDS:
        raise refuse(f"kind must be one of {', '.join(KINDS)}; got '{kind}'.")
