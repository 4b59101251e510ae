"""The keywords that all recurrent layers, or all cells, share."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any, TypedDict, TypeVar

import torch

Init = TypeVar("Init", bound=Callable[..., None])


class CellOptions(TypedDict, total=False):
    """The keywords of every recurrent cell."""

    bias: bool
    device: torch.device | str | None
    dtype: torch.dtype | None


class LayerOptions(CellOptions, total=False):
    """The keywords of every recurrent layer."""

    num_layers: int
    batch_first: bool
    dropout: float
    bidirectional: bool


def shows(options: type[CellOptions], *, of: Callable[..., None]) -> Callable[[Init], Init]:
    """Make `help()` list the options where a constructor takes `**options`, with their defaults from `of`."""

    def marked(init: Init) -> Init:
        own = [each for each in signature(init).parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        shared = [each for name, each in signature(of).parameters.items() if name in options.__annotations__]
        described: Any = init
        described.__signature__ = signature(init).replace(parameters=[*own, *shared])
        return init

    return marked
