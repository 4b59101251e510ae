from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.diagnosis.check import check
from unit.rules.programs import CLASSES, mlp, one_hot, picked, sole_fault


@pytest.mark.parametrize("loss", [F.nll_loss, picked, one_hot])
def test_log_softmax_along_the_batch_is_reported(loss):
    found = sole_fault("AL207", mlp(4, nn.LogSoftmax(0)), CLASSES, loss, path="5")
    assert "do not sum to 1 and depend on the rest of the batch" in found.message


class Attention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.mix, self.out, self.dim = nn.Linear(8, 24), nn.Linear(8, 4), dim

    def forward(self, x):
        q, k, v = self.mix(x).chunk(3, -1)
        return self.out((torch.softmax(q @ k.mT, dim=self.dim) @ v).mean(1))


@pytest.mark.parametrize("dim", [-2, -1])
def test_attention_normalized_along_the_queries_is_reported(dim):
    report = check(Attention(dim), (torch.randn(8, 6, 8), CLASSES[:8]), F.cross_entropy)
    assert [each.id for each in report.findings] == ["AL207"] * (dim == -2)
    assert all("the weights of one query do not sum to 1" in each.message for each in report.findings)
