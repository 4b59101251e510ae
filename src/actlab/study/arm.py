"""Arms: the choices under comparison, each a name and a way to make its activation modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from actlab.catalog.index import get
from actlab.errors import BadFormula, BadInput, BadStudy, BadTask, UnknownActivation
from actlab.nn import module
from actlab.train.factory import Build
from actlab.train.replace import Places, places, with_replaced
from actlab.train.task import Task

INITS = ("as-is", "gain")


@dataclass(frozen=True)
class Arm:
    """One choice under comparison.

    Attributes:
        name: its name, unique in a study.
        build: gives a fresh activation module; None is the model's own, left as it is.
        gain: the second-moment gain, for studies that initialise by it; None where they do not.
    """

    name: str
    build: Build | None
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
    return Arm(where.activation, None), where


def named_arm(name: str) -> Arm:
    """The arm of an activation in the catalog, or of a formula.

    Raises:
        UnknownActivation: no activation has this name.
    """
    module(name)  # so that an unknown name or a wrong parameter is refused now, not in the midst of a study
    return Arm(name, partial(module, name))


def arms_of(control: Arm, candidates: Sequence[str | Arm]) -> tuple[Arm, ...]:
    """Control first, then the candidates; one that is the control under any of its names is left out.

    Raises:
        BadStudy: no candidate is left, or one stands twice.
    """
    named = [named_arm(one) if isinstance(one, str) else one for one in candidates]
    others = [arm for arm in named if not _is_same(arm, control)]
    if not others:
        raise BadStudy(f"nothing to compare with {control.name}: name at least one other activation.")
    for number, arm in enumerate(others):
        if any(_is_same(arm, other) for other in others[:number]):
            raise BadStudy(f"{arm.name} stands twice among the candidates; name each activation once.")
    return (control, *others)


def _is_same(one: Arm, other: Arm) -> bool:
    """Whether two arms mean the same: by name, or by what the names mean in the catalog."""
    if one.name == other.name:
        return True
    try:
        return get(one.name) == get(other.name)
    except (UnknownActivation, BadFormula):  # an arm that was made by hand may have any name
        return False


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
            reinitialise(model, gain=arm.gain, seed=seed)
    return model


def reinitialise(model: nn.Module, *, gain: float, seed: int) -> None:
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
