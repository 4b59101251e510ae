"""Make the module that replaces an activation."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, final

from torch import Tensor, nn

from actlab.catalog.index import get
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.nn.modules import ActivationModule, module
from actlab.nn.packed_gate import Layout
from actlab.sites.site import Site

Replacement = str | Activation | AxisActivation | nn.Module | type[nn.Module] | Callable[..., Tensor]


@final
class Applying(nn.Module):
    """A function of a tensor as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        """Call the function."""
        return self.function(*inputs)

    def extra_repr(self) -> str:
        """Return the name of the function."""
        return function_name(self.function)


def function_name(function: Callable[..., Any]) -> str:
    """Return how a report calls the function."""
    return getattr(function, "__qualname__", "").rpartition(".")[2] or type(function).__name__


@final
class GateFirst(nn.Module):
    """A gated unit that takes the gate before the value, in the order in which programs compute them."""

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, gate: Tensor, value: Tensor) -> Tensor:
        """Apply the gated unit."""
        result: Tensor = self.unit(value, gate)
        return result


def make_replacement(
    replacement: Replacement, site: Site | None, *, axis: int = -1, layout: Layout | None = None
) -> nn.Module:
    """Return a fresh module for the place.

    Args:
        replacement: a name, a formula, an activation, a module (which is copied), its class, or a function.
        site: the place, where that is known.
        axis: along which the new activation acts, if it acts along one.
        layout: how the call there takes value and gate; None if it takes one input, or if a product joins them.

    Raises:
        UnknownActivation, BadFormula: as `actlab.get`.
        BadInput: it does not fit the place.
    """
    if isinstance(replacement, nn.Module):
        return copy.deepcopy(replacement)
    if isinstance(replacement, type):
        return _made(replacement)
    if not isinstance(replacement, str | Activation | AxisActivation):
        if not callable(replacement):
            raise BadInput(f"{replacement!r} must be an activation, a module or a function.")
        return Applying(replacement)
    act = get(replacement)
    _refuse_unfit(act, site)
    if layout is not None:
        if len(act.inputs) == 1:
            raise BadInput(f"{act.name} has one input, and the call takes value and gate: name a gated unit")
        return module(act, layout=layout, dim=axis)
    if isinstance(act, AxisActivation):
        return module(act, dim=axis)
    return GateFirst(module(act, layout="two")) if len(act.inputs) == 2 else module(act)


def _made(kind: type) -> nn.Module:
    if not issubclass(kind, nn.Module):
        raise BadInput(f"{kind.__name__} must be a subclass of torch.nn.Module.")
    return kind()


def _refuse_unfit(act: Activation | AxisActivation, site: Site | None) -> None:
    if site is None:
        return
    if isinstance(act, AxisActivation) != isinstance(site.formula, AxisActivation):
        one, other = ("acts", "does not") if isinstance(act, AxisActivation) else ("does not act", "does")
        raise BadInput(f"{act.name} {one} along an axis, and {site.activation} {other}")
    if len(act.inputs) > len(site.formula.inputs):
        raise BadInput(f"{act.name} is a gated unit of two inputs, and {site.activation} has one")


def placed(new: nn.Module, *, like: nn.Module, old: nn.Module | None) -> nn.Module:
    """Move the new module to the model's device and dtype, and give it the mode and hooks of the old one."""
    tensor = next((each for each in like.parameters() if each.is_floating_point()), None)
    if tensor is not None:
        new.to(device=tensor.device, dtype=tensor.dtype)
    new.train(like.training if old is None else old.training)
    if old is not None:
        for name in _HOOKS:
            # the same dictionaries, so that the handles still remove the hooks
            new.__dict__[name] = old.__dict__[name]
    return new


_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
)


def has_parameters(new: nn.Module) -> bool:
    """Return whether the module has parameters."""
    return any(True for _ in new.parameters())


def label_of(new: nn.Module) -> str:
    """Return how a report calls the module."""
    if isinstance(new, GateFirst):
        return label_of(new.unit)
    if isinstance(new, ActivationModule):
        return new.activation.label
    if isinstance(new, Applying):
        return function_name(new.function)
    found: Any = getattr(new, "activation", None)
    return str(found) if isinstance(found, AxisActivation) else type(new).__name__
