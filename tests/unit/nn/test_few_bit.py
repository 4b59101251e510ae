"""Few-bit memory: the same forward, the gradient of the steps, exact where the activation is piecewise linear."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from actlab.catalog.index import CATALOG, get
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.kernels import step_table
from actlab.nn import FewBit, functional, module
from actlab.nn.few_bit import FewBitFunction, few_bit
from actlab.nn.piecewise_linear import exact_staircase

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

# Every activation of the catalog whose gradient takes a few values, and formulas that spell such in other ways.
STRAIGHT = (
    "relu", "relu6", "leaky_relu", "prelu", "threshold", "fat_relu", "hard_sigmoid", "sparse_sigmoid", "hard_tanh",
    "soft_shrink", "hard_shrink", "max(x, 0.2*x)", "abs(x)", "min(max(x, -0.1), 0.3)", "where(2*x + 1 > 0.3, x, 3*x)",
    "abs(abs(x) - 1)", "where(x < 1, x, where(x > 1, x, 5))", "max(x, 0) + 0.5*max(x - 0.7, 0) - 0.1*x",
)  # fmt: skip


def gradient(function: object, x: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    y = function(x)
    (dx,) = torch.autograd.grad(y, x, dy)
    return y.detach(), dx


def kept_bytes(function: object, x: Tensor) -> int:
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        function(x.detach().requires_grad_())
    return sum(tensor.nbytes for tensor in kept)


def points(act: Activation, dtype: torch.dtype) -> Tensor:
    """List the places where the derivative may change in this dtype, their neighbors, and many ordinary numbers."""
    working = torch.float64 if dtype == torch.float64 else torch.float32
    table = exact_staircase(act, working)
    assert table is not None
    near = torch.tensor([border.at for border in table.borders] + [0.0, -0.0, 1.0, -1.0, 0.1, 0.3, 0.7], dtype=dtype)
    beside = [torch.nextafter(near, torch.full_like(near, end)) for end in (-torch.inf, torch.inf)]
    noise = 2 * torch.randn(1000, generator=torch.Generator().manual_seed(0))
    return torch.cat([near, *beside, noise.to(dtype), torch.tensor([torch.inf, -torch.inf, torch.nan], dtype=dtype)])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", STRAIGHT)
def test_piecewise_linear_gradients_are_exact_to_the_last_bit(name: str, dtype: torch.dtype) -> None:
    few, plain = functional(name, memory="few-bit", bits=3), functional(name)
    x = points(few.activation, dtype)
    dy = torch.randn(len(x), generator=torch.Generator().manual_seed(1)).to(dtype)
    (y, dx), (plain_y, plain_dx) = gradient(few, x, dy), gradient(plain, x, dy)
    assert few.is_exact
    assert torch.equal(y.nan_to_num(7), plain_y.nan_to_num(7))
    # at NaN the gradient of PyTorch's own operator may be that of another piece
    there = ~x.isnan()
    assert torch.equal(dx[there].nan_to_num(7), plain_dx[there].nan_to_num(7)), x[dx != plain_dx]


def test_the_list_of_piecewise_linear_activations_is_complete() -> None:
    single = [act for act in CATALOG.values() if isinstance(act, Activation) and len(act.inputs) == 1]
    found = {act.name for act in single if not act.samplers and exact_staircase(act, torch.float32)}
    assert found - {"identity"} == {name for name in STRAIGHT if name in CATALOG}


@pytest.mark.parametrize(("name", "bits"), [("relu", 1), ("relu6", 1), ("hard_tanh", 1), ("abs(x)", 2), ("x", 0)])
def test_a_code_has_enough_bits_for_all_derivatives(name: str, bits: int) -> None:
    few = few_bit(name, bits=4)
    assert few.bits == bits
    if name != "x":
        assert kept_bytes(few, torch.zeros(1600)) == 1600 * bits / 8


def test_too_few_bits_for_all_derivatives_make_a_step_table() -> None:
    few = few_bit("abs(x)", bits=1)
    assert not few.is_exact
    assert few.tables[torch.float32].levels == (-1.0, 1.0)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_a_smooth_activation_saves_only_its_codes(bits: int) -> None:
    few = functional("gelu", memory="few-bit", bits=bits)
    x = torch.randn(40, 40, generator=torch.Generator().manual_seed(0)) * 3
    dy = torch.randn(40, 40, generator=torch.Generator().manual_seed(1))
    y, dx = gradient(few, x, dy)
    borders, levels, _ = step_table("gelu", bits)
    assert torch.equal(y, functional("gelu")(x))
    assert torch.equal(dx, dy * torch.tensor(levels)[torch.bucketize(x, torch.tensor(borders), right=True)])
    assert kept_bytes(few, x) == 1600 * bits // 8


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (17,), (3, 0), (2, 3, 5)])
def test_any_shape_and_dtype(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    y, dx = gradient(few_bit("silu", bits=2), x, torch.ones_like(x))
    assert (y.dtype, dx.dtype, y.shape, dx.shape) == (dtype, dtype, shape, shape)


def test_strided_inputs_give_the_same() -> None:
    few, base = few_bit("gelu", bits=4), torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    for view in (base.t(), base[:, ::2], base.expand(3, 6, 8)):
        dy = torch.randn(view.shape, generator=torch.Generator().manual_seed(1))
        for one, other in zip(gradient(few, view, dy), gradient(few, view.contiguous(), dy), strict=True):
            assert torch.equal(one, other)


def test_without_a_gradient_nothing_is_saved() -> None:
    few, x = few_bit("gelu"), torch.randn(3, requires_grad=True)
    assert few(x.detach()).grad_fn is None
    with torch.no_grad():
        assert few(x).grad_fn is None


def test_the_input_may_be_written_over_afterwards() -> None:
    weight, few = torch.randn(64, requires_grad=True), few_bit("gelu", bits=3)
    x = 2 * weight
    few(x).sum().backward(retain_graph=True)
    wanted = weight.grad.clone()
    weight.grad = None
    y = few(x)
    with torch.no_grad():
        x.zero_()
    y.sum().backward()
    assert torch.equal(weight.grad, wanted)


@pytest.mark.parametrize("name", ["gelu", "tanh", "softplus"])
def test_unbiased_means_right_on_average(name: str) -> None:
    few, draws = few_bit(name, bits=2, unbiased=True), 20000
    x = torch.linspace(-5, 5, 21)
    _, found = gradient(
        lambda x: few(x, generator=torch.Generator().manual_seed(0)), x.expand(draws, -1), torch.ones(draws, 21)
    )
    _, exact = gradient(functional(name), x, torch.ones(21))
    levels = torch.tensor(few.tables[torch.float32].levels)
    above = torch.bucketize(exact, levels).clamp(1, 3)
    variance = (exact - levels[above - 1]) * (levels[above] - exact)
    assert ((found.mean(0) - exact).abs() <= 5 * (variance / draws).sqrt() + 1e-4).all()
    assert all(len(column.unique()) <= 2 for column in found.T)


def test_an_unbiased_draw_follows_its_generator() -> None:
    few, x = few_bit("gelu", bits=1, unbiased=True), torch.randn(200, requires_grad=True)
    first, same, other = (
        torch.autograd.grad(few(x, generator=torch.Generator().manual_seed(seed)).sum(), x)[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_density_is_used() -> None:
    noise = torch.randn(1000, generator=torch.Generator().manual_seed(0)) / 4
    assert few_bit("gelu", bits=2, density=noise).tables != few_bit("gelu", bits=2).tables


def test_the_second_derivative_of_a_step_table_is_refused() -> None:
    x = torch.randn(8, requires_grad=True)
    with pytest.raises(BadInput, match=r"gelu saves 3 bits an element for backward, which have no second derivative"):
        torch.autograd.grad(few_bit("gelu", bits=3)(x).sum(), x, create_graph=True)


def test_piecewise_linear_activations_have_a_second_derivative() -> None:
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    dy = torch.tensor([3.0, 5.0], requires_grad=True)
    (dx,) = torch.autograd.grad(few_bit("leaky_relu")(x), x, dy, create_graph=True)
    (by_dy,) = torch.autograd.grad(dx.sum(), dy)
    torch.testing.assert_close(by_dy, torch.tensor([0.01, 1.0]))


def test_under_torch_func_and_forward_mode_the_gradient_is_exact() -> None:
    few, x = few_bit("gelu", bits=1), torch.randn(5, dtype=torch.float64)
    for transform in (
        lambda f: torch.func.grad(lambda x: f(x).sum())(x),
        lambda f: torch.func.vmap(torch.func.grad(lambda x: f(x)))(x),
        lambda f: torch.func.jvp(f, (x,), (torch.ones_like(x),))[1],
    ):
        torch.testing.assert_close(transform(few), transform(functional("gelu")))


def test_the_module_can_be_copied_and_pickled() -> None:
    made = FewBit("gelu", bits=3)
    assert repr(made) == "FewBit(gelu, bits=3)"
    assert not made.state_dict()
    x, dy = torch.randn(30), torch.randn(30)
    wanted = gradient(few_bit("gelu", bits=3), x, dy)
    for copied in (made, copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        for one, other in zip(gradient(copied, x, dy), wanted, strict=True):
            assert torch.equal(one, other)


def test_the_module_wraps_a_module_and_takes_its_mode() -> None:
    x, dy = torch.linspace(-12, 12, 20001), torch.ones(20001)
    for inner in (module("phish", mode="fast"), module("prelu", trainable=False)):
        outer = FewBit(inner, bits=2)
        assert outer.mode == inner.mode
        assert torch.equal(outer(x), inner(x))
        wanted = gradient(few_bit(inner.activation, bits=2, mode=inner.mode), x, dy)
        assert torch.equal(gradient(outer, x, dy)[1], wanted[1])


def test_the_module_draws_from_the_generator() -> None:
    few, x = FewBit("gelu", bits=1, unbiased=True), torch.randn(200, requires_grad=True)
    drawn = [
        torch.autograd.grad(few(x, generator=torch.Generator().manual_seed(seed)).sum(), x)[0] for seed in (1, 1, 2)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert repr(few) == "FewBit(gelu, bits=1, unbiased=True)"


def test_the_exported_module_is_the_ordinary_activation() -> None:
    x = torch.randn(4, 8)
    exported = torch.export.export(torch.nn.Sequential(torch.nn.Linear(8, 8), FewBit("gelu", bits=2)), (x,))
    assert exported.module()(x).shape == (4, 8)


def test_few_bit_memory_as_a_keyword_of_module_is_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match=r"memory='few-bit'\) is deprecated; use actlab.nn.FewBit") as caught:
        old = module("leaky_relu", memory="few-bit", bits=3, negative_slope=0.2, mode="fast")
    assert caught[0].filename == __file__
    assert (type(old), old.few) == (FewBit, few_bit("leaky_relu(negative_slope=0.2)", bits=3, mode="fast"))
    with pytest.raises(BadInput, match=r"bits goes with memory='few-bit'; got memory=None."):
        module("gelu", bits=3)


def test_functions_of_the_same_memory_are_equal() -> None:
    assert few_bit("gelu", bits=3) == few_bit("gelu", bits=3)
    assert few_bit("gelu", bits=3) != few_bit("gelu", bits=2)
    assert len({few_bit("gelu", bits=3), few_bit("gelu", bits=3), few_bit("silu", bits=3)}) == 2
    assert repr(few_bit("gelu", bits=3, unbiased=True)) == "few_bit('gelu', bits=3, unbiased=True)"
    assert isinstance(functional("gelu", memory="few-bit"), FewBitFunction)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: functional("gelu", memory="few-bit", bits=5), "bits must be 1, 2, 3 or 4; got 5."),
        (lambda: functional("relu", memory="few-bit", bits=0), "bits must be 1, 2, 3 or 4; got 0."),
        (lambda: functional("gelu", bits=3), "bits goes with memory='few-bit'; got memory=None."),
        (lambda: functional("gelu", memory="none"), "or 'few-bit'; got 'none'."),
        (lambda: functional("relu2", memory="few-bit"), "the derivative of relu2 has no bound"),
        (lambda: functional("swiglu", memory="few-bit"), "swiglu has two inputs: few bits are for activations of one."),
        (lambda: functional("softmax", memory="few-bit"), "softmax acts along an axis"),
        (lambda: FewBit("rrelu"), "rrelu draws slope at random"),
        (lambda: FewBit("gelu", bits=5), "bits must be 1, 2, 3 or 4; got 5."),
        (lambda: FewBit("gelu", mode="best"), "mode must be 'accurate' or 'fast'; got 'best'."),
        (lambda: FewBit(module("softmax")), "softmax acts along an axis"),
        (lambda: FewBit(module("swiglu", layout="two")), "swiglu has two inputs"),
        (lambda: FewBit("prelu"), "prelu learns weight, whose gradient needs the input itself. Fix the value: "
         "actlab.nn.FewBit(actlab.module('prelu', trainable=False))."),
        (lambda: FewBit(module("prelu")), "prelu learns weight"),
        (lambda: FewBit(torch.nn.GELU()), "a module of actlab is required; got GELU(approximate='none')."),
        (lambda: few_bit("gelu")(torch.tensor([1, 2])), "takes floating-point tensors"),
    ],
)  # fmt: skip
def test_invalid_requests_name_the_requirement(call: object, message: str) -> None:
    with pytest.raises(BadInput) as error:
        call()
    assert message in str(error.value)


@pytest.mark.parametrize("make", [few_bit, FewBit])
@pytest.mark.parametrize("name", ["gelu", "relu6"])
def test_compiled_results_are_equal_and_the_codes_are_saved(name: str, make: Callable[..., Any]) -> None:
    torch.compiler.reset()
    few = make(name, bits=3)
    compiled = torch.compile(lambda x: few(2 * x), backend="aot_eager_decomp_partition", fullgraph=True)
    x, dy = torch.randn(1600), torch.randn(1600)
    for one, other in zip(gradient(compiled, x, dy), gradient(lambda x: few(2 * x), x, dy), strict=True):
        torch.testing.assert_close(one, other)
    assert kept_bytes(compiled, x) == 1600 * few_bit(name, bits=3).bits // 8


def test_a_parameter_changes_the_levels() -> None:
    assert few_bit(get("leaky_relu", negative_slope=0.25)).tables[torch.float32].levels[0] == 0.25


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_mode_is_that_of_the_forward_pass(dtype: torch.dtype) -> None:
    x = torch.linspace(-12, 12, 20001).to(dtype).requires_grad_()
    for mode in ("accurate", "fast"):
        few = functional("phish", memory="few-bit", mode=mode)
        layer = FewBit("phish", mode=mode)
        assert few.mode == layer.few.mode == mode
        for made in (few, layer, pickle.loads(pickle.dumps(few))):
            assert torch.equal(made(x), functional("phish", mode=mode)(x))
    if dtype == torch.float32:  # the two modes differ
        assert not torch.equal(few_bit("phish", mode="fast")(x), few_bit("phish")(x))
    assert few_bit("phish", mode="fast") != few_bit("phish")
    assert repr(few_bit("phish", mode="fast")) == "few_bit('phish', bits=4, mode='fast')"


def test_the_exact_gradient_is_that_of_the_mode() -> None:
    formula = "max(x, 0)*0.1 + 0.7*max(x - 0.7, 0)*0.3 - 0.1*x*0.7"
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    for mode in ("accurate", "fast"):
        few, plain = functional(formula, memory="few-bit", mode=mode), functional(formula, mode=mode)
        assert few.is_exact
        assert torch.equal(gradient(few, x, torch.ones_like(x))[1], gradient(plain, x, torch.ones_like(x))[1])


@pytest.mark.parametrize("name", ["where(x > 0.7, x, 0.3*x)", "x*sigmoid(1.3*x)"])
@pytest.mark.parametrize("unbiased", [False, True])
def test_it_can_be_built_under_another_default_device(name: str, unbiased: bool) -> None:
    exact_staircase.cache_clear()
    with torch.device("meta"), torch.inference_mode():
        few = functional(name, memory="few-bit", bits=3, unbiased=unbiased)
        assert few.is_exact == ("where" in name)
    x, dy = torch.randn(2, 50, generator=torch.Generator().manual_seed(0)).unbind()
    assert torch.equal(gradient(few, x, dy)[0], functional(name)(x))
    if few.is_exact:
        assert torch.equal(gradient(few, x, dy)[1], gradient(functional(name), x, dy)[1])
