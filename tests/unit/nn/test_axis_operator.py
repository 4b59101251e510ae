"""Which way an activation along an axis goes: to its kernels where it can, with the same numbers where it cannot."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

import tolerances
from actlab.catalog.index import CATALOG, get
from actlab.formula.along_axis import AxisActivation
from actlab.kernels.axis.kernels import AxisKernels
from actlab.nn.axis_operator import apply_along_axis, axiswise
from actlab.nn.functions import functional

AXIS = [act for act in CATALOG.values() if isinstance(act, AxisActivation)]
every_axis = pytest.mark.parametrize("act", AXIS, ids=str)


def drawn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[AxisKernels]:
    """Record the kernels that are run, in order."""
    seen: list[AxisKernels] = []
    run = AxisKernels.run

    def spying(self: AxisKernels, tensors: list[Tensor], *, axis: int) -> Tensor:
        seen.append(self)
        return run(self, tensors, axis=axis)

    monkeypatch.setattr(AxisKernels, "run", spying)
    return seen


def gradient(act: AxisActivation, x: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    y = functional(act)(leaf)
    return y.detach(), torch.autograd.grad(y, leaf, dy)[0]


@every_axis
def test_training_runs_two_kernels(act: AxisActivation, calls: list[AxisKernels]) -> None:
    made = axiswise(act)
    gradient(act, drawn(3, 4), drawn(3, 4))
    gradient(act, drawn(3, 4, dtype=torch.bfloat16), drawn(3, 4, dtype=torch.bfloat16))
    functional(act)(drawn(3, 4))
    assert calls == [made.kernels, made.pull_back, made.kernels, made.pull_back_16, made.kernels]


@every_axis
def test_forward_mode_runs_a_kernel(act: AxisActivation, calls: list[AxisKernels]) -> None:
    x, v = drawn(3, 4), drawn(3, 4, seed=1)
    with torch.no_grad(), forward_ad.dual_level():
        pushed = forward_ad.unpack_dual(functional(act)(forward_ad.make_dual(x, v))).tangent
    assert calls == [axiswise(act).kernels, axiswise(act).push_forward]
    wanted = axiswise(act).jvp(functional(act)(x), v, 1)
    torch.testing.assert_close(pushed, wanted, **tolerances.SAME_NUMBERS)


@every_axis
def test_without_kernels_the_composite_gives_the_same(
    act: AxisActivation, monkeypatch: pytest.MonkeyPatch, calls: list[AxisKernels]
) -> None:
    for dtype, same in ((torch.float32, tolerances.SAME_NUMBERS), (torch.float64, tolerances.SAME_DOUBLES)):
        x, dy = drawn(5, 7, dtype=dtype), drawn(5, 7, dtype=dtype, seed=1)
        ours = gradient(act, x, dy)
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setitem(vars(axiswise(act)), "lacks", "for once")
            theirs = gradient(act, x, dy)
        assert not calls
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, **same)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@every_axis
def test_sixteen_bits_have_the_gradient_of_their_exact_output(act: AxisActivation, dtype: torch.dtype) -> None:
    x, dy = 3 * drawn(4, 30, dtype=dtype), drawn(4, 30, dtype=dtype, seed=1)
    _, found = gradient(act, x, dy)
    _, exact = gradient(act, x.double(), dy.double())
    allowed = 0.501 * torch.finfo(dtype).eps * exact.abs() + 2e-7
    assert ((found.double() - exact).abs() <= allowed).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@every_axis
def test_second_derivatives_of_any_dtype(act: AxisActivation, dtype: torch.dtype) -> None:
    def second(x: Tensor) -> Tensor:
        leaf = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(functional(act)(leaf).square().sum(), leaf, create_graph=True)
        return torch.autograd.grad(first.square().sum(), leaf)[0]

    x = drawn(3, 6, dtype=dtype)
    exact = second(x.double())
    atol = 4 * torch.finfo(dtype).eps * max(1.0, exact.abs().max().item())
    torch.testing.assert_close(second(x).double(), exact, rtol=0, atol=atol)


def test_the_output_is_saved_and_in_sixteen_bits_the_input() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        x = drawn(3, 4, dtype=dtype).requires_grad_()
        kept: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda each, kept=kept: kept.append(each) or each, lambda y: y):
            y = functional("softmax")(x)
        (only,) = kept
        assert only.data_ptr() == (x if dtype == torch.bfloat16 else y).data_ptr()


def test_tensors_that_no_kernel_can_read_take_the_composite(calls: list[AxisKernels]) -> None:
    x = drawn(2, 3)
    lazily = torch._neg_view(x)
    torch.testing.assert_close(functional("softmax")(lazily), torch.softmax(-x, -1))
    assert not calls
    assert functional("softmax")(x.to("meta")).shape == (2, 3)
    assert not calls


def test_a_view_that_negates_lazily_is_negated_in_every_operator() -> None:
    x = torch.arange(1.0, 4.0)
    assert torch.equal(functional("relu")(torch._neg_view(x)), torch.zeros(3))


def test_modules_share_what_runs() -> None:
    softmax = get("softmax")
    assert isinstance(softmax, AxisActivation)
    assert axiswise(softmax) is axiswise(softmax)
    assert apply_along_axis(axiswise(softmax), drawn(3), axis=0).sum().item() == pytest.approx(1)
