"""The multilayer perceptron of the built-in tasks and of tables."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from actlab.nn.modules import inputs_of
from actlab.train.factory import Build


def mlp(activation: type[nn.Module], *, sizes: tuple[int, ...]) -> nn.Sequential:
    """Return linear layers of these sizes with an activation between each two."""
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(sizes)):
        layers += [activation()] if number else []
        layers.append(nn.Linear(before, after))
    return nn.Sequential(*layers)


# Not one function with `mlp`: stored studies hold a digest of that one's code.
def gated_mlp(activation: Build, *, sizes: tuple[int, ...]) -> nn.Sequential:
    """Return the same; in front of a gated unit, which halves its input, a layer is twice as wide."""
    layers: list[nn.Module] = []
    hidden = len(sizes) - 2
    for number, (before, after) in enumerate(pairwise(sizes)):
        following = [activation()] if number < hidden else []
        layers += [nn.Linear(before, (inputs_of(following[0]) if following else 1) * after), *following]
    return nn.Sequential(*layers)
