"""Activations whose backward pass takes the derivative of another formula: what runs forward, back and in any mode."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from torch import Tensor

import actlab
from actlab.catalog.index import get, same_as
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.formula.atoms import tanh, where
from actlab.formula.param import Param
from actlab.nn import functional, module
from actlab.sites.recognize.sites import gated_units
from actlab.verbs import show

ALPHA = 1.67
X = torch.tensor([-30.0, -2.0, -0.5, 0.0, 0.3, 2.0, 30.0], dtype=torch.float64)


def b_silu_slope(x: Tensor, alpha: float = ALPHA) -> Tensor:
    """By hand: the derivative of (x + alpha)*sigmoid(x) - alpha/2."""
    gate = 1 / (1 + torch.exp(-x))
    return gate + (x + alpha) * gate * (1 - gate)


def passes(function: object, x: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    y = function(leaf)  # type: ignore[operator]  # a function or a module
    (slope,) = torch.autograd.grad(y, leaf, torch.ones_like(y))
    return y.detach(), slope


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", [1, 40_000])
def test_forward_is_relu_and_backward_b_silu(dtype: torch.dtype, size: int) -> None:
    x = X.to(dtype).repeat(size)
    for made in (functional("sugar_relu"), module("sugar_relu")):
        y, slope = passes(made, x)
        assert torch.equal(y, x.clamp(min=0))
        wanted = b_silu_slope(x.double()).to(dtype)
        torch.testing.assert_close(slope, wanted, rtol=4 * torch.finfo(dtype).eps, atol=1e-12)


def test_every_mode_takes_the_surrogates_derivative() -> None:
    function, wanted = functional("sugar_relu"), b_silu_slope(X)
    near = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(function))(X), wanted, **near)
    torch.testing.assert_close(torch.func.jvp(function, (X,), (torch.ones_like(X),))[1], wanted, **near)
    torch.testing.assert_close(torch.func.jacrev(function)(X), wanted.diag(), **near)
    with torch.autograd.forward_ad.dual_level():
        y = function(torch.autograd.forward_ad.make_dual(X, torch.ones_like(X)))
        torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(y).tangent, wanted, **near)
    compiled = torch.compile(module("sugar_relu"), fullgraph=True, backend="aot_eager")
    y, slope = passes(compiled, X)
    assert torch.equal(y, X.clamp(min=0))
    torch.testing.assert_close(slope, wanted, **near)


def test_second_derivatives_are_the_surrogates() -> None:
    x = X[1:-1].clone().requires_grad_()
    (slope,) = torch.autograd.grad(functional("sugar_relu")(x).sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x)
    step = 1e-6
    wanted = (b_silu_slope(x.detach() + step) - b_silu_slope(x.detach() - step)) / (2 * step)
    torch.testing.assert_close(bend, wanted, rtol=1e-7, atol=1e-8)


def test_copies_and_pickles_keep_it() -> None:
    original = module("sugar_relu")
    for copied in (copy.deepcopy(original), pickle.loads(pickle.dumps(original)), actlab.module(original.activation)):
        assert torch.equal(passes(copied, X)[1], passes(original, X)[1])
    function = pickle.loads(pickle.dumps(functional("jump_relu")))
    assert function == functional("jump_relu")


def test_a_threshold_learns_by_its_pseudo_derivative() -> None:
    # arXiv:2407.14435, eq. 11: -threshold/bandwidth within half a bandwidth of the threshold, else 0
    jump = module("jump_relu", threshold=0.5, bandwidth=0.2).double()
    x = torch.tensor([0.1, 0.39, 0.41, 0.5, 0.59, 0.61, 2.0], dtype=torch.float64, requires_grad=True)
    y = jump(x)
    assert y.tolist() == [0, 0, 0, 0, 0.59, 0.61, 2.0]
    weights = torch.arange(1.0, 8.0, dtype=torch.float64)
    slope, by_threshold = torch.autograd.grad(y, (x, jump.threshold), weights)
    assert slope.tolist() == [0, 0, 0, 0, 5, 6, 7]
    assert by_threshold.item() == pytest.approx(-(0.5 / 0.2) * (3 + 4 + 5))
    channels = module("jump_relu", channels=3)
    channels(torch.zeros(2, 3)).sum().backward()
    assert channels.threshold.grad.shape == (3,)


def test_overwriting_the_input_under_autograd_is_refused() -> None:
    inside = X.clone().requires_grad_() * 1
    with pytest.raises(BadInput, match="in place would be overwritten"):
        functional("sugar_relu")(inside, out=inside)
    with torch.no_grad():
        out = X.clone()
        assert torch.equal(functional("sugar_relu")(out, out=out), X.clamp(min=0))


def test_it_is_shown_and_never_taken_for_its_formula() -> None:
    facts = show("sugar_relu").to_json()
    assert facts["formula"] == "where(x <= 0, 0, x)"
    assert "sigmoid" in facts["surrogate"]
    assert "sigmoid" in facts["derivative"]
    assert any(line.strip().startswith("backward as") for line in show("sugar_relu").lines())
    assert show("relu").to_json()["surrogate"] is None
    assert same_as(get("sugar_relu")) is None
    assert same_as(get("where(x <= 0, 0, x)")) == "relu"
    assert get("sugar_relu").key != get("relu").key
    assert gated_units()["relu"] == "reglu"


def test_a_declared_surrogate_takes_the_parameters() -> None:
    @actlab.activation(source="a test", surrogate=lambda x, width: tanh(x / width))
    def step(x, width=Param(2.0, trainable=True, above=0)):
        """1 where the input is positive, else 0."""
        return where(x > 0, 1, 0) + 0 * x

    assert isinstance(step, Activation)
    layer = module(step).double()
    y, slope = passes(layer, torch.tensor([-1.0, 3.0], dtype=torch.float64))
    assert y.tolist() == [0, 1]
    wanted = [(1 - math.tanh(x / 2) ** 2) / 2 for x in (-1.0, 3.0)]
    assert slope.tolist() == pytest.approx(wanted)
    assert float(step.derivative("x") == step.derivative()) == 1
    layer(torch.tensor([3.0], dtype=torch.float64)).sum().backward()
    assert layer.width.grad.item() == pytest.approx(-(3 / 4) * (1 - math.tanh(1.5) ** 2))
