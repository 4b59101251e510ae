"""Find the hidden activation modules of a model, and replace them in a copy."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actlab.catalog.index import get
from actlab.errors import BadTask
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.nn.modules import Elementwise, FewBit
from actlab.nn.torch_modules import TORCH_NAMES
from actlab.train.factory import FEW, Build
from actlab.train.task import Task
from actlab.user_code import their_code


def torch_module(act: Activation | AxisActivation) -> type[nn.Module] | None:
    """Return PyTorch's own module for an activation if it can be built without arguments."""
    for made, name in TORCH_NAMES.items():
        if name == act.name and act == get(name) and made is not nn.Threshold:  # which has no defaults
            return made
    return None


@dataclass(frozen=True)
class Places:
    """The activation modules of a model.

    Attributes:
        activation: the name of the most common hidden activation, which is replaced.
        replaced: the paths of the modules to replace.
        kept: the paths of the other activation modules, each with the reason why it stays.
    """

    activation: str
    replaced: tuple[str, ...]
    kept: tuple[tuple[str, str], ...]

    def sentence(self) -> str:
        """Say in a line or two what is replaced and what is not."""
        stays = "".join(f" {path} stays: {reason}." for path, reason in self.kept)
        count = len(self.replaced)
        return f"{count} {self.activation} module{' is' if count == 1 else 's are'} replaced in each arm.{stays}"


def name_of(module: nn.Module) -> str | None:
    """Return the name of a module's activation, with the parameters that differ from the catalog's defaults.

    It is None for a module that is not an element-wise activation.

    Example:
        >>> name_of(nn.LeakyReLU(0.2)), name_of(nn.GELU(approximate="tanh")), name_of(nn.Softmax(dim=-1))
        ('leaky_relu(negative_slope=0.2)', 'gelu_tanh', None)
    """
    if isinstance(module, Elementwise | FewBit):
        return module.activation.name
    if type(module) is nn.GELU and module.approximate == "tanh":
        return "gelu_tanh"
    name = TORCH_NAMES.get(type(module))
    return None if name is None else name + _settings(module, get(name))


def _settings(module: nn.Module, act: Activation | AxisActivation) -> str:
    params = act.params if isinstance(act, Activation) else ()
    found = {param.name: getattr(module, param.name, param.value) for param in params if not param.trainable}
    changed = [
        f"{param.name}={found[param.name]:g}" for param in params if found.get(param.name, param.value) != param.value
    ]
    return f"({', '.join(changed)})" if changed else ""


def places(task: Task) -> Places:
    """Find the hidden activation modules in a new model of the task.

    Raises:
        BadTask: none of its modules can be replaced.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = task.build()
        called = _modules_called(model, task=task)
    modules = model.named_modules(remove_duplicate=False)  # a module may be shared
    names = {path: name for path, module in modules if (name := name_of(module))}
    reasons = _reasons_to_stay(names, called=called)
    hidden = Counter(name for path, name in names.items() if path not in reasons)
    if not hidden:
        raise BadTask(_nothing_found(task, names=names))
    chosen = hidden.most_common(1)[0][0]
    for path, name in names.items():
        if path not in reasons and name != chosen:
            reasons[path] = f"it is a {name}, and only the most common hidden activation, {chosen}, is replaced"
    replaced = tuple(path for path in names if path not in reasons)
    return Places(chosen, replaced, tuple(reasons.items()))


def with_replaced(model: nn.Module, paths: tuple[str, ...], *, activation: Build) -> nn.Module:
    """Copy the model with a new activation module at every path; the weights stay the same.

    Paths that shared a module share the new one.
    """
    model = copy.deepcopy(model)
    old = {path: model.get_submodule(path) for path in paths}
    new = {id(module): activation() for module in old.values()}
    for path, module in old.items():
        parent, _, child = path.rpartition(".")
        setattr(model.get_submodule(parent), child, new[id(module)])
    return model


@dataclass(frozen=True)
class _Called:
    paths: frozenset[str]
    last: frozenset[str]


def _modules_called(model: nn.Module, *, task: Task) -> _Called:
    """Find the modules that a forward pass calls, and those whose output is the model's output."""
    made: dict[str, Tensor] = {}

    def note(path: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                made[path] = output

        return hook

    hooks = [module.register_forward_hook(note(path)) for path, module in model.named_modules(remove_duplicate=False)]
    try:
        with their_code(f"task '{task.name}': the model"), torch.no_grad():
            output = model(task.train.first(FEW).inputs)
    finally:
        for hook in hooks:
            hook.remove()
    # A flattened or squeezed output is a view of the same storage: such an activation is the last one too.
    last = {path for path, tensor in made.items() if tensor.data_ptr() == output.data_ptr()}
    return _Called(frozenset(made), frozenset(last))


def _reasons_to_stay(names: dict[str, str], *, called: _Called) -> dict[str, str]:
    reasons = {path: "it is never called" for path in names if path not in called.paths}
    return {**reasons, **{path: "its output is the model's output" for path in names if path in called.last}}


def _nothing_found(task: Task, *, names: dict[str, str]) -> str:
    found = ", ".join(f"{name} at {path or 'the top'}" for path, name in names.items())
    return (
        f"task '{task.name}': the model must have a hidden activation module to replace; got {found or 'none'}."
        " Functions such as F.relu cannot be replaced. Take the activation as an argument, `def model(activation)`, and"
        " put activation() where the function is called."
    )
