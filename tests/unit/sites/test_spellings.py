"""Common spellings of activations that have a name in PyTorch."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch.nn import functional as F

from actlab.sites.find import sites
from actlab.sites.swap.swap import swap
from unit.sites.small import Between, rows

BY_NAME = {
    "gelu": functools.partial(F.gelu, approximate="tanh"),
    "leaky": functools.partial(F.leaky_relu, negative_slope=0.3),
    "swish": lambda x: x * torch.sigmoid(x),
}


def overwritten(x):
    x = x.clone()
    x[x < 0] = 0
    return x


def squared(x):
    positive = F.relu(x)
    return positive * positive


def mish_by_exp(x):
    e = torch.exp(x)
    n = e * e + 2 * e
    return x * n / (n + 2)


SPELLINGS = {
    "mish": (lambda x: x.mul(F.softplus(x).tanh()), "mish"),
    "mish by logarithms": (lambda x: x * torch.tanh(torch.log(1 + torch.exp(x))), "mish"),
    "mish by exponentials": (mish_by_exp, "mish"),
    "gelu by a constant": (lambda x: x * 0.5 * (1.0 + torch.erf(x / 1.4142135623730951)), "gelu"),
    "gelu by erfc": (lambda x: x * (0.5 * torch.erfc(-x / math.sqrt(2))), "gelu"),
    "gelu by a distribution": (lambda x: x * torch.distributions.Normal(0.0, 1.0).cdf(x), "gelu"),
    "gelu_tanh, factored": (
        lambda x: 0.5 * x * (1 + torch.tanh(0.7978845608028654 * x * (1 + 0.044715 * x * x))),
        "gelu_tanh",
    ),
    "relu times relu": (squared, "relu2"),
    "hard swish by hardtanh": (lambda x: x * F.hardtanh(x + 3, 0.0, 6.0) / 6.0, "hard_swish"),
    "hard swish by clamp": (lambda x: x * (x + 3).clamp(0, 6).div(6), "hard_swish"),
    "hard swish in place": (lambda x: x.mul(F.relu6(x.add(3.0)).div_(6.0)), "hard_swish"),
    "log of sigmoid": (lambda x: torch.log(torch.sigmoid(x)), "log_sigmoid"),
    "minus softplus": (lambda x: -F.softplus(-x), "log_sigmoid"),
    "leaky relu by abs": (lambda x: 0.6 * x + 0.4 * torch.abs(x), "leaky_relu"),
    "elu by relu": (lambda x: F.relu(x) - F.relu(1 - torch.exp(x)), "elu"),
    "tanh by sigmoid": (lambda x: 2 * torch.sigmoid(2 * x) - 1, "tanh"),
    "sigmoid by tanh": (lambda x: 0.5 * (torch.tanh(0.5 * x) + 1), "sigmoid"),
    "softplus, stable": (lambda x: F.relu(x) + torch.log1p(torch.exp(-torch.abs(x))), "softplus"),
    "softplus by logaddexp": (lambda x: torch.logaddexp(x, torch.zeros_like(x)), "softplus"),
    "relu by abs": (lambda x: (x + x.abs()) / 2, "relu"),
    "relu by a typed mask": (lambda x: x * (x > 0).type(x.dtype), "relu"),
    "relu by threshold": (lambda x: torch.threshold(x, 0, 0), "relu"),
    "relu by masked_fill": (lambda x: x.masked_fill(x < 0, 0), "relu"),
    "relu by overwriting": (overwritten, "relu"),
    "relu by fmax": (lambda x: torch.fmax(x, torch.zeros(())), "relu"),
    "silu by addcmul": (lambda x: torch.addcmul(torch.zeros_like(x), x, torch.sigmoid(x)), "silu"),
    "a name": (lambda x, name="leaky_relu": getattr(F, name)(x, 0.3), "leaky_relu"),
    "a table of partials": (lambda x: BY_NAME["gelu"](x), "gelu_tanh"),
    "a table of lambdas": (lambda x: BY_NAME["swish"](x), "silu"),
    "softmax": (lambda x: (e := torch.exp(x)) / e.sum(-1, keepdim=True), "softmax"),
    "softmax, exponentials twice": (lambda x: torch.exp(x) / torch.exp(x).sum(-1, keepdim=True), "softmax"),
    "softmax, sums with a new axis": (lambda x: (e := torch.exp(x)) / e.sum(-1)[:, None], "softmax"),
    "softmax, stable": (
        lambda x: (e := torch.exp(x - x.max(-1, keepdim=True)[0])) / e.sum(dim=-1, keepdim=True),
        "softmax",
    ),
    "softmax, by amax": (
        lambda x: (e := (x - x.amax(-1, keepdim=True).detach()).exp()).div(e.sum(-1, keepdim=True)),
        "softmax",
    ),
    "log softmax": (lambda x: x - torch.logsumexp(x, dim=-1, keepdim=True), "log_softmax"),
    "log softmax by sums": (lambda x: x - x.exp().sum(-1, keepdim=True).log(), "log_softmax"),
    "log softmax, stable": (
        lambda x: (y := x - x.max(-1, keepdim=True).values) - y.exp().sum(-1, keepdim=True).log(),
        "log_softmax",
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_activation_is_recognized_by_its_values(spelling):
    function, name = SPELLINGS[spelling]
    (site,) = sites(Between(function), rows())
    assert (site.activation, site.file, site.calls) == (name, __file__, 1)


GATED_BY_ARITHMETIC = {
    "x*sin(x)": lambda x: x * torch.sin(x),
    "x*atan(x)": lambda x: torch.atan(x) * x,
    "x*exp(-x*x)": lambda x: x * torch.exp(-x * x),
}


@pytest.mark.parametrize("formula", GATED_BY_ARITHMETIC)
def test_a_formula_that_gates_itself_is_one_site(formula):
    model, x = Between(GATED_BY_ARITHMETIC[formula]), rows()
    (site,) = sites(model, x)
    assert site.formula.inputs == ("x",)
    swap(model, {site: "relu"}, x)
    torch.testing.assert_close(model(x), model.second(F.relu(model.first(x))), rtol=1e-5, atol=1e-6)


def test_a_formula_is_shown_without_factors_of_one():
    (site,) = sites(Between(lambda x: x * torch.tanh(F.softplus(x))), rows())
    assert site.spelling == "x*tanh(softplus(x))"


@pytest.mark.parametrize("spelling", [each for each in SPELLINGS if "distribution" not in each])
def test_a_written_out_activation_is_swapped_and_restored(spelling):
    function, name = SPELLINGS[spelling]
    model, x = Between(function), rows()
    before = model(x)
    new = "sparsemax" if "softmax" in name else "tanh" if name != "tanh" else "sigmoid"
    done = swap(model, {name: new}, x)
    assert [each.before for each in done.changed] == [name]
    if new != "sparsemax":
        want = model.second(getattr(torch, new)(model.first(x)))
        torch.testing.assert_close(model(x), want, rtol=1e-5, atol=1e-6)
    assert [site.activation for site in sites(model, x)] == [new]
    done.undo()
    assert torch.equal(model(x), before)


NO_SOFTMAX = {
    "a share of a sum": lambda x: x / x.sum(-1, keepdim=True),
    "of another sum": lambda x: torch.exp(x) / torch.exp(2 * x).sum(-1, keepdim=True),
    "of two axes": lambda x: (e := torch.exp(x)) / e.sum((0, 1), keepdim=True),
    "centred": lambda x: x - x.mean(-1, keepdim=True),
    "below the largest": lambda x: x - x.max(-1, keepdim=True)[0],
    "a logarithm of a sum": lambda x: x - x.abs().sum(-1, keepdim=True).log(),
}


@pytest.mark.parametrize("what", NO_SOFTMAX)
def test_a_formula_that_resembles_a_softmax_is_not_one(what):
    found = sites(Between(NO_SOFTMAX[what]), rows())
    assert {site.activation for site in found} <= {"exponential"}


def test_a_replaced_softmax_acts_along_the_same_axis():
    for function in (lambda x: F.softmax(x, dim=0), lambda x: (e := torch.exp(x)) / e.sum(0, keepdim=True)):
        model, x = Between(function), rows()
        swap(model, {"softmax": "sparsemax"}, x)
        (site,) = sites(model, x)
        given = []
        handle = model.second.register_forward_pre_hook(lambda _, args, given=given: given.append(args[0]))
        model(x)
        handle.remove()
        assert (site.activation, site.axis) == ("sparsemax", 0)
        torch.testing.assert_close(given[0].sum(0), torch.ones(6))
