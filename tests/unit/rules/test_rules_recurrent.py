"""A state that returns to its layer: told where it grows without end, and nowhere else."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.diagnosis.check import check


class Returns(nn.Module):
    def __init__(self, gain, *, act=F.relu, is_shared=True):
        super().__init__()
        self.new, self.head, self.act = nn.Linear(5, 20), nn.Linear(20, 3), act
        cells = [nn.Linear(20, 20, bias=False) for _ in range(1 if is_shared else 10)]
        for cell in cells:
            nn.init.orthogonal_(cell.weight, gain=gain)
        self.cells = nn.ModuleList(cells * (10 if is_shared else 1))

    def forward(self, x):
        state = x.new_zeros(len(x), 20)
        for now, cell in zip(x.unbind(1), self.cells, strict=True):
            state = self.act(self.new(now) + cell(state))
        return self.head(state)


def ids(model):
    batch = (torch.randn(32, 10, 5), torch.arange(32) % 3)
    return {each.id for each in check(model, batch, F.cross_entropy).findings}


@pytest.mark.parametrize("act", [F.relu, F.gelu, nn.Softplus()])
def test_a_state_that_grows_from_step_to_step_is_told(act):
    torch.manual_seed(0)
    model = Returns(6.0, act=act)
    batch = (torch.randn(32, 10, 5), torch.arange(32) % 3)
    (found,) = [each for each in check(model, batch, F.cross_entropy).findings if each.id == "AL105"]
    assert found.evidence["calls"] == 10
    assert found.site is not None


@pytest.mark.parametrize(("gain", "act"), [(1.0, F.relu), (1.4, F.relu), (6.0, torch.tanh), (0.2, F.relu)])
def test_a_state_of_bounded_size_is_left_in_peace(gain, act):
    torch.manual_seed(0)
    assert "AL105" not in ids(Returns(gain, act=act))


def test_one_layer_for_many_inputs_is_no_recurrence():
    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.head = nn.Linear(5, 20), nn.Linear(20, 3)

        def forward(self, x):
            return self.head(sum(self.one(now * 10**place).relu() for place, now in enumerate(x.unbind(1))))

    torch.manual_seed(0)
    assert "AL105" not in ids(Siamese())


@pytest.mark.parametrize("gain", [4.5, 6.0])
@pytest.mark.parametrize("act", [nn.Tanh, nn.Sigmoid])
def test_a_start_that_saturates_is_named_and_nothing_is_said_of_none(act, gain):
    torch.manual_seed(0)
    gain = gain * (2 if act is nn.Sigmoid else 1)
    layers = []
    for _ in range(5):
        linear = nn.Linear(64, 64)
        nn.init.normal_(linear.weight, 0, gain / 8)
        layers += [linear, act()]
    model = nn.Sequential(*layers, nn.Linear(64, 3))
    found = check(model, (torch.randn(32, 64), torch.arange(32) % 3), F.cross_entropy).findings
    (misfit,) = [each for each in found if each.id == "AL303"]
    assert "saturate the activations of" in misfit.message


def test_a_start_that_only_grows_saturates_nothing():
    torch.manual_seed(0)
    layers = []
    for _ in range(12):
        linear = nn.Linear(64, 64)
        nn.init.normal_(linear.weight, 0, 0.6)
        layers += [linear, nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(64, 3))
    found = check(model, (torch.randn(32, 64), torch.arange(32) % 3), F.cross_entropy).findings
    (misfit,) = [each for each in found if each.id == "AL303"]
    assert "saturate" not in misfit.message
    assert "0 of" not in misfit.message
