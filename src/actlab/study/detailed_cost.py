"""Measure what the arms of a study cost beside the time of a training step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from statistics import median
from typing import final

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from actlab.errors import BadInput, BadTask
from actlab.formula.activation import Activation
from actlab.measure.energy import (
    MEASURED,
    UNAVAILABLE,
    Counter,
    Energy,
    energy_of,
    estimated,
    gpu_counter,
    processor_counter,
)
from actlab.measure.memory.saved_tensors import kept_by
from actlab.study.arm import Arm, model_of
from actlab.study.arm_cost import ArmCost, ArmEnergy, Timing
from actlab.study.cost import INSIDE, ROUNDS, STEPS, WARM
from actlab.study.runner import Setting, one_thread
from actlab.theory.operations import value_operations
from actlab.train.fused import optimizer_of
from actlab.train.loop import step
from actlab.train.noise import PlainNoise
from actlab.train.step_parts import forward, part_seconds
from actlab.train.task import OPTIMIZERS, Task
from actlab.train.tree import leaves

ENERGY_ROUNDS = 3


def detailed_costs(setting: Setting, task: Task) -> tuple[ArmCost, ...]:
    """Return what every arm costs: times forward and backward in turn, memory, parameters and operations."""
    models = {name: model_of(task, arm, where=setting.where, seed=0) for name, arm in setting.arms.items()}
    ahead: dict[str, list[float]] = {name: [] for name in models}
    back: dict[str, list[float]] = {name: [] for name in models}
    with one_thread():
        for number in range(ROUNDS):
            for name in Random(number).sample(list(models), len(models)):
                one, other = part_seconds(models[name], task, steps=STEPS, warm=WARM)
                ahead[name].append(median(one))
                back[name].append(median(other))
    elements = _activation_elements(setting, task)
    control, *_ = models
    return tuple(
        ArmCost(
            arm=name,
            forward=timing_of(ahead[name], ahead[control]),
            backward=timing_of(back[name], back[control]),
            saved_bytes=_saved_bytes(model, task),
            parameters=sum(each.numel() for each in model.parameters() if each.requires_grad),
            product_flops=product_flops(model, task),
            activation_operations=_activation_operations(setting.arms[name], elements),
        )
        for name, model in models.items()
    )


def timing_of(own: Sequence[float], control: Sequence[float]) -> Timing:
    """Return a time and its ratio to the control's with a 95 % interval, from the medians of each round.

    Example:
        >>> timing_of([2.0] * 9, [1.0] * 9)
        Timing(seconds=2.0, relative=2.0, low=2.0, high=2.0)
    """
    ratios = sorted(one / other for one, other in zip(own, control, strict=True))
    return Timing(median(own), median(ratios), ratios[INSIDE], ratios[-1 - INSIDE])


def _saved_bytes(model: nn.Module, task: Task) -> int:
    batch, noise = task.train.first(task.batch_size), PlainNoise(model, 0)
    there = [each for each in leaves((batch.inputs, batch.targets)) if isinstance(each, Tensor)]
    with torch.random.fork_rng(devices=[]):
        return kept_by(partial(forward, model.train(), task, noise=noise), model=model, there_anyway=there).total


def product_flops(model: nn.Module, task: Task) -> int:
    """Return the operations of matrix products and convolutions for one row; a product and a sum count two."""
    with torch.random.fork_rng(devices=[]), FlopCounterMode(display=False) as counter:
        forward(model.train(), task, noise=PlainNoise(model, 0))
    return int(counter.get_total_flops()) // min(task.batch_size, len(task.train))


def _activation_operations(arm: Arm, elements: float | None) -> int | None:
    """Return the operations of an arm's activations; None if they are not all where the control's are."""
    if elements is None or not isinstance(arm.means, Activation) or len(arm.means.inputs) > 1:
        return None
    if not arm.is_activation_alone:
        return None
    return round(elements * value_operations(arm.means))


def _activation_elements(setting: Setting, task: Task) -> float | None:
    """Return how many elements per row pass through the activations that are compared; None if that is not known."""
    try:
        model = model_of(task, Arm("counted", Counted), where=setting.where, seed=0)
    except (BadInput, BadTask):  # a model that takes only the activations that it knows
        return None
    counted = [module for module in model.modules() if isinstance(module, Counted)]
    for module in counted:
        module.passed = 0
    with torch.random.fork_rng(devices=[]):
        forward(model.train(), task, noise=PlainNoise(model, 0))
    return sum(module.passed for module in counted) / min(task.batch_size, len(task.train))


@final
class Counted(nn.Module):
    """An activation that changes nothing and notes how many elements pass through."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the input."""
        self.passed += x.numel()
        return x


def energies(
    setting: Setting,
    task: Task,
    *,
    rates: Mapping[str, float],
    step_seconds: Mapping[str, float],
    watts: float | None,
    counter: Counter | str | None = None,
) -> tuple[ArmEnergy, ...]:
    """Return the energy of a training step of every arm: from a counter, or estimated, or why neither is possible.

    Args:
        setting: the arms.
        task: the task.
        rates: the learning rate of every arm.
        step_seconds: the time of a training step of every arm.
        watts: the power to estimate with.
        counter: what to read, or why nothing can be read; by default the counter of the device that the model is on.
    """
    models = {name: model_of(task, arm, where=setting.where, seed=0) for name, arm in setting.arms.items()}
    if counter is None:
        on_gpu = any(each.is_cuda for model in models.values() for each in model.parameters())
        counter = gpu_counter() if on_gpu else processor_counter()
    if isinstance(counter, str):
        return tuple(
            ArmEnergy(
                name,
                Energy(UNAVAILABLE, None, counter)
                if watts is None
                else estimated(watts=watts, seconds=step_seconds[name]),
            )
            for name in models
        )
    taken: dict[str, list[Energy]] = {name: [] for name in models}
    steps = {name: _step(model, task, rate=rates[name], clip=setting.arms[name].clip) for name, model in models.items()}
    with one_thread(), torch.random.fork_rng(devices=[]):
        for number in range(ENERGY_ROUNDS):
            for name in Random(number).sample(list(models), len(models)):
                taken[name].append(energy_of(steps[name], counter=counter))
    return tuple(
        ArmEnergy(name, Energy(MEASURED, median(each.joules or 0.0 for each in own), counter.source))
        for name, own in taken.items()
    )


def _step(model: nn.Module, task: Task, *, rate: float, clip: float | None) -> partial[Tensor]:
    """Return one training step as a function without arguments."""
    optimizer = optimizer_of(OPTIMIZERS[task.optimizer], model.train(), rate=rate)
    rows = torch.arange(min(task.batch_size, len(task.train)))
    noise = PlainNoise(model, 0)
    return partial(step, model, task, optimizer=optimizer, rows=rows, noise=noise, number=0, clip=clip)
