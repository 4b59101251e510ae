"""Saturation as it is measured: `saturated_share` and finding AL102 share one definition."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import actlab
from actlab.catalog.index import CATALOG
from actlab.diagnosis.watch import watch
from actlab.formula.activation import Activation
from actlab.rules.registry import run_findings
from actlab.telemetry.observed_activation import measured
from actlab.telemetry.quantities import Quantities
from actlab.telemetry.settings import Settings
from actlab.theory.properties import properties

SINGLE = [act for act in CATALOG.values() if isinstance(act, Activation) and len(act.inputs) == 1]


@pytest.mark.parametrize("act", SINGLE, ids=str)
def test_telemetry_says_saturates_where_theory_does(act: Activation) -> None:
    sides = properties(act).saturates
    assert measured(act).saturates == (isinstance(sides, tuple) and len(sides) > 0)


def watched(act: nn.Module, *, bias: float) -> Quantities:
    """Watch a few steps without learning: every unit's input lies near the bias."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 32), act, nn.Linear(32, 3))
    nn.init.constant_(model[0].bias, bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with watch(model, every=1) as watching:
        for _ in range(6):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(torch.randn(64, 4)), torch.randint(3, (64,))).backward()
            optimizer.step()
    return watching.quantities()


@pytest.mark.parametrize(
    ("act", "bias", "share"),
    [
        (nn.LeakyReLU(0.01), -9.0, 0.0),
        (nn.Hardtanh(), 9.0, 0.0),
        (nn.Tanh(), 9.0, 1.0),
        (nn.Tanh(), 0.0, 0.0),
        (nn.ELU(), -9.0, 1.0),
    ],
    ids=str,
)
def test_saturated_share_agrees_with_al102(act: nn.Module, bias: float, share: float) -> None:
    quantities = watched(act, bias=bias)
    (site,) = quantities.sites
    assert {point.saturated_share for point in site.points} == {share}
    found = [each.id for each in run_findings(quantities, Settings())]
    assert ("AL102" in found) == bool(share)


STEEP = ["sign(x)*sqrt(abs(x) + 1e-12)", "sqrt(abs(x) + 1e-12)", "sqrt(max(x, 0) + 1e-8)", "log(abs(x) + 1e-6)",
         "0.5*x + 0.01*tanh(1e5*x)"]  # fmt: skip


@pytest.mark.parametrize("formula", STEEP)
def test_a_steep_spot_does_not_make_the_rest_dead(formula: str) -> None:
    act = actlab.module(formula)
    assert measured(act.activation).bound < 10
    (site,) = watched(act, bias=1.0).sites
    assert {point.dead_share for point in site.points} == {0.0}


def test_a_function_that_levels_off_is_compared_with_its_steepest_spot() -> None:
    assert measured(CATALOG["sigmoid"]).bound == 0.25
    assert measured(actlab.module("tanh(100*x)").activation).bound == pytest.approx(100)
    (site,) = watched(actlab.module("tanh(100*x)"), bias=9.0).sites
    assert {point.dead_share for point in site.points} == {1.0}


def test_a_small_derivative_of_a_logarithm_is_not_death() -> None:
    (site,) = watched(actlab.module("symlog"), bias=1e6).sites
    assert {point.dead_share for point in site.points} == {0.0}
    (site,) = watched(nn.ReLU(), bias=-1e6).sites
    assert {point.dead_share for point in site.points} == {1.0}
