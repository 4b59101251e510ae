"""The number of threads that a training runs on: one, unless more are clearly faster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from actlab.errors import ActlabError
from actlab.remedy.training import Training
from actlab.study.control_diagnosis import batches

TIMED = 3
"""Steps that are timed with each number of threads, after one that is not."""

WORTH = 0.75
"""Threads are used if they take at most this share of the time of one."""


@contextmanager
def suited_threads(training: Training) -> Iterator[None]:
    """Let PyTorch use one thread within a block, unless the steps of a training are clearly faster with all.

    The steps of a small network wait longer for each other's threads than they compute, above all on a busy machine.
    With one number of threads throughout, every run of a seed gives the same numbers.
    """
    many = torch.get_num_threads()
    try:
        if many > 1:
            torch.set_num_threads(1)
            alone = _seconds(training)
            torch.set_num_threads(many)
            if not _seconds(training) < WORTH * alone:
                torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(many)


def _seconds(training: Training) -> float:
    """Return the seconds of the fastest step; infinity if the training cannot take one."""
    fastest = float("inf")
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        try:
            torch.manual_seed(0)
            model = training.build(0).train()
            optimizer = training.optimizer_of(model)
            order = batches(training.task, seed=0)
            for number in range(1, TIMED + 2):
                batch, began = next(order), time.perf_counter()
                training.step(model, optimizer, batch, number)
                if number > 1:
                    fastest = min(fastest, time.perf_counter() - began)
        except ActlabError:
            return float("inf")
    return fastest
