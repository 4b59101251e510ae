from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unit.rules.programs import CLASSES, findings, mlp

NAMES = {"1.weight", "3.weight"}


@pytest.mark.parametrize(("decay", "severity"), [(0.01, "warning"), (5e-4, "information"), (1e-5, "information")])
def test_weight_decay_on_prelu_parameters_is_reported(decay, severity):
    model = mlp(4, act=nn.PReLU)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=decay)
    (found,) = findings(model, CLASSES, F.cross_entropy, optimizer=optimizer)
    assert (found.id, found.severity, found.evidence["parameters"]) == ("AL307", severity, sorted(NAMES))


def test_a_group_without_decay_is_not_reported():
    model = mlp(4, act=nn.PReLU)
    acts = [value for name, value in model.named_parameters() if name in NAMES]
    layers = [value for name, value in model.named_parameters() if name not in NAMES]
    optimizer = torch.optim.AdamW([{"params": acts, "weight_decay": 0.0}, {"params": layers}])
    assert findings(model, CLASSES, F.cross_entropy, optimizer=optimizer) == ()
