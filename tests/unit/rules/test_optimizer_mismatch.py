"""The check before training for AL111: the optimizer holds none of the model's parameters."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from unit.rules.programs import CLASSES, findings, mlp


def test_an_optimizer_of_another_model_is_an_error():
    optimizer = torch.optim.SGD(mlp(4).parameters(), lr=0.1)
    (found,) = findings(mlp(4), CLASSES, F.cross_entropy, optimizer=optimizer)
    assert (found.id, found.severity, found.evidence["held"]) == ("AL111", "error", 6)


def test_an_optimizer_of_part_of_the_model_is_not_reported():
    model = mlp(4)
    optimizer = torch.optim.SGD(model[4].parameters(), lr=0.1)
    assert findings(model, CLASSES, F.cross_entropy, optimizer=optimizer) == ()
