"""Arms: the choices under comparison, each with a name and a function that builds its activation modules."""

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
from actlab.train.contents import digest_of, sources
from actlab.train.factory import Build
from actlab.train.replace import Places, places, torch_module, with_replaced
from actlab.train.task import Task

INITS = ("as-is", "gain")


@dataclass(frozen=True)
class Arm:
    """One choice under comparison.

    Attributes:
        name: its name, unique in a study.
        build: returns a new activation module; None leaves the model's own.
        means: the activation, if it is known.
        gain: the second-moment gain, in studies that initialize the weights by it.
    """

    name: str
    build: Build | None
    means: Activation | AxisActivation | None = None
    gain: float | None = None

    def digest(self) -> str:
        """Return a digest of what the arm builds: formula and parameters, or the code of its modules."""
        made = None if self.build is None else self.build()
        code = () if made is None else tuple(sources(self.build, made).items())
        return digest_of(_formula(self.means), self.gain, made, code)


def _formula(act: Activation | AxisActivation | None) -> str:
    """Return the formula and the parameters as a text, without what only describes them."""
    if act is None:
        return ""
    return f"{act.expression!r} {getattr(act, 'params', ())!r} {getattr(act, 'samplers', ())!r}"


def control_of(task: Task) -> tuple[Arm, Places | None]:
    """Return the arm that the others are compared with, and the activation modules of the model.

    If the model's factory takes the activation, the task names the control and there are no modules to replace.

    Raises:
        BadTask: the model has no activation that can be replaced.
    """
    if task.takes_activation:
        return named_arm(task.activation), None
    where = places(task)
    return Arm(where.activation, None, get(where.activation)), where


def named_arm(given: str | Activation) -> Arm:
    """Return the arm of an activation: a catalog name, a formula, or an `Activation`.

    It runs as PyTorch's own module if there is one, since a user would run that.

    Raises:
        UnknownActivation: no activation has this name.
        BadInput: the activation takes two inputs.
    """
    act = get(given)
    module(act)  # refuse what cannot stand between two layers now, not during the study
    name = given if isinstance(given, str) else act.name
    same = torch_module(act)
    return Arm(name, same or partial(module, act), act)


def arms_of(control: Arm, candidates: Sequence[str | Activation | Arm]) -> tuple[Arm, ...]:
    """Return the control and then the candidates, without a candidate that is the control itself.

    Raises:
        BadStudy: no candidate is left, or one is named twice.
    """
    named = [one if isinstance(one, Arm) else named_arm(one) for one in candidates]
    others = [arm for arm in named if not _is_same(arm, control)]
    if not others:
        raise BadStudy(
            f"the candidates must include an activation other than the control, {control.name}; got none. Name one."
        )
    for number, arm in enumerate(others):
        if any(_is_same(arm, other) for other in others[:number]):
            raise BadStudy(f"the candidates must differ; got {arm.name} twice. Name each activation once.")
    return (control, *others)


def _is_same(one: Arm, other: Arm) -> bool:
    """Return whether two arms are the same, by name or by activation."""
    return one.name == other.name or (one.means is not None and one.means == other.means)


def model_of(task: Task, arm: Arm, *, where: Places | None, seed: int) -> nn.Module:
    """Build a new model with the arm's activations; the same seed gives all arms the same initial weights.

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
    """Draw the weights of all linear and convolutional layers: normal with deviation gain/√fan_in; biases 0.

    The noise depends only on the seed and the shapes of the weights, so it is the same for every arm.
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
    """Run a few rows through the model of every arm, forward and backward.

    Raises:
        BadStudy: an arm's model raised or does not fit the loss; the message names the arm.
    """
    for arm in arms:
        try:
            task.check_model(model_of(task, arm, where=where, seed=0))
        except (BadTask, BadInput) as error:
            raise BadStudy(f"the arm {arm.name} cannot be trained: {error}") from error
