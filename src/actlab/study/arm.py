"""Arms: the choices under comparison, each a name and a way to make its activation modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from actlab.catalog.index import get
from actlab.errors import BadInput, BadStudy, BadTask
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.nn import module
from actlab.train.factory import Build
from actlab.train.replace import Places, places, torch_module, with_replaced
from actlab.train.task import Task

INITS = ("as-is", "gain")


@dataclass(frozen=True)
class Arm:
    """One choice under comparison.

    Attributes:
        name: its name, unique in a study.
        build: gives a fresh activation module; None is the model's own, left as it is.
        means: the activation, where the catalog or a formula says which it is.
        gain: the second-moment gain, for studies that initialize by it; None where they do not.
    """

    name: str
    build: Build | None
    means: Activation | AxisActivation | None = None
    gain: float | None = None


def control_of(task: Task) -> tuple[Arm, Places | None]:
    """The arm that the others are compared with, and where the model has its activations.

    Where the model's factory takes the activation there are no places, and the task names its control.

    Raises:
        BadTask: the model has no activation that could be replaced.
    """
    if task.takes_activation:
        return named_arm(task.activation), None
    where = places(task)
    return Arm(where.activation, None, get(where.activation)), where


def named_arm(given: str | Activation) -> Arm:
    """The arm of an activation: one of the catalog, a formula, or a value of the user's own.

    It runs as PyTorch's own module where there is one of the same meaning, since that is what a user would run.

    Raises:
        UnknownActivation: no activation has this name.
        BadInput: the activation takes two inputs.
    """
    act = get(given)
    module(act)  # so that what cannot stand between two layers is refused now, not in the midst of a study
    name = given if isinstance(given, str) else act.name
    same = torch_module(act)
    return Arm(name, same or partial(module, act), act)


def arms_of(control: Arm, candidates: Sequence[str | Activation | Arm]) -> tuple[Arm, ...]:
    """Control first, then the candidates; one that is the control under any of its names is left out.

    Raises:
        BadStudy: no candidate is left, or one stands twice.
    """
    named = [one if isinstance(one, Arm) else named_arm(one) for one in candidates]
    others = [arm for arm in named if not _is_same(arm, control)]
    if not others:
        raise BadStudy(f"nothing to compare with {control.name}: name at least one other activation.")
    for number, arm in enumerate(others):
        if any(_is_same(arm, other) for other in others[:number]):
            raise BadStudy(f"{arm.name} stands twice among the candidates; name each activation once.")
    return (control, *others)


def _is_same(one: Arm, other: Arm) -> bool:
    """Whether two arms mean the same: by name, or by what the names mean in the catalog."""
    return one.name == other.name or (one.means is not None and one.means == other.means)


def model_of(task: Task, arm: Arm, *, where: Places | None, seed: int) -> nn.Module:
    """A fresh model with the arm's activations; all arms get the same first weights from the same seed.

    Raises:
        BadTask: the factory raised.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if where is None:
            model = task.build(arm.build)
        else:
            model = task.build()
            if arm.build is not None:
                model = with_replaced(model, where.replaced, activation=arm.build)
        if arm.gain is not None:
            reinitialize(model, gain=arm.gain, seed=seed)
    return model


def reinitialize(model: nn.Module, *, gain: float, seed: int) -> None:
    """Draw the weights of all linear and convolution layers anew: normal, with spread gain/√fan_in; biases 0.

    The noise depends on the seed and the weights' shapes alone, so it is the same for every arm.
    """
    noise = torch.Generator().manual_seed(seed)
    layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, layers):
                fan_in = layer.weight[0].numel()
                layer.weight.normal_(0.0, gain / fan_in**0.5, generator=noise)
                if layer.bias is not None:
                    layer.bias.zero_()


def check_arms(task: Task, arms: Sequence[Arm], *, where: Places | None) -> None:
    """Nothing, once every arm's model has passed a few rows forth and back.

    Raises:
        BadTask: an arm's model raised or does not fit the loss; the message names the arm.
    """
    for arm in arms:
        try:
            task.check_model(model_of(task, arm, where=where, seed=0))
        except (BadTask, BadInput) as error:
            raise BadStudy(f"{arm.name} cannot take part: {error}") from error
