"""Correct networks that the mutants are made from: a perceptron, a convolutional network, a transformer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def perceptron(inputs: int, outputs: int, kind: Callable[[], nn.Module], *, width: int = 32) -> nn.Sequential:
    """Two hidden layers, as a Sequential of five."""
    return nn.Sequential(nn.Linear(inputs, width), kind(), nn.Linear(width, width), kind(), nn.Linear(width, outputs))


class Perceptron(nn.Module):
    """Two hidden layers with functional ReLU."""

    def __init__(self, inputs: int, outputs: int, *, width: int = 32) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(inputs, width), nn.Linear(width, width), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


class Convolutions(nn.Module):
    """Two convolutions, pooling and a linear layer, for pictures of 8 by 8."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.out = nn.Linear(64, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.features(x).flatten(1))


class Reader(nn.Module):
    """A small transformer encoder that classifies a text by the mean of its positions."""

    def __init__(self, vocabulary: int, outputs: int, *, length: int = 12, width: int = 32) -> None:
        super().__init__()
        self.letters = nn.Embedding(vocabulary, width)
        self.place = nn.Parameter(0.02 * torch.randn(length, width))
        layer = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.0, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(width, outputs)

    def forward(self, text: Tensor) -> Tensor:
        return self.out(self.encoder(self.letters(text) + self.place).mean(1))
