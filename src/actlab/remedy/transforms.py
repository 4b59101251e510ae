"""Changes of a new model, each as a frozen value that is called with the model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from actlab.errors import BadInput
from actlab.sites.swap.swap import Choice, Key, swap
from actlab.sites.trace.preserve_state import undisturbed
from actlab.train.factory import FEW
from actlab.train.task import Task
from actlab.train.tree import called_with
from actlab.user_code import their_code

Build = Callable[[], nn.Module]


@final
@dataclass(frozen=True)
class PutActivations:
    """Put an activation at sites of the model.

    Attributes:
        places: the names of the sites.
        build: returns a new module for each.
    """

    places: tuple[str, ...]
    build: Build

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """Return the model with other activations.

        Raises:
            BadInput: a site cannot be changed.
        """
        inputs, named = called_with(task.train.first(FEW).inputs)
        new: dict[Key, Choice] = {
            place: self.build() for place in dict.fromkeys(self.places)
        }  # as the user's file draws them, if it does
        with undisturbed(model):
            done = swap(model, new, *inputs, **named)
        if done.unchanged:
            raise BadInput("; ".join(f"{each.place} stays: {each.why}" for each in done.unchanged) + ".")
        return model


@final
class Behind:
    """A forward hook that applies a module to the output of another one, whose submodule it is."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, owner: nn.Module, inputs: tuple[Any, ...], result: Tensor) -> Tensor:
        """Return the result with the module applied."""
        applied: Tensor = owner.get_submodule(self.name)(result)
        return applied


ADDED = "added"


@final
@dataclass(frozen=True)
class ApplyBehind:
    """Apply a new module to the outputs of layers.

    Attributes:
        paths: the layers.
        build: returns a new module for each.
    """

    paths: tuple[str, ...]
    build: Build

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """Return the model with a module behind each layer."""
        for path in self.paths:
            layer = model.get_submodule(path)
            layer.add_module(ADDED, self.build())
            layer.register_forward_hook(Behind(ADDED))
        return model


@final
@dataclass(frozen=True)
class SetAttribute:
    """Set an attribute of a module, such as the axis of a softmax."""

    path: str
    name: str
    value: Any

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """Return the model with the attribute.

        Raises:
            BadInput: the module has no such attribute.
        """
        found = model.get_submodule(self.path)
        if not hasattr(found, self.name):
            raise BadInput(f"{self.path}: a {type(found).__name__} has no {self.name}.")
        setattr(found, self.name, self.value)
        return model


@final
@dataclass(frozen=True)
class Edited:
    """Change the model by a function, which may draw random numbers and change parameters in place."""

    function: Callable[[nn.Module, Task], None]
    what: str

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """Return the changed model."""
        with torch.no_grad(), their_code(self.what, error=BadInput):
            self.function(model, task)
        return model


@final
@dataclass(frozen=True)
class Separate:
    """Replace a shared module by a copy at every path but the first."""

    paths: tuple[str, ...]

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """Return the model with a module for each path."""
        for path in self.paths[1:]:
            parent, _, name = path.rpartition(".")
            owner = model.get_submodule(parent)
            owner._modules[name] = copy.deepcopy(owner._modules[name])
        return model


def names_of_modules(model: nn.Module) -> Mapping[int, list[str]]:
    """Return all paths of each module, by its identity."""
    found: dict[int, list[str]] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        found.setdefault(id(module), []).append(path)
    return found
