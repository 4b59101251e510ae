"""Every activation as a module and a function of PyTorch: derivatives, batches, copies, dtypes, layouts, axes."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.gradcheck import GradcheckError

import oracles
import tolerances
from actlab.catalog.index import CATALOG
from actlab.formula import atoms
from actlab.formula.activation import Activation, activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.atoms import where
from actlab.nn import functional, module
from actlab.nn.operator import apply, pointwise_of

POINTWISE = [act for act in CATALOG.values() if isinstance(act, Activation)]
ONE_INPUT = [act for act in POINTWISE if len(act.inputs) == 1]
GATED = [act for act in POINTWISE if len(act.inputs) == 2]
AXIS = [act for act in CATALOG.values() if isinstance(act, AxisActivation)]
PACKED = ("value_first", "gate_first", "interleaved")

# No activation of the catalog has a kink within a hundredth of these, nor are the sums and quotients of two of
# them nearer to one: numerical differentiation steps a millionth to either side.
AWAY_FROM_KINKS = (-4.37, -2.13, -1.27, -0.62, -0.13, 0.31, 0.83, 1.91, 2.63, 3.71, 7.31)

# Rows whose sparse results leave out two entries, one, and none, each by a clear margin.
ROWS = ((2.6, 0.3, 0.1), (1.4, 1.0, -1.2), (0.1, 0.25, -0.06))

every_pointwise = pytest.mark.parametrize("act", POINTWISE, ids=str)
every_one_input = pytest.mark.parametrize("act", ONE_INPUT, ids=str)
every_gated = pytest.mark.parametrize("act", GATED, ids=str)
with_params = pytest.mark.parametrize("act", [act for act in POINTWISE if act.params], ids=str)
one_input_with_params = pytest.mark.parametrize("act", [act for act in ONE_INPUT if act.params], ids=str)
every_axis = pytest.mark.parametrize("act", AXIS, ids=str)
every = pytest.mark.parametrize("act", CATALOG.values(), ids=str)


def doubles(values: Sequence[object]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def arguments(act: Activation, points: Sequence[float] = AWAY_FROM_KINKS) -> tuple[Tensor, ...]:
    """Make every input, two of them different, and every parameter at its value, all with a gradient."""
    inputs = [doubles(points), -0.77 * doubles(points).flip(0)][: len(act.inputs)]
    return tuple(tensor.requires_grad_() for tensor in (*inputs, *(doubles(param.value) for param in act.params)))


def of_arguments(act: Activation) -> Callable[..., Tensor]:
    """Return the activation as a function of its inputs and then its parameters."""
    function, count = functional(act), len(act.inputs)
    names = [param.name for param in act.params]
    return lambda *given: function(*given[:count], **dict(zip(names, given[count:], strict=True)))


def as_module(act: Activation | AxisActivation, **options: object) -> nn.Module:
    gated = {"layout": "value_first"} if len(act.inputs) == 2 else {}
    return module(act, **gated, **options)


@every_pointwise
def test_first_derivatives_by_inputs_and_parameters_in_both_modes_and_batched(act: Activation) -> None:
    checks = {"check_forward_ad": True, "check_batched_grad": True, "check_batched_forward_grad": True}
    assert gradcheck(of_arguments(act), arguments(act), **checks)


@every_pointwise
def test_second_derivatives_by_inputs_and_parameters(act: Activation) -> None:
    assert gradgradcheck(of_arguments(act), arguments(act), fast_mode=True)


@every_pointwise
def test_second_derivatives_forward_over_reverse(act: Activation) -> None:
    # by the inputs alone: the product with the parameters' own second derivatives is the same code
    inputs = arguments(act)[: len(act.inputs)]
    modes = {"check_fwd_over_rev": True, "check_rev_over_rev": False, "check_undefined_grad": False}
    assert gradgradcheck(functional(act), inputs, fast_mode=True, **modes)


@every_pointwise
def test_hessian_of_a_sum_is_diagonal_in_each_input(act: Activation) -> None:
    point = arguments(act)[0].detach()[:4]
    others = arguments(act)[1:]
    hessian = torch.func.hessian(
        lambda x: of_arguments(act)(x, *(each[:4] if each.dim() else each for each in others)).sum()
    )
    found = hessian(point)
    assert torch.equal(found, found.diagonal().diag())
    assert found.isfinite().all()


@every_pointwise
def test_gradients_of_single_examples_are_those_of_a_loop(act: Activation) -> None:
    function, given = of_arguments(act), [each.detach() for each in arguments(act)]
    inputs, params = given[: len(act.inputs)], given[len(act.inputs) :]
    places = tuple(range(len(given)))
    of_one = torch.func.grad(lambda *one: function(*one).sum(), argnums=places)
    batched = torch.func.vmap(of_one, in_dims=(*(0 for _ in inputs), *(None for _ in params)))(*given)
    looped = [of_one(*(each[at] for each in inputs), *params) for at in range(len(AWAY_FROM_KINKS))]
    for place, of_batch in enumerate(batched):
        torch.testing.assert_close(of_batch, torch.stack([one[place] for one in looped]), **tolerances.SAME_DOUBLES)


@with_params
def test_parameters_that_differ_from_lane_to_lane_are_those_of_a_loop(act: Activation) -> None:
    function, given = of_arguments(act), [each.detach() for each in arguments(act)]
    inputs, params = given[: len(act.inputs)], given[len(act.inputs) :]
    lanes = [torch.stack([param, param * 1.01, param * 0.99]) for param in params]
    batched = torch.func.vmap(function, in_dims=(*(None for _ in inputs), *(0 for _ in params)))(*inputs, *lanes)
    looped = [function(*inputs, *(lane[at] for lane in lanes)) for at in range(3)]
    torch.testing.assert_close(batched, torch.stack(looped), **tolerances.SAME_DOUBLES)


@every
def test_copies_and_pickles_give_the_same_and_are_their_own(act: Activation | AxisActivation) -> None:
    original = as_module(act).eval()
    x = torch.linspace(-3, 3, 24).reshape(4, 6)
    for copied in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
        assert torch.equal(copied(x), original(x))
        assert repr(copied) == repr(original)
        before = original(x)
        for learned in copied.parameters():
            nn.init.constant_(learned, 7.0)
        assert torch.equal(original(x), before)


@every
def test_functions_can_be_pickled_and_compared(act: Activation | AxisActivation) -> None:
    function = functional(act)
    assert pickle.loads(pickle.dumps(function)) == function
    assert hash(pickle.loads(pickle.dumps(function))) == hash(function)


@pytest.mark.parametrize("channels", [None, 6])
@one_input_with_params
def test_trained_parameters_are_in_the_state_dict(act: Activation, channels: int | None) -> None:
    taught, fresh = (module(act, trainable=True, channels=channels).eval() for _ in range(2))
    assert sorted(taught.state_dict()) == sorted(param.name for param in act.params)
    for learned in taught.parameters():
        assert learned.shape == (channels or 1,)
        nn.init.normal_(learned, learned[0].item(), 0.05 * abs(learned[0].item()))
    x = torch.linspace(-3, 3, 24).reshape(4, 6)
    fresh.load_state_dict(taught.state_dict())
    assert torch.equal(fresh(x), taught(x))


@one_input_with_params
def test_a_channels_parameters_act_on_its_channel_alone(act: Activation) -> None:
    several = module(act, trainable=True, channels=3).eval()
    with torch.no_grad():
        for learned in several.parameters():
            learned.mul_(torch.tensor([1.0, 1.02, 0.98]))
    x = torch.linspace(-3, 3, 24).reshape(2, 3, 4)
    for channel in range(3):
        alone = module(act, trainable=True).eval()
        alone.load_state_dict({name: values[channel : channel + 1] for name, values in several.state_dict().items()})
        torch.testing.assert_close(several(x)[:, channel], alone(x[:, channel]), **tolerances.SAME_NUMBERS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@every
def test_the_result_and_the_gradient_have_the_dtype_of_the_input(
    act: Activation | AxisActivation, dtype: torch.dtype
) -> None:
    x = torch.linspace(-3, 3, 24, dtype=dtype).reshape(4, 6).requires_grad_()
    y = as_module(act)(x)
    y.sum().backward()
    assert y.dtype == dtype
    assert x.grad is not None
    assert x.grad.dtype == dtype
    assert y.isfinite().all()


def every_value(dtype: torch.dtype) -> Tensor:
    """List all finite values of a 16-bit dtype."""
    values = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    return values[values.isfinite()]


def gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.detach().clone().requires_grad_()
    y = function(leaf)
    y.backward(torch.ones_like(y))
    assert leaf.grad is not None
    return y.detach(), leaf.grad


def same(left: Tensor, right: Tensor) -> bool:
    return torch.equal(left.nan_to_num(nan=1234.0), right.nan_to_num(nan=1234.0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@every_one_input
def test_sixteen_bits_are_computed_in_float32_and_rounded_once(act: Activation, dtype: torch.dtype) -> None:
    x = every_value(dtype)
    kernel = partial(apply, pointwise_of(act))  # PyTorch's operator may compute float32 alone
    for ours, wide in zip(gradient(functional(act), x), gradient(kernel, x.float()), strict=True):
        assert same(ours, wide.to(dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("act", [act for act in ONE_INPUT if act.reference], ids=str)
def test_sixteen_bits_are_no_further_off_than_twice_pytorchs(act: Activation, dtype: torch.dtype) -> None:
    x = every_value(dtype)
    x = x[x.abs() <= tolerances.OVERFLOWS.get(act.name, (math.inf, ""))[0]]
    reference = prelu_of(act) if act.name == "prelu" else oracles.reference(act)
    exact = gradient(functional(act), x.double())
    theirs = gradient(reference, x)
    absolute, _ = tolerances.SIXTEEN_BITS.get(act.name, (tolerances.SMALLEST_FLOAT32, ""))
    for ours, other, truth in zip(gradient(functional(act), x), theirs, exact, strict=True):
        theirs_off = (other.double() - truth).abs().nan_to_num(nan=math.inf)
        nearest_off = (truth.to(dtype).double() - truth).abs()
        allowed = torch.maximum(2 * theirs_off, nearest_off) + absolute
        wrong = ~(((ours.double() - truth).abs() <= allowed) | same_each(ours, truth.to(dtype)))
        assert not wrong.any(), list(zip(x[wrong][:5], ours[wrong][:5], truth[wrong][:5], strict=True))


def prelu_of(act: Activation) -> Callable[[Tensor], Tensor]:
    """Return PyTorch's, which needs its weight in the dtype of the input."""
    return lambda x: nn.functional.prelu(x, torch.full((1,), act.params[0].value, dtype=x.dtype))


