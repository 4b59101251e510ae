from __future__ import annotations

from torch import nn
from torch.nn import functional as F

from unit.rules.programs import CLASSES, findings, mlp


def test_softmax_between_two_layers_is_reported_with_its_units():
    reported = findings(mlp(4, act=lambda: nn.Softmax(-1)), CLASSES, F.cross_entropy)
    found = [each for each in reported if each.id == "AL302"]
    assert [each.site.path for each in found] == ["1", "3"]
    assert found[0].evidence["units"] == 32
    assert "each is about 1/32" in found[0].message
