from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import actlab
from unit.rules.programs import CLASSES, Applied, X, findings, ids


def between(act, *, gain=1.0):
    torch.manual_seed(0)
    parts = {"act": act} if isinstance(act, nn.Module) else {}
    model = Applied(lambda m, x: m.two(act(m.one(x))), one=nn.Linear(8, 32), two=nn.Linear(32, 4), **parts)
    nn.init.normal_(model.one.weight, std=gain / 8**0.5)
    return model


STRAIGHT = {
    "leaky_relu(True)": lambda x: F.leaky_relu(x, True),
    "LeakyReLU(1)": nn.LeakyReLU(1.0),
    "LeakyReLU(True), in place": nn.LeakyReLU(True, True),
    "RReLU(1, 1)": nn.RReLU(1.0, 1.0),
    "Hardtanh": nn.Hardtanh(-1e3, 1e3),
    "Hardshrink(0)": nn.Hardshrink(0.0),
    "Softshrink(0)": nn.Softshrink(0.0),
    "Threshold": nn.Threshold(-1e9, 0.0),
    "CELU(1e5)": nn.CELU(1e5),
    "Softplus beyond its threshold": nn.Softplus(1.0, -1e9),
    "swish(beta=0)": actlab.module("swish", beta=0.0),
    "swish(beta=0), written out": lambda x: x * torch.sigmoid(0 * x),
    "relu(x + 100)": lambda x: F.relu(x + 100),
    "softplus(x + 50)": lambda x: F.softplus(x + 50),
    "relu(x) - relu(-x)": lambda x: F.relu(x) - F.relu(-x),
    "log(exp(x))": lambda x: torch.log(torch.exp(x)),
    "relu6 of small inputs": lambda x: F.relu6(0.05 * x + 3),
}


@pytest.mark.parametrize("name", STRAIGHT)
def test_an_activation_that_is_a_straight_line_is_reported_once(name):
    (found,) = findings(between(STRAIGHT[name]), CLASSES, F.cross_entropy)
    assert (found.id, found.evidence["layers"]) == ("AL311", ["one", "two"])
    assert "one and two collapse to one linear layer" in found.message
    assert found.site.line > 0


def test_true_for_the_negative_slope_is_explained():
    (found,) = findings(between(nn.LeakyReLU(True)), CLASSES, F.cross_entropy)
    assert "is the identity here" in found.message
    assert "negative_slope=True counts as negative_slope=1: pass inplace=True by name." in found.message
    assert found.remedies[0] == "name-the-argument"


def test_it_is_reported_also_beside_a_residual_connection():
    torch.manual_seed(0)
    model = Applied(
        lambda m, x: m.two(x + F.relu(m.one(F.leaky_relu(x + m.zero(x), True)))),
        zero=nn.Linear(8, 8),
        one=nn.Linear(8, 8),
        two=nn.Linear(8, 4),
    )
    (found,) = findings(model, CLASSES, F.cross_entropy)
    assert (found.id, found.evidence["layers"]) == ("AL311", [])


CURVED = {
    "relu": F.relu,
    "LeakyReLU": nn.LeakyReLU(0.9),
    "PReLU from 1": nn.PReLU(init=1.0),
    "tanh": torch.tanh,
    "hardsigmoid": F.hardsigmoid,
    "hardtanh": F.hardtanh,
    "relu6": F.relu6,
    "relu(x + 1)": lambda x: F.relu(x + 1),
    "soft cap": lambda x: 30 * torch.tanh(x / 30),
    "relu after sigmoid": lambda x: F.relu(torch.sigmoid(x)),
    "RReLU": nn.RReLU(),
    "clamp": lambda x: x.clamp(-5, 5),
}


@pytest.mark.parametrize("name", CURVED)
@pytest.mark.parametrize("gain", [0.02, 0.2, 1.0])
def test_other_activations_are_not_reported_even_if_their_inputs_are_small(name, gain):
    assert ids(between(CURVED[name], gain=gain), CLASSES, F.cross_entropy) == []


def test_a_guard_that_is_not_between_two_layers_is_not_reported():
    model = Applied(lambda m, x: m.one(x).clamp(-1e4, 1e4), one=nn.Linear(8, 4))
    assert ids(model, CLASSES, F.cross_entropy) == []


@pytest.mark.parametrize("act", [nn.RReLU(1.0, 1.0), nn.RReLU(0.1, 0.3)])
def test_the_random_state_is_left_alone(act):
    model = between(act)
    before = torch.get_rng_state()
    actlab.check(model, batch=(X, CLASSES), loss=F.cross_entropy)
    assert torch.equal(before, torch.get_rng_state())
