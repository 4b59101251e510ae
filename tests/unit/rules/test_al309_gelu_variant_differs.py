from __future__ import annotations

import pytest
from torch import nn
from torch.nn import functional as F

from actlab.catalog.index import CATALOG
from unit.rules.programs import CLASSES, ids, mlp, sole_fault


class Configured(nn.Module):
    def __init__(self, name, act):
        super().__init__()
        self.config = type("Config", (), {"hidden_act": name})()
        self.body = mlp(4, act=lambda: act)

    def forward(self, x):
        return self.body(x)


TANH = nn.GELU(approximate="tanh")
NAMES_OF_TANH = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_python_tanh", "gelu_accurate")


def test_the_tanh_approximation_in_place_of_gelu_is_reported():
    found = sole_fault("AL309", Configured("gelu", TANH), CLASSES, F.cross_entropy, path="body.1")
    assert (found.evidence["configured"], found.evidence["applied"]) == ("gelu", "gelu_tanh")


@pytest.mark.parametrize("name", [*NAMES_OF_TANH, "gelu_tanh"])
def test_every_name_of_the_approximation_asks_for_it(name):
    assert "AL309" in ids(Configured(name, nn.GELU()), CLASSES, F.cross_entropy)
    assert "AL309" not in ids(Configured(name, TANH), CLASSES, F.cross_entropy)


def test_the_names_are_aliases_of_the_catalog():
    assert set(NAMES_OF_TANH) <= set(CATALOG["gelu_tanh"].aliases)


@pytest.mark.parametrize("name", ["silu", "relu", "not_an_activation", "", "quick_gelu"])
def test_a_configuration_without_gelu_asks_for_nothing(name):
    assert "AL309" not in ids(Configured(name, nn.GELU()), CLASSES, F.cross_entropy)
