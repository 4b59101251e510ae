"""The data, the initialization and the order of the batches, in PyTorch alone.

The exported program repeats these functions word by word, so they use `math`, `torch` and each other only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn


def stream(seed: int, purpose: int) -> torch.Generator:
    """Return the random numbers of one purpose: 0 for the data, 1 for the weights, 2 for the order of the batches."""
    return torch.Generator().manual_seed(3 * seed + purpose)


def uniform(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    """Draw `count` numbers between two limits, in double precision."""
    return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)


def normal(*shape: int, generator: torch.Generator) -> Tensor:
    """Draw standard normal numbers, in double precision."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def polar(radius: Tensor, angle: Tensor) -> Tensor:
    """Return the points at these radii and angles, of shape (count, 2)."""
    return torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)


def classes(first: int, second: int) -> Tensor:
    """Return the labels of points whose first part is of class 0 and whose second part is of class 1."""
    return torch.cat([torch.zeros(first), torch.ones(second)]).double()


def circle(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a disk and the ring around it."""
    outer = count // 2
    radius = torch.cat([uniform(3.0, 5.0, outer, generator), uniform(0.0, 2.0, count - outer, generator)])
    return polar(radius, uniform(0.0, 2 * math.pi, count, generator)), classes(outer, count - outer)


def xor(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a square whose opposite quarters are of one class, with a gap along the axes."""
    points = uniform(-5.0, 5.0, 2 * count, generator).reshape(count, 2)
    points = points + 0.3 * torch.sign(points)
    return points, (points[:, 0] * points[:, 1] > 0).double()


def moons(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw two half circles that interlock."""
    upper = count // 2
    angle = uniform(0.0, math.pi, count, generator)
    arc = polar(torch.full((count,), 3.0, dtype=torch.float64), angle)
    below = torch.tensor([3.0, 1.5], dtype=torch.float64) - arc
    points = torch.cat([arc[:upper], below[upper:]])
    return points - torch.tensor([1.5, 0.75], dtype=torch.float64), classes(upper, count - upper)


def spiral(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw two arms that wind around each other."""
    one = count // 2
    along = uniform(0.05, 1.0, count, generator)
    turn = torch.cat([torch.zeros(one), torch.full((count - one,), math.pi)])
    return polar(5.0 * along, 3.5 * math.pi * along + turn), classes(one, count - one)


def bananas(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw apples, a round cluster, and bananas, a crescent around it."""
    apples = count // 2
    cluster = 0.25 * normal(apples, 2, generator=generator)
    radius = 1.2 + 0.08 * normal(count - apples, generator=generator)
    crescent = polar(radius, uniform(0.1 * math.pi, 1.3 * math.pi, count - apples, generator))
    return 3.5 * torch.cat([cluster, crescent]), classes(apples, count - apples)


def halves(points: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shuffle; return the points and targets of the training half, then those of the test half."""
    order = torch.randperm(len(points), generator=generator)
    half = len(points) - len(points) // 2
    train, test = order[:half], order[half:]
    return points[train], targets[train], points[test], targets[test]


def initialize(linear: nn.Linear, how: str, gain: float, generator: torch.Generator) -> None:
    """Draw the weights and biases of a layer.

    Args:
        linear: the layer.
        how: `default` is PyTorch's; `gain` is normal with the standard deviation gain/√inputs, `small` with 0.01,
            `large` with 3; `zeros` is 0. All but the default set the biases to 0.
        gain: the gain of the activation that gives the layer its inputs; 1 if none does.
        generator: draws the weights.
    """
    root = math.sqrt(linear.in_features)
    with torch.no_grad():
        if how == "default":
            linear.weight.uniform_(-1 / root, 1 / root, generator=generator)
            linear.bias.uniform_(-1 / root, 1 / root, generator=generator)
        else:
            deviation = {"gain": gain / root, "small": 0.01, "large": 3.0, "zeros": 0.0}[how]
            linear.weight.normal_(0.0, deviation, generator=generator)
            linear.bias.zero_()


def batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the numbers of the examples of each batch, without end; a last batch that is smaller is left out."""
    size = min(size, count)
    while True:
        order = torch.randperm(count, generator=generator)
        yield from torch.split(order[: count - count % size], size)
