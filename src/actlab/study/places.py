"""Find the hidden activations of a task's model, and put others there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import nn

from actlab.catalog.index import get
from actlab.errors import BadInput, BadTask, UnknownActivation
from actlab.formula.activation import Activation
from actlab.rules.dataflow import is_move
from actlab.sites.recognize.routes import routed
from actlab.sites.recognize.traced import traced
from actlab.sites.site import Site
from actlab.sites.site_text import place_name
from actlab.sites.swap.swap import swap
from actlab.sites.trace.trace import Trace
from actlab.train.factory import FEW, Build
from actlab.train.replace import name_of
from actlab.train.task import Task
from actlab.train.tree import called_with


@dataclass(frozen=True)
class Places:
    """The hidden activations of a model.

    Attributes:
        activation: the name of the most common one, which is replaced.
        modules: the paths of the modules to replace.
        calls: the names of the other sites to replace: calls of functions, and formulas.
        kept: the names of the other places, each with the reason why it stays.
        spellings: how the code writes the calls.
    """

    activation: str
    modules: tuple[str, ...]
    calls: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    spellings: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Say in a line or two what is replaced and what is not."""
        stays = "".join(f" {place} stays: {reason}." for place, reason in self.kept)
        parts = [f"{len(self.modules)} {self.activation} module{'' if len(self.modules) == 1 else 's'}"]
        parts = parts if self.modules else []
        if self.calls:
            where = "place" if len(self.calls) == 1 else "places"
            code = ", ".join(dict.fromkeys(self.spellings))
            what = "" if self.modules else f" of {self.activation}"
            parts.append(f"{len(self.calls)} {where}{what} in the code ({code})")
        count = len(self.modules) + len(self.calls)
        return f"{' and '.join(parts)} {'is' if count == 1 else 'are'} replaced in each arm.{stays}"


