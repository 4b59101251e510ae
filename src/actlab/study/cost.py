"""Time a training step of every arm."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median

from actlab.study.arm import model_of
from actlab.study.comparison import Cost
from actlab.study.runner import Setting, one_thread
from actlab.train.loop import step_seconds

ROUNDS = 3
"""The arms take turns, so that a slow moment of the machine does not affect only one of them."""


def measured_cost(setting: Setting, rates: Mapping[str, float], *, since: float) -> Cost:
    """Return the median seconds of a training step of every arm, and the seconds since `since`."""
    taken: dict[str, list[float]] = {arm: [] for arm in setting.arms}
    with one_thread():
        for _ in range(ROUNDS):
            for name, arm in setting.arms.items():
                model = model_of(setting.task, arm, where=setting.where, seed=0)
                taken[name] += step_seconds(model, setting.task, rate=rates[name], steps=10)
    seconds = {arm: median(each) for arm, each in taken.items()}
    control = next(iter(seconds.values()))
    relative = {arm: value / control for arm, value in seconds.items()}
    return Cost(time.perf_counter() - since, seconds, relative)
