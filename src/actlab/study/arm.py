"""Arms: the choices under comparison, each with a name and a function that builds its activation modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from actlab.catalog.index import get, same_as
from actlab.errors import ActlabError, BadInput, BadStudy, BadTask
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.nn import module
from actlab.study.places import Places, places, put
from actlab.train.contents import digest_of, sources
from actlab.train.factory import Build
from actlab.train.own_training import OwnTraining
from actlab.train.replace import torch_module
from actlab.train.task import Learnable, Task

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


def control_of(task: Learnable) -> tuple[Arm, Places | None]:
    """Return the arm that the others are compared with, and the activations of the model.

    If the model's factory takes the activation, the task names the control and there are no places to replace.

    Raises:
        BadTask: the model has no activation that can be replaced.
    """
    if isinstance(task, OwnTraining) or task.takes_activation:
        return named_arm(task.activation), None
    where = places(task)
    return Arm(where.activation, None, _activation(where.activation)), where


def _activation(name: str) -> Activation | AxisActivation | None:
    try:
        return get(name)
    except ActlabError:  # its name cannot be read as a formula
        return None


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


def arms_of(
    own: Arm, candidates: Sequence[str | Activation | Arm], *, against: str | Activation | None = None
) -> tuple[tuple[Arm, ...], tuple[str, ...]]:
    """Return the arms, the control first, and a note for each activation that was named twice.

    Args:
        own: the model's own activation, which is the control unless `against` names another; it is then a candidate if
            it is named.
        candidates: what to compare with the control; one that is the control is left out.
        against: the control.

    Raises:
        BadStudy: no candidate is left.
    """
    arms = [own if against is None else _named(against, own=own)]
    notes = []
    for candidate in candidates:
        arm = _named(candidate, own=own)
        same = next((other for other in arms if _is_same(arm, other)), None)
        if same is None:
            arms.append(arm)
        elif same is not arms[0] and arm.name == same.name:
            notes.append(f"{arm.name} was named twice; it is compared once.")
        elif arm.name != same.name:
            notes.append(f"{arm.name} and {same.name} are the same activation; it is compared once, as {same.name}.")
    if len(arms) == 1:
        raise BadStudy(
            f"the candidates must include an activation other than the control, {arms[0].name}; got none. Name one."
        )
    return tuple(arms), tuple(notes)


def _named(one: str | Activation | Arm, *, own: Arm) -> Arm:
    """Return the arm of an activation; for the model's own one, the arm that leaves the model as it is."""
    if isinstance(one, Arm):
        return one
    if one == own.name:
        return own
    arm = named_arm(one)
    return Arm(arm.name, own.build, own.means) if _is_same(arm, own) else arm


def _is_same(one: Arm, other: Arm) -> bool:
    """Return whether two arms are the same, by name or by formula."""
    if one.name == other.name or one.means is None or other.means is None:
        return one.name == other.name
    return one.means == other.means or _label(one.means) == _label(other.means)


def _label(act: Activation | AxisActivation) -> str:
    """Return the name and the parameters of the catalog's activation with the same formula, or of this one."""
    own = act.label if isinstance(act, Activation) else act.name
    return same_as(act) or own


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
                model = put(model, where, activation=arm.build, task=task)
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


def check_arms(task: Learnable, arms: Sequence[Arm], *, where: Places | None) -> None:
    """Run a few rows through the model of every arm, forward and backward.

    Raises:
        BadStudy: an arm's model raised or does not fit the loss; the message names the arm.
    """
    if isinstance(task, OwnTraining):
        return  # a run of it may take hours, and says what is wrong with an arm in its outcome
    for arm in arms:
        try:
            task.check_model(model_of(task, arm, where=where, seed=0))
        except (BadTask, BadInput) as error:
            raise BadStudy(f"the arm {arm.name} cannot be trained: {error}") from error
