from __future__ import annotations

import pytest
from torch import nn
from torch.nn import functional as F

from unit.rules.programs import SEVERAL, guarded, mlp, sole_fault


@pytest.mark.parametrize("loss", [F.binary_cross_entropy, F.binary_cross_entropy_with_logits, guarded])
def test_softmax_before_a_binary_loss_of_several_labels_is_reported(loss):
    found = sole_fault("AL210", mlp(5, nn.Softmax(1)), SEVERAL, loss, path="5")
    assert f"{found.evidence['several']} of 32 target rows have several true classes" in found.message


def test_cross_entropy_of_several_labels_is_reported_at_the_loss():
    sole_fault("AL210", mlp(5), SEVERAL, F.cross_entropy, path="")
