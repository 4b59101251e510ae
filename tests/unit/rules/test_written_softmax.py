"""A softmax that is written out in the loss is judged as a softmax."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.diagnosis.check import check

X = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
CLASSES = torch.arange(32) % 4

SOFTMAX = {
    "exponentials twice": lambda z: z.exp() / z.exp().sum(1, keepdim=True),
    "sums with a new axis": lambda z: (e := z.exp()) / e.sum(1)[:, None],
    "without the largest": lambda z: (e := (z - z.amax(1, keepdim=True)).exp()) / e.sum(1, keepdim=True),
    "the exponential of log_softmax": lambda z: F.log_softmax(z, 1).exp(),
    "the exponential of a log-softmax by sums": lambda z: (z - z.exp().sum(1, keepdim=True).log()).exp(),
}


def ids(loss):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
    return [each.id for each in check(model, (X, CLASSES), loss).findings]


@pytest.mark.parametrize("spelling", SOFTMAX)
def test_a_written_out_softmax_before_cross_entropy_is_an_error(spelling):
    assert ids(lambda z, y: F.cross_entropy(SOFTMAX[spelling](z), y)) == ["AL201"]


@pytest.mark.parametrize("spelling", SOFTMAX)
def test_the_logarithm_of_a_written_out_softmax_fits_nll_loss(spelling):
    assert ids(lambda z, y: F.nll_loss(SOFTMAX[spelling](z).log(), y)) == []
