from __future__ import annotations

from torch import nn
from torch.nn import functional as F

from unit.rules.programs import CLASSES, ids, mlp, sole_fault


def test_log_softmax_before_cross_entropy_is_an_information():
    found = sole_fault("AL202", mlp(4, nn.LogSoftmax(1)), CLASSES, F.cross_entropy, path="5")
    assert found.severity == "information"


def test_log_softmax_before_nll_loss_is_not_reported():
    assert ids(mlp(4, nn.LogSoftmax(1)), CLASSES, F.nll_loss) == []
