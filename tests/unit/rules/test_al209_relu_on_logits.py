from __future__ import annotations

import pytest
from torch import nn
from torch.nn import functional as F

import actlab
from actlab.theory.predicates import is_half_line
from unit.rules.programs import BITS, CLASSES, ELEMENTWISE, findings, ids, log_sum, mlp, sole_fault


@pytest.mark.parametrize("loss", [F.cross_entropy, log_sum])
def test_relu_on_the_logits_is_reported(loss):
    found = sole_fault("AL209", mlp(4, nn.ReLU()), CLASSES, loss, path="5")
    assert "where all logits are 0 the gradient is zero" in found.message


def test_relu_before_a_sigmoid_is_reported():
    sole_fault("AL209", mlp(1, nn.ReLU(), nn.Sigmoid()), BITS, F.binary_cross_entropy, path="5")


@pytest.mark.parametrize("act", ELEMENTWISE, ids=str)
def test_every_half_line_activation_and_relu6_and_no_other_is_reported(act):
    model = nn.Sequential(nn.Linear(8, 4), actlab.module(act))
    assert ("AL209" in ids(model, CLASSES, F.cross_entropy)) == (is_half_line(act) or act.name == "relu6")


def test_softplus_is_never_0():
    (found,) = [each for each in findings(mlp(4, nn.Softplus()), CLASSES, F.cross_entropy) if each.id == "AL209"]
    assert "the gradient is zero" not in found.message


def test_threshold_is_judged_by_its_value():
    assert "AL209" in ids(mlp(4, nn.Threshold(0.1, 0.0)), CLASSES, F.cross_entropy)
    assert "AL209" not in ids(mlp(4, nn.Threshold(0.1, -1.0)), CLASSES, F.cross_entropy)
