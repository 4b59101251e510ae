from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unit.rules.programs import BITS, CLASSES, X, ids, mlp, sole_fault

ROW = X[:, 0]
LEVELS = torch.arange(1, 10) / 10


def by_hand(p, t):
    return -(t * p.log() + (1 - t) * (1 - p).log()).mean()


WRONG = {
    "mse_loss": (mlp(1), ROW, F.mse_loss),
    "L1Loss": (mlp(1), ROW, nn.L1Loss()),
    "squares": (mlp(1), ROW, lambda o, t: ((o - t) ** 2).mean()),
    "the reverse": (mlp(1, nn.Flatten(0)), X[:, :1], lambda o, t: (t - o).abs().mean()),
    "logarithms": (mlp(1, nn.Sigmoid()), BITS[:, 0], by_hand),
    "a distribution": (mlp(1), ROW, lambda o, t: -torch.distributions.Normal(o, 1.0).log_prob(t).mean()),
    "returns": (
        mlp(4),
        X[:, :1],
        lambda z, r: -(torch.distributions.Categorical(logits=z).log_prob(CLASSES) * r).mean(),
    ),
    "hinge": (mlp(1), 2 * BITS[:, 0] - 1, lambda z, t: F.relu(1 - t * z).mean()),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", WRONG)
def test_a_column_against_a_row_is_reported(name):
    found = sole_fault("AL215", *WRONG[name])
    assert sorted(map(len, found.evidence["shapes"])) == [1, 2]


RIGHT = {
    "columns": (mlp(1), X[:, :1], F.mse_loss),
    "squeezed": (mlp(1), ROW, lambda o, t: F.mse_loss(o.squeeze(1), t)),
    "one number": (mlp(1), ROW[:1].sum(), lambda o, t: ((o - t) ** 2).mean()),
    "quantiles": (mlp(9), X[:, :1], lambda o, t: torch.maximum(LEVELS * (t - o), (LEVELS - 1) * (t - o)).mean()),
    "pairs on purpose": (mlp(1, nn.Flatten(0)), ROW, lambda o, t: (o[:, None] - t).abs().min(1)[0].mean()),
    "pairs by a transpose": (mlp(1), X[:, :1], lambda o, t: F.softplus(-(o - o.T) * (t - t.T).sign()).mean()),
}


@pytest.mark.parametrize("name", RIGHT)
def test_shapes_that_fit_or_differ_on_purpose_are_not_reported(name):
    assert ids(*RIGHT[name]) == []
