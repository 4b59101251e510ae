"""Parts of a model that cannot be inspected."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from actlab.sites.site import Unseen

_FUSED = "it is one fused call; `actlab.swap` can replace it by actlab's, with the same weights"


def unseen_in(model: nn.Module) -> tuple[Unseen, ...]:
    """Return the parts of the model that cannot be inspected, with the reason."""
    return tuple(_unseen(model))


def _unseen(model: nn.Module) -> Iterator[Unseen]:
    for path, module in model.named_modules():
        name = type(module).__name__
        if isinstance(module, nn.LSTM | nn.GRU | nn.RNN):
            yield Unseen(path, f"nn.{name}", _FUSED)
        elif isinstance(module, nn.LSTMCell | nn.GRUCell | nn.RNNCell):
            yield Unseen(path, f"nn.{name}", "its gates are one fused call")
        elif isinstance(module, nn.MultiheadAttention):
            yield Unseen(path, "nn.MultiheadAttention", "its softmax is inside one fused call")
        elif isinstance(module, torch.jit.ScriptModule) and not _is_inside_script(model, path):
            yield Unseen(path, "a scripted module", "scripted code calls no Python function")


def _is_inside_script(model: nn.Module, path: str) -> bool:
    parent = path.rpartition(".")[0]
    return bool(path) and isinstance(model.get_submodule(parent), torch.jit.ScriptModule)
