from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import actlab
from actlab.theory.predicates import stays_in_unit_interval
from unit.rules.programs import (
    BITS,
    ELEMENTWISE,
    binary,
    findings,
    ids,
    log_sigmoid,
    mlp,
    sigmoid_inside,
    softplus,
    sole_fault,
)

LOSSES = {
    "with logits": F.binary_cross_entropy_with_logits,
    "squeezed": lambda p, y: F.binary_cross_entropy_with_logits(p.squeeze(1), y[:, 0]),
    "softplus": softplus,
    "log_sigmoid": log_sigmoid,
    "sigmoid inside": sigmoid_inside,
}


@pytest.mark.parametrize("name", LOSSES)
def test_sigmoid_before_a_binary_loss_of_logits_is_reported(name):
    found = sole_fault("AL203", mlp(1, nn.Sigmoid()), BITS, LOSSES[name], path="5")
    assert "predicted probabilities are confined to 0.50-0.73" in found.message


@pytest.mark.parametrize("act", ELEMENTWISE, ids=str)
def test_every_activation_within_0_and_1_and_no_other_is_reported(act):
    model = nn.Sequential(nn.Linear(8, 1), actlab.module(act))
    assert ("AL203" in ids(model, BITS, F.binary_cross_entropy_with_logits)) == stays_in_unit_interval(act)


@pytest.mark.parametrize("end", [(nn.Sigmoid(), nn.Sigmoid()), (nn.Hardsigmoid(), nn.Sigmoid())])
def test_a_sigmoid_of_a_sigmoid_is_reported_under_any_binary_loss(end):
    assert ids(mlp(1, *end), BITS, F.binary_cross_entropy) == ["AL203"]
    assert ids(mlp(1, *end), BITS, binary) == ["AL203"]
    assert ids(mlp(1, end[0]), BITS, lambda p, t: F.binary_cross_entropy(torch.sigmoid(p), t)) == ["AL203"]


def test_a_composite_loss_is_named_by_its_last_call():
    (found,) = findings(mlp(1, nn.Sigmoid()), BITS, softplus)
    assert "before the loss's F.softplus, which takes logits" in found.message


class Logistic(nn.Module):
    """A sigmoid composed of operations, whose last step reads another of its steps."""

    def __init__(self, twice):
        super().__init__()
        self.last, self.twice = nn.Linear(8, 1), twice

    def forward(self, x):
        y = 1 / (1 + torch.exp(-self.last(x)))
        return torch.sigmoid(y) if self.twice else y


@pytest.mark.parametrize("twice", [False, True])
def test_a_composite_sigmoid_is_reported_only_if_applied_twice(twice):
    found = findings(Logistic(twice), BITS, nn.BCELoss())
    assert [each.id for each in found if each.severity == "error"] == ["AL203"] * twice
