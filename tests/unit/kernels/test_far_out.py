"""What formulas of parameters give where their input is infinite."""

from __future__ import annotations

import math

import pytest
import torch

from actlab.catalog.index import get
from actlab.formula.activation import Activation
from actlab.formula.expr import Expr, Input, ParamRef
from actlab.kernels.far_out import is_needed
from actlab.nn.operator import apply, pointwise_of

INFINITE = torch.tensor([-math.inf, math.inf])


def whole(text: str) -> Expr:
    act = get(text)
    assert isinstance(act, Activation)
    return act.formula


def slopes(name: str, values: dict[str, float], dtype: torch.dtype = torch.float32) -> dict[str, list[float]]:
    """Each element's derivative by every argument, at −∞ and +∞."""
    act = get(name)
    assert isinstance(act, Activation)
    made = pointwise_of(act, tuple(values))
    x = INFINITE.to(dtype)
    leaves = [x.requires_grad_(), *(torch.full_like(x, each).detach().requires_grad_() for each in values.values())]
    found = torch.autograd.grad(apply(made, *leaves).sum(), leaves)
    return {leaf.name: each.tolist() for leaf, each in zip(made.args, found, strict=True)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("beta", [0.3, 1.0, -2.0])
def test_a_parameter_that_no_longer_matters_has_no_gradient(beta: float, dtype: torch.dtype) -> None:
    assert slopes("swish", {"beta": beta}, dtype)["beta"] == [0.0, 0.0]


def test_a_limit_that_depends_on_parameters_is_theirs() -> None:
    values = {f"a{at}": float(at + 1) for at in range(6)} | {f"b{at}": 1.5 * at for at in range(1, 5)}
    found = slopes("rational", values)
    assert found["a0"] == [0.0, 0.0]
    assert found["a4"] == [pytest.approx(1 / 6), pytest.approx(1 / 6)]
    assert found["a5"] == [-math.inf, math.inf]


def test_the_derivative_by_the_input_has_its_limit_too() -> None:
    assert slopes("dynamic_tanh", {"alpha": 0.5, "weight": 2.0, "bias": 0.0})["x"] == [0.0, 0.0]
    assert slopes("swish", {"beta": 1.0})["x"] == [0.0, pytest.approx(1.0, rel=3e-7)]


def test_what_has_other_inputs_or_a_sine_is_left_alone() -> None:
    x, gate, beta = Input("x"), Input("gate"), ParamRef("beta")
    assert is_needed(whole("x*sigmoid(x)"), (x, beta))
    assert not is_needed(whole("x*sigmoid(x)"), (x, gate))
    assert not is_needed(whole("x*sin(x)"), (x, beta))
    assert not is_needed(whole("x"), (x, beta))
