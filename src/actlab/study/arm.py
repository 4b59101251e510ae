"""Arms: the choices under comparison, each with a name and a function that builds its activation modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from actlab.catalog.index import get, same_as
from actlab.errors import ActlabError, BadInput, BadStudy, BadTask
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.nn import module
from actlab.study.arm_text import INITS as INITS
from actlab.study.arm_text import OWN, Variant, activation_of, variant
from actlab.study.changes import Change, Maker, changes, is_gated, put_changes
from actlab.study.places import Places, places, put
from actlab.train.contents import digest_of, sources
from actlab.train.factory import Build
from actlab.train.factory_options import check_options, offered, takes_gated
from actlab.train.options import Option
from actlab.train.own_training import OwnTraining
from actlab.train.replace import torch_module
from actlab.train.task import Learnable, Task


@dataclass(frozen=True)
class Factors:
    """What an arm changes besides its activation.

    Attributes:
        init: "as-is" or "gain"; empty for what the study has.
        norm: "none", "batch" or "layer".
        clip: the norm to which gradients are clipped.
        groups: the arms whose activations other groups of sites have.
        options: options of the model's factory that differ from its defaults.
        changes: what is put where, if the activations of the model are not all replaced alike; found by `placed`.
    """

    init: str = ""
    norm: str = "none"
    clip: float | None = None
    groups: Mapping[str, Arm] = field(default_factory=dict)
    options: Mapping[str, Option] = field(default_factory=dict)
    changes: tuple[Change, ...] | None = None


@dataclass(frozen=True)
class Arm:
    """One choice under comparison.

    Attributes:
        name: its name, unique in a study.
        build: returns a new activation module; None leaves the model's own.
        means: the activation, if it is known.
        gain: the second-moment gain, if the weights are initialized by it.
        factors: what it changes besides.
    """

    name: str
    build: Build | None
    means: Activation | AxisActivation | None = None
    gain: float | None = None
    factors: Factors = field(default_factory=Factors)

    @property
    def clip(self) -> float | None:
        """The norm to which gradients are clipped; None if they are not."""
        return self.factors.clip

    @property
    def is_activation_alone(self) -> bool:
        """Whether it changes the activation and nothing else, so that its formula says what it costs."""
        return self.factors == Factors()

    def maker(self, task: Task) -> Maker:
        """Return how its models are built, before single sites are changed."""
        return Maker(task, self.factors.options, is_gated(self.means))

    def digest(self) -> str:
        """Return a digest of what the arm builds: formula and parameters, or the code of its modules."""
        made = None if self.build is None else self.build()
        code = () if made is None else tuple(sources(self.build, made).items())
        factors = self.factors
        groups = {group: arm.digest() for group, arm in factors.groups.items()}
        more = (factors.norm, factors.clip, groups, dict(factors.options))
        added = () if more == ("none", None, {}, {}) else more
        return digest_of(_formula(self.means), self.gain, made, code, *added)


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

    A gated unit takes value and gate from one tensor, whose first half is the value.

    Raises:
        UnknownActivation: no activation has this name.
    """
    act = get(given)
    settings: dict[str, Any] = {"layout": "value_first"} if is_gated(act) else {}
    module(act, **settings)  # refuse what cannot be built now, not during the study
    name = given if isinstance(given, str) else act.name
    same = torch_module(act)
    return Arm(name, same or partial(module, act, **settings), act)


Named = str | Activation | Variant | Arm
"""How an arm may be named: an activation, with or without factors."""


def arms_of(
    own: Arm,
    candidates: Sequence[Named],
    *,
    against: Named | None = None,
    task: Learnable | None = None,
    init: str = "as-is",
) -> tuple[tuple[Arm, ...], tuple[str, ...]]:
    """Return the arms, the control first, and a note for each that was named twice.

    Args:
        own: the model's own activation, which is the control unless `against` names another; it is then a candidate if
            it is named.
        candidates: what to compare with the control; one that is the control is left out.
        against: the control.
        task: the task, whose factory says which options the arms may have; without it, they have none.
        init: the initialization of arms that name none.

    Raises:
        BadStudy: no candidate is left, or the task cannot have an arm.
    """

    def named(one: Named) -> Arm:
        return _fitting(_named(one, own=own), task=task, init=init)

    arms = [own if against is None else named(against)]
    notes = []
    for candidate in candidates:
        arm = named(candidate)
        same = next((other for other in arms if _is_same(arm, other)), None)
        if same is None:
            arms.append(arm)
        elif same is not arms[0] and arm.name == same.name:
            notes.append(f"{arm.name} was named twice; it is compared once.")
        elif arm.name != same.name:
            what = "arm" if any(activation_of(each.name) != each.name for each in (arm, same)) else "activation"
            notes.append(f"{arm.name} and {same.name} are the same {what}; it is compared once, as {same.name}.")
    if len(arms) == 1:
        raise BadStudy(
            f"the candidates must include an activation other than the control, {arms[0].name}; got none. Name one."
        )
    return tuple(arms), tuple(notes)


