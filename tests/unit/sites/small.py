"""Small models for the tests of this package."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Between(nn.Module):
    """Something between two linear layers."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.between(self.first(x)))


def rows(count: int = 4) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(1))


def left(model: nn.Module) -> list[str]:
    """Return what is attached to the model: hooks, and a forward of one instance."""
    return [
        f"{path}.{name}"
        for path, module in model.named_modules()
        for name in (*[key for key in module.__dict__ if key.endswith("_hooks")], "forward")
        if module.__dict__.get(name)
    ]
