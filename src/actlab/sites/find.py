"""The sites of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final, overload

import torch
from torch import Tensor, nn

from actlab.errors import BadInput
from actlab.jsonable import plain
from actlab.sites.site import Site, Unseen
from actlab.sites.site_text import site_cells, unseen_text
from actlab.sites.swap.routes import routed
from actlab.sites.trace.run import traced
from actlab.sites.trace.trace import Trace


@final
@dataclass(frozen=True)
class Sites(Sequence[Site]):
    """Where a model applies activations, in the order of their calls, and what could not be looked into."""

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
        """The sites, and what was not seen."""
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
    """Every place where the model applies an activation, however it is spelled.

    The model runs once on the inputs; random state and buffers are left as they were.

    Args:
        model: the model, in the mode in which it is to be looked at.
        inputs, kwargs: what it is called with.

    Raises:
        BadInput: the model raises, or is wrapped in a way that cannot be looked through.

    Example:
        >>> found = sites(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), torch.ones(1, 4))
        >>> [(site.activation, site.path, site.spelling) for site in found]
        [('relu', '1', 'nn.ReLU')]
    """
    trace = _with_autograd(model, inputs, kwargs)
    return Sites(routed(trace), trace.unseen)


def _with_autograd(model: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Trace:
    """The pass that was followed; autograd knows of calls that PyTorch does not show, such as scripted ones.

    What autograd would save for backward is dropped: a pass takes the memory of inference. A model that goes backward
    itself, or does what autograd refuses, such as writing into chunks, runs once more as it was called.
    """
    try:
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(_drop, _refuse):
            return traced(model, inputs, kwargs).trace
    except BadInput:
        pass
    try:
        with torch.enable_grad():
            return traced(model, inputs, kwargs).trace
    except BadInput:
        if torch.is_grad_enabled():
            raise
    return traced(model, inputs, kwargs).trace


def _drop(tensor: Tensor) -> None:
    """Nothing in its place."""


def _refuse(dropped: None) -> Tensor:
    raise RuntimeError("the model goes backward in its forward")
