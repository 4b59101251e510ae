"""Findings about running networks: faults are named, healthy networks are not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from actlab.rules.registry import run_findings
from actlab.telemetry.depth_trend import course
from actlab.telemetry.loss_trend import progress
from actlab.telemetry.settings import Settings
from slow_measuring import trained


def batches(steps, *, scale=1.0, size=32):
    """Points of ten clouds in 16 dimensions, with the number of the cloud."""
    generator = torch.Generator().manual_seed(3)
    centres = torch.randn(10, 16, generator=generator)
    rows = []
    for _ in range(steps):
        classes = torch.randint(0, 10, (size,), generator=generator)
        rows.append((scale * (centres[classes] + 0.5 * torch.randn(size, 16, generator=generator)), classes))
    return rows


def perceptron(act, depth, *, gain=None, bias=None):
    layers, width = [], 16
    for _ in range(depth):
        linear = nn.Linear(width, 32)
        if gain is not None:
            nn.init.normal_(linear.weight, 0, gain / math.sqrt(width))
        if bias is not None:
            nn.init.constant_(linear.bias, bias)
        layers += [linear, act()]
        width = 32
    return nn.Sequential(*layers, nn.Linear(width, 10))


def cross_entropy(model, batch):
    return functional.cross_entropy(model(batch[0]), batch[1])


def log_of_none(model, batch):
    return -torch.log(model(batch[0]).relu()).mean()


def findings(build, *, seed=0, steps=30, rate=1e-3, loss=cross_entropy, optimizer=torch.optim.Adam, **data):
    torch.manual_seed(seed)
    model = build()
    quantities = trained(model, batches(steps, **data), loss, optimizer(model.parameters(), lr=rate))
    return run_findings(quantities, Settings())


FAULTY = {
    "deep sigmoid": ("AL103", lambda: perceptron(nn.Sigmoid, 10), {}),
    "deep tanh, small weights": ("AL103", lambda: perceptron(nn.Tanh, 8, gain=0.3), {}),
    "deep tanh, small weights, forward": ("AL106", lambda: perceptron(nn.Tanh, 8, gain=0.1, bias=0.0), {"rate": 1e-6}),
    "large weights, backward": ("AL104", lambda: perceptron(nn.ReLU, 8, gain=6.0), {"rate": 1e-6}),
    "large weights, forward": ("AL105", lambda: perceptron(nn.ReLU, 8, gain=6.0), {"rate": 1e-6}),
    "dead from the start": ("AL101", lambda: perceptron(nn.ReLU, 2, bias=-9.0), {}),
    "unscaled data": ("AL102", lambda: perceptron(nn.Tanh, 1), {"scale": 100.0}),
    "logarithm of 0": ("AL107", lambda: perceptron(nn.ReLU, 1), {"loss": log_of_none}),
    "tiny steps": ("AL108", lambda: perceptron(nn.ReLU, 2), {"rate": 1e-7}),
    "tiny steps, the loss": ("AL111", lambda: perceptron(nn.ReLU, 2), {"rate": 1e-7}),
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("case", FAULTY)
def test_a_fault_is_named(case, seed):
    wanted, build, how = FAULTY[case]
    found = findings(build, seed=seed, **how)
    assert wanted in {each.id for each in found if each.severity != "information"}, found


def test_a_layer_saturated_from_the_start_is_a_warning():
    found = findings(lambda: perceptron(nn.Tanh, 2), steps=60, rate=1e-2, scale=300.0)
    told = [each for each in found if each.id == "AL102"]
    assert [each.severity for each in told][:1] == ["warning"]
    assert told[0].evidence["at_start"] > 0.9


class Residual(nn.Module):
    """Blocks that begin as the identity."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 32), nn.Linear(32, 10)
        self.inner = nn.ModuleList(nn.Linear(32, 32) for _ in range(8))
        self.outer = nn.ModuleList(nn.Linear(32, 32) for _ in range(8))
        for layer in self.outer:
            nn.init.zeros_(layer.weight)

    def forward(self, x):
        x = torch.relu(self.first(x))
        for inner, outer in zip(self.inner, self.outer, strict=True):
            x = x + outer(functional.gelu(inner(x)))
        return self.last(x)


