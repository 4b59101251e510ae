"""Code that PyTorch's tools made of a model, and functions that show PyTorch nothing."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import actlab
from actlab.sites.find import sites
from unit.sites.small import Between, rows


class Own(nn.Module):
    def forward(self, x):
        return F.relu(x)


def test_an_exported_program_names_the_lines_that_it_was_made_from():
    model = Between(Own())
    exported = torch.export.export(model, (rows(),)).module()
    line = Own.forward.__code__.co_firstlineno + 1
    for whole, path in ((exported, ""), (nn.Sequential(exported, nn.Tanh()), "0")):
        site = sites(whole, rows())[0]
        assert (site.activation, site.path, site.file, site.line) == ("relu", path, __file__, line)
    (site,) = sites(torch.fx.symbolic_trace(model), rows())
    assert site.file.startswith("<eval_with_key>")


@torch.jit.script
def scripted(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(x)


def doubled(x: torch.Tensor) -> torch.Tensor:
    return torch.relu(x) * 2


class Doing(nn.Module):
    def __init__(self, call):
        super().__init__()
        self.layer, self.call = nn.Linear(6, 6), call

    def forward(self, x):
        return torch.tanh(self.call(self.layer(x)))


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
def test_scripted_functions_are_named_at_the_module_that_goes_on_with_them():
    own = torch.jit.script(doubled)  # the compiler shows another node after a few runs
    found = sites(nn.Sequential(Doing(own), Doing(torch.jit.trace(F.relu, rows()))), rows())
    assert [site.activation for site in found] == ["tanh", "tanh"]
    assert [each.path for each in found.unseen] == ["0", "1"]
    assert all(
        re.match("a scripted function|a call that ends in (Mul|Relu)Backward", each.what) for each in found.unseen
    )


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
def test_a_traced_part_is_named():
    model = nn.Sequential(nn.Linear(6, 6), torch.jit.trace(Between(F.relu), rows()))
    assert [(each.path, each.what) for each in sites(model, rows()).unseen] == [("1", "a scripted module")]


@pytest.mark.parametrize(
    ("call", "what"),
    [(scripted, "a call that ends in MulBackward0"), (actlab.functional("gelu", memory="few-bit"), "")],
)
def test_a_call_that_shows_no_function_is_named(call, what):
    found = sites(Between(call), rows())
    assert [each.what for each in found.unseen] == ([what] if what else [])
    assert len(found) == (0 if what else 1)


class Rational(nn.Module):
    """A quotient of polynomials with learned coefficients."""

    def __init__(self):
        super().__init__()
        self.above, self.below = nn.Parameter(torch.rand(6)), nn.Parameter(torch.rand(4))

    def forward(self, x):
        above = sum(each * x**power for power, each in enumerate(self.above))
        return above / (1 + sum((each * x ** (power + 1)).abs() for power, each in enumerate(self.below)))


def test_a_learned_quotient_is_named():
    found = sites(Between(Rational()), rows())
    assert (list(found), [(each.path, each.what) for each in found.unseen]) == (
        [],
        [("between", "a quotient with learned coefficients")],
    )
    assert sites(Between(lambda x: x / (1 + x.abs())), rows()).unseen == ()
