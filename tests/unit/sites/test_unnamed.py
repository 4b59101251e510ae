"""Calls that act as activations and have no formula of one value: listed, never left out."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.sites.find import sites
from unit.sites.small import Between, rows

STEPS = {
    "torch.sign": torch.sign,
    "x.sgn()": lambda x: x.sgn(),
    "torch.round": lambda x: torch.round(7 * torch.clamp(x, -1, 1)) / 7,
    "x.floor()": lambda x: x.floor(),
    "torch.ceil": torch.ceil,
    "torch.trunc": torch.trunc,
    "torch.heaviside": lambda x: torch.heaviside(x, torch.tensor(0.5)),
}
COMPARISONS = {
    "a cast": lambda x: (x > 0).float(),
    "after a sigmoid": lambda x: (torch.sigmoid(x) >= 0.5).to(x.dtype),
    "type_as": lambda x: x.gt(0).type_as(x),
    "where of numbers": lambda x: torch.where(x > 0, 1.0, -1.0),
    "where of tensors": lambda x: torch.where(x > 0, torch.ones_like(x), torch.zeros_like(x)),
    "a factor": lambda x: (x > 0) * 1.0,
}


@pytest.mark.parametrize("what", STEPS)
def test_a_step_function_is_listed(what):
    assert [each.what for each in sites(Between(STEPS[what]), rows()).unseen] == [what]


@pytest.mark.parametrize("what", COMPARISONS)
def test_a_comparison_turned_into_numbers_is_listed(what):
    assert [each.what for each in sites(Between(COMPARISONS[what]), rows()).unseen] == [
        "a comparison turned into numbers"
    ]


def maxout_of_two(x):
    return torch.cat([torch.maximum(x[:, :3], x[:, 3:])] * 2, dim=1)


MAXOUT = {
    "halves": maxout_of_two,
    "torch.max of chunks": lambda x: torch.max(*x.chunk(2, dim=1)).repeat(1, 2),
    "a view": lambda x: x.view(-1, 3, 2).max(-1).values.repeat(1, 2),
    "unflatten": lambda x: x.unflatten(1, (3, 2)).amax(2).repeat(1, 2),
    "a stack": lambda x: torch.stack([x[:, :3], x[:, 3:]]).max(0)[0].repeat(1, 2),
}


@pytest.mark.parametrize("how", MAXOUT)
def test_a_maxout_is_listed(how):
    (one,) = sites(Between(MAXOUT[how]), rows()).unseen
    assert one.what.endswith(", a maxout")


def kept_by_threshold(x):
    return x * (x >= x.topk(2, dim=1).values[:, -1:]).float()


WINNERS = {
    "a threshold": kept_by_threshold,
    "indices": lambda x: x * torch.zeros_like(x).scatter(1, x.topk(2, dim=1).indices, 1.0),
    "kthvalue": lambda x: torch.where(x >= x.kthvalue(4, dim=1, keepdim=True).values, x, torch.zeros_like(x)),
    "the largest sizes": lambda x: x * (x.abs() >= x.abs().topk(2, dim=1).values[:, -1:]),
    "after an activation": lambda x: kept_by_threshold(F.relu(x)),
}


@pytest.mark.parametrize("how", WINNERS)
def test_k_winners_are_listed(how):
    (one,) = sites(Between(WINNERS[how]), rows()).unseen
    assert one.what.endswith(", a choice of the largest units")


class Series(nn.Module):
    """A quotient whose powers are stacked and weighed at once."""

    def __init__(self, weigh):
        super().__init__()
        self.above, self.below = nn.Parameter(torch.rand(6)), nn.Parameter(torch.rand(4))
        self.weigh = weigh

    def forward(self, x):
        powers = torch.stack([x**power for power in range(6)], dim=-1)
        return self.weigh(powers, self.above) / (1 + self.weigh(powers[..., 1:5], self.below).abs())


@pytest.mark.parametrize(
    "weigh",
    [
        lambda powers, weights: (powers * weights).sum(-1),
        lambda powers, weights: powers @ weights,
        lambda powers, weights: torch.einsum("...k,k->...", powers, weights),
    ],
    ids=["sum", "product", "einsum"],
)
def test_a_learned_quotient_of_stacked_powers_is_listed(weigh):
    found = sites(Between(Series(weigh)), rows()).unseen
    assert [each.what for each in found] == ["a quotient with learned coefficients"]


class Experts(nn.Module):
    """A mixture of experts whose router keeps the two largest shares."""

    def forward(self, x):
        shares = F.softmax(x, dim=1)
        kept = shares * torch.zeros_like(shares).scatter(1, shares.topk(2, dim=1).indices, 1.0)
        return kept / kept.sum(1, keepdim=True)


class Attending(nn.Module):
    """Attention whose softmax is written out, its rows shifted by their maxima."""

    def forward(self, x):
        scores = x[:, :, None] * x[:, None, :]
        shares = torch.exp(scores - scores.max(-1, keepdim=True).values)
        return (shares / shares.sum(-1, keepdim=True) * x[:, None, :]).sum(-1)


QUIET = {
    "relu by a mask": lambda x: x * (x > 0),
    "hard shrink": F.hardshrink,
    "a mask of the input": lambda x: torch.relu(x) * (torch.rand_like(x) > 0.5).float(),
    "the largest over time": lambda x: x[:, :, None].expand(-1, -1, 4).relu().amax(-1),
    "a quotient by a norm": lambda x: x / x.pow(2).sum(1, keepdim=True).sqrt(),
    "layer norm": lambda x: F.layer_norm(x, (6,)),
    "a mixture of experts": Experts(),
    "attention": Attending(),
}


@pytest.mark.parametrize("what", QUIET)
def test_what_only_looks_similar_is_not_listed(what):
    assert sites(Between(QUIET[what]), rows()).unseen == ()


def test_rounded_weights_are_not_listed():
    class Rounded(nn.Linear):
        def forward(self, x):
            return F.linear(x, torch.round(self.weight * 7) / 7, self.bias)

    assert sites(nn.Sequential(Rounded(6, 6), nn.ReLU(), nn.Linear(6, 2)), rows()).unseen == ()
