from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unit.rules.programs import CLASSES, ids, sole_fault

DROPOUTS = {
    "F.dropout": lambda h: F.dropout(h, 0.1, training=True),
    "torch.dropout_": lambda h: torch.dropout_(h, 0.1, True),
    "native": lambda h: torch.native_dropout(h, 0.1, True)[0],
    "a mask": lambda h: h * (torch.rand_like(h) > 0.1) / 0.9,
    "a mask of numbers": lambda h: (torch.rand(h.shape) >= 0.1).float().div(0.9) * h,
    "bernoulli": lambda h: h * torch.bernoulli(torch.full_like(h, 0.9)) / 0.9,
    "bernoulli in place": lambda h: h * torch.empty_like(h).bernoulli_(0.9).div_(0.9),
}
OTHERS = {
    "alpha dropout": lambda h: F.alpha_dropout(h, 0.1),
    "none": lambda h: F.dropout(h, 0.0),
    "noise": lambda h: h * (1 + 0.1 * torch.randn_like(h)),
    "uniform noise": lambda h: h * (0.5 + torch.rand_like(h)),
    "uniform shares": lambda h: h * torch.rand_like(h),
    "a gate": lambda h: h * torch.sigmoid(h),
    "a fixed mask": lambda h: h * (h > -5),
}


class Dropped(nn.Module):
    def __init__(self, drop, act):
        super().__init__()
        self.one, self.two, self.drop, self.act = nn.Linear(8, 32), nn.Linear(32, 4), drop, act
        nn.init.normal_(self.one.weight, std=8**-0.5)

    def forward(self, x):
        return self.two(self.drop(self.act(self.one(x))))


def test_a_dropout_module_after_selu_is_reported_at_the_selu():
    model = nn.Sequential(nn.Linear(8, 32), nn.SELU(), nn.Dropout(0.1), nn.Linear(32, 4))
    assert sole_fault("AL305", model, CLASSES, F.cross_entropy, path="1").evidence["p"] == 0.1


@pytest.mark.parametrize("name", DROPOUTS)
def test_plain_dropout_after_selu_is_reported_however_it_is_written(name):
    assert ids(Dropped(DROPOUTS[name], F.selu), CLASSES, F.cross_entropy) == ["AL305"]
    assert "AL305" not in ids(Dropped(DROPOUTS[name], F.elu), CLASSES, F.cross_entropy)


@pytest.mark.parametrize("name", OTHERS)
def test_anything_but_plain_dropout_after_selu_is_not_reported(name):
    assert ids(Dropped(OTHERS[name], F.selu), CLASSES, F.cross_entropy) == []
