"""A formula's kernels on tensors: layouts, recipes, limits, typed formulas and the fast mode."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from actlab.catalog.index import CATALOG, get
from actlab.errors import CannotLower
from actlab.formula.activation import Activation
from actlab.formula.expr import Expr, Input, ParamRef
from actlab.kernels.elementwise.kernels import Kernels, kernels_of
from actlab.kernels.elementwise.layout import arranged
from actlab.kernels.elementwise.limits import ends
from actlab.kernels.elementwise.loop_ir import text_of
from actlab.kernels.elementwise.plan import Shape, plan
from actlab.kernels.elementwise.strategies import Mode, recipe, sample
from actlab.nn import functional

X, W = Input("x"), ParamRef("weight")


def formula(text: str, *kept: str) -> Expr:
    act = get(text)
    assert isinstance(act, Activation)
    return act.with_references(*kept)


def kernels(text: str) -> Kernels:
    return kernels_of(formula(text), (X,), "accurate")


# Layouts.


def test_what_lies_in_one_run_is_one_row_whatever_the_order_of_its_axes() -> None:
    x = torch.randn(2, 3, 4, 5)
    for each in (x, x.contiguous(memory_format=torch.channels_last), x.permute(3, 1, 0, 2), x[:1], torch.randn(())):
        laid = arranged([each, torch.empty_like(each)])
        assert (laid.grid.rows, laid.grid.channels, laid.grid.row) == (1, 1, each.numel())
        assert laid.kept[0] is each


def test_rows_of_a_wider_tensor_are_read_where_they_lie() -> None:
    half = torch.randn(4, 6, 64)[..., :32]
    laid = arranged([half, torch.empty_like(half)])
    assert (laid.grid.rows, laid.grid.row) == (24, 32)
    assert laid.operands[0] == (half.data_ptr(), 64, 0)
    assert laid.kept[0] is half


@pytest.mark.parametrize(
    ("shape", "of_channels", "grid", "access"),
    [
        ((6, 5), (1,), (1, 1, 30), "scalar"),
        ((6, 5), (5,), (6, 1, 5), "stream"),
        ((2, 3, 4, 5), (3, 1, 1), (2, 3, 20), "scalar"),
        ((2, 3, 4, 5), (1, 3, 1, 1), (2, 3, 20), "scalar"),
        ((3, 4), (3, 1), (1, 3, 4), "scalar"),
    ],
)
def test_one_value_for_a_channel_is_read_as_such(
    shape: tuple[int, ...], of_channels: tuple[int, ...], grid: tuple[int, int, int], access: str
) -> None:
    laid = arranged([torch.randn(shape), torch.randn(of_channels)])
    assert (laid.grid.rows, laid.grid.channels, laid.grid.row) == grid
    assert laid.access == ("stream", access)


@st.composite
def views(draw: st.DrawFn) -> Tensor:
    """Some part of a tensor, its axes in some order, some of them without steps."""
    shape = draw(st.lists(st.integers(1, 19), min_size=1, max_size=4))
    base = torch.randn([3 * size + 2 for size in shape], generator=torch.Generator().manual_seed(0))
    starts = [draw(st.integers(0, 2)) for _ in shape]
    steps = [draw(st.integers(1, 3)) for _ in shape]
    cut = base[tuple(slice(at, at + size * step, step) for at, size, step in zip(starts, shape, steps, strict=True))]
    turned = cut.permute(draw(st.permutations(range(len(shape)))))
    return turned.expand(2, *turned.shape) if draw(st.booleans()) else turned


@given(views())
def test_any_view_gives_the_bits_of_its_copy(view: Tensor) -> None:
    mish, dy = kernels("mish"), view.flip(0)
    before = view.clone()
    found, (slope,) = mish.forward([view]), mish.pull_back(dy, [view], [True])
    copied = view.contiguous()
    assert torch.equal(found, mish.forward([copied]))
    assert torch.equal(slope, mish.pull_back(dy.contiguous(), [copied], [True])[0])
    assert torch.equal(view, before)


def test_values_that_broadcast_in_two_directions() -> None:
    made = kernels_of(formula("prelu", "weight"), (X, W), "accurate")
    x = torch.randn(4, 3, 5)
    for weight in (torch.randn(4, 1, 5), torch.randn(3, 5), torch.randn(4, 3, 5), torch.randn(1, 1, 1)):
        wanted = torch.where(x > 0, x, weight * x)
        torch.testing.assert_close(made.forward([x, weight]), wanted, rtol=1e-6, atol=0)


# Which way of computing is taken.


def taken(text: str, *, memory: str = "float", mode: str = "accurate", wanted: tuple[bool, ...] | None = None) -> str:
    how = recipe(Shape(formula(text), (X,), ("stream",), wanted), memory=memory, mode=mode)  # type: ignore[arg-type]  # their names
    return f"{'paired ' if how.paired else 'light ' if how.light else 'firm ' if how.firm else ''}{how.kind}"


def test_the_plainest_way_that_keeps_the_bound_is_taken() -> None:
    assert taken("relu") == taken("hard_swish") == "float"
    assert taken("relu", memory="double") == "double"
    assert taken("gelu") != "float"
    assert taken("gelu", mode="fast") == "float"
    assert taken("exp(x*x) - exp(x*x + x)") not in {"float", "firm float", "light float"}


@pytest.mark.parametrize("memory", ["half", "bfloat"])
def test_sixteen_bits_are_computed_as_float32_is(memory: str) -> None:
    for name in ("gelu", "mish", "tanh"):
        for wanted in (None, (True,)):
            assert taken(name, memory=memory, wanted=wanted) == taken(name, wanted=wanted)


def test_ways_are_tried_at_special_points_too() -> None:
    (x,) = sample(Shape(formula("gelu"), (X,), ("stream",)), "float")
    assert x.isnan().any()
    assert {math.inf, -math.inf, 0.0} <= set(x[~x.isnan()].tolist())
    assert torch.signbit(x[x == 0]).any()
    assert ((x != 0) & (x.abs() < torch.finfo(torch.float32).smallest_normal)).any()
    assert x[x.isfinite()].abs().max() == torch.finfo(torch.float32).max


@pytest.mark.parametrize("text", ["gelu", "mish", "x*sin(x)", "softplus", "rational"])
def test_no_instruction_may_be_reordered(text: str) -> None:
    for wanted in (None, (True,)):
        shape = Shape(formula(text), (X,), ("stream",), wanted)
        made = plan(shape, memory="float", recipe=recipe(shape, memory="float", mode="accurate"))
        lines = text_of(made).split("\n")
        assert text_of(made) == "\n".join(lines)
        words = {word for line in lines for word in line.split()}
        assert not words & {"fast", "nnan", "ninf", "nsz", "arcp", "contract", "afn", "reassoc"}


# Limits.


@pytest.mark.parametrize(
    ("text", "left", "right"),
    [
        ("silu", 0.0, None),
        ("gelu", 0.0, None),
        ("mish", 0.0, None),
        ("x/(1 + abs(x))", -1.0, 1.0),
        ("x*x/(1 + x*x)", 1.0, 1.0),
        ("x*x*x/(1 + x*x)", -math.inf, math.inf),
        ("tanh", None, None),
        ("x*sin(x)", None, None),
        ("sin(x)/x", 0.0, 0.0),
    ],
)
def test_a_limit_is_used_where_the_program_misses_it(text: str, left: float | None, right: float | None) -> None:
    found = ends(formula(text), X)
    assert [None if end is None else end.limit for end in found] == [left, right]


# Formulas just typed, and the fast mode.


def test_a_new_formula_is_correct_at_once() -> None:
    text = "where(x > 0.37, x*tanh(1.21*x), 0.043*sin(2.9*x)*x)"
    x = torch.linspace(-4, 4, 999, requires_grad=True)
    y = functional(text)(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    wide = x.detach().double().requires_grad_()
    wanted = torch.where(wide > 0.37, wide * torch.tanh(1.21 * wide), 0.043 * torch.sin(2.9 * wide) * wide)
    (wanted_slope,) = torch.autograd.grad(wanted.sum(), wide)
    torch.testing.assert_close(y.double(), wanted, rtol=3e-7, atol=1e-8)
    torch.testing.assert_close(slope.double(), wanted_slope, rtol=6e-7, atol=3e-7)


@pytest.mark.parametrize("text", ["abs(x)**(1 + x*x)", "abs(x)**0.3", "x**70"])
def test_what_kernels_cannot_spell_runs_as_a_composite(text: str) -> None:
    with pytest.raises(CannotLower):
        kernels(text).check()
    x = torch.linspace(0.1, 2, 50, requires_grad=True)
    functional(text)(x).sum().backward()
    wide = x.detach().double().requires_grad_()
    functional(text)(wide).sum().backward()
    torch.testing.assert_close(x.grad.double(), wide.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "act", [act for act in CATALOG.values() if isinstance(act, Activation) and len(act.inputs) == 1], ids=str
)
def test_fast_results_are_near_the_accurate_ones_and_finite_wherever_those_are(act: Activation) -> None:
    powers = 10 ** torch.linspace(-30, 30, 121)
    x = torch.cat([torch.linspace(-12, 12, 1001), powers, -powers])
    outcomes = []
    for mode in ("fast", "accurate"):
        leaf = x.clone().requires_grad_()
        y = functional(act, mode=mode)(leaf)  # type: ignore[arg-type]  # their names
        outcomes.append((y.detach(), torch.autograd.grad(y, leaf, torch.ones_like(y))[0]))
    for fast, accurate in zip(*outcomes, strict=True):
        finite = accurate.isfinite()
        assert fast[finite].isfinite().all()
        # sums of terms up to the input's size may cancel
        size = torch.maximum(accurate.abs(), x.abs().clamp(min=1))
        assert ((fast - accurate).abs() <= 3e-6 * size)[finite].all()


@pytest.mark.parametrize("mode", ["accurate", "fast"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ["swiglu", "glu", "geglu"])
def test_a_huge_value_and_a_small_gate_give_what_is_between(name: str, dtype: torch.dtype, mode: Mode) -> None:
    huge = torch.finfo(dtype).max / 2
    value, gate = torch.tensor([huge, -huge, huge, 1.0], dtype=dtype), torch.tensor([-8.0, -2.5, -12.0, -3.0]).to(dtype)
    leaves = value.requires_grad_(), gate.requires_grad_()
    f = functional(name, mode=mode)
    y = f(*leaves)
    by_value, by_gate = torch.autograd.grad(y, leaves, torch.ones_like(y))
    scaled = (value.detach() / huge).requires_grad_(), gate  # the same, with nothing near the largest number
    wanted = f(*scaled)
    slopes = torch.autograd.grad(wanted, scaled, torch.ones_like(y))
    torch.testing.assert_close(y, wanted * huge)
    torch.testing.assert_close(by_value, slopes[0])
    torch.testing.assert_close(by_gate, slopes[1] * huge)


@pytest.mark.parametrize("mode", ["accurate", "fast"])
@pytest.mark.parametrize("name", ["swiglu", "geglu", "clamped_swiglu"])
def test_an_infinite_gate_gives_the_limit(name: str, mode: Mode) -> None:
    leaves = torch.tensor([-2.5, 3.0], requires_grad=True), torch.full((2,), -torch.inf, requires_grad=True)
    y = functional(name, mode=mode)(*leaves)
    for found in (y, *torch.autograd.grad(y, leaves, torch.ones(2))):
        assert found.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("formula", "left", "right"),
    [
        ("sin(x)/x", 0.0, 0.0),
        ("x + sin(x)*sin(x)", -math.inf, math.inf),
        ("x*sin(x)", None, None),
        ("sin(x)", None, None),
        ("cos(x)*exp(-x)", None, 0.0),
    ],
)
def test_an_oscillating_formula_has_a_limit_only_where_it_settles(
    formula: str, left: float | None, right: float | None
) -> None:
    act = get(formula)
    assert isinstance(act, Activation)
    found = ends(act.expression, Input("x"))
    assert tuple(None if end is None else end.limit for end in found) == (left, right)


@pytest.mark.parametrize("mode", ["accurate", "fast"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_logarithms_of_the_largest_numbers_are_numbers(dtype: torch.dtype, mode: Mode) -> None:
    x = torch.finfo(dtype).max * torch.tensor([0.3, 0.45, 0.75, 0.99, 1.0], dtype=dtype)
    torch.testing.assert_close(functional("symlog", mode=mode)(-x), -torch.log1p(x))
    torch.testing.assert_close(functional("nlrelu", mode=mode)(x), torch.log1p(x))


@pytest.mark.parametrize("mode", ["accurate", "fast"])
def test_a_closed_gate_lets_nan_through_but_no_infinity(mode: Mode) -> None:
    value = torch.tensor([torch.inf, -torch.inf, torch.nan, torch.inf], requires_grad=True)
    gate = torch.tensor([-2.5, -2.5, -2.5, 2.5], requires_grad=True)
    y = functional("reglu", mode=mode)(value, gate)
    by_gate = torch.autograd.grad(y, gate, torch.ones(4))[0]
    for found in (y, by_gate):
        assert found.nan_to_num(nan=7, posinf=8).tolist() == [0.0, 0.0, 7.0, 8.0]
