"""Tell whether a model computes something else in evaluation mode than in training mode."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from torch import nn

from actlab.sites.trace.trace import Trace

# Modules of PyTorch that read their mode; their calls have no argument for it in every case.
_READ_MODE = (
    nn.modules.dropout._DropoutNd,
    nn.modules.batchnorm._NormBase,
    nn.RReLU,
    nn.FractionalMaxPool2d,
    nn.FractionalMaxPool3d,
    nn.RNNBase,
    nn.MultiheadAttention,
    nn.TransformerEncoder,
    nn.TransformerEncoderLayer,
)


def depends_on_mode(model: nn.Module, trace: Trace) -> bool:
    """Return whether the pass in evaluation mode may differ from the recorded one in training mode.

    It does not if no module of PyTorch's reads its mode, no step is random, and the code of no other module names it.
    """
    if any(step.arguments.get("training") is True for step in trace.steps):
        return True
    kinds = {type(module) for module in model.modules()}
    if any(issubclass(kind, _READ_MODE) for kind in kinds):
        return True
    if any("forward" in vars(module) or module._forward_hooks for module in model.modules()):
        return True
    own = [each for kind in kinds for each in kind.__mro__ if not each.__module__.startswith("torch.nn.")]
    return any("training" in names_in(code) for kind in set(own) - {object} for code in _codes_of(kind))


def _codes_of(kind: type) -> Iterator[CodeType]:
    """Yield the code of a class's methods and properties."""
    for value in vars(kind).values():
        functions: list[Any] = [getattr(value, "__func__", value)]
        if isinstance(value, property):
            functions = [value.fget, value.fset]
        for function in functions:
            function = getattr(function, "__wrapped__", function)
            if isinstance(function, FunctionType):
                yield function.__code__


def names_in(code: CodeType) -> frozenset[str]:
    """Return the names and strings in the code, and in that of its inner functions.

    Example:
        >>> sorted(names_in((lambda self, x: x if self.training else -x).__code__))
        ['training']
    """
    strings = (each for each in code.co_consts if isinstance(each, str))
    inner = (names_in(each) for each in code.co_consts if isinstance(each, CodeType))
    return frozenset((*code.co_names, *strings)).union(*inner)
