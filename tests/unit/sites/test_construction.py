"""A module of an `nn.Sequential` has the line that constructs it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from actlab.sites.find import sites
from unit.sites.small import rows


def line_with(text):
    """Return the number of the last line of this file that ends with the text."""
    lines = Path(__file__).read_text().splitlines()
    return max(at for at, line in enumerate(lines, start=1) if line.endswith(text))


def lines_of(model):
    found = sites(model, rows())
    assert {site.file for site in found} == {__file__}
    return [site.line for site in found]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()
        self.net = nn.Sequential(
            nn.Linear(6, 6),
            nn.ReLU(),  # in the class
            nn.Linear(6, 6),
        )

    def forward(self, x):
        x = self.net(x)
        return self.act(x)  # called directly


def test_the_line_is_that_of_the_constructor():
    model = nn.Sequential(
        nn.Linear(6, 6),
        nn.Hardswish(),  # in the test
        nn.Sequential(
            nn.LazyLinear(6),
            nn.Mish(),  # nested
        ),
    )
    assert lines_of(model) == [line_with("# in the test"), line_with("# nested")]


def test_a_class_holds_the_line_of_its_sequence():
    expected = [line_with("# in the class"), line_with("# called directly")]
    assert lines_of(Net()) == expected
    assert lines_of(nn.Sequential(Net())) == expected


def test_without_a_single_constructor_the_line_is_that_of_the_call():
    one = nn.Sequential(nn.Linear(6, 6), nn.Softplus(), nn.Linear(6, 6))
    two = nn.Sequential(nn.Linear(6, 6), nn.Softplus(), nn.Linear(6, 6))
    found = sites(one, rows())  # ambiguous
    assert [site.line for site in found] == [line_with("# ambiguous")]
    found = sites(nn.Sequential(*two), rows())  # unpacked
    assert [site.line for site in found] == [line_with("# unpacked")]


def test_a_sequence_with_another_class_is_not_the_constructor():
    model = nn.Sequential(nn.Linear(6, 6), nn.SELU(), nn.Flatten())
    model[1] = nn.CELU()
    found = sites(model, torch.ones(1, 6))  # exchanged
    assert [site.line for site in found] == [line_with("# exchanged")]
