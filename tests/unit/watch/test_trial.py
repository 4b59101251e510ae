"""The copy that a trial run trains."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

from actlab.watch.trial import _same_optimiser, _stepped


def test_the_optimiser_is_copied_with_its_groups_and_its_state():
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    groups = [{"params": [model.weight], "weight_decay": 0.1}, {"params": [model.bias], "lr": 0.5}]
    mine = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    x, y = torch.randn(8, 4), torch.arange(8) % 3
    _stepped(model, mine, F.cross_entropy, x, y)
    twin = copy.deepcopy(model)
    its = _same_optimiser(mine, model, twin)
    before = copy.deepcopy(model.state_dict())
    _stepped(twin, its, F.cross_entropy, x, y)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    _stepped(model, mine, F.cross_entropy, x, y)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in twin.state_dict().items())


def test_an_optimiser_of_other_parameters_is_copied_with_them():
    torch.manual_seed(0)
    model, other = nn.Linear(4, 3), nn.Linear(2, 2)
    mine = torch.optim.SGD([*model.parameters(), *other.parameters()], lr=0.1)
    twin, before = copy.deepcopy(model), copy.deepcopy(other.state_dict())
    for each in other.parameters():
        each.grad = torch.ones_like(each)
    its = _same_optimiser(mine, model, twin)
    _stepped(twin, its, F.cross_entropy, torch.randn(8, 4), torch.arange(8) % 3)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    assert not torch.equal(twin.weight, model.weight)
