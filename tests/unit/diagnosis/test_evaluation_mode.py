"""A second pass in evaluation mode is run only if it may differ."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.diagnosis.evaluation_mode import depends_on_mode
from actlab.sites.recognize.traced import traced


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 3)

    def forward(self, x):
        return torch.relu(self.first(x))


class Reading(Own):
    def forward(self, x):
        return self.first(x) if self.training else torch.relu(self.first(x))


class ReadingBelow(Own):
    def forward(self, x):
        return self.gated(x)

    def gated(self, x):
        return sum(self.first(x) for _ in range(1 + self.training))


class ReadingByName(Own):
    def forward(self, x):
        return self.first(x) * (2 if getattr(self, "training", False) else 1)


class Dropping(Own):
    def forward(self, x):
        return F.dropout(self.first(x), 0.5)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (nn.Sequential(nn.Linear(4, 3), nn.ReLU()), False),
        (nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3)), False),
        (nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.1)), True),
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), True),
        (Own(), False),
        (Reading(), True),
        (ReadingBelow(), True),
        (ReadingByName(), True),
        (Dropping(), True),
    ],
)
def test_a_model_depends_on_its_mode_if_it_reads_it_or_is_random(model, expected):
    trace = traced(model, (torch.randn(8, 4),)).trace
    assert depends_on_mode(model, trace) is expected
