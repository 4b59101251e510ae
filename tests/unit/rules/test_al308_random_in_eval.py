from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import actlab
from actlab.diagnosis.check import check


class Stubborn(nn.Module):
    """A module whose content stays in training mode."""

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
    "rrelu of actlab": (lambda: actlab.module("rrelu"), False),
    "rrelu, always": (lambda: Calls(lambda x, _: F.rrelu(x, training=True)), True),
    "rrelu, by mode": (lambda: Calls(lambda x, training: F.rrelu(x, training=training)), False),
    "rrelu, stubborn": (lambda: Stubborn(nn.RReLU()), True),
    "rrelu of actlab, stubborn": (lambda: Stubborn(actlab.module("rrelu")), True),
    "gelu of actlab, stubborn": (lambda: Stubborn(actlab.module("gelu")), False),
    "dropout, always": (lambda: Calls(lambda x, _: F.dropout(x.relu(), 0.1, training=True)), False),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_activation_that_is_random_in_evaluation_mode_is_reported(case):
    build, is_random = CASES[case]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), build(), nn.Linear(8, 3))
    reported = check(model, (torch.randn(16, 4), torch.arange(16) % 3), F.cross_entropy).findings
    found = [each for each in reported if each.id == "AL308"]
    assert len(found) == is_random
    assert all(each.message.startswith("rrelu is random") and each.site is not None for each in found)


DROPOUTS = {
    "forgotten": (lambda x, _: F.dropout(x, 0.5), True),
    "forgotten over several lines": (
        lambda x, _: F.dropout(
            x,
            p=0.5,
        ),
        True,
    ),
    "forgotten for channels": (lambda x, _: F.dropout1d(x, 0.5), True),
    "passed": (lambda x, training: F.dropout(x, 0.5, training=training), False),
    "passed by position": (lambda x, training: F.dropout(x, 0.5, training), False),
    "on purpose": (lambda x, _: F.dropout(x, 0.5, training=True), False),
    "without effect": (lambda x, _: F.dropout(x, 0.0), False),
}


@pytest.mark.parametrize("name", DROPOUTS)
def test_a_dropout_that_stays_on_is_reported_unless_the_call_says_so(name):
    function, reported = DROPOUTS[name]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), Calls(function), nn.Linear(16, 3))
    found = check(model, (torch.randn(32, 4), torch.randint(3, (32,))), F.cross_entropy).findings
    assert [each.id for each in found] == ["AL308"] * reported
    assert all(each.site.file.endswith("test_al308_random_in_eval.py") for each in found)