def same_each(left: Tensor, right: Tensor) -> Tensor:
    return (left == right) | (left.isnan() & right.isnan())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@every_pointwise
def test_a_branch_not_taken_spoils_no_gradient(act: Activation, dtype: torch.dtype) -> None:
    far = torch.tensor([-1e9, -1e4, -100.0, -30.0, 0.0, 30.0, 100.0, 1e4, 1e9], dtype=dtype)
    inputs = torch.cartesian_prod(far, far).unbind(1) if len(act.inputs) == 2 else (far,)
    found = gradients_of_any_order(functional(act), inputs)
    for order, slopes in enumerate(found):
        assert not slopes.isnan().any(), (order, inputs[0][slopes.isnan()], slopes)


def gradients_of_any_order(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Compute the value, the derivatives by each input, and the second derivatives."""
    leaves = [each.detach().clone().requires_grad_() for each in inputs]
    y = function(*leaves)
    first = torch.autograd.grad(y.sum(), leaves, create_graph=True)
    bending = [each.sum() for each in first if each.requires_grad]  # the slope of the identity is constant
    second = torch.autograd.grad(sum(bending), leaves, allow_unused=True) if bending else ()
    return [y.detach(), *(each.detach() for each in first), *(each for each in second if each is not None)]


@every_gated
def test_the_four_layouts_agree(act: Activation) -> None:
    value, gate = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).unbind()
    wanted, *slopes = gradients_of_two(module(act, layout="two"), value, gate)
    for dim in (0, 1, -1):
        packed = {
            "value_first": torch.cat([value, gate], dim),
            "gate_first": torch.cat([gate, value], dim),
            "interleaved": torch.stack([value, gate], dim % 3 + 1).flatten(dim % 3, dim % 3 + 1),
        }
        for layout in PACKED:
            y, slope = gradient(module(act, layout=layout, dim=dim), packed[layout])
            # the same numbers but for the last bits: PyTorch computes strided tensors in another order
            for found, expected in zip((y, *unpacked(slope, layout, dim)), (wanted, *slopes), strict=True):
                torch.testing.assert_close(found, expected, **tolerances.SAME_NUMBERS)


def gradients_of_two(unit: nn.Module, value: Tensor, gate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    leaves = value.clone().requires_grad_(), gate.clone().requires_grad_()
    y = unit(*leaves)
    y.sum().backward()
    assert leaves[0].grad is not None
    assert leaves[1].grad is not None
    return y.detach(), leaves[0].grad, leaves[1].grad


def unpacked(packed: Tensor, layout: str, dim: int) -> tuple[Tensor, Tensor]:
    size = packed.shape[dim]
    if layout == "interleaved":
        first, second = (packed.index_select(dim, torch.arange(start, size, 2)) for start in (0, 1))
    else:
        first, second = packed.split(size // 2, dim)
    return (second, first) if layout == "gate_first" else (first, second)


@every_axis
def test_derivatives_along_an_axis(act: AxisActivation) -> None:
    x = doubles(ROWS).requires_grad_()
    checks = {"check_forward_ad": True, "check_batched_grad": True, "check_batched_forward_grad": True}
    assert gradcheck(functional(act), (x,), **checks)
    assert gradgradcheck(functional(act), (x,), check_fwd_over_rev=True, check_batched_grad=True)


@every_axis
def test_every_axis_is_like_the_last(act: AxisActivation) -> None:
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for axis in range(-4, 4):
        y, slope = gradient(lambda t, axis=axis: module(act, dim=axis)(t) ** 2, x)
        moved = gradient(lambda t: module(act)(t) ** 2, x.movedim(axis, -1))
        torch.testing.assert_close(y, moved[0].movedim(-1, axis), **tolerances.SAME_DOUBLES)
        torch.testing.assert_close(slope, moved[1].movedim(-1, axis), **tolerances.SAME_DOUBLES)


@every_axis
def test_entries_masked_with_infinity_have_no_effect(act: AxisActivation) -> None:
    masked = math.inf if act.name == "softmin" else -math.inf
    x = doubles([[0.3, masked, 1.1, -0.4], [masked, 2.0, masked, 1.9]])
    kept = x.isfinite()
    y, slope = gradient(lambda t: module(act)(t)[kept].square(), x)
    for row in range(2):
        alone = gradient(lambda t: module(act)(t).square(), x[row][kept[row]])
        torch.testing.assert_close(slope[row][kept[row]], alone[1], **tolerances.SAME_DOUBLES)
    assert not slope.isnan().any()
    assert (slope[~kept] == 0).all()
    result = module(act)(x)
    assert (result[~kept] == (-math.inf if act.name == "log_softmax" else 0)).all()
    assert y.isfinite().all()


@every_axis
def test_large_rows_neither_overflow_nor_lose_their_place(act: AxisActivation) -> None:
    y = module(act)(torch.tensor([[1e4, -1e4, 0.0], [3e38, 1e38, -3e38], [-1e4, -1e4, -1e4]]))
    shares = y.exp() if act.name == "log_softmax" else y
    torch.testing.assert_close(shares.sum(-1), torch.ones(3))
    assert not y.isnan().any()


@every_axis
def test_a_long_row_of_far_values_leaves_the_near_one_alone(act: AxisActivation) -> None:
    x = torch.full((20_000,), -1e4).index_fill(0, torch.tensor([7]), 0.0)
    y = functional(act)(-x if act.name == "softmin" else x)
    assert y[7] == (0 if act.name == "log_softmax" else 1)


# The contracts fail on an activation that breaks them.


@activation(source="a counterexample")
def spoilt(x):
    """Multiply by 0 instead of choosing: if the other factor is infinite, the result is NaN."""
    return where(x <= 0, 0, 1) * (1 / (x + atoms.abs(x)))


@activation(source="a counterexample")
def kinked(x):
    """Have a kink beside a point of the checks."""
    return where(x <= 0.310000001, 2 * x, x)


def test_a_spoilt_gradient_is_found() -> None:
    with pytest.raises(AssertionError):
        test_a_branch_not_taken_spoils_no_gradient(spoilt, torch.float32)


def test_a_wrong_derivative_is_found() -> None:
    with pytest.raises(GradcheckError):
        test_first_derivatives_by_inputs_and_parameters_in_both_modes_and_batched(kinked)