def _named(one: Named, *, own: Arm) -> Arm:
    """Return the arm that is named; of the model's own activation, an arm that leaves it as it is."""
    if isinstance(one, Arm):
        return one
    found = variant(one)
    base = _of_activation(found.activation, own=own)
    groups = {group: _of_group(act, group=group) for group, act in found.groups.items()}
    factors = Factors(found.init, found.norm, found.clip, groups, dict(found.options))
    return replace(base, name=f"{base.name}{found.factors}", factors=factors)


def _of_activation(one: str | Activation, *, own: Arm) -> Arm:
    if one in (own.name, OWN):
        return own
    arm = named_arm(one)
    return Arm(arm.name, own.build, own.means) if _is_same(arm, own) else arm


def _of_group(act: str | Activation, *, group: str) -> Arm:
    arm = named_arm(act)
    if is_gated(arm.means):
        raise BadStudy(f"the activation of the group {group} must have one input; got {arm.name}, a gated unit.")
    return arm


def _fitting(arm: Arm, *, task: Learnable | None, init: str) -> Arm:
    """Return the arm without factors that change nothing.

    Raises:
        BadStudy: the task cannot have this arm.
    """
    factors = arm.factors
    if isinstance(task, OwnTraining) and factors != Factors():
        raise BadStudy(
            f"the arms of task '{task.name}' must be activations alone, as its training builds the models; got"
            f" {arm.name}. Leave out the factors."
        )
    if isinstance(task, Task):
        if is_gated(arm.means) and not takes_gated(task.model):
            raise BadStudy(
                f"the arm {arm.name} is a gated unit, which halves its input: the model of task '{task.name}' must"
                " take the activation as an argument, `def model(activation)`, and make the layer before it"
                " actlab.nn.inputs_of(activation()) times as wide."
            )
        try:
            check_options(task.model, factors.options, task=task.name)
        except BadTask as error:
            raise BadStudy(f"the arm {arm.name} cannot be built: {error}") from error
        usual = offered(task.model)
        options = {name: value for name, value in factors.options.items() if value != usual[name]}
        factors = replace(factors, options=options, init="" if factors.init == init else factors.init)
    return replace(arm, factors=factors)


def placed(arm: Arm, task: Learnable) -> Arm:
    """Return the arm with what is put where in the model, if its factors ask for more than one activation everywhere.

    Raises:
        BadStudy: the model does not have what a factor changes.
    """
    factors = arm.factors
    if not isinstance(task, Task):
        return arm
    maker = arm.maker(task)
    is_elsewhere = bool(factors.options) and not maker.takes_activation and arm.build is not None
    if factors.norm == "none" and not factors.groups and not is_elsewhere:
        return arm
    groups = {group: each.build for group, each in factors.groups.items() if each.build is not None}
    try:
        found = changes(maker, activation=arm.build, groups=groups, norm=factors.norm)
    except (BadStudy, BadTask, BadInput) as error:
        raise BadStudy(f"the arm {arm.name} cannot be built: {error}") from error
    return replace(arm, factors=replace(factors, changes=found))


def _is_same(one: Arm, other: Arm) -> bool:
    """Return whether two arms are the same, by name or by formula, and in all factors."""
    if one.name == other.name:
        return True
    if one.means is None or other.means is None:
        return False
    same = one.means == other.means or _label(one.means) == _label(other.means)
    return same and _comparable(one.factors) == _comparable(other.factors)


def _comparable(factors: Factors) -> tuple[object, ...]:
    groups = {group: None if arm.means is None else _label(arm.means) for group, arm in factors.groups.items()}
    return factors.init, factors.norm, factors.clip, groups, dict(factors.options)


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
        maker = arm.maker(task)
        model = maker.model(arm.build)
        if arm.factors.changes is not None:
            model = put_changes(model, arm.factors.changes, task=task)
        elif where is not None and arm.build is not None and not maker.takes_activation:
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
            raise BadStudy(f"the arm {arm.name} cannot be trained: {error}{_if_gated(arm)}") from error


def _if_gated(arm: Arm) -> str:
    """Say what a factory of the user's must do for a gated unit; nothing of another arm."""
    if not is_gated(arm.means):
        return ""
    return (
        f". {arm.name} halves its input, so the layer before it must be twice as wide: multiply its width by"
        " actlab.nn.inputs_of(activation()) in the factory."
    )
