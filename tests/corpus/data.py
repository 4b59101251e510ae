"""Small data that can be learned: a batch by its number, the same each time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Stream = Callable[[int], tuple[Tensor, Tensor]]
SIZE = 64


def seeded(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def blobs(features: int = 16, classes: int = 4, *, spread: float = 1.0, size: int = SIZE) -> Stream:
    """Classes around centres that overlap a little, standardised."""
    centres = normal(classes, features, seed=1)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        chance = seeded(1000 + step)
        labels = torch.randint(classes, (size,), generator=chance)
        noise = torch.randn(size, features, generator=chance)
        return (centres[labels] + spread * noise) / (1 + spread**2) ** 0.5, labels

    return batch


def binary(features: int = 16, *, size: int = SIZE) -> Stream:
    """Two classes; targets of 0 and 1 as a column of floats."""
    stream = blobs(features, 2, size=size)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x, labels = stream(step)
        return x, labels.float()[:, None]

    return batch


def multi_label(features: int = 16, labels: int = 5, *, size: int = SIZE) -> Stream:
    """Several labels at once, each on for about half of the examples."""
    directions = normal(features, labels, seed=2)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x = normal(size, features, seed=2000 + step)
        noise = normal(size, labels, seed=3000 + step)
        return x, ((x @ directions + noise) > 0).float()

    return batch


def curve(features: int = 8, outputs: int = 1, *, scale: float = 1.0, offset: float = 0.0, size: int = SIZE) -> Stream:
    """A smooth function of standardised inputs with a little noise; its deviation is about `scale`."""
    inner, outer = normal(features, 16, seed=3) / features**0.5, normal(16, outputs, seed=4) / 3

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x = normal(size, features, seed=4000 + step)
        noise = 0.1 * normal(size, outputs, seed=5000 + step)
        return x, scale * (torch.tanh(2 * x @ inner) @ outer + noise) + offset

    return batch


def pictures(channels: int = 1, classes: int = 4, *, side: int = 8, size: int = SIZE) -> Stream:
    """A blurred pattern a class, under noise."""
    rough = normal(classes, channels, side // 2, side // 2, seed=5)
    patterns = torch.nn.functional.interpolate(rough, scale_factor=2)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        chance = seeded(6000 + step)
        labels = torch.randint(classes, (size,), generator=chance)
        noise = torch.randn(size, channels, side, side, generator=chance)
        return (patterns[labels] + noise) / 2**0.5, labels

    return batch


def tokens(vocabulary: int = 20, length: int = 12, *, size: int = 32) -> Stream:
    """A text in which the next letter mostly follows from the last one; targets are the letters one further on."""
    follows = torch.randperm(vocabulary, generator=seeded(6))

    def batch(step: int) -> tuple[Tensor, Tensor]:
        chance = seeded(7000 + step)
        letters = [torch.randint(vocabulary, (size,), generator=chance)]
        for _ in range(length):
            other = torch.randint(vocabulary, (size,), generator=chance)
            keeps = torch.rand(size, generator=chance) < 0.8
            letters.append(torch.where(keeps, follows[letters[-1]], other))
        text = torch.stack(letters, dim=1)
        return text[:, :-1], text[:, 1:]

    return batch


def token_classes(vocabulary: int = 20, length: int = 12, classes: int = 3, *, size: int = 32) -> Stream:
    """Texts whose class shows in which letters occur more often."""
    taste = 2 * normal(classes, vocabulary, seed=7)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        chance = seeded(8000 + step)
        labels = torch.randint(classes, (size,), generator=chance)
        return torch.multinomial(taste[labels].softmax(-1), length, replacement=True, generator=chance), labels

    return batch


def series(features: int = 3, length: int = 16, classes: int = 3, *, size: int = 32) -> Stream:
    """Waves of a frequency that tells the class, under noise."""

    def batch(step: int) -> tuple[Tensor, Tensor]:
        chance = seeded(9000 + step)
        labels = torch.randint(classes, (size,), generator=chance)
        phase = 6.28 * torch.rand(size, 1, features, generator=chance)
        time = torch.arange(length)[None, :, None] * (labels[:, None, None] + 1) * 0.5
        return torch.sin(time + phase) + 0.3 * torch.randn(size, length, features, generator=chance), labels

    return batch


def reconstruct(stream: Stream) -> Stream:
    """The inputs of another stream, as their own targets."""

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x, _ = stream(step)
        return x, x

    return batch
