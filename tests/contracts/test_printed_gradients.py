"""What a reader of a printed PyTorch program trains with: its value and its gradient by autograd, against 50 digits."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

import pytest
import torch
from mpmath import mpf
from torch import Tensor

import oracles
import tolerances
from actlab.catalog.index import CATALOG, get
from actlab.errors import ActlabError
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.derivative import derivative
from actlab.formula.expr import Input, ParamRef
from actlab.lower.standalone import entry_name, learned_params, standalone

POINTWISE = [act for act in CATALOG.values() if isinstance(act, Activation)]
ALONG_AXIS = [act for act in CATALOG.values() if isinstance(act, AxisActivation)]

TYPED = [
    "x/(1+abs(x))",
    "x*tanh(log(1+exp(x)))",
    "x*tanh(exp(x))",
    "exp(-exp(x))",
    "1-exp(-exp(-x))",
    "max(0, x)",
    "max(x, 0.01*x)",
    "min(max(x, 0), 6)",
    "x/(1+exp(-x))",
    "where(x > 0, x, exp(x) - 1)",
    "where(x > 0, log(1 + x), -log(1 - x))",
    "where(x > 0, sqrt(x + 1) - 1, 1 - sqrt(1 - x))",
    "where(abs(x) < 1, x, sign(x)*(1 + log(abs(x))))",
    "where(x < 0, x/(1-x), where(x < 1, x, 1 + log(x)))",
    "where(x*x < 4, x, 4/x)",
    "elu(x) + softsign(x)",
    "softsign(elu(x))",
    "value*max(gate, 0)",
    "where(gate > 0, value*log(1 + gate), value*gate)",
]

# Beyond 100 their 50 digits do not fit into memory.
DOUBLE_EXPONENTIALS = ("x*tanh(exp(x))", "exp(-exp(x))", "1-exp(-exp(-x))")

EVERYDAY = [
    0.0,
    1e-30,
    1e-8,
    1e-3,
    0.1,
    0.5,
    1.0,
    1.7,
    2.0,
    3.0,
    3.3,
    6.0,
    9.0,
    20.0,
    40.0,
    89.0,
    1e2,
    800.0,
    1e4,
    1e18,
]

# Each at most so many roundings off: of itself, of what an input one rounding off would give, and of the largest of 1
# and the inputs, as autograd computes the derivatives of sigmoid, tanh and expm1 from their rounded outputs.
ROUNDINGS = 32

# Beyond 1e18 the gradient of these is infinity times 0, as is that of PyTorch's own gelu with the tanh.
NAN_BEYOND_1E18 = {
    "gelu_tanh": "x**3 overflows beside a gate that is constant",
    "geglu_tanh": "x**3 overflows beside a gate that is constant",
    "phish": "x**2 overflows beside a density that is 0",
    "serf": "a constant times x overflows beside a density that is 0",
    "e_swish": "1.5*x overflows beside a gate that is constant",
    "aria2": "1.5*x overflows beside a gate that is constant",
    "gelu_sinc": "pi*x overflows",
    "clamped_swiglu": "1.5*gate overflows beside a gate that is constant",
    "rational": "the quotient overflows before it is scaled",
}


def printed(act: Activation | AxisActivation) -> ModuleType:
    module = ModuleType("printed")
    exec(compile(standalone(act, "torch"), "printed", "exec"), module.__dict__)
    return module


def function_of(act: Activation | AxisActivation) -> Callable[..., Tensor]:
    function: Callable[..., Tensor] = getattr(printed(act), entry_name(act.name))
    return function


def points(act: Activation, dtype: torch.dtype) -> list[float]:
    limits = torch.finfo(dtype)
    found = {*EVERYDAY, 1e18, limits.tiny, limits.smallest_normal * limits.eps}
    if len(act.inputs) == 2:
        found = {0.0, limits.tiny, 1e-3, 0.5, 1.0, 6.0, 40.0, 1e2, 1e4}
    found |= {abs(edge) for edge in oracles.edges(act)}
    found = {each for each in found if each <= 1e2 or act.name not in DOUBLE_EXPONENTIALS}
    signed = torch.tensor([*found, *(-each for each in found)], dtype=dtype)
    return [*dict.fromkeys(signed.tolist()), -0.0]


def columns(act: Activation, dtype: torch.dtype) -> list[list[float]]:
    at = points(act, dtype)
    return [at] if len(act.inputs) == 1 else [[a for a in at for _ in at], [b for _ in at for b in at]]


def with_gradients(act: Activation, at: list[list[float]], dtype: torch.dtype) -> list[Tensor]:
    """The value, the gradient by each input, and the second derivative by each input alone."""
    inputs = [torch.tensor(column, dtype=dtype, requires_grad=True) for column in at]
    value = function_of(act)(*inputs)
    gradients = torch.autograd.grad(value.sum(), inputs, create_graph=True)
    seconds = [
        torch.autograd.grad(each.sum(), given, retain_graph=True, allow_unused=True, materialize_grads=True)[0]
        if each.requires_grad
        else torch.zeros_like(given)
        for each, given in zip(gradients, inputs, strict=True)
    ]
    return [value, *gradients, *seconds]


def truths(act: Activation) -> Callable[..., tuple[mpf, ...]]:
    """The value, its derivatives, and theirs, to 50 digits."""
    inputs = [Input(name) for name in act.inputs]
    slopes = [act.derivative(name) for name in act.inputs]
    return oracles.exact([act.formula, *slopes, *(derivative(each, by) for each in slopes for by in inputs)], inputs)


def refuse_inexact(act: Activation, dtype: torch.dtype) -> None:
    at, epsilon = columns(act, dtype), torch.finfo(dtype).eps
    found, exact, count = with_gradients(act, at, dtype), truths(act), len(act.inputs)
    for row, point in enumerate(zip(*at, strict=True)):
        truth = exact(*point)
        bends = [truth[1:], *(truth[1 + count + each * count :] for each in range(count))]
        for index, label in enumerate(("value", *act.inputs)):
            got, wanted = float(found[index][row].detach()), truth[index]
            felt = sum(abs(x * slope) for x, slope in zip(point, bends[index][:count], strict=True))
            allowed = ROUNDINGS * epsilon * (abs(wanted) + felt + max(1.0, *map(abs, point), 0.0))
            if label == "value" or max(map(abs, point)) > 1e4:
                allowed += torch.finfo(dtype).tiny
            assert not math.isnan(got), f"{act} {label} at {point} is NaN; exact {float(wanted)}"
            assert abs(got - wanted) <= allowed or abs(wanted) > torch.finfo(dtype).max, (
                f"{act} {label} at {point}: {got!r}; exact {float(wanted)!r}"
            )
        if max(map(abs, point)) <= 1e4:
            lost = [second for second in found[1 + count :] if second[row].isnan()]
            assert not lost, f"{act}: the second derivative at {point} is NaN"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("act", [*POINTWISE, *map(get, TYPED)], ids=str)
def test_value_and_gradient_of_a_printed_program_are_right(act: Activation, dtype: torch.dtype) -> None:
    refuse_inexact(act, dtype)


@pytest.mark.parametrize("act", [*POINTWISE, *map(get, TYPED)], ids=str)
def test_printed_derivatives_are_right_to_every_digit(act: Activation) -> None:
    at = columns(act, torch.float64)
    at = [[each for each in column if abs(each) <= 1e4] for column in at] if len(at) == 1 else at
    inputs, exact, count = [torch.tensor(column, dtype=torch.float64) for column in at], truths(act), len(act.inputs)
    space, name = vars(printed(act)), entry_name(act.name)
    for place, given in enumerate(act.inputs):
        found = space[f"{name}_derivative" if count == 1 else f"{name}_derivative_by_{given}"](*inputs)
        for row, point in enumerate(zip(*at, strict=True)):
            truth = exact(*point)
            bends = truth[1 + count + place * count :]
            felt = sum(abs(x * bend) for x, bend in zip(point, bends[:count], strict=True))
            cancels = 1.0 if act.name in tolerances.CANCELS or act.family == "typed" else 0.0
            wanted, got = truth[1 + place], float(found[row])
            near = abs(wanted) + felt + cancels
            allowed = tolerances.ROUNDINGS * tolerances.EPSILON * near + tolerances.UNDERFLOW
            is_overflow = abs(wanted) > sys.float_info.max and math.isinf(got)
            assert abs(got - wanted) <= allowed or is_overflow, f"{act} by {given} at {point}: {got}"


@pytest.mark.parametrize("act", [*POINTWISE, *map(get, TYPED)], ids=str)
def test_no_finite_input_gives_a_gradient_that_is_nan(act: Activation) -> None:
    for dtype in (torch.float32, torch.float64):
        largest = torch.finfo(dtype).max
        at = [[largest, -largest, largest / 8, -largest / 8]]
        at = at if len(act.inputs) == 1 else [[0.5] * 4, at[0]]
        _, *gradients = with_gradients(act, at, dtype)
        is_lost = any(bool(each.isnan().any()) for each in gradients[: len(act.inputs)])
        assert not is_lost or act.name in NAN_BEYOND_1E18


@pytest.mark.parametrize("act", [*POINTWISE, *map(get, TYPED)], ids=str)
def test_nan_and_infinity_in_are_nan_or_the_limit_out(act: Activation) -> None:
    function = function_of(act)
    for place in range(len(act.inputs)):
        at = [torch.tensor([math.nan if index == place else 0.5]) for index in range(len(act.inputs))]
        assert function(*at).isnan().all()
    if len(act.inputs) == 1:
        for sign in (1.0, -1.0):
            value = float(function(torch.tensor([sign * math.inf], dtype=torch.float64)))
            near = float(function(torch.tensor([sign * 1e18], dtype=torch.float64)))
            far = float(function(torch.tensor([sign * 1e30], dtype=torch.float64)))
            is_limit = math.isclose(value, far, abs_tol=1e-8) or (math.isinf(value) and abs(far) > abs(near))
            assert math.isnan(value) or is_limit


@pytest.mark.parametrize("act", [act for act in POINTWISE if learned_params(act)], ids=str)
def test_learned_parameters_are_those_of_a_module_and_get_their_gradients(act: Activation) -> None:
    learned = learned_params(act)
    modules = [each for each in vars(printed(act)).values() if isinstance(each, type)]
    (owner,) = modules
    module = owner().double()
    assert [name for name, _ in module.named_parameters()] == [param.name for param in learned]
    at = [-40.0, -6.0, -1.0, -0.5, 0.0, 1e-3, 1.0, 1.7, 6.0, 40.0]
    names = [param.name for param in learned]
    formula = act.with_references(*names)
    leaves = [*(Input(name) for name in act.inputs), *(ParamRef(name) for name in names)]
    exact = oracles.exact([formula, *(derivative(formula, ParamRef(name)) for name in names)], leaves)
    weights = [float(value.detach()) for value in module.parameters()]
    for point in at:
        module.zero_grad()
        value = module(torch.tensor([point], dtype=torch.float64))
        value.sum().backward()
        truth = exact(point, *weights)
        assert float(value.detach()) == pytest.approx(float(truth[0]), rel=1e-12, abs=1e-13)
        for wanted, weight in zip(truth[1:], module.parameters(), strict=True):
            assert weight.grad is not None
            assert float(weight.grad) == pytest.approx(float(wanted), rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("alpha", [-0.5, 0.0, 0.5])
def test_a_parameter_that_chooses_the_branch_learns_in_each(alpha: float) -> None:
    module = printed(CATALOG["soft_exponential"]).SoftExponential(torch.tensor([alpha], dtype=torch.float64))
    x = torch.tensor([-0.5, 0.0, 0.5], dtype=torch.float64, requires_grad=True)
    module(x).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(module.alpha.grad).all()


def test_one_parameter_for_each_channel() -> None:
    module = printed(CATALOG["prelu"]).Prelu(torch.tensor([0.1, 0.2, 0.3])[:, None, None])
    x = -torch.ones(2, 3, 4, 4)
    module(x).sum().backward()
    assert module.weight.grad.flatten().tolist() == [-32.0, -32.0, -32.0]


@pytest.mark.parametrize("act", ALONG_AXIS, ids=str)
@pytest.mark.parametrize(
    "row",
    [
        [0.0, 0.0, 0.0, 0.0],
        [2.0, 2.0, 0.0, 0.0],
        [1.0, 1.0, -1.0, -1.0],
        [0.3, -1.0, 2.0, 0.25],
        [1e4, -1e4, 0.0, 1.0],
        [0.5, -math.inf, 0.25, -math.inf],
    ],
    ids=str,
)
def test_gradient_along_an_axis_is_the_printed_product(act: AxisActivation, row: Sequence[float]) -> None:
    space = vars(printed(act))
    x = torch.tensor([row], dtype=torch.float64, requires_grad=True)
    v = torch.tensor([[0.3, -1.2, 0.7, 2.0]], dtype=torch.float64)
    y = space[act.name](-x if act.name == "softmin" and -math.inf in row else x, -1)
    kept = torch.isfinite(y)
    (gradient,) = torch.autograd.grad(y[kept], x, v[kept])
    wanted = space[f"{act.name}_vjp"](y.detach(), torch.where(kept, v, 0.0), -1)
    wanted = -wanted if act.name == "softmin" and -math.inf in row else wanted
    torch.testing.assert_close(gradient, wanted, rtol=1e-12, atol=1e-14)


def test_the_root_of_a_square_has_the_derivative_of_the_absolute_value_at_0() -> None:
    x = torch.tensor([-2.0, 0.0, 2.0], requires_grad=True)
    function_of(get("sqrt(x*x)"))(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-1.0, 0.0, 1.0]


def test_a_module_is_printed_only_for_what_is_learned() -> None:
    assert "class" not in standalone(CATALOG["elu"], "torch")
    assert "class Prelu(torch.nn.Module)" in standalone(CATALOG["prelu"], "torch")
    assert "class Swish(torch.nn.Module)" in standalone(CATALOG["swish"], "torch")
    for target in ("numpy", "mpmath"):
        assert "Learned, but constant here: weight." in standalone(CATALOG["prelu"], target)


@pytest.mark.parametrize("target", ["torch", "numpy", "mpmath"])
def test_every_import_is_used(target: str) -> None:
    for act in CATALOG.values():
        try:
            lines = standalone(act, target).split("\n")
        except ActlabError:
            continue  # mpmath has no axes
        imported = [line.split()[-1] for line in lines if line.startswith(("import ", "from "))]
        body = "\n".join(line for line in lines if not line.startswith(("import ", "from ")))
        assert all(f"{name}." in body or f"{name}(" in body for name in imported), act
