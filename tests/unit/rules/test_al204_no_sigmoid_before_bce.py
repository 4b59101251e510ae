from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import actlab
from actlab.theory.predicates import leaves_unit_interval
from unit.rules.programs import BITS, ELEMENTWISE, binary, clamped, findings, guarded, ids, mlp, sole_fault

LOSSES = {"binary_cross_entropy": F.binary_cross_entropy, "composite": binary, "guarded": guarded, "clamped": clamped}


def test_logits_before_binary_cross_entropy_are_reported_at_their_layer():
    found = sole_fault("AL204", mlp(1), BITS, F.binary_cross_entropy, path="4")
    assert 0 < found.evidence["outside"] <= found.evidence["numbers"] == 32


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("end", [(), (nn.Tanh(),)], ids=["logits", "tanh"])
def test_composite_losses_are_recognized(name, end):
    found = {each.id for each in findings(mlp(1, *end), BITS, LOSSES[name]) if each.severity != "information"}
    assert found - {"AL107"} == {"AL204"}  # the logarithm of a negative number is NaN


def constant(act):
    """Return a model with one output between 0 and 1 if the activation has any, so that only its range can tell."""
    module = actlab.module(act).eval()
    inputs = torch.linspace(-6, 6, 1201)
    outputs = module(inputs)
    inside = inputs[(outputs > 0.05) & (outputs < 0.95)]
    layer = nn.Linear(8, 1)
    nn.init.zeros_(layer.weight)
    nn.init.constant_(layer.bias, float(inside[len(inside) // 2]) if len(inside) else 1.0)
    return nn.Sequential(layer, module.train())


@pytest.mark.parametrize("act", ELEMENTWISE, ids=str)
def test_every_activation_whose_range_leaves_0_to_1_and_no_other_is_reported(act):
    is_reported = "AL204" in ids(constant(act), BITS, F.binary_cross_entropy)
    assert is_reported == (leaves_unit_interval(act) and act.name != "exponential")


def test_the_exponential_is_a_link_to_probabilities_unless_values_exceed_1():
    assert ids(constant("exponential"), BITS, F.binary_cross_entropy) == []
    assert "AL204" in ids(nn.Sequential(nn.Linear(8, 1), actlab.module("exponential")), BITS, F.binary_cross_entropy)


@pytest.mark.parametrize("inner", [nn.ReLU(), nn.Softplus(), nn.Sigmoid()])
def test_tanh_of_nonnegative_values_is_a_probability(inner):
    assert "AL204" not in ids(mlp(1, inner, nn.Tanh()), BITS, F.binary_cross_entropy)
