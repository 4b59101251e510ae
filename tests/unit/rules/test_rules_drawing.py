"""AL308: activations that draw though the model evaluates."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import actlab
from actlab.diagnosis.check import check


class Stubborn(nn.Module):
    """Keeps what it holds in training, whatever mode is asked for."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def train(self, mode=True):
        self.training = mode
        self.inner.train()
        return self

    def forward(self, x):
        return self.inner(x)


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x, self.training)


CASES = {
    "rrelu, module": (nn.RReLU, False),
    "rrelu of ours": (lambda: actlab.module("rrelu"), False),
    "rrelu, always": (lambda: Calls(lambda x, _: F.rrelu(x, training=True)), True),
    "rrelu, by mode": (lambda: Calls(lambda x, training: F.rrelu(x, training=training)), False),
    "rrelu, stubborn": (lambda: Stubborn(nn.RReLU()), True),
    "rrelu of ours, stubborn": (lambda: Stubborn(actlab.module("rrelu")), True),
    "gelu of ours, stubborn": (lambda: Stubborn(actlab.module("gelu")), False),
    "dropout, always": (lambda: Calls(lambda x, _: F.dropout(x.relu(), 0.1, training=True)), False),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_draws_in_evaluation_is_told(case):
    make, draws = CASES[case]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), make(), nn.Linear(8, 3))
    found = check(model, (torch.randn(16, 4), torch.arange(16) % 3), F.cross_entropy).findings
    told = [each for each in found if each.id == "AL308"]
    assert len(told) == draws
    assert all(each.message.startswith("rrelu draws") and each.site is not None for each in told)
