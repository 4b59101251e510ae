"""The learned parameters of an activation at a site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from actlab.formula.activation import Activation
from actlab.sites.recognize.torch_ops import AnyActivation

Learned = Mapping[str, tuple[float, ...]]


def learned_in(arguments: Mapping[str, Any]) -> Learned:
    """Return the values of the parameters among the arguments of a call, or of the actlab module that is called."""
    owner = next(iter(arguments.values()), None)
    given = dict(owner.named_parameters(recurse=False)) if isinstance(owner, nn.Module) else _given(arguments)
    learned = {name: tuple(value.detach().double().flatten().tolist()) for name, value in given.items()}
    return {**learned, **_numbers(arguments)} if hasattr(owner, "activation") else learned


def trained_in(arguments: Mapping[str, Any], act: AnyActivation) -> tuple[str, ...]:
    """Return the names of the activation's parameters that are trained."""
    if not isinstance(act, Activation):
        return ()
    owner = next(iter(arguments.values()), None)
    given = dict(owner.named_parameters(recurse=False)) if isinstance(owner, nn.Module) else _given(arguments)
    return tuple(param.name for param in act.params if param.name in given and given[param.name].requires_grad)


def _numbers(arguments: Mapping[str, Any]) -> Learned:
    """Return the parameters that an actlab function takes as numbers."""
    return {
        name: (float(value),)
        for name, value in arguments.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _given(arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors that the call takes beside its input."""
    tensors = [(name, value) for name, value in arguments.items() if isinstance(value, Tensor)][1:]
    return {name: value for name, value in tensors if value.is_floating_point()}


def with_learned(act: AnyActivation, learned: Learned) -> AnyActivation:
    """Return the activation with its learned parameters, the mean over channels."""
    if not isinstance(act, Activation):
        return act
    for param in act.params:
        values = learned.get(param.name, ())
        middle = sum(values) / len(values) if values else param.value
        if param.admits(middle):
            act = act.bind(**{param.name: middle})
    return act


def shown_parameters(act: AnyActivation, learned: Learned) -> Mapping[str, float | tuple[float, ...]]:
    """Return the parameters as a site shows them."""
    if not isinstance(act, Activation):
        return {}
    found = {param.name: learned.get(param.name, (param.value,)) for param in act.params}
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}
