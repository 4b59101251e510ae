"""Change a model's activations site by site: by group, and with a normalization before them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn

from actlab.errors import BadInput, BadStudy, BadTask
from actlab.formula.activation import Activation
from actlab.nn import module
from actlab.rules.site_groups import site_groups
from actlab.sites.recognize.traced import traced
from actlab.sites.site import Site
from actlab.study.places import activations_of, places, put_each
from actlab.train.factory import FEW, Build, build
from actlab.train.factory_options import varied
from actlab.train.options import Option
from actlab.train.replace import torch_module
from actlab.train.task import Task
from actlab.train.tree import called_with
from actlab.user_code import their_code


@final
@dataclass(frozen=True)
class Maker:
    """How the models of an arm are built, before single sites are changed.

    Attributes:
        task: the task.
        options: options of its factory.
        is_gated: whether the activation is a gated unit, around which the model must be built.
    """

    task: Task
    options: Mapping[str, Option]
    is_gated: bool

    @property
    def takes_activation(self) -> bool:
        """Whether the model is built with the activation, rather than with the model's own."""
        return self.is_gated or self.task.takes_activation

    def model(self, activation: Build | None) -> nn.Module:
        """Build a new model.

        Raises:
            BadTask: the factory raised.
        """
        if self.is_gated and not self.task.takes_activation:
            factory, passed = varied(self.task.model, self.options, activation=activation), None
        else:
            factory, passed = varied(self.task.model, self.options), activation if self.takes_activation else None
        return build(factory, activation=passed, task=self.task.name)

    def varied_task(self) -> Task:
        """Return the task with these options of its factory."""
        return replace(self.task, model=varied(self.task.model, self.options)) if self.options else self.task


@final
class LastAxisBatchNorm(nn.BatchNorm1d):
    """Batch normalization of the units along the last axis, as in a transformer."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each unit over all other axes; the shape stays."""
        result: Tensor = super().forward(x.reshape(-1, x.shape[-1]))
        return result.reshape(x.shape)


