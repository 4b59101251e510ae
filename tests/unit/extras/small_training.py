"""A few training steps of a small network whose ReLU is dead from the start."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def dead_model() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    with torch.no_grad():
        model[0].bias.fill_(-1000.0)
    return model


def trained(model: nn.Module, watched: Any, *, steps: int = 3, fails_at: int = -1) -> None:
    """Train on batches of 1024 examples, enough for a finding of dead units."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for step in range(steps):
        if step == fails_at:
            raise RuntimeError("on purpose")
        optimizer.zero_grad()
        x = torch.randn(1024, 4)
        loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
        loss.backward()
        optimizer.step()
        watched.step(loss)
