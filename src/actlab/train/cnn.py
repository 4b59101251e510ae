"""The small convolutional network for images."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

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
