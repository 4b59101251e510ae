from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.diagnosis.check import check
from unit.rules.programs import CLASSES, LAYERS, Composite, X, chain, ids, sole_fault


def test_small_weights_before_relu_are_reported_with_the_right_gain():
    found = sole_fault("AL303", chain(std=0.01, act=nn.ReLU, depth=6), CLASSES, F.cross_entropy, path="1")
    assert found.evidence["right_gain"] == pytest.approx(2**0.5)
    assert found.evidence["gain"] == pytest.approx(0.01 * 32**0.5, rel=0.2)


def test_large_weights_before_tanh_are_reported():
    sole_fault("AL303", chain(std=1.5, act=nn.Tanh, depth=6), CLASSES, F.cross_entropy, path="1")


@pytest.mark.parametrize("spelling", LAYERS)
def test_initialization_is_checked_however_layers_are_written(spelling):
    def reported(gain):
        return ids(Composite(spelling, 8, *[32] * 6, 4, act=torch.relu, gain=gain), CLASSES, F.cross_entropy)

    assert reported(0.05) == ["AL303"]
    assert reported(math.sqrt(2)) == []


def test_a_number_added_to_the_output_of_a_layer_changes_nothing():
    model = Composite("F.linear", 8, *[32] * 6, 4, act=lambda x: torch.relu(x + 0.01), gain=0.05)
    assert ids(model, CLASSES, F.cross_entropy) == ["AL303"]


def test_default_weights_of_a_shallow_network_are_not_reported():
    shallow = nn.Sequential(*(part for _ in range(5) for part in (nn.Linear(8, 8), nn.ReLU())), nn.Linear(8, 4))
    assert check(shallow, (X, CLASSES), F.cross_entropy).findings == ()


def deep(act, *, std, depth):
    torch.manual_seed(0)
    layers = []
    for _ in range(depth):
        linear = nn.Linear(64, 64)
        nn.init.normal_(linear.weight, 0, std)
        layers += [linear, act()]
    return nn.Sequential(*layers, nn.Linear(64, 3))


def misfit(model):
    found = check(model, (torch.randn(32, 64), torch.arange(32) % 3), F.cross_entropy).findings
    (only,) = [each for each in found if each.id == "AL303"]
    return only


@pytest.mark.parametrize(
    ("act", "gain"),
    [(nn.Tanh, 4.5), (nn.Tanh, 6.0), (nn.Sigmoid, 9.0), (nn.Sigmoid, 12.0), (nn.Softsign, 20.0), (nn.Hardtanh, 6.0)],
)
def test_weights_that_saturate_bounded_activations_are_reported(act, gain):
    assert "saturate the activations of" in misfit(deep(act, std=gain / 8, depth=5)).message


def test_weights_that_only_amplify_saturate_nothing():
    assert "saturate" not in misfit(deep(nn.ReLU, std=0.6, depth=12)).message


class Branches(nn.Module):
    """Small weights on residual branches, or on the way itself."""

    def __init__(self, *, residual):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.out, self.residual = nn.Linear(8, 32), nn.Linear(32, 4), residual
        self.branch = nn.Sequential(*(part for _ in range(4) for part in (nn.Linear(32, 32), nn.SiLU())))
        for weight in self.branch.parameters():
            nn.init.normal_(weight, std=1e-3)

    def forward(self, x):
        x = F.silu(self.first(x))
        return self.out(x + self.branch(x) if self.residual else self.branch(x))


def test_small_weights_beside_a_residual_connection_are_information():
    def severity(residual):
        found = check(Branches(residual=residual), (X, CLASSES), F.cross_entropy).findings
        return {each.severity for each in found if each.id == "AL303"}

    assert severity(True) == {"information"}
    assert severity(False) == {"warning"}
