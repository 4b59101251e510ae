"""The activations along an axis of 2022 to 2025 against their papers' formulas, masked, learned, differentiated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from mpmath import exp, fsum, log, mp, mpf, sqrt
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import oracles
from actlab.catalog.index import CATALOG, get
from actlab.formula.along_axis import AxisActivation
from actlab.nn import functional, module

Row = Sequence[mpf]


def shares(weights: Row) -> list[mpf]:
    whole = fsum(weights)
    return [each / whole for each in weights]


def softpick(x: Row, *, eps: mpf) -> list[mpf]:
    whole = fsum(abs(exp(each) - 1) for each in x) + eps
    return [max(exp(each) - 1, mpf(0)) / whole for each in x]


def gaussian_topk(x: Row, *, multiplier: mpf) -> list[mpf]:
    mean = fsum(x) / len(x)
    cutoff = mean + multiplier * sqrt(fsum((each - mean) ** 2 for each in x) / len(x))
    return [max(each - cutoff, mpf(0)) for each in x]


def polynorm(x: Row, *, a1: mpf, a2: mpf, a3: mpf, bias: mpf, eps: mpf) -> list[mpf]:
    def normed(power: int, at: int) -> mpf:
        return x[at] ** power / sqrt(fsum(each ** (2 * power) for each in x) / len(x) + eps)

    return [a1 * normed(1, at) + a2 * normed(2, at) + a3 * normed(3, at) + bias for at in range(len(x))]


BY_HAND: dict[str, Callable[..., list[mpf]]] = {
    "softmax1": lambda x, *, sink: shares([*map(exp, x), exp(sink)])[:-1],
    "softpick": softpick,
    "ssmax": lambda x, *, s: shares([mpf(len(x)) ** (s * each) for each in x]),
    "sigmoid_attention": lambda x: [1 / (1 + exp(log(len(x)) - each)) for each in x],
    "gaussian_topk": gaussian_topk,
    "solu": lambda x: [each * share for each, share in zip(x, shares([*map(exp, x)]), strict=True)],
    "polynorm": polynorm,
}
RECENT = [CATALOG[name] for name in BY_HAND]
every_recent = pytest.mark.parametrize("act", RECENT, ids=str)
ROWS = (
    (0.3, -0.4, 0.9, 0.75, -3.0),
    (2.6,),
    (1.5, 1.5, -0.25),
    (40.0, -35.0, 12.0, 1e-9, -1e-9, 39.0),
    tuple(math.sin(3.1 * at) * 4 for at in range(33)),
)


def exactly(act: AxisActivation, row: Sequence[float]) -> list[float]:
    with mp.workdps(oracles.DIGITS):
        params = {param.name: mpf(param.exact.numerator) / param.exact.denominator for param in act.params}
        return [float(each) for each in BY_HAND[act.name]([*map(mpf, row)], **params)]


def bound(act: AxisActivation) -> list[AxisActivation]:
    return [act, *([act.bind(**{act.params[0].name: 0.75})] if act.params else [])]


@pytest.mark.parametrize(
    ("dtype", "roundings"), [(torch.float64, 16), (torch.float32, 4), (torch.bfloat16, 1)], ids=str
)
@every_recent
def test_kernels_and_composite_equal_the_papers_formula(
    act: AxisActivation, dtype: torch.dtype, roundings: int
) -> None:
    for each in bound(act):
        for row in ROWS:
            x = torch.tensor([row, row[::-1]], dtype=dtype)
            wanted = torch.tensor([exactly(each, line) for line in x.tolist()], dtype=torch.float64)
            # a share of the row's largest, and what a difference of inputs has lost
            size = wanted.abs() + (x.double().abs().amax(1, keepdim=True) if act.name == "gaussian_topk" else 0)
            near = roundings * torch.finfo(dtype).eps * size + 1e-30
            found = functional(each)(x)
            assert found.dtype == dtype
            assert ((found.double() - wanted).abs() <= near).all(), (each.label, row, found, wanted)
            across = functional(each)(x.t().contiguous(), dim=0).t()
            assert torch.equal(across, found)


@every_recent
def test_derivatives_along_any_axis_and_by_every_parameter(act: AxisActivation) -> None:
    x = torch.tensor([[2.6, 0.3, -0.45], [1.4, 1.0, -1.2]], dtype=torch.float64, requires_grad=True)
    checks = {"check_forward_ad": True, "check_batched_grad": True, "check_batched_forward_grad": True}
    assert gradcheck(functional(act), (x,), **checks)
    assert gradgradcheck(functional(act), (x,), fast_mode=True)
    params = [torch.tensor(param.value or 0.1, dtype=torch.float64, requires_grad=True) for param in act.params]
    names = [param.name for param in act.params if param.name != "eps"]
    if names:

        def of_params(t: Tensor, *given: Tensor) -> Tensor:
            made: Tensor = functional(act)(t, dim=0, **dict(zip(names, given, strict=True)))
            return made

        assert gradcheck(of_params, (x, *params[: len(names)]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@every_recent
def test_masked_entries_count_for_nothing_and_masked_rows_are_0(act: AxisActivation, dtype: torch.dtype) -> None:
    x = torch.tensor(
        [[0.3, -math.inf, 1.1, -0.4], [-math.inf] * 4, [-math.inf, 2.0, -math.inf, -math.inf]], dtype=dtype
    )
    kept = x.isfinite()
    made = [functional(act), module(act), torch.compile(module(act), backend="aot_eager", fullgraph=True)]
    for function in made:
        leaf = x.clone().requires_grad_()
        y = function(leaf)
        (slope,) = torch.autograd.grad(y, leaf, torch.full_like(y, 0.5) + y.detach())
        assert (y[~kept] == 0).all()
        assert (slope[~kept] == 0).all()
        for row in (0, 2):
            few = x[row][kept[row]].clone().requires_grad_()
            alone = function(few)
            (few_slope,) = torch.autograd.grad(alone, few, torch.full_like(alone, 0.5) + alone.detach())
            near = {"rtol": 16 * torch.finfo(dtype).eps, "atol": 4 * torch.finfo(dtype).eps}
            torch.testing.assert_close(y[row][kept[row]], alone, **near)
            torch.testing.assert_close(slope[row][kept[row]], few_slope, **near)


@every_recent
def test_parameters_are_learned_head_by_head(act: AxisActivation) -> None:
    learned = [param.name for param in act.params if param.trainable]
    if not learned:
        assert not list(module(act).parameters())
        return
    layer = module(act, channels=3, channel_axis=1).double()
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[0, 1, 2] = -math.inf
    layer(x).square().sum().backward()
    for name in learned:
        values = layer.get_parameter(name)
        assert values.shape == (3,)
        assert values.grad is not None
        assert values.grad.isfinite().all()
        assert values.grad.abs().min() > 0
    with torch.no_grad():
        layer.get_parameter(learned[0])[1] = 0.9
    values = {name: layer.get_parameter(name)[1].item() for name in learned}
    wanted = functional(act.bind(**values))(x[:, 1])
    torch.testing.assert_close(layer(x)[:, 1].detach(), wanted, rtol=1e-12, atol=1e-14)
    assert "channels=3" in repr(layer)


def test_softmax1_without_a_sink_is_softmax_and_gpt_oss_drops_the_sink() -> None:
    x = torch.randn(4, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(functional(get("softmax1", sink=-700))(x), x.softmax(-1))
    joined = torch.cat([x, torch.full((4, 1), 1.25, dtype=torch.float64)], dim=-1)
    torch.testing.assert_close(functional(get("softmax1", sink=1.25))(x), joined.softmax(-1)[:, :-1])


def test_gaussian_topk_is_gemmas() -> None:
    # Transformers, Gemma3nTextMLP: relu(x - (mean + std*icdf(0.95))), the standard deviation with n below it
    x = torch.randn(3, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    quantile = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(0.95, dtype=torch.float64))
    wanted = torch.relu(x - (x.mean(-1, keepdim=True) + x.std(-1, keepdim=True, unbiased=False) * quantile))
    torch.testing.assert_close(functional("gaussian_topk")(x), wanted)
    equal = torch.full((1, 5), 3.0, requires_grad=True)
    functional("gaussian_topk")(equal).sum().backward()
    assert equal.grad is not None
    assert equal.grad.isfinite().all()


def test_far_values_neither_overflow_nor_lose_their_place() -> None:
    x = torch.tensor([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [3e38, 1e38, -3e38]])
    for name in ("softmax1", "softpick", "ssmax", "sigmoid_attention", "solu"):
        assert functional(name)(x).isfinite().all(), name
    assert functional("softpick")(x)[0].tolist() == [1, 0, 0]
    assert functional("softmax1")(x)[1].tolist() == [0, 0, 0]
