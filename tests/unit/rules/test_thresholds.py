"""Thresholds are set by name, those of single rules included, and an unknown name is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import actlab
from actlab.errors import BadInput
from actlab.telemetry.settings import Settings
from unit.rules.programs import CLASSES, X, mlp


def test_an_unknown_threshold_is_refused_with_the_nearest_name():
    with pytest.raises(BadInput, match=r"no threshold is called 'lost_shar'\. Did you mean 'lost_share'\?"):
        actlab.check(mlp(4), (X, CLASSES), F.cross_entropy, settings=Settings(lost_shar=0.5))
    with pytest.raises(BadInput, match="no threshold is called 'speed'"):
        actlab.watch(mlp(4), settings=Settings(speed=1.0))


@pytest.mark.parametrize(("settings", "ids"), [(Settings(), ["AL208"]), (Settings(lost_share=5.0), [])])
def test_a_threshold_of_one_rule_reaches_it(settings, ids):
    report = actlab.check(mlp(4, nn.Tanh()), (X, CLASSES), F.cross_entropy, settings=settings)
    assert [finding.id for finding in report.findings] == ids


@pytest.mark.parametrize(("settings", "dead"), [(Settings(), True), (Settings(fewest_examples=1000), False)])
def test_a_shared_threshold_reaches_the_rules(settings, dead):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    nn.init.constant_(model[0].bias, -50.0)
    report = actlab.check(model, (X, CLASSES), F.cross_entropy, settings=settings, train_steps=12)
    severities = [finding.severity for finding in report.findings if finding.id == "AL101"]
    assert severities == (["error"] if dead else ["information"])
