"""Replace PyTorch's fused recurrent networks by actlab's with the same weights, to find and swap their activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

import actlab.nn as ours
from actlab.errors import BadInput

_LAYERS: Mapping[type[nn.Module], Callable[..., nn.Module]] = {nn.RNN: ours.RNN, nn.GRU: ours.GRU, nn.LSTM: ours.LSTM}
_CELLS: Mapping[type[nn.Module], Callable[..., nn.Module]] = {
    nn.RNNCell: ours.RNNCell,
    nn.GRUCell: ours.GRUCell,
    nn.LSTMCell: ours.LSTMCell,
}
_OURS = (ours.RNN, ours.GRU, ours.LSTM, ours.RNNCell, ours.GRUCell, ours.LSTMCell)


def is_fused(module: nn.Module) -> bool:
    """Return whether the module is a fused recurrent network of PyTorch."""
    return type(module) in _LAYERS or type(module) in _CELLS


def is_ours(replacement: object) -> bool:
    """Return whether the replacement is actlab's network: its class, or activations by role."""
    return isinstance(replacement, Mapping) or replacement in _OURS


def opened(old: nn.Module, roles: Mapping[str, Any]) -> nn.Module:
    """Return actlab's network, sharing the weights of PyTorch's.

    Args:
        old: the fused network.
        roles: replacements of its activations by role: `nonlinearity`; `gate`, `candidate`; of an LSTM also `output`.

    Raises:
        BadInput: it is not a fused network, or has no such role.
    """
    make = _LAYERS.get(type(old)) or _CELLS.get(type(old))
    if make is None:
        raise BadInput(f"{type(old).__name__} is not a fused recurrent network of PyTorch")
    options = {name: getattr(old, name) for name in _options(old)}
    try:
        new = make(old.input_size, old.hidden_size, **{**options, **roles})
    except TypeError as error:
        raise BadInput(f"{type(old).__name__} has no role {' or '.join(map(repr, roles))}") from error
    for name, parameter in old.named_parameters(recurse=False):
        new.register_parameter(name, parameter)
    return new


def _options(old: nn.Module) -> list[str]:
    names = ["bias"]
    if type(old) in _LAYERS:
        names += ["num_layers", "batch_first", "dropout", "bidirectional"]
    if isinstance(old, nn.LSTM):
        names.append("proj_size")
    return [*names, "nonlinearity"] if isinstance(old, nn.RNN | nn.RNNCell) else names
