"""Time a training step of every arm."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from random import Random
from statistics import median

from actlab.study.arm import model_of
from actlab.study.comparison import Cost
from actlab.study.runner import Setting, one_thread
from actlab.train.loop import step_seconds
from actlab.train.own_training import OwnTraining

ROUNDS = 9
"""The arms take turns, in another order each round, so that a slow moment of the machine affects not only one of them.

The second lowest and the second highest of nine ratios enclose their median with a probability of 96 %.
"""
INSIDE = 1
STEPS, WARM = 5, 2
"""Training steps of an arm in a round: timed, and before them."""


def measured_cost(setting: Setting, rates: Mapping[str, float], *, since: float) -> Cost:
    """Return the median seconds of a training step of every arm, and the seconds since `since`."""
    task = setting.task
    if isinstance(task, OwnTraining):
        return Cost(time.perf_counter() - since, {}, {}, {}, {})
    models = {name: model_of(task, arm, where=setting.where, seed=0) for name, arm in setting.arms.items()}
    taken: dict[str, list[float]] = {name: [] for name in models}
    with one_thread():
        for number in range(ROUNDS):
            for name in Random(number).sample(list(models), len(models)):
                clip = setting.arms[name].clip
                seconds = step_seconds(models[name], task, rate=rates[name], steps=STEPS, warm=WARM, clip=clip)
                taken[name].append(median(seconds))
    return cost_of(taken, seconds=time.perf_counter() - since)


def cost_of(taken: Mapping[str, Sequence[float]], *, seconds: float) -> Cost:
    """Return the cost from the seconds of a step, by arm and round, the control first.

    Example:
        >>> cost = cost_of({"relu": [1.0] * 9, "silu": [1.1, 1.2, 1.2, 1.2, 1.3, 1.3, 1.3, 1.3, 2.0]}, seconds=60.0)
        >>> cost.relative_step["silu"], cost.relative_low["silu"], cost.relative_high["silu"]
        (1.3, 1.2, 1.3)
    """
    control = next(iter(taken.values()))
    ratios = {arm: sorted(own / other for own, other in zip(each, control, strict=True)) for arm, each in taken.items()}
    return Cost(
        seconds=seconds,
        step_seconds={arm: median(each) for arm, each in taken.items()},
        relative_step={arm: median(each) for arm, each in ratios.items()},
        relative_low={arm: each[INSIDE] for arm, each in ratios.items()},
        relative_high={arm: each[-1 - INSIDE] for arm, each in ratios.items()},
    )
