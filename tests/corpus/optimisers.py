"""Optimisers as the programs name them: by their settings, before there is a model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer

MakeOptimiser = Callable[[nn.Module], Optimizer]


def adam(rate: float = 1e-3) -> MakeOptimiser:
    return lambda model: torch.optim.Adam(model.parameters(), lr=rate)


def sgd(rate: float, *, momentum: float = 0.0, decay: float = 0.0) -> MakeOptimiser:
    return lambda model: torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum, weight_decay=decay)


def adamw(rate: float = 1e-3, *, decay: float = 0.01) -> MakeOptimiser:
    return lambda model: torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
