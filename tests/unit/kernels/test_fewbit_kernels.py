"""Few-bit memory in machine code: bit for bit what the plain operations give."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from actlab.kernels.fewbit import kernels as packed_kernels
from actlab.kernels.fewbit.codes import decode, encode
from actlab.nn import functional
from actlab.nn.few_bit import FewBitFunction, few_bit

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
SIZES = (1, 7, 8, 9, 15, 16, 17, 31, 8191, 8192, 8193, 8200, 40_000)


def numbers(count: int, dtype: torch.dtype) -> Tensor:
    x = 3 * torch.randn(count, generator=torch.Generator().manual_seed(count))
    special = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -0.0, 1e30])
    x[: min(6, count)] = special[: min(6, count)]
    return x.to(dtype)


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was called of the kernels."""
    called: list[str] = []
    for name in ("coded", "pulled"):
        function = getattr(packed_kernels, name)

        def noted(*args: object, name: str = name, function: object = function, **named: object) -> object:
            called.append(name)
            return function(*args, **named)  # type: ignore[operator]  # what getattr found

        monkeypatch.setattr(f"actlab.nn.few_bit.{name}", noted)
    return called


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize(
    ("formula", "bits"), [("gelu", 1), ("gelu", 2), ("gelu", 3), ("mish", 4), ("relu6", 1), ("abs(x)", 2)]
)
def test_codes_values_and_gradients_are_those_of_plain_operations(
    formula: str, bits: int, count: int, dtype: torch.dtype, fused: list[str]
) -> None:
    few, x = few_bit(formula, bits=bits), numbers(count, dtype)
    table = few.tables[torch.float64 if dtype == torch.float64 else torch.float32]
    y, codes = few.coded(x)
    assert torch.equal(codes, encode(x, table))
    assert torch.equal(y.nan_to_num(7), functional(formula)(x).nan_to_num(7))
    dy = numbers(count + 1, dtype)[1:]
    level = decode(codes, table, shape=x.shape, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    wanted = (dy.to(level.dtype) * level).to(dtype)
    with torch.no_grad():
        assert torch.equal(few.pulled(dy, codes).nan_to_num(7), wanted.nan_to_num(7))
    assert fused == ["coded", "pulled"]


def test_packed_kernels_work_under_autograd(fused: list[str]) -> None:
    x = torch.randn(3, 50, requires_grad=True)
    few_bit("gelu")(x).sum().backward()  # an incoming gradient that is spread and not contiguous
    assert fused == ["coded", "pulled"]


def test_threads_change_no_bit() -> None:
    few, x, before = few_bit("mish"), numbers(200_003, torch.float32), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(few.coded(x))
    finally:
        torch.set_num_threads(before)
    (y, codes), (other_y, other_codes) = found
    assert torch.equal(codes, other_codes)
    assert torch.equal(y.nan_to_num(7), other_y.nan_to_num(7))


def test_what_kernels_cannot_pack_runs_as_before(fused: list[str]) -> None:
    x = torch.randn(40, requires_grad=True)
    few_bit("x")(x).sum().backward()
    assert "coded" not in fused
    few_bit("gelu")(torch.randn(6, 8).t().requires_grad_())
    assert "coded" not in fused


def drawn(few: FewBitFunction, x: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The values, and the level drawn for each element."""
    y, codes = few.coded(x, generator=torch.Generator().manual_seed(seed))
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    return y, decode(codes, few.tables[wide], shape=x.shape, dtype=wide)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_a_drawn_level_is_one_of_the_two_around_the_derivative(bits: int, count: int, dtype: torch.dtype) -> None:
    few, x = few_bit("gelu", bits=bits, unbiased=True), numbers(count, dtype)
    y, levels = drawn(few, x, 0)
    assert torch.equal(y.nan_to_num(7), functional("gelu")(x).nan_to_num(7))
    table = torch.tensor(few.tables[torch.float32].levels, dtype=levels.dtype)
    wide = x.to(levels.dtype).requires_grad_()
    (slope,) = torch.autograd.grad(functional("gelu")(wide), wide, torch.ones_like(wide))
    upper = torch.bucketize(slope, table).clamp(1, len(table) - 1)
    fits = (levels == table[upper]) | (levels == table[upper - 1]) | slope.isnan()
    near = ((slope[:, None] - table).abs() < 1e-6).any(1)  # where the other interval may be meant
    assert (fits | near).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_draws_depend_only_on_seed_and_place_and_are_independent(dtype: torch.dtype) -> None:
    few, count = few_bit("sigmoid", bits=1, unbiased=True), 1 << 18
    x = torch.full((count,), 1.5).to(dtype)
    before, found = torch.get_num_threads(), []
    try:
        for team in (1, 2):
            torch.set_num_threads(team)
            found.append(drawn(few, x, 1)[1])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
    assert torch.equal(drawn(few, x[: count // 2 + 5], 1)[1], found[0][: count // 2 + 5])
    turned = x.reshape(64, -1).t().contiguous().t()
    assert torch.equal(drawn(few, turned, 1)[1].reshape(-1), found[0])
    high = (found[0] == found[0].max()).double()
    other = (drawn(few, x, 2)[1] == found[0].max()).double()
    spread = high.var()
    assert 0.1 < spread < 0.26
    # five standard errors of a correlation of independent draws
    for far in (1, 2, 3, 8, 16, 17, 256, 8191, 8192, 8193):
        correlation = ((high[far:] - high.mean()) * (high[:-far] - high.mean())).mean() / spread
        assert correlation.abs() < 5 / count**0.5, far
    assert ((high - high.mean()) * (other - other.mean())).mean().abs() / spread < 5 / count**0.5
