"""What formulas of parameters give where their input is infinite."""

from __future__ import annotations

import math

import pytest
import torch

from actlab.catalog.index import get
from actlab.formula.activation import Activation
from actlab.formula.expr import Expr, Input, ParamRef
from actlab.kernels.elementwise.infinite_inputs import needed
from actlab.kernels.elementwise.kernels import kernels_of
from actlab.kernels.elementwise.strategies import Mode
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


def test_formulas_with_other_inputs_or_a_sine_are_unchanged() -> None:
    x, gate, beta = Input("x"), Input("gate"), ParamRef("beta")
    assert needed(whole("x*sigmoid(x)"), (x, beta)) == (True, False)
    assert needed(whole("x*sigmoid(x)"), (x, gate)) == (False, False)
    assert needed(whole("x*sin(x)"), (x, beta)) == (False, False)
    assert needed(whole("x"), (x, beta)) == (False, False)


@pytest.mark.parametrize("mode", ["accurate", "fast"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_each_side_counts_on_its_own(dtype: torch.dtype, mode: Mode) -> None:
    act = get("soft_exponential")
    assert isinstance(act, Activation)
    args = (Input("x"), ParamRef("alpha"))
    x = torch.tensor([-math.inf, -3000.0, 2000.0, 10000.0, math.inf]).to(dtype)
    alpha, dy = torch.full_like(x, 0.5), torch.ones_like(x)
    kernels = kernels_of(act.with_references("alpha"), args, mode)
    (_, by_alpha) = kernels.pull_back(dy, (x, alpha), (False, True))
    assert by_alpha is not None
    assert by_alpha.tolist() == [5.0, 5.0, math.inf, math.inf, math.inf]
