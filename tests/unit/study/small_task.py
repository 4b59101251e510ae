"""A task that trains in milliseconds, for tests of what surrounds a study."""

from __future__ import annotations

from functools import partial

import numpy as np
from torch import nn

from actlab.train.mlp import mlp
from actlab.train.task import Task


def ring(*, seed: int = 0, epochs: int = 2, **changes: object) -> Task:
    """Return the task of telling the inside of a ring from its outside."""
    inputs = np.random.default_rng(seed).normal(size=(120, 2))
    targets = (np.square(inputs).sum(1) > 1.4).astype(int)
    settings = {"epochs": epochs, "batch_size": 24, "rates": (3e-3, 3e-2), **changes}
    return Task("ring", partial(mlp, nn.ReLU, sizes=(2, 8, 8, 2)), train=(inputs, targets), **settings)
