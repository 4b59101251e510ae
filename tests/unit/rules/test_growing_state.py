"""The check of one batch for AL105: a recurrent state that grows from step to step."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.diagnosis.check import check


class Recurrent(nn.Module):
    def __init__(self, gain, *, act=F.relu):
        super().__init__()
        torch.manual_seed(0)
        self.new, self.head, self.act = nn.Linear(5, 20), nn.Linear(20, 3), act
        self.cell = nn.Linear(20, 20, bias=False)
        nn.init.orthogonal_(self.cell.weight, gain=gain)

    def forward(self, x):
        state = x.new_zeros(len(x), 20)
        for now in x.unbind(1):
            state = self.act(self.new(now) + self.cell(state))
        return self.head(state)


def growing(model):
    batch = (torch.randn(32, 10, 5), torch.arange(32) % 3)
    return [each for each in check(model, batch, F.cross_entropy).findings if each.id == "AL105"]


@pytest.mark.parametrize("act", [F.relu, F.gelu, nn.Softplus()])
def test_a_state_that_grows_from_step_to_step_is_reported(act):
    (found,) = growing(Recurrent(6.0, act=act))
    assert found.evidence["calls"] == 10
    assert found.site is not None
    assert "is applied to its own output 10 times" in found.message


@pytest.mark.parametrize(("gain", "act"), [(1.0, F.relu), (1.4, F.relu), (6.0, torch.tanh), (0.2, F.relu)])
def test_a_state_of_bounded_size_is_not_reported(gain, act):
    assert not growing(Recurrent(gain, act=act))


def test_one_layer_for_many_inputs_is_not_recurrent():
    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.head = nn.Linear(5, 20), nn.Linear(20, 3)

        def forward(self, x):
            return self.head(sum(self.one(now * 10**place).relu() for place, now in enumerate(x.unbind(1))))

    torch.manual_seed(0)
    assert not growing(Siamese())
