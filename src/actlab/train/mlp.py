"""The multilayer perceptron of the built-in tasks and of tables."""

from __future__ import annotations

from itertools import pairwise

from torch import nn


def mlp(activation: type[nn.Module], *, sizes: tuple[int, ...]) -> nn.Sequential:
    """Return linear layers of these sizes with an activation between each two."""
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(sizes)):
        layers += [activation()] if number else []
        layers.append(nn.Linear(before, after))
    return nn.Sequential(*layers)
