"""Small networks of the kinds that initializations must handle, written as their papers and libraries write them."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """The basic block of a ResNet."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet18(nn.Module):
    """ResNet-18, with fewer channels and a stem for small images."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        self.layers = nn.Sequential(
            *(
                block
                for at, (inputs, outputs) in enumerate(pairwise(widths))
                for block in (Block(inputs, outputs, stride=1 if at == 0 else 2), Block(outputs, outputs, stride=1))
            )
        )
        self.fc = nn.Linear(widths[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(functional.adaptive_avg_pool2d(self.layers(self.stem(x)), 1).flatten(1))


class ViT(nn.Module):
    """A small vision transformer of PyTorch's own encoder layers."""

    def __init__(self, features: int = 64, *, depth: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, features, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, features))
        self.position = nn.Parameter(torch.randn(1, 65, features) * 0.02)
        layer = nn.TransformerEncoderLayer(
            features, 4, 4 * features, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(features)
        self.head = nn.Linear(features, 10)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patches(x).flatten(2).mT
        tokens = torch.cat([self.token.expand(len(x), -1, -1), patches], dim=1) + self.position
        return self.head(self.norm(self.encoder(tokens))[:, 0])


class Plain(nn.Module):
    """A pre-activation residual network without normalization."""

    def __init__(self, features: int = 256, *, depth: int = 4) -> None:
        super().__init__()
        self.first = nn.Linear(features, features)
        self.one = nn.ModuleList(nn.Linear(features, features) for _ in range(depth))
        self.two = nn.ModuleList(nn.Linear(features, features) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for one, two in zip(self.one, self.two, strict=True):
            x = x + two(functional.relu(one(functional.relu(x))))
        return functional.relu(x)
