"""Element-wise arithmetic that is not an activation."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.sites.find import sites
from unit.sites.small import rows


class Between(nn.Module):
    """A step with weights between two layers."""

    def __init__(self, step):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.step = nn.Linear(6, 6), nn.Linear(6, 6), step
        self.each, self.one = nn.Parameter(torch.rand(6)), nn.Parameter(torch.tensor(0.3))

    def forward(self, x):
        return self.second(self.step(self, self.first(x)))


def turned(model, x):
    angle = torch.arange(6) * 0.1
    return x * torch.cos(angle) + x.roll(1, -1) * torch.sin(angle)


STEPS = {
    "a rotary position": turned,
    "a position": lambda model, x: x + torch.sin(torch.arange(6) * 1.0),
    "a scaled branch": lambda model, x: x + model.each * x,
    "a learned gate of a number": lambda model, x: x + torch.tanh(model.one) * x,
    "a learned gate a channel": lambda model, x: x * torch.sigmoid(model.each),
    "a logit scale": lambda model, x: x * model.one.clamp(max=4.6).exp(),
    "dropout": lambda model, x: x * (torch.rand_like(x) > 0.3).float() / 0.7,
    "a norm": lambda model, x: (
        (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1e-5).sqrt() * model.each + model.one
    ),
    "a root mean square": lambda model, x: model.each * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6),
    "a length of 1": lambda model, x: x / x.norm(dim=-1, keepdim=True).clamp(min=1e-6),
    "a distance": lambda model, x: ((x - model.each) ** 2).sqrt(),
    "no NaN": lambda model, x: torch.where(torch.isnan(x), torch.zeros_like(x), x),
    "a mask": lambda model, x: x.masked_fill(torch.eye(4, 6) == 0, -1e9),
    "a polynomial": lambda model, x: x + 0.1 * x**2 + 0.01 * x**3,
    "a decay": lambda model, x: torch.exp(-F.softplus(model.each)) * x,
    "a mixture": lambda model, x: torch.sigmoid(model.one) * x + (1 - torch.sigmoid(model.one)) * x.flip(0),
    "the larger of two": lambda model, x: torch.max(x, x.flip(-1)),
    "a learned floor": lambda model, x: torch.max(x, model.each),
    "weights by softmax": lambda model, x: x * F.softmax(model.each, -1),
}


@pytest.mark.parametrize("what", STEPS)
def test_arithmetic_is_not_a_site(what):
    found = sites(Between(STEPS[what]), rows())
    assert (list(found), found.unseen) == ([], ())


def test_a_loss_computed_in_the_model_is_not_an_activation():
    class Losing(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x, y):
            off = self.second(F.relu(self.first(x))) - y
            return torch.where(off.abs() < 1, 0.5 * off * off, off.abs() - 0.5).mean()

    assert [site.activation for site in sites(Losing(), rows(), rows())] == ["relu"]
