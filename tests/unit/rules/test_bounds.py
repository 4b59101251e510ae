from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.rules.bounds import BoundsOf
from actlab.rules.observed import Observed
from actlab.sites.recognize.traced import traced
from unit.rules.programs import Applied, X

Z, WEIGHT = nn.Linear(8, 4), torch.tensor([0.5, -1.0, 2.0, 1.0])
MATRIX = torch.tensor([[1.0, -2.0], [0.0, 3.0], [1.0, 1.0], [0.0, 0.0]])


def bounds(function):
    """Return the bounds of a function of a layer's output, computed in the loss."""
    observed = Observed()
    model = Applied(lambda model, x: model.body(x), body=Z)
    trace = traced(model, (X,), {}, loss=lambda z, _: function(z).sum(), targets=X, observe=observed).trace
    last = trace.maker(trace.loss)
    return BoundsOf(trace, observed.numbers, observed.limits)(last.inputs[0])


CASES = {
    "1 - p": (lambda z: 1 - z.sigmoid(), 0, 1),
    "p - 1": (lambda z: z.sigmoid() - 1, -1, 0),
    "a difference": (lambda z: z.sigmoid() - z.tanh(), -1, 2),
    "a product": (lambda z: z.sigmoid() * z.tanh(), -1, 1),
    "a quotient": (lambda z: z.tanh() / 4, -0.25, 0.25),
    "a number divided": (lambda z: 2 / (z.sigmoid() + 1), 1, 2),
    "negated": (lambda z: -z.relu(), -math.inf, 0),
    "squared": (lambda z: z.tanh() ** 2, 0, 1),
    "cubed": (lambda z: z.tanh() ** 3, -1, 1),
    "absolute": (lambda z: z.tanh().abs(), 0, 1),
    "exponential": (lambda z: z.sigmoid().exp(), 1, math.e),
    "logarithm": (lambda z: (z.sigmoid() + 1).log(), 0, math.log(2)),
    "logarithm at 0": (lambda z: z.sigmoid().log(), -math.inf, 0),
    "clamped": (lambda z: (3 * z.tanh()).clamp(-1, 2), -1, 2),
    "summed": (lambda z: z.sigmoid().sum(1), 0, 4),
    "shares summed": (lambda z: z.softmax(1).sum(1), 1, 1),
    "shares summed over the batch": (lambda z: z.softmax(1).sum(0), 0, 32),
    "mean": (lambda z: z.tanh().mean(1), -1, 1),
    "largest": (lambda z: z.tanh().max(1)[0], -1, 1),
    "joined": (lambda z: torch.cat([z.sigmoid(), z.tanh()], 1), -1, 1),
    "chosen": (lambda z: torch.where(z > 0, z.sigmoid(), torch.zeros(())), 0, 1),
    "constants": (lambda z: z.sigmoid() * WEIGHT, -1, 2),
    "shares of a matrix": (lambda z: z.softmax(-1) @ MATRIX, -2, 3),
    "numbers of a matrix": (lambda z: z.sigmoid() @ MATRIX, -2, 4),
    "divided by something positive": (lambda z: z.relu() / z.relu().sum(1, keepdim=True).clamp(min=1), 0, math.inf),
    "divided by their own sum": (lambda z: (lambda p: p / p.sum(1, keepdim=True))(F.softplus(z)), 0, 1),
    "dropout": (lambda z: F.dropout(z.sigmoid(), 0.5), 0, 2),
    "filled": (lambda z: z.sigmoid().masked_fill(z > 0, -3), -3, 1),
    "moved and cut off": (lambda z: z.sigmoid().detach().view(-1) + z.flatten().tanh(), -1, 2),
    "normalized": (lambda z: F.normalize(z.relu(), dim=1), 0, 1),
    "a difference of half-lines": (lambda z: z.relu() - F.softplus(z), None, None),
    "added to a layer": (lambda z: z + z.sigmoid(), None, None),
    "scaled by a layer": (lambda z: z * z.sigmoid(), None, None),
    "divided by what may be 0": (lambda z: 1 / z.tanh(), None, None),
    "0 times an open end": (lambda z: torch.zeros(4) * z.relu(), 0, 0),
}


@pytest.mark.parametrize("name", CASES)
def test_bounds_of_arithmetic(name):
    function, low, high = CASES[name]
    found = bounds(function)
    if low is None:
        assert found is None
    else:
        assert found is not None
        assert (found.least, found.most) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name][1] is not None])
def test_no_number_leaves_its_bounds(name):
    torch.manual_seed(0)
    function, low, high = CASES[name]
    values = function(10 * torch.randn(32, 4))
    assert bool((values >= low - 1e-6).all())
    assert bool((values <= high + 1e-6).all())


def test_long_chains_are_not_followed_for_ever():
    def long(z):
        p = z.sigmoid()
        for _ in range(500):
            p = 0.5 * p
        return p

    assert bounds(long) is None


def test_bounds_keep_each_element():
    signs = torch.where(X[:, :4] > 0, 1.0, -1.0)
    found = bounds(lambda z: 1 - signs * z.sigmoid())
    assert torch.equal(found.low > 0.5, signs < 0)
