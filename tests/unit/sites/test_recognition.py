"""Activations that are written out with learned parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.sites.find import sites
from actlab.sites.recognize.traced import traced
from actlab.sites.swap.swap import swap
from unit.sites.small import Between, rows


class Learning(nn.Module):
    """A formula with weights."""

    def __init__(self, formula, **weights):
        super().__init__()
        self.formula = formula
        for name, value in weights.items():
            self.register_parameter(name, nn.Parameter(torch.as_tensor(value)))

    def forward(self, x):
        return self.formula(x, *self._parameters.values())


EACH = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
SLOPES = {
    "where": lambda x, a: torch.where(x > 0, x, a * x),
    "where, at least 0": lambda x, a: torch.where(x >= 0, x, x * a),
    "maximum": lambda x, a: torch.maximum(x, a * x),
    "relu both ways": lambda x, a: F.relu(x) - a * F.relu(-x),
    "clamp both ways": lambda x, a: x.clamp(min=0) + a * x.clamp(max=0),
    "minimum": lambda x, a: F.relu(x) + a * torch.minimum(x, torch.zeros(())),
    "by the absolute value": lambda x, a: 0.5 * (1 + a) * x + 0.5 * (1 - a) * x.abs(),
}


@pytest.mark.parametrize("value", [0.25, [0.25], EACH], ids=["a number", "one", "one a channel"])
@pytest.mark.parametrize("spelled", SLOPES)
def test_a_learned_slope_is_a_prelu(spelled, value):
    (site,) = sites(Between(Learning(SLOPES[spelled], slope=value)), rows())
    assert (site.activation, site.trainable) == ("prelu", ("weight",))
    assert site.parameters["weight"] == pytest.approx(tuple(EACH) if value is EACH else 0.25)


def test_a_constant_slope_is_a_leaky_relu():
    (site,) = sites(Between(lambda x: F.relu(x) - 0.25 * F.relu(-x)), rows())
    assert (site.activation, site.trainable) == ("leaky_relu", ())


def xielu(x, alpha_p, alpha_n):
    positive, negative = F.softplus(alpha_p), 0.5 + F.softplus(alpha_n)
    bent = (torch.expm1(torch.min(x, torch.tensor(-1e-6))) - x) * negative
    return torch.where(x > 0, positive * x * x + 0.5 * x, bent + 0.5 * x)


FORMULAS = {
    "swish": (lambda x, b: x * torch.sigmoid(b * x), {"beta": 1.0}, "swish", {"beta": 1.0}),
    "swish, each": (lambda x, b: torch.sigmoid(b * x) * x, {"beta": EACH}, "swish", {"beta": EACH}),
    "snake": (lambda x, a: x + torch.sin(a * x) ** 2 / a, {"alpha": 2.0}, "snake", {"alpha": 2.0}),
    "snake, of BigVGAN": (
        lambda x, a: x + (1.0 / (a.exp()[None] + 1e-9)) * torch.pow(torch.sin(x * a.exp()[None]), 2),
        {"alpha": [0.0] * 6},
        "snake",
        {"alpha": [1.0] * 6},
    ),
    "softplus": (lambda x, b: torch.log(1 + torch.exp(b * x)) / b, {"beta": 2.0}, "softplus", {"beta": 2.0}),
    "softplus of PyTorch": (lambda x, b: F.softplus(b * x) / b, {"beta": 2.0}, "softplus", {"beta": 2.0}),
    "elu": (
        lambda x, a: torch.where(x > 0, x, F.softplus(a) * torch.expm1(x)),
        {"a": 0.0},
        "elu",
        {"alpha": 0.6931472},
    ),
    "dynamic tanh": (
        lambda x, a, w, b: torch.tanh(a * x) * w + b,
        {"alpha": [0.5], "weight": EACH, "bias": EACH},
        "dynamic_tanh",
        {"alpha": 0.5, "weight": EACH, "bias": EACH},
    ),
    "xielu": (xielu, {"p": 0.0, "n": 1.0}, "xielu", {"alpha_p": 0.6931472, "alpha_n": 1.8132617, "beta": 0.5}),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_with_weights_is_a_trainable_activation(name):
    formula, weights, activation, parameters = FORMULAS[name]
    (site,) = sites(Between(Learning(formula, **weights)), rows())
    assert site.activation == activation
    assert set(site.parameters) == set(parameters)
    for each, value in parameters.items():
        assert site.parameters[each] == pytest.approx(tuple(value) if isinstance(value, list) else value, rel=1e-5)
    assert set(site.trainable) == set(parameters) - ({"beta"} if name == "xielu" else set())


def test_a_frozen_parameter_is_not_trainable():
    act = Learning(lambda x, b: x * torch.sigmoid(b * x), beta=1.5).requires_grad_(False)
    (site,) = sites(Between(act), rows())
    assert (site.activation, dict(site.parameters), site.trainable) == ("swish", {"beta": 1.5}, ())
    assert site.spelling == "x*sigmoid(beta*x)"


def test_modules_list_their_trainable_parameters():
    import actlab

    assert sites(Between(nn.PReLU()), rows())[0].trainable == ("weight",)
    assert sites(Between(actlab.module("swish")), rows())[0].trainable == ("beta",)
    assert sites(Between(nn.LeakyReLU()), rows())[0].trainable == ()
    assert sites(Between(actlab.module("swish")), rows()).to_json()["sites"][0]["trainable"] == ["beta"]


# weights or numbers before and after an activation are no part of it
AROUND = {
    "a learned scale and shift before": (lambda x, w, b: F.gelu(w * x + b), ["gelu"]),
    "before, written out": (lambda x, w, b: (y := w * x + b) * torch.sigmoid(y), ["silu"]),
    "a learned scale after": (lambda x, w, b: w * F.silu(x) + b, ["silu"]),
    "after, written out": (lambda x, w, b: w * (x * torch.sigmoid(x)), ["silu"]),
    "a scaled branch": (lambda x, w, b: x + w * F.relu(x), ["relu"]),
    "a shifted relu": (lambda x, w, b: F.relu(x + b), ["relu"]),
    "a scale alone": (lambda x, w, b: x * w + b, []),
    "a temperature": (lambda x, w, b: torch.sigmoid(x / w), ["sigmoid"]),
    "a fixed scale before": (lambda x, w, b: (y := 2 * x) * torch.sigmoid(y) + y, ["silu"]),
    "an activation before": (lambda x, w, b: (y := torch.tanh(x)) * torch.sigmoid(y), ["tanh", "silu"]),
}


@pytest.mark.parametrize("what", AROUND)
def test_weights_around_an_activation_are_not_part_of_it(what):
    formula, names = AROUND[what]
    model = Between(Learning(formula, weight=EACH, bias=EACH))
    assert [site.activation for site in sites(model, rows())] == names


@pytest.mark.parametrize("name", FORMULAS)
def test_a_learned_activation_is_swapped(name):
    formula, weights, activation, _ = FORMULAS[name]
    model, x = Between(Learning(formula, **weights)), rows()
    before = model(x)
    with swap(model, {activation: "gelu"}, x):
        torch.testing.assert_close(model(x), model.second(F.gelu(model.first(x))), rtol=1e-5, atol=1e-6)
    assert torch.equal(model(x), before)


def test_the_loss_has_no_sites():
    model = Between(Learning(lambda x, b: x * torch.sigmoid(b * x), beta=1.5))
    found = traced(model, (rows(),), loss=lambda y, _: (y * torch.sigmoid(y)).sum(), targets=0)
    assert [site.activation for site in found.trace.sites] == ["swish"]
