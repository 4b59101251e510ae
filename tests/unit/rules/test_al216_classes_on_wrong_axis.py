from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.diagnosis.check import check
from unit.rules.programs import Applied

CHANCE = torch.Generator().manual_seed(0)
SEQUENCES, MAPS = torch.randn(16, 4, 8, generator=CHANCE), torch.randn(16, 8, 4, generator=CHANCE)
CLASSES = torch.randint(4, (16, 4), generator=CHANCE)
PRODUCT = Applied(lambda model, x: F.linear(x, model.body.weight) + model.body.bias, body=nn.Linear(8, 4))


@pytest.mark.parametrize(
    ("model", "loss"),
    [
        (nn.Linear(8, 4), F.cross_entropy),
        (nn.Linear(8, 4), nn.CrossEntropyLoss(ignore_index=0)),
        (PRODUCT, F.cross_entropy),
        (nn.Linear(8, 4), lambda z, y: F.nll_loss(F.log_softmax(z, 1), y)),
    ],
)
def test_features_on_the_last_axis_are_reported(model, loss):
    (found,) = check(model, (SEQUENCES, CLASSES), loss).findings
    assert (found.id, found.evidence["shape"]) == ("AL216", [16, 4, 4])


@pytest.mark.parametrize(
    ("model", "inputs", "loss"),
    [
        (nn.Linear(8, 4), SEQUENCES, lambda z, y: F.cross_entropy(z.transpose(1, 2), y)),
        (nn.Linear(8, 4), SEQUENCES, lambda z, y: F.cross_entropy(z.permute(0, 2, 1), y)),
        (nn.Linear(8, 4), SEQUENCES, lambda z, y: F.cross_entropy(z.flatten(0, 1), y.flatten())),
        (nn.Linear(8, 4), SEQUENCES, lambda z, y: F.cross_entropy(z.reshape(-1, 4), y.reshape(-1))),
        (nn.Conv1d(8, 4, 1), MAPS, F.cross_entropy),
    ],
)
def test_classes_on_axis_1_are_not_reported(model, inputs, loss):
    assert check(model, (inputs, CLASSES), loss).findings == ()
