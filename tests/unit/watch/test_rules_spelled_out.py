"""Layers and losses that are written out in several steps."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.watch.check import check

X = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
CLASSES = torch.arange(32) % 4
BITS = (X[:, :1] > 0).float()

LAYERS = {
    "F.linear": lambda x, w, b: F.linear(x, w.T, b),
    "F.linear, the bias apart": lambda x, w, b: F.linear(x, w.t()) + b,
    "matmul and add": lambda x, w, b: b + x @ w,
    "mm, added in place": lambda x, w, b: torch.mm(x, w).add_(b),
    "addmm": lambda x, w, b: torch.addmm(b, x, w),
    "a method": lambda x, w, b: b.addmm(x, w),
    "turned": lambda x, w, b: x.matmul(w.T.contiguous().mT) + b,
}


class Written(nn.Module):
    """Layers of this spelling, with a function after each but the last."""

    def __init__(self, spelling, *widths, act=lambda x: x, gain=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.act = LAYERS[spelling], act
        pairs = list(pairwise(widths))
        self.weights = nn.ParameterList(gain * torch.randn(pair) / pair[0] ** 0.5 for pair in pairs)
        self.biases = nn.ParameterList(0.1 * torch.randn(pair[1]) for pair in pairs)

    def forward(self, x):
        for at, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = self.layer(x, weight, bias)
            x = self.act(x) if at + 1 < len(self.weights) else x
        return x


def ids(model, targets, loss):
    return [each.id for each in check(model, (X, targets), loss).findings]


@pytest.mark.parametrize("spelling", LAYERS)
def test_two_layers_collapse_however_they_are_spelled(spelling):
    model = Written(spelling, 8, 32, 4)
    (found,) = check(model, (X, CLASSES), F.cross_entropy).findings
    assert found.id == "AL301"
    assert found.evidence["equivalent"] == [8, 4]
    assert found.evidence["apart"] < 1e-5
    assert all(line.partition(":")[0] == __file__ for line in found.evidence["lines"])
    assert ids(Written(spelling, 8, 32, 4, act=torch.relu), CLASSES, F.cross_entropy) == []
    assert ids(Written(spelling, 8, 3, 32), X.repeat(1, 4), F.mse_loss) == []  # of lower rank on purpose


@pytest.mark.parametrize("spelling", LAYERS)
def test_a_start_that_does_not_fit_is_told_however_it_is_spelled(spelling):
    def told(act, gain):
        return ids(Written(spelling, 8, *[32] * 6, 4, act=act, gain=gain), CLASSES, F.cross_entropy)

    assert told(torch.relu, 0.05) == ["AL303"]
    assert told(torch.relu, math.sqrt(2)) == []
    assert told(F.selu, 3.0) == ["AL304"]
    assert told(F.selu, 1.0) == []


def test_what_bends_unseen_between_two_layers_is_no_collapse():
    class Clipped(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clamp(-0.1, 0.1)

        @staticmethod
        def backward(ctx, dy):
            return dy

    class Hidden(Written):
        def forward(self, x):
            h = self.layer(x, self.weights[0], self.biases[0])
            h.data.clamp_(-0.1, 0.1)  # behind autograd's back
            return self.layer(h, self.weights[1], self.biases[1])

    assert ids(Hidden("matmul and add", 8, 32, 4), CLASSES, F.cross_entropy) == []
    assert ids(Written("addmm", 8, 32, 4, act=Clipped.apply), CLASSES, F.cross_entropy) == []


@pytest.mark.parametrize("between", [nn.Dropout(0.3), nn.BatchNorm1d(32), nn.Identity(), nn.Unflatten(1, (4, 8))])
def test_of_what_draws_or_normalises_between_nothing_is_compared(between):
    end = nn.Flatten() if isinstance(between, nn.Unflatten) else nn.Identity()
    model = nn.Sequential(nn.Linear(8, 32), between, end, nn.Linear(32, 4))
    (found,) = check(model, (X, CLASSES), F.cross_entropy).findings
    assert found.id == "AL301"
    assert (found.evidence["apart"] is None) is not isinstance(between, nn.Identity)