@final
@dataclass(frozen=True)
class Norm:
    """A normalization before an activation.

    Attributes:
        kind: "batch" or "layer".
        channels: the number of units or channels.
        axes: the number of axes of the input.
        is_last: whether the last axis holds the units; otherwise the axis after the batch does.
    """

    kind: str
    channels: int
    axes: int
    is_last: bool

    def build(self) -> nn.Module:
        """Return a new module; of layers along channels, all of an example's values are normalized together."""
        if self.kind == "layer":
            return nn.LayerNorm(self.channels) if self.is_last else nn.GroupNorm(1, self.channels)
        if self.is_last and self.axes > 2:
            return LastAxisBatchNorm(self.channels)
        kinds: Mapping[int, type[nn.Module]] = {4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
        return kinds.get(self.axes, nn.BatchNorm1d)(self.channels)


@final
@dataclass(frozen=True)
class Change:
    """What is put at a place of the model.

    Attributes:
        place: the path of a module, or the name of a site.
        is_call: whether it is a call in the code, rather than a module.
        build: returns the new activation; None keeps the module that is there.
        norm: what comes before it.
    """

    place: str
    is_call: bool
    build: Build | None
    norm: Norm | None = None

    def new(self, old: nn.Module | None = None) -> nn.Module:
        """Return the new module for the place, which may hold the old one."""
        act = old if self.build is None else self.build()
        assert act is not None, "only a module can stay, not a call"
        return act if self.norm is None else nn.Sequential(self.norm.build(), act)


def put_changes(model: nn.Module, changes: tuple[Change, ...], *, task: Task) -> nn.Module:
    """Carry out changes of a model; the weights stay the same.

    Raises:
        BadInput: an activation cannot be put there.
    """
    modules = {each.place: each.new for each in changes if not each.is_call}
    calls: dict[str, Callable[[], nn.Module]] = {each.place: each.new for each in changes if each.is_call}
    return put_each(model, modules, calls, task=task)


@final
@dataclass(frozen=True)
class Spot:
    """A place where a model applies an element-wise activation.

    Attributes:
        place: the path of the module, or the name of the site.
        is_call: whether it is a call in the code.
        group: hidden, gate, block or output.
        is_chosen: whether an arm's activation is put there unless a group says otherwise.
        channel_axis: 1 or -1.
        shape: of the input.
        own: returns the activation that is there as a module; None if that cannot be built.
    """

    place: str
    is_call: bool
    group: str
    is_chosen: bool
    channel_axis: int
    shape: tuple[int, ...]
    own: Build | None = None


def spots(maker: Maker, activation: Build | None) -> tuple[Spot, ...]:
    """Return the places of a model's activations.

    Args:
        maker: how the model is built.
        activation: what it is built with, if it takes the activation.

    Raises:
        BadTask: the model cannot be run.
    """
    made: list[nn.Module] = []

    def noted() -> nn.Module:
        assert activation is not None
        made.append(activation())
        return made[-1]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = maker.model(None if activation is None else noted)
        few, named = called_with(maker.task.train.first(FEW).inputs)
        try:
            trace = traced(model, few, named).trace
        except BadInput as error:
            raise BadTask(f"task '{maker.task.name}': {error}") from error
        with their_code(f"task '{maker.task.name}': the model in evaluation mode"):
            shapes = _input_shapes(model, few, named)
    sites, found = trace.sites, activations_of(model, trace)
    chosen = _chosen(maker, model, made)
    filled = chosen if maker.takes_activation else ()
    of_modules = dict.fromkeys((*(name for name, each in found.items() if each.site is None), *filled))
    at: dict[str, list[int]] = {place: [] for place in of_modules if place in shapes}
    for number, site in enumerate(sites):
        at.get(site.path, []).append(number)
    at |= {each.site.name: [sites.index(each.site)] for each in found.values() if each.site is not None}
    groups = site_groups(trace)
    every: list[Spot] = []
    for place, numbers in at.items():
        is_chosen, is_module = place in chosen, place in of_modules
        own = activation if is_chosen and maker.takes_activation else None
        if is_module and len(numbers) <= 1:
            every.append(_module_spot(place, shapes[place], [(sites[n], groups[n]) for n in numbers], is_chosen))
        else:  # a module that follows several layers is a site behind each
            every += [_call_spot(sites[n], groups[n], is_chosen=is_chosen, own=own) for n in numbers]
    return tuple(every)


def _module_spot(place: str, shape: tuple[int, ...], known: list[tuple[Site, str]], is_chosen: bool) -> Spot:
    site, group = known[0] if known else (None, "hidden")
    axis = _channel_axis(None if site is None else site.channel_axis, shape)
    return Spot(place, is_call=False, group=group, is_chosen=is_chosen, channel_axis=axis, shape=shape)


def _call_spot(site: Site, group: str, *, is_chosen: bool, own: Build | None) -> Spot:
    return Spot(
        site.name,
        is_call=True,
        group=group,
        is_chosen=is_chosen,
        channel_axis=_channel_axis(site.channel_axis, site.shape),
        shape=site.shape,
        own=own or (None if site.trainable else _own(site.measured)),
    )


def _own(act: Any) -> Build:
    return torch_module(act) or partial(module, act)


def _channel_axis(axis: int | None, shape: tuple[int, ...]) -> int:
    """Return 1 if the channels lie along the axis after the batch and others follow, -1 if they are the last axis.

    If it is unknown what computed the input, four axes and more are those of an image.
    """
    return 1 if (axis == 1 and len(shape) > 2) or (axis is None and len(shape) > 3) else -1


def _input_shapes(model: nn.Module, few: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the inputs of all modules that a pass calls with a tensor, by their paths."""
    shapes: dict[int, tuple[int, ...]] = {}

    def note(called: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            shapes[id(called)] = tuple(inputs[0].shape)

    hooks = [each.register_forward_pre_hook(note) for each in model.modules()]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(*few, **named)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    every = model.named_modules(remove_duplicate=False)
    return {path: shapes[id(each)] for path, each in every if id(each) in shapes}


def _chosen(maker: Maker, model: nn.Module, made: list[nn.Module]) -> tuple[str, ...]:
    """Return the places where an arm's activation is put: those that the factory filled, or those that are found."""
    if maker.takes_activation:
        every = model.named_modules(remove_duplicate=False)
        return tuple(path for path, each in every if path and any(each is one for one in made))
    where = places(maker.varied_task())
    return (*where.modules, *where.calls)


def changes(maker: Maker, *, activation: Build | None, groups: Mapping[str, Build], norm: str) -> tuple[Change, ...]:
    """Return what to put where, for an arm.

    Args:
        maker: how its models are built.
        activation: its activation; None leaves the model's own.
        groups: other activations for groups of sites.
        norm: "none", "batch" or "layer".

    Raises:
        BadStudy: the model has no site of a group, or an activation in its code cannot be normalized.
        BadTask: the model cannot be run.
    """
    found = spots(maker, activation if maker.takes_activation else None)
    for group in groups:
        if group not in {spot.group for spot in found}:
            raise BadStudy(
                f"task '{maker.task.name}': the model must have an activation in the group {group};"
                f" got {_listed(found)}. Leave out {group}=."
            )
    base = None if maker.takes_activation else activation
    every = (_change(spot, base=base, groups=groups, norm=norm) for spot in found)
    return tuple(each for each in every if each is not None)


def _change(spot: Spot, *, base: Build | None, groups: Mapping[str, Build], norm: str) -> Change | None:
    new = groups.get(spot.group) or (base if spot.is_chosen else None)
    is_normed = norm != "none" and spot.is_chosen and spot.group != "output"
    if new is None and not is_normed:
        return None
    if new is None and spot.is_call:
        if spot.own is None:
            raise BadStudy(
                f"the activation at {spot.place} has parameters that the model trains, so norm={norm} cannot be put"
                " before it. Name an activation instead of own."
            )
        new = spot.own
    axis = spot.channel_axis
    found = Norm(norm, spot.shape[axis], len(spot.shape), axis == -1) if is_normed else None
    return Change(spot.place, spot.is_call, new, found)


def _listed(found: tuple[Spot, ...]) -> str:
    groups: dict[str, list[str]] = {}
    for spot in found:
        groups.setdefault(spot.group, []).append(spot.place)
    shown = (f"{group} ({', '.join(each[:3])}{', …' if len(each) > 3 else ''})" for group, each in groups.items())
    return ", ".join(shown) or "none"


def is_gated(act: object) -> bool:
    """Return whether an activation is a gated unit of two inputs."""
    return isinstance(act, Activation) and len(act.inputs) == 2