WELL = {
    "relu": lambda: perceptron(nn.ReLU, 2),
    "gelu": lambda: perceptron(nn.GELU, 3),
    "silu": lambda: perceptron(nn.SiLU, 3),
    "tanh": lambda: perceptron(nn.Tanh, 4),
    "sigmoid": lambda: perceptron(nn.Sigmoid, 1),
    "residual": Residual,
    "sparse": lambda: perceptron(nn.ReLU, 2, bias=-0.3),
}


@pytest.mark.parametrize("rate", [1e-4, 1e-2])
@pytest.mark.parametrize("case", WELL)
def test_a_healthy_network_has_no_warning(case, rate):
    found = findings(WELL[case], rate=rate)
    assert [each for each in found if each.severity != "information"] == []


@pytest.mark.parametrize("dead", [0, 1, 13, 31])
def test_dead_units_are_reported_by_index(dead):
    torch.manual_seed(dead)
    model = perceptron(nn.ReLU, 1)
    chosen = torch.randperm(32)[:dead]
    with torch.no_grad():
        model[0].bias.copy_(torch.where(torch.isin(torch.arange(32), chosen), -1e3, 3.0))
    quantities = trained(model, batches(4, size=64), cross_entropy, torch.optim.SGD(model.parameters(), lr=0.0))
    told = [each for each in run_findings(quantities, Settings()) if each.id == "AL101"]
    assert set().union(*(each.evidence["dead_units"] for each in told)) == set(chosen.tolist())
    for each in told:
        assert each.severity == "information"
        assert each.evidence["rate_bound"] == 3 / each.evidence["examples"]


def test_too_few_examples_call_no_unit_dead():
    found = findings(lambda: perceptron(nn.ReLU, 1, bias=-9.0), steps=1, size=8)
    assert [(each.id, each.severity) for each in found] == [("AL101", "information")]
    assert "too few to call a unit dead" in found[0].message


def test_the_slope_of_a_geometric_course_is_exact_and_not_bent_by_an_outlier():
    sizes = [3.0 * 0.5**layer for layer in range(12)]
    straight = course(sizes)
    sizes[5] *= 1e4
    bent = course(sizes)
    assert straight is not None
    assert bent is not None
    assert straight.slope == pytest.approx(math.log(0.5), rel=1e-12)
    assert straight.ratio == pytest.approx(0.5**11, rel=1e-12)
    assert bent.slope == pytest.approx(math.log(0.5), rel=1e-12)


def test_a_single_jump_is_not_a_geometric_trend():
    jump = course([1.0, 1.0001, 1.0002, 1e5, 1.1e5, 1.2e5])
    assert jump is not None
    assert not jump.is_geometric(1e3, Settings())


@pytest.mark.parametrize(
    ("losses", "falls", "stalls"),
    [
        ([2.0 - 0.01 * step for step in range(100)], True, False),
        ([2.0 - 1e-5 * step for step in range(100)], False, True),
        ([2.0 + 0.01 * step for step in range(100)], False, True),
        ([2.0 - 0.1 * step for step in range(8)], False, False),
        ([2.0 - 0.001 * step + (-1) ** step * (step * 7 % 11) / 10 for step in range(60)], False, None),
    ],
)
def test_where_a_loss_goes(losses, falls, stalls):
    found = progress(list(enumerate(losses)), Settings())
    assert found.falls is falls
    assert stalls is None or found.stalls is stalls


def test_a_loss_that_is_mostly_noise_is_not_said_to_stall():
    draws = torch.randn(60, generator=torch.Generator().manual_seed(1)).abs().tolist()
    assert not progress(list(enumerate(draws)), Settings()).stalls
