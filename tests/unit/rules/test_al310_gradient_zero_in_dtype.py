from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unit.rules.programs import CLASSES, ids, sole_fault


class Half(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.one, self.two = nn.Linear(8, 32, dtype=torch.bfloat16), nn.Linear(32, 4, dtype=torch.bfloat16)
        self.scale = scale

    def forward(self, x):
        return self.two(torch.tanh(self.one(self.scale * x.bfloat16()))).float()


def test_tanh_of_large_inputs_in_bfloat16_is_reported():
    found = sole_fault("AL310", Half(30), CLASSES, F.cross_entropy, path="")
    assert found.evidence["dtype"] == "bfloat16"
    assert found.evidence["share"] > 0.2


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_tanh_of_small_inputs_is_not(scale):
    assert ids(Half(scale), CLASSES, F.cross_entropy) == []
