"""The memory that finding the sites of a model takes."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.sites.find import sites
from unit.sites.small import rows


class Counting(nn.Module):
    """Count how many of its results are alive at once."""

    def __init__(self, function):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(30))
        self.function, self.results, self.most = function, [], 0

    def forward(self, x):
        for layer in self.layers:
            x = self.function(layer(x))
            self.results.append(weakref.ref(x))
            self.most = max(self.most, sum(each() is not None for each in self.results))
        return x


@pytest.mark.parametrize(
    "function", [F.relu, torch.sigmoid, lambda x: x * torch.sigmoid(x)], ids=["relu", "sig", "silu"]
)
def test_a_deep_model_takes_the_memory_of_inference(function):
    model = Counting(function)
    assert len(sites(model, rows())) == 30
    assert model.most <= 3
    model(rows())
    assert model.most > 20  # autograd keeps them all: the count above could have told


class Force(nn.Module):
    """The gradient of an energy, as in models of molecules."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 1)

    def forward(self, x):
        x = x.requires_grad_()
        energy = self.last(torch.tanh(self.first(x))).sum()
        return torch.autograd.grad(energy, x, create_graph=True)[0]


def test_a_model_that_runs_backward_itself_is_recorded():
    assert [site.activation for site in sites(Force(), rows())] == ["tanh"]
