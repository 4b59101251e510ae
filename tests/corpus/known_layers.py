"""D: layers of which it is known unit by unit what is dead or saturated.

A dead unit is made by its bias; beside it stand units that fire for exactly one of the n examples, which are alive.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

UNITS, DEAD, RARE, BATCH, STEPS = 64, 20, 12, 50, 8


def dead_layer(seed: int) -> tuple[nn.Linear, list[Tensor]]:
    """Units at bias -100, units that lie at 0.5 for one example and below -17 for all others, and units around 0.

    Below -17 every one of these activations is flat to a millionth of its largest slope.
    """
    linear, inputs = drawn(seed)
    with torch.no_grad():
        z = inputs @ linear.weight.T
        linear.bias.zero_()
        linear.bias[:DEAD] = -100
        top = z[:, DEAD : DEAD + RARE].topk(2, dim=0).values
        linear.weight[DEAD : DEAD + RARE] *= (18 / (top[0] - top[1]))[:, None]
        linear.bias[DEAD : DEAD + RARE] = 0.5 - 18 * top[0] / (top[0] - top[1])
    return linear, list(inputs.split(BATCH))


def saturated_layer(seed: int) -> tuple[nn.Linear, list[Tensor]]:
    """Units that lie around 100 or -100, and units around 0 whose slope is near its largest."""
    linear, inputs = drawn(seed)
    with torch.no_grad():
        linear.weight *= 0.5
        linear.bias.zero_()
        linear.bias[:DEAD] = torch.where(torch.arange(DEAD) % 2 == 0, 100.0, -100.0)
    return linear, list(inputs.split(BATCH))


def drawn(seed: int) -> tuple[nn.Linear, Tensor]:
    """A layer whose outputs have variance 1, and its inputs."""
    chance = torch.Generator().manual_seed(seed)
    linear = nn.Linear(16, UNITS)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(UNITS, 16, generator=chance) / 4)
    return linear, torch.randn(BATCH * STEPS, 16, generator=chance)


def never_fires(z: Tensor) -> Tensor:
    """Of the inputs of these dead layers: whether a unit lies below -17 for every example."""
    return (z < -17).all(0)


def lies_far_out(z: Tensor) -> Tensor:
    """Of the inputs of these saturated layers: whether a unit lies beyond 90 on either side for every example."""
    return (z.abs() > 90).all(0)
