"""A study whose trials take a hundredth of a second, and what a store keeps of one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np
from torch import nn

from actlab.study.arm import Arm
from actlab.study.compare import compare
from actlab.study.comparison import Comparison
from actlab.study.outcome import Outcome
from actlab.study.plan import Look, Plan, Trial
from actlab.study.runner import Claim, Crew, Setting, claimed
from actlab.train.loop import Epoch
from actlab.train.mlp import mlp
from actlab.train.task import Task

PLAN = Plan(
    task="t",
    fingerprint="f",
    arms=("relu", "x*sigmoid(1.7*x)"),
    points=(0.001, 0.01),
    seeds=(2**31 - 1, 5),
    looks=(Look(2, 0.04),),
    margin=0.5,
    margin_is_relative=False,
    splits="fixed",
    init="as-is",
    seed=0,
)
KEPT = Outcome(
    trial=Trial("relu", 0, 2**31 - 1),
    rate=0.001,
    valid=91.123456789012345,
    test=90.5,
    diverged=False,
    still_learning=True,
    best=1,
    steps=30,
    curve=(Epoch(1.5, 40.0),),
    seconds=0.5,
)
DIVERGED = Outcome(Trial("x*sigmoid(1.7*x)", -1, 5), 0.01, 10.0, 9.75, True, False, 0, 3, (), 0.1)


def dots() -> Task:
    """A task of 60 rows that is learned within two epochs."""
    inputs = np.random.default_rng(0).normal(size=(60, 2))
    model = partial(mlp, nn.ReLU, sizes=(2, 8, 2))
    train = (inputs, (inputs.sum(1) > 0).astype(int))
    return Task("dots", model, train=train, epochs=2, batch_size=20, rates=(3e-3, 3e-2))


SETTINGS: dict[str, Any] = {"candidates": [Arm("tanh", nn.Tanh)], "seeds": 6, "budget": 2}


def compared(**changes: Any) -> Comparison:
    return compare(dots(), **SETTINGS, **changes)


def numbers(found: Comparison) -> dict[str, Any]:
    """A comparison without its times."""
    return {**found.to_json(), "cost": None}


def invented(trial: Trial, plan: Plan) -> Outcome:
    """An outcome that follows from the trial alone, without training."""
    valid = 50 + crc32(repr(trial).encode()) % 400 / 10
    curve = (Epoch(1.0, valid - 1), Epoch(0.5, valid))
    return Outcome(trial, plan.rate(trial.point), valid, valid - 0.5, False, False, 2, 6, curve, 0.01)


class InventingRunner:
    """Invents the outcomes of trials, and notes which it was asked for."""

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.trials: list[Trial] = []
        self.seconds = seconds

    @contextmanager
    def crew(self, setting: Setting) -> Iterator[Crew]:
        yield partial(self._run, setting)

    def _run(self, setting: Setting, trials: Sequence[Trial], claim: Claim) -> Iterator[Outcome]:
        for (trial,) in claimed([(each,) for each in trials], claim):
            self.trials.append(trial)
            time.sleep(self.seconds)
            yield invented(trial, setting.plan)

    def notes(self, setting: Setting) -> tuple[str, ...]:
        return ()