def places(task: Task) -> Places:
    """Find the hidden activations in a new model of the task.

    Raises:
        BadTask: none of them can be replaced.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = task.build()
        try:
            trace = traced(model, *called_with(task.train.first(FEW).inputs)).trace
        except BadInput as error:
            raise BadTask(f"task '{task.name}': {error}") from error
    found = activations_of(model, trace)
    reasons = _reasons_to_stay(model, trace, found)
    hidden = Counter(each.name for place, each in found.items() if place not in reasons)
    while hidden:
        chosen = hidden.most_common(1)[0][0]
        wanted = {place: each for place, each in found.items() if place not in reasons and each.name == chosen}
        refused = _refused(model, wanted, task=task)
        if not refused:
            break
        reasons.update(refused)
        hidden = Counter(each.name for place, each in found.items() if place not in reasons)
    else:
        raise BadTask(_nothing_found(task, found, reasons))
    for place, each in found.items():
        if place not in reasons and each.name != chosen:
            reasons[place] = f"it is a {each.name}, and only the most common hidden activation, {chosen}, is replaced"
    return Places(
        chosen,
        tuple(place for place, each in wanted.items() if each.site is None),
        tuple(each.site.name for each in wanted.values() if each.site is not None),
        (*((place, reason) for place, reason in reasons.items()), *_not_inspected(trace)),
        tuple(each.site.spelling for each in wanted.values() if each.site is not None),
    )


def put(model: nn.Module, where: Places, *, activation: Build, task: Task) -> nn.Module:
    """Replace the activations of the model at these places; the weights stay the same.

    Paths that share a module share the new one.

    Raises:
        BadInput: an activation cannot be put there.
    """
    modules: dict[str, Replace] = {path: lambda old: activation() for path in where.modules}
    return put_each(model, modules, dict.fromkeys(where.calls, activation), task=task)


Replace = Callable[[nn.Module], nn.Module]
"""Returns the module that takes the place of another one."""


def put_each(model: nn.Module, modules: Mapping[str, Replace], calls: Mapping[str, Build], *, task: Task) -> nn.Module:
    """Replace the modules at these paths, and the activations at these sites; the weights stay the same.

    Raises:
        BadInput: an activation cannot be put there.
    """
    few, named = called_with(task.train.first(FEW).inputs)
    old = {path: model.get_submodule(path) for path in modules}
    first = {id(module): path for path, module in reversed(old.items())}
    done = swap(model, {path: modules[path](old[path]) for path in first.values()})
    for path, module in old.items():
        parent, _, name = path.rpartition(".")
        model.get_submodule(parent)._modules[name] = model.get_submodule(first[id(module)])
    with suppress(BadInput):  # what the model raises is reported when the arm is checked or trained
        done.prove(few, named)
    unchanged = done.unchanged
    if calls:
        unchanged += swap(model, {name: build() for name, build in calls.items()}, *few, **named).unchanged
    if unchanged:
        raise BadInput("; ".join(f"{each.place} stays: {each.why}" for each in unchanged) + ".")
    return model


@dataclass(frozen=True)
class FoundActivation:
    """An activation: its name, and the site if it is not a module that can be exchanged."""

    name: str
    site: Site | None = None


def activations_of(model: nn.Module, trace: Trace) -> dict[str, FoundActivation]:
    """Return the element-wise activations by the names of their places."""
    modules = model.named_modules(remove_duplicate=False)  # a module may be shared
    found = {path: FoundActivation(name) for path, module in modules if path and (name := name_of(module)) is not None}
    for site in routed(trace):
        name = _name_of(site)
        if name is not None and site.path not in found:
            found[place_name(site)] = FoundActivation(name, site)
    return found


def _name_of(site: Site) -> str | None:
    """Return the name of the function that a swap would replace; None if it acts along an axis or takes two inputs."""
    act = site.measured
    if not isinstance(act, Activation) or len(act.inputs) != 1:
        return None
    name = site.activation if site.gate is None else act.name
    if site.trainable or site.gate is not None or _is_what_its_name_says(act, name):
        return name
    values = ", ".join(f"{param.name}={param.value:g}" for param in act.params)
    return f"{name}({values})" if values else name


def _is_what_its_name_says(act: Activation, name: str) -> bool:
    try:
        return get(name) == act
    except UnknownActivation:  # one that the user declared
        return True


def _reasons_to_stay(model: nn.Module, trace: Trace, found: dict[str, FoundActivation]) -> dict[str, str]:
    called = {id(model.get_submodule(step.path)) for step in trace.steps}
    last = {
        place_name(trace.sites[at]): trace.sites[at].path
        for number in trace.outputs
        if (at := _site_behind(trace, number)) is not None
    }
    reasons = {}
    for place, each in found.items():
        if each.site is None and id(model.get_submodule(place)) not in called:
            reasons[place] = "it is never called"
        elif place in last or (each.site is None and place in last.values()):
            reasons[place] = "its output is the model's output"
    return reasons


def _site_behind(trace: Trace, number: int) -> int | None:
    """Return the index of the site that computed a value, up to moves."""
    step = trace.maker(number)
    while step is not None and step.place not in trace.site_of and is_move(step) and step.inputs:
        step = trace.maker(step.inputs[0])
    return None if step is None else trace.site_of.get(step.place)


def _refused(model: nn.Module, wanted: dict[str, FoundActivation], *, task: Task) -> dict[str, str]:
    """Return the places of calls that a swap refuses, with the reasons."""
    calls = {each.site.name: place for place, each in wanted.items() if each.site is not None}
    if not calls:
        return {}
    few, named = called_with(task.train.first(FEW).inputs)
    with swap(model, {name: nn.Tanh() for name in calls}, *few, **named) as done:
        return {calls[each.place]: each.why for each in done.unchanged}


def _not_inspected(trace: Trace) -> list[tuple[str, str]]:
    """Return the parts that may hold further hidden activations, which a swap cannot reach."""
    return [(one.path or one.what, f"{one.what} cannot be inspected: {one.why}") for one in trace.unseen
            if "softmax" not in one.why]  # fmt: skip


def _nothing_found(task: Task, found: dict[str, FoundActivation], reasons: dict[str, str]) -> str:
    names = ", ".join(f"{each.name} at {place} ({reasons[place]})" for place, each in found.items())
    return (
        f"task '{task.name}': the model must have a hidden activation to replace; got {names or 'none'}."
        " Take the activation as an argument, `def model(activation)`, and apply activation() where it belongs."
    )
