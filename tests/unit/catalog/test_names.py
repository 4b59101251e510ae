from __future__ import annotations

import pytest

from actlab.catalog.index import CATALOG
from actlab.catalog.names import Names, squashed

SOME = Names([CATALOG["leaky_relu"], CATALOG["gelu_tanh"]])


@pytest.mark.parametrize("name", ["leaky_relu", "LeakyReLU", "leaky-relu", "Leaky ReLU", "leakyrelu"])
def test_a_name_is_found_in_whatever_spelling(name):
    assert SOME[name].name == "leaky_relu"
    assert name in SOME


def test_the_names_are_listed_as_the_catalog_spells_them():
    assert list(SOME) == ["leaky_relu", "gelu_tanh", *CATALOG["gelu_tanh"].aliases]
    assert len(SOME) == len(list(SOME))


def test_others_are_not_found():
    assert "relu" not in SOME
    with pytest.raises(KeyError):
        SOME["relu"]


def test_a_superscript_2_means_squaring():
    assert squashed("ReLU²") == "relu2"
