"""The small convolutional network for images."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from actlab.train.factory import Build

WIDTHS = (8, 16, 32)
"""Channels of the three layers: few, so that one training step takes about 10 ms on one core."""


def cnn(activation: type[nn.Module], *, channels: int, outputs: int) -> nn.Sequential:
    """Return three convolutions, each with an activation, and a linear layer on the mean over all pixels.

    The first two are followed by a pooling that halves height and width.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise((channels, *WIDTHS)):
        layers += [nn.Conv2d(before, after, 3, padding=1), activation(), nn.MaxPool2d(2, ceil_mode=True)]
    return nn.Sequential(*layers[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], outputs))


# Not one function with `cnn`: stored studies hold a digest of that one's code.
def sized_cnn(
    activation: Build, *, channels: int, outputs: int, depth: int = len(WIDTHS), width: int = WIDTHS[0]
) -> nn.Sequential:
    """Return the same with another number of convolutions and of channels of the first; each has twice as many."""
    widths = [width * 2**number for number in range(depth)]
    layers: list[nn.Module] = []
    for before, after in pairwise((channels, *widths)):
        layers += [nn.Conv2d(before, after, 3, padding=1), activation(), nn.MaxPool2d(2, ceil_mode=True)]
    return nn.Sequential(*layers[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], outputs))
