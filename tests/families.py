"""A whole family of activations as one network with many outputs, so that a test compiles or exports only once."""

from __future__ import annotations

from itertools import groupby

import torch
from torch import Tensor, nn

from actlab.catalog.index import CATALOG
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.nn import module

FAMILIES: dict[str, list[Activation | AxisActivation]] = {
    family: list(acts) for family, acts in groupby(CATALOG.values(), key=lambda act: act.family)
}


class Family(nn.Module):
    """Every activation of a family applied to the same tensor, with all their parameters learned if so asked."""

    def __init__(self, family: str, *, trainable: bool | None = None) -> None:
        super().__init__()
        self.activations = nn.ModuleList(made(act, trainable=trainable) for act in FAMILIES[family])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(act(x) for act in self.activations)


def made(act: Activation | AxisActivation, *, trainable: bool | None) -> nn.Module:
    if isinstance(act, AxisActivation):
        return module(act)
    return module(act, layout="value_first" if len(act.inputs) == 2 else None, trainable=trainable)


def points() -> Tensor:
    """Moderate and far values, an even number along the last axis."""
    far = torch.tensor([-85.0, -30.0, 30.0, 85.0])
    return torch.cat([torch.linspace(-12, 12, 92), far]).reshape(4, 24)
