"""AL116: which backward functions are compared, and which differences are on purpose."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.diagnosis.check import check

X, Y = torch.randn(64, 8), torch.arange(64) % 3


class Applies(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        return self.kind.apply(x)


def own(forward, backward):
    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return forward(z)

        @staticmethod
        def backward(ctx, gradient):
            (z,) = ctx.saved_tensors
            return backward(z, gradient)

    return Own


def ids(kind) -> set[str]:
    model = nn.Sequential(nn.Linear(8, 16), Applies(kind), nn.Linear(16, 3))
    return {each.id for each in check(model, (X, Y), F.cross_entropy).findings}


WRONG = {
    "tanh of the input": own(torch.tanh, lambda z, g: g * (1 - z * z)),
    "a factor": own(torch.square, lambda z, g: g * z),
    "one side": own(lambda z: torch.where(z > 0, z, torch.expm1(z)), lambda z, g: g * torch.where(z > 0, 1, z + 2)),
    "another function": own(F.softplus, lambda z, g: g * torch.sigmoid(z) * (1 - torch.sigmoid(z))),
}


@pytest.mark.parametrize("kind", WRONG.values(), ids=WRONG)
def test_a_wrong_derivative_is_found(kind):
    assert "AL116" in ids(kind)


RIGHT = {
    "tanh": own(torch.tanh, lambda z, g: g * (1 - z.tanh() ** 2)),
    "straight through": own(torch.sign, lambda z, g: g),
    "surrogate": own(lambda z: (z > 0).to(z.dtype), lambda z, g: g / (1 + z.abs()) ** 2),
    "straight through a clamp": own(lambda z: z.clamp(-1, 1), lambda z, g: g),
    "reversed": own(lambda z: z.clone(), lambda z, g: -g),
    "scaled": own(lambda z: 1 * z, lambda z, g: 0.1 * g),
    "clipped": own(lambda z: z.view_as(z), lambda z, g: g.clamp(-0.01, 0.01)),
    "clipped at large inputs": own(torch.exp, lambda z, g: g * torch.exp(z.clamp(max=15))),
    "guided": own(torch.relu, lambda z, g: g.clamp(min=0) * (z > 0)),
    "along an axis": own(lambda z: z - z.mean(-1, keepdim=True), lambda z, g: g),
    "random": own(lambda z: z * torch.rand_like(z), lambda z, g: g * z),
}


@pytest.mark.parametrize("kind", RIGHT.values(), ids=RIGHT)
def test_what_is_right_or_on_purpose_is_not_reported(kind):
    assert "AL116" not in ids(kind)


@pytest.mark.parametrize("backward", [lambda z, g: None, lambda z, g: 0 * g])
def test_a_backward_that_returns_nothing_cuts_the_gradient(backward):
    assert {"AL114"} <= ids(own(torch.tanh, backward))


def test_a_backward_that_ignores_what_comes_in_is_found():
    assert "AL116" in ids(own(torch.tanh, lambda z, g: 1 - z.tanh() ** 2))
    assert "AL116" in ids(own(torch.square, lambda z, g: 2 * z))
    assert "AL116" not in ids(own(lambda z: 1 * z, lambda z, g: torch.ones_like(z)))  # of a line, on purpose


class Penalized(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.enter, self.own, self.leave = nn.Linear(8, 16), Applies(kind), nn.Linear(16, 3)

    def forward(self, x):
        x = x.clone().requires_grad_()
        y = self.leave(self.own(self.enter(x)))
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        return y, slope


def twice(kind) -> set[str]:
    def loss(out, y):
        return F.cross_entropy(out[0], y) + out[1].square().mean()

    return {each.id for each in check(Penalized(kind), (X, Y), loss).findings}


def test_a_backward_that_cannot_be_differentiated_is_found_where_it_is():
    right, detached = (
        own(lambda z: z**3, lambda z, g: g * 3 * z**2),
        own(lambda z: z**3, lambda z, g: g * 3 * z.data**2),
    )
    through_numpy = own(lambda z: z**3, lambda z, g: g * torch.from_numpy(3 * z.detach().numpy() ** 2))
    assert "AL116" in twice(detached)
    assert "AL116" in twice(through_numpy)
    assert "AL116" not in twice(right)
    assert "AL116" not in ids(detached)
