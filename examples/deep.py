"""A network of eight sigmoid layers, which does not learn: `actlab fix examples/deep.py:make_task` repairs it."""

from sklearn.datasets import load_wine
from sklearn.preprocessing import scale
from torch import nn

from actlab import Task

LAYERS = 8


def network() -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(13, 32), nn.Sigmoid()]
    for _ in range(LAYERS - 1):
        layers += [nn.Linear(32, 32), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(32, 3))


def make_task() -> Task:
    """Three vineyards' wines, by thirteen measurements."""
    inputs, targets = load_wine(return_X_y=True)
    return Task("wine", network, train=(scale(inputs).astype("float32"), targets), epochs=20, batch_size=16)
