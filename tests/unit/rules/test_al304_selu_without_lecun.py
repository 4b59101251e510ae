from __future__ import annotations

import pytest
from torch import nn
from torch.nn import functional as F

from unit.rules.programs import CLASSES, LAYERS, Composite, chain, ids, sole_fault


def test_weights_of_another_variance_before_selu_are_reported():
    found = sole_fault("AL304", chain(std=0.5, act=nn.SELU, depth=4), CLASSES, F.cross_entropy, path="1")
    assert found.severity == "warning"


def test_in_a_shallow_network_it_is_an_information():
    found = sole_fault("AL304", chain(std=0.5, act=nn.SELU, depth=1), CLASSES, F.cross_entropy)
    assert found.severity == "information"


@pytest.mark.parametrize("spelling", LAYERS)
def test_initialization_is_checked_however_layers_are_written(spelling):
    def reported(gain):
        return ids(Composite(spelling, 8, *[32] * 6, 4, act=F.selu, gain=gain), CLASSES, F.cross_entropy)

    assert reported(3.0) == ["AL304"]
    assert reported(1.0) == []
