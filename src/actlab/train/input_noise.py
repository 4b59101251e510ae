"""Noise in the inputs of a part of the data, to judge a trained model by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import final

import numpy as np
import torch
from torch import Tensor

from actlab.train.examples import Examples
from actlab.train.tree import mapped

STREAM = 3
"""The noise is drawn from a stream of a seed that nothing else uses."""


@final
@dataclass(frozen=True)
class InputNoise:
    """Noise of several sizes in the inputs of the test rows, the same for all models of a seed.

    Attributes:
        levels: the sizes: shares of each input's standard deviation, or for integers of the values that are replaced.
        seed: what the noise is drawn from.
    """

    levels: tuple[float, ...]
    seed: int

    def parts(self, part: Examples, train: Examples) -> Iterator[tuple[str, Examples]]:
        """Yield the name of each level, and the part with that noise."""
        for level in self.levels:
            yield noise_name(level), noisy(part, train, level=level, seed=self.seed)


def noise_name(level: float) -> str:
    """Return the name of the metric on inputs with noise of one size, among the metrics beside the task's.

    Example:
        >>> noise_name(0.1)
        'with input noise 0.1'
    """
    return f"with input noise {level:g}"


def noisy(part: Examples, train: Examples, *, level: float, seed: int) -> Examples:
    """Return a part with noise in its inputs; its targets stay.

    Floating-point inputs get normal noise whose deviation is `level` times that of the same input over the training
    rows, so an input that never changes gets none. Of integers, a share `level` is replaced by the same input of
    training rows drawn at random. The same seed draws the same noise for every level.

    Args:
        part: the rows.
        train: the training rows.
        level: the size of the noise.
        seed: what it is drawn from.

    Example:
        >>> rows = Examples(torch.eye(3), torch.arange(3))
        >>> torch.equal(noisy(rows, rows, level=0.0, seed=1).inputs, rows.inputs)
        True
    """
    numbers = count()

    def changed(values: Tensor, known: Tensor) -> Tensor:
        chance = generator(seed, STREAM, next(numbers))
        if values.is_floating_point():
            spread = known.std(0, correction=0)
            return values + level * spread * torch.randn(values.shape, generator=chance, dtype=values.dtype)
        is_replaced = torch.rand(values.shape, generator=chance) < level
        rows = torch.randint(len(known), values.shape, generator=chance)
        return torch.where(is_replaced, known.gather(0, rows), values)

    return replace(part, inputs=mapped(changed, part.inputs, train.inputs), drawn=None)


def generator(*parts: int) -> torch.Generator:
    """Return a generator of a stream that these numbers identify."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(parts).generate_state(1)[0]))
