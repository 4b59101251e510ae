"""The differentiable operator beneath modules and functions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from actlab.catalog.index import get
from actlab.errors import BadInput
from actlab.formula.activation import Activation
from actlab.nn import functional
from actlab.nn.operator import Pointwise, apply, pointwise_of

DOUBLE = torch.float64


def made(text: str, *kept: str, **params: float) -> Pointwise:
    act = get(text, **params)
    assert isinstance(act, Activation)
    return pointwise_of(act, kept)


def test_the_slope_of_the_slope_is_the_second_derivative() -> None:
    x = torch.tensor([-1.0, 0.5, 2.0], dtype=DOUBLE, requires_grad=True)
    y = apply(made("x**4 - 3*x**2"), x)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    (third,) = torch.autograd.grad(second.sum(), x)
    torch.testing.assert_close(first, 4 * x**3 - 6 * x, rtol=1e-14, atol=0)
    torch.testing.assert_close(second, 12 * x**2 - 6, rtol=1e-14, atol=0)
    torch.testing.assert_close(third, 24 * x, rtol=1e-14, atol=0)


SHAPES = [
    ((4, 3), ()), ((4, 3), (1,)), ((4, 3), (3,)), ((2, 4, 3), (4, 1)), ((3,), (4, 3)), ((2, 4, 3), (4, 3)),
    ((2, 4, 3), (2, 1, 3)), ((2, 4, 3), (1, 1, 3)), ((2, 4, 3, 5), (4, 1, 5)),
]  # fmt: skip


@pytest.mark.parametrize("shapes", SHAPES)
def test_arguments_broadcast_and_each_gradient_has_its_own_shape(shapes: tuple[tuple[int, ...], ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(shape, dtype=DOUBLE, generator=generator).requires_grad_() for shape in shapes)
    prelu = made("prelu", "weight")
    assert gradcheck(lambda x, weight: apply(prelu, x, weight), (x, weight), check_forward_ad=True)
    assert gradgradcheck(lambda x, weight: apply(prelu, x, weight), (x, weight), check_fwd_over_rev=True)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE, torch.bfloat16], ids=str)
@pytest.mark.parametrize("count", [0, 5, 8193, 40_000, 1 << 21])
def test_two_contiguous_tensors_give_what_any_other_two_do(count: int, dtype: torch.dtype) -> None:
    geglu, generator = made("geglu"), torch.Generator().manual_seed(0)
    value, gate, dy = (torch.randn(count, generator=generator).to(dtype) for _ in range(3))
    for learns in ((True, True), (True, False), (False, True)):
        found = []
        for spaced in (False, True):
            given = [torch.stack([each, each], 1)[:, 0] if spaced else each.clone() for each in (value, gate)]
            leaves = [each.detach().requires_grad_(learn) for each, learn in zip(given, learns, strict=True)]
            y = apply(geglu, *leaves)
            asked = [leaf for leaf in leaves if leaf.requires_grad]
            found.append([y.detach(), *torch.autograd.grad(y, asked, dy, retain_graph=True)])
            again = torch.autograd.grad(y, asked, torch.stack([dy, dy], 1)[:, 0])
            assert all(map(torch.equal, again, found[-1][1:]))
        assert all(map(torch.equal, *found))


def test_two_tensors_kept_elsewhere_and_differentiated_twice() -> None:
    swiglu, (value, gate) = made("swiglu"), (torch.randn(7, dtype=DOUBLE, requires_grad=True) for _ in range(2))
    assert gradgradcheck(lambda *given: apply(swiglu, *given), (value, gate))
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor.numpy(force=True), torch.from_numpy):
        y = apply(swiglu, value, gate)
    found = torch.autograd.grad(y.sum(), (value, gate))
    wanted = torch.autograd.grad((value * torch.nn.functional.silu(gate)).sum(), (value, gate))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_a_slope_that_mentions_one_argument_has_the_shape_of_all() -> None:
    value = torch.tensor([[2.0], [3.0]], dtype=DOUBLE, requires_grad=True)
    gate = torch.tensor([[5.0, 7.0, 11.0]], dtype=DOUBLE, requires_grad=True)
    for text in ("value + gate", "value * gate", "value + gate**2"):
        pair = made(text)
        assert gradcheck(lambda *both, pair=pair: apply(pair, *both), (value, gate), check_forward_ad=True)
        assert gradgradcheck(lambda *both, pair=pair: apply(pair, *both), (value, gate), check_fwd_over_rev=True)


def test_the_identity_copies_nothing_and_keeps_nothing() -> None:
    x = torch.randn(3, requires_grad=True)
    y = apply(made("x"), x)
    assert y.data_ptr() == x.data_ptr()
    y.sum().backward()
    assert torch.equal(x.grad, torch.ones(3))


def test_a_formula_that_comes_to_its_input_is_no_alias_of_it() -> None:
    x = torch.randn(3, requires_grad=True)
    doubled = 2 * x
    y = apply(made("where(1 < 2, x, 0)"), doubled)
    y += 1
    y.sum().backward()
    assert torch.equal(y, doubled + 1)
    assert torch.equal(x.grad, torch.full((3,), 2.0))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1, 1, 1)])
def test_any_shape_even_an_empty_one(shape: tuple[int, ...]) -> None:
    x = torch.zeros(shape, requires_grad=True)
    y = apply(made("gelu"), x)
    y.sum().backward()
    assert y.shape == shape
    assert x.grad is not None
    assert x.grad.shape == shape


def test_strided_inputs_give_the_same_and_are_left_as_they_were() -> None:
    base = torch.randn(4, 6, dtype=DOUBLE)
    before = base.clone()
    for view in (base.t(), base[:, ::2], base[::2, 1:], base.expand(2, 4, 6)):
        torch.testing.assert_close(apply(made("mish"), view), apply(made("mish"), view.contiguous()))
    assert torch.equal(base, before)


def test_without_a_gradient_nothing_is_kept() -> None:
    x = torch.randn(3, requires_grad=True)
    with torch.no_grad():
        assert apply(made("gelu"), x).grad_fn is None
    with torch.inference_mode():
        assert apply(made("gelu"), x).is_inference()
    assert apply(made("gelu"), x.detach()).grad_fn is None


def test_only_what_asks_for_a_gradient_gets_one() -> None:
    x, weight = torch.randn(3), torch.tensor([0.25], requires_grad=True)
    apply(made("prelu", "weight"), x, weight).sum().backward()
    assert x.grad is None
    torch.testing.assert_close(weight.grad, x.clamp(max=0).sum().reshape(1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.tensor([1, 2]), "an activation takes floating-point tensors; x is torch.int64. Use x.float()."),
        (torch.tensor([True]), "an activation takes floating-point tensors; x is torch.bool. Use x.float()."),
        (
            torch.tensor([1j]),
            "an activation takes floating-point tensors; x is torch.complex64. Use x.real, x.imag or x.abs().",
        ),
        (1.5, "an activation takes tensors; x is of type float."),
    ],
)
def test_other_than_floating_point_tensors_are_refused(given: object, message: str) -> None:
    with pytest.raises(BadInput) as error:
        functional("gelu")(given)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("left", "right", "wanted"),
    [
        (torch.float32, torch.float64, torch.float64),
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float16, torch.float16, torch.float16),
    ],
)
def test_two_inputs_are_promoted_as_pytorch_does(left: torch.dtype, right: torch.dtype, wanted: torch.dtype) -> None:
    assert functional("swiglu")(torch.ones(2, dtype=left), torch.ones(2, dtype=right)).dtype == wanted


def test_parameters_follow_the_input_and_get_their_gradient_in_their_own_dtype() -> None:
    x, weight = torch.randn(3, dtype=torch.bfloat16), torch.tensor([0.25], requires_grad=True)
    y = apply(made("prelu", "weight"), x, weight)
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32


def test_under_autocast_the_dtype_of_the_input_stays() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x: Tensor = torch.nn.Linear(3, 4)(torch.randn(2, 3))
        assert functional("gelu")(x).dtype == torch.bfloat16


def test_a_full_hessian_of_two_inputs() -> None:
    value, gate = torch.tensor(0.7, dtype=DOUBLE), torch.tensor(-0.4, dtype=DOUBLE)
    pair = made("swiglu")
    found = torch.func.hessian(lambda *both: apply(pair, *both), argnums=(0, 1))(value, gate)
    wanted = torch.func.hessian(lambda v, g: v * g * torch.sigmoid(g), argnums=(0, 1))(value, gate)
    for of_ours, of_theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(of_ours, of_theirs)
