"""List the sites of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final, overload

import torch
from torch import Tensor, nn

from actlab.errors import BadInput
from actlab.jsonable import plain
from actlab.sites.recognize.routes import routed
from actlab.sites.recognize.traced import traced
from actlab.sites.site import Site, Unseen
from actlab.sites.site_text import site_cells, unseen_text
from actlab.sites.trace.recorder import Observer
from actlab.sites.trace.trace import Trace


@final
@dataclass(frozen=True)
class Sites(Sequence[Site]):
    """The sites of a model in the order of their calls, and the parts that could not be inspected."""

    found: tuple[Site, ...]
    unseen: tuple[Unseen, ...]

    @overload
    def __getitem__(self, at: int) -> Site: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Site, ...]: ...
    def __getitem__(self, at: int | slice) -> Site | tuple[Site, ...]:
        return self.found[at]

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[Site]:
        return iter(self.found)

    def to_json(self) -> dict[str, Any]:
        """Return the sites, and the parts that could not be inspected."""
        return {"sites": [plain(site.to_json()) for site in self.found], "unseen": plain(self.unseen)}

    def lines(self) -> list[str]:
        """Return one line for each site and each part that could not be inspected."""
        rows = [site_cells(site, root=Path.cwd())[:4] for site in self.found]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        shown = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return [*shown, *(f"not inspected: {unseen_text(each)}" for each in self.unseen)] or [
            "no activation was found."
        ]


def sites(model: nn.Module, *inputs: Any, **kwargs: Any) -> Sites:
    """List every place where the model applies an activation, including functions and written-out formulas.

    The model runs once on the inputs; random state and buffers are restored. No loss is needed.

    Args:
        model: the model, in training or evaluation mode as it is to be inspected.
        inputs, kwargs: the arguments of the model.

    Raises:
        BadInput: the model raises, or its wrapper cannot be looked through.

    Example:
        >>> found = sites(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), torch.ones(1, 4))
        >>> [(site.activation, site.path, site.spelling) for site in found]
        [('relu', '1', 'nn.ReLU')]
    """
    trace = recorded(model, inputs, kwargs)
    return Sites(routed(trace), trace.unseen)


def recorded(
    model: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any], *, observe: Observer | None = None
) -> Trace:
    """Record a pass of the model with autograd, which knows of calls that no function mode sees, such as scripted ones.

    Nothing is saved for backward, so the pass takes the memory of inference. A model that runs a backward pass itself,
    or does what autograd refuses, such as writing into chunks, runs once more without that. `observe` is called with
    the steps of each of these passes.
    """
    try:
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(_drop, _refuse):
            return traced(model, inputs, kwargs, observe=observe).trace
    except BadInput:
        pass
    try:
        with torch.enable_grad():
            return traced(model, inputs, kwargs, observe=observe).trace
    except BadInput:
        if torch.is_grad_enabled():
            raise
    return traced(model, inputs, kwargs, observe=observe).trace


def _drop(tensor: Tensor) -> None:
    return None


def _refuse(dropped: None) -> Tensor:
    raise RuntimeError("the model runs a backward pass in its forward")
