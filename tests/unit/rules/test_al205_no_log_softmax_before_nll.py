from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unit.rules.programs import CLASSES, findings, indexed, mlp, one_hot, picked, sole_fault

LOSSES = {"nll_loss": F.nll_loss, "gathered": picked, "indexed": indexed, "one-hot": one_hot}


@pytest.mark.parametrize("name", LOSSES)
def test_raw_outputs_as_log_probabilities_are_reported(name):
    found = sole_fault("AL205", mlp(4), CLASSES, LOSSES[name], path="4")
    assert "its input is raw outputs" in found.message


@pytest.mark.parametrize("act", [nn.Hardswish(), nn.Hardtanh(), nn.ReLU()])
def test_activations_of_raw_outputs_are_reported(act):
    sole_fault("AL205", mlp(4, act), CLASSES, F.nll_loss, path="5")


@pytest.mark.parametrize(
    ("targets", "loss"),
    [(CLASSES, F.nll_loss), (torch.full((32, 4), 0.25), nn.KLDivLoss(reduction="batchmean"))],
    ids=["nll_loss", "kl_div"],
)
def test_probabilities_as_log_probabilities_are_reported(targets, loss):
    found = sole_fault("AL205", mlp(4, nn.Softmax(1)), targets, loss, path="5")
    assert "its input is probabilities, not their logarithms" in found.message


def test_a_composite_loss_is_named_by_its_last_call():
    (found,) = findings(mlp(4), CLASSES, picked)
    assert "the loss's x.gather() takes log-probabilities" in found.message
