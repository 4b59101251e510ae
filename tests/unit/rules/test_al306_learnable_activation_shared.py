from __future__ import annotations

from torch import nn
from torch.nn import functional as F

from unit.rules.programs import CLASSES, ids, sole_fault


def network(one, other):
    return nn.Sequential(nn.Linear(8, 32), one, nn.Linear(32, 32), other, nn.Linear(32, 4))


def test_one_prelu_after_two_layers_is_reported():
    act = nn.PReLU()
    found = sole_fault("AL306", network(act, act), CLASSES, F.cross_entropy, path="1")
    assert found.evidence["places"] == 2


def test_a_prelu_for_each_layer_and_a_shared_relu_are_not():
    relu = nn.ReLU()
    assert ids(network(nn.PReLU(), nn.PReLU()), CLASSES, F.cross_entropy) == []
    assert ids(network(relu, relu), CLASSES, F.cross_entropy) == []
