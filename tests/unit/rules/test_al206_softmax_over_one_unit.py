from __future__ import annotations

import pytest
from torch import nn
from torch.nn import functional as F

from unit.rules.programs import BITS, CLASSES, guarded, mlp, sole_fault


@pytest.mark.parametrize("loss", [F.binary_cross_entropy, guarded])
def test_softmax_of_one_output_is_reported(loss):
    found = sole_fault("AL206", mlp(1, nn.Softmax(1)), BITS, loss, path="5")
    assert "its output is constant and its gradient is zero" in found.message


def test_cross_entropy_of_one_output_is_reported():
    sole_fault("AL206", mlp(1), 0 * CLASSES, F.cross_entropy, path="4")
