"""Activations written in several steps, and loops over weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.sites.find import sites
from actlab.sites.swap.swap import swap
from unit.sites.small import Between, rows

WRITTEN = {
    "exp of log_softmax": (lambda x: F.log_softmax(x, 1).exp(), "softmax"),
    "torch.exp of log_softmax": (lambda x: torch.exp(torch.log_softmax(x, dim=-1)), "softmax"),
    "exp of a difference": (lambda x: torch.exp(x - torch.logsumexp(x, 1, keepdim=True)), "softmax"),
    "a bump": (lambda x: torch.exp(-(x**2) / 2), "exp(-x**2/2)"),
    "a bump by products": (lambda x: torch.exp(-0.5 * x * x), "exp(x*-0.5*x)"),
    "a double exponential": (lambda x: torch.exp(-x.abs()), "exp(-abs(x))"),
    "a quotient": (lambda x: x / (1 + x**2), "x/(x**2 + 1)"),
    "a root with a sign": (lambda x: torch.sign(x) * torch.sqrt(x.abs() + 1), "sign(x)*sqrt(abs(x) + 1)"),
    "sine": (lambda x: x * torch.sin(x), "x*sin(x)"),
    "arc tangent": (lambda x: x * torch.atan(x), "x*atan(x)"),
}


@pytest.mark.parametrize("what", WRITTEN)
def test_it_is_one_site_and_is_swapped_whole(what):
    call, name = WRITTEN[what]
    model, x = Between(call), rows()
    (site,) = sites(model, x)
    assert site.activation == name
    wanted = model.second(torch.tanh(model.first(x)))
    other = "tanh" if name != "softmax" else "sparsemax"
    swapped = swap(model, {name: other}, x).model
    if name != "softmax":
        torch.testing.assert_close(swapped(x), wanted)
    else:
        assert [each.activation for each in sites(swapped, x)] == ["sparsemax"]


def test_a_log_softmax_that_is_read_elsewhere_too_stays_one():
    def entropy(x):
        logs = F.log_softmax(x, 1)
        return logs.exp() * logs

    assert [site.activation for site in sites(Between(entropy), rows())] == ["log_softmax"]


def test_an_exponential_of_a_straight_line_stays_one_call():
    (site,) = sites(Between(lambda x: torch.exp(0.5 * x)), rows())
    assert (site.activation, site.spelling) == ("exponential", "torch.exp")


def test_an_exponential_of_an_activation_leaves_it_a_site():
    assert "softplus" in [site.activation for site in sites(Between(lambda x: torch.exp(-F.softplus(x))), rows())]


LAYERS = {
    "x @ w": lambda x, w: x @ w,
    "x @ w.T": lambda x, w: x @ w.T,
    "x @ w.t()": lambda x, w: x @ w.t(),
    "a permutation": lambda x, w: torch.mm(x, w.permute(1, 0)),
    "scaled": lambda x, w: x @ (w * 2).T,
    "einsum": lambda x, w: torch.einsum("bi,oi->bo", x, w),
    "F.linear": lambda x, w: F.linear(x, w / w.norm()),
}


class Deep(nn.Module):
    """A loop over weights: a list of matrices, or the slices of one tensor."""

    def __init__(self, layer, *, stacked: bool):
        super().__init__()
        torch.manual_seed(0)
        each = [torch.randn(6, 6) for _ in range(5)]
        self.weights = nn.Parameter(torch.stack(each)) if stacked else nn.ParameterList(each)
        self.layer = layer

    def forward(self, x):
        for at in range(5):
            x = torch.sigmoid(self.layer(x, self.weights[at]))
        return x


@pytest.mark.parametrize("stacked", [False, True], ids=["list", "stacked"])
@pytest.mark.parametrize("how", LAYERS)
def test_layers_of_a_loop_over_weights_are_separate_sites(how, stacked):
    found = sites(Deep(LAYERS[how], stacked=stacked), rows())
    assert [site.calls for site in found] == [1] * 5


def test_a_loop_over_time_with_transposed_weights_is_one_site():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.into, self.again = nn.Parameter(torch.randn(6, 6)), nn.Parameter(torch.randn(6, 6))

        def forward(self, x):
            state = torch.zeros_like(x)
            for _ in range(5):
                state = torch.tanh(x @ self.into.T + state @ (self.again / self.again.norm()).T)
            return state

    (site,) = sites(Recurrent(), rows())
    assert site.calls == 5


def test_a_formula_is_found_in_a_loop_that_begins_with_zeros_and_single_numbers():
    class Begins(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x):
            state, means = torch.zeros_like(x), x.mean()
            for _ in range(4):
                state = self.layer(x + state * torch.sigmoid(state))
                means = means * torch.sigmoid(means) + state
            return state + means

    found = sites(Begins(), rows())
    assert sorted((site.activation, site.calls) for site in found if site.activation == "silu") == [
        ("silu", 3),
        ("silu", 3),
    ]
