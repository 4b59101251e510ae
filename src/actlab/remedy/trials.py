"""Short trials: the losses of the first steps of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from statistics import mean

import torch

from actlab.remedy.training import Training
from actlab.study.control_diagnosis import batches

STEPS = 40
"""The steps of a trial."""


def losses(training: Training, steps: int = STEPS) -> list[float]:
    """Return the losses of the first steps with seed 0, up to the first that is not finite.

    Raises:
        BadTask, BadInput: the model or the loss raised.
    """
    found: list[float] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = training.build(0)
        model.train()
        optimizer = training.optimizer_of(model)
        for number, batch in enumerate(islice(batches(training.task, seed=0), steps), start=1):
            found.append(float(training.step(model, optimizer, batch, number)))
            if not math.isfinite(found[-1]):
                break
    return found


def fall(of: Sequence[float]) -> float:
    """Return by which share the loss fell: the mean of its last quarter against that of its first three values."""
    if not of or not all(map(math.isfinite, of)) or mean(of[:3]) <= 0:
        return -math.inf
    return 1 - mean(of[-max(1, len(of) // 4) :]) / mean(of[:3])
