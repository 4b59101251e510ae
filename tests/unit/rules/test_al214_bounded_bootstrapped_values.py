from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unit.rules.programs import CLASSES, Applied, findings, ids, mlp

CHANCE = torch.Generator().manual_seed(0)
SHARES = torch.rand(32, generator=CHANCE)
SIGNS = torch.where(torch.rand(32, generator=CHANCE) > 0.5, 1.0, -1.0)
ENDS = (torch.arange(32) % 16 == 15).float()


def step_ahead(value, reward, *, discount=0.99, masked=False):
    after = value.roll(-1, 0).detach().squeeze(1)
    return reward + discount * after * (1 - ENDS if masked else 1)


def by_loss(value, reward):
    return F.mse_loss(value.squeeze(1), step_ahead(value, reward))


def by_hand(value, reward):
    return (value[:, 0] - step_ahead(value, reward, discount=0.9)).pow(2).mean()


@pytest.mark.parametrize("loss", [by_loss, by_hand])
@pytest.mark.parametrize(
    ("end", "reward"),
    [
        (nn.Sigmoid(), SHARES),
        (nn.Tanh(), SIGNS),
        (nn.Tanh(), -torch.ones(32)),
        (nn.ReLU(), -torch.ones(32)),
        (nn.Softplus(), -SHARES),
    ],
)
def test_values_that_cannot_reach_their_targets_are_reported(end, reward, loss):
    (found,) = findings(mlp(1, end), reward, loss)
    assert (found.id, found.site.path) == ("AL214", "5")


class Deep(nn.Module):
    """Deep Q-learning: the values of the actions, and those of another network one step later."""

    def __init__(self, end):
        super().__init__()
        self.now, self.later, self.end = mlp(4), mlp(4), end

    def forward(self, x):
        with torch.no_grad():
            later = self.end(self.later(x.roll(-1, 0))).max(1)[0]
        return self.end(self.now(x)), later


def deep(out, reward):
    return F.smooth_l1_loss(out[0].gather(1, CLASSES[:, None]).squeeze(1), reward + 0.9 * out[1] * (1 - ENDS))


@pytest.mark.parametrize(
    ("end", "reward", "expected"),
    [
        (torch.sigmoid, SHARES, ["AL214"]),
        (F.relu, -SHARES, ["AL214"]),
        (F.relu, SHARES, []),
        (lambda z: z, SHARES, []),
    ],
)
def test_deep_q_learning(end, reward, expected):
    assert ids(Deep(end), reward, deep) == expected


@pytest.mark.parametrize(
    ("end", "reward", "loss"),
    [
        ((), SHARES, by_loss),
        ((nn.ReLU(),), SHARES, by_loss),
        ((nn.Sigmoid(),), 0.01 * SHARES, by_loss),
        ((nn.Sigmoid(),), ENDS * SHARES, lambda v, r: F.mse_loss(v.squeeze(1), step_ahead(v, r, masked=True))),
        ((nn.Tanh(),), ENDS * SIGNS, lambda v, r: F.mse_loss(v.squeeze(1), step_ahead(v, r, masked=True))),
        ((nn.Tanh(),), 0.01 * SIGNS, lambda v, r: F.mse_loss(v.squeeze(1), step_ahead(v, r, discount=0.9))),
    ],
)
def test_rewards_within_the_range_are_not_reported(end, reward, loss):
    assert ids(mlp(1, *end), reward, loss) == []


def test_rewards_at_the_end_that_take_up_the_range_are_not_reported():
    ends = (torch.arange(32) % 4 == 3).float()

    def loss(value, reward):
        return F.mse_loss(value.squeeze(1), reward + 0.99 * (1 - ends) * value.roll(-1, 0).detach().squeeze(1))

    assert ids(mlp(1, nn.Tanh()), ends * SIGNS, loss) == []


def test_a_teacher_with_the_same_end_is_not_reported():
    model = Applied(lambda m, x: (m.one(x), m.other(x).detach()), one=mlp(4, nn.Sigmoid()), other=mlp(4, nn.Sigmoid()))
    assert ids(model, SHARES, lambda out, _: F.mse_loss(*out)) == []
