"""Few-bit memory in machine code: bit for bit what the plain operations give."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from actlab.kernels import packed_kernels
from actlab.kernels.packed import decode, encode
from actlab.nn import functional
from actlab.nn.few_bit import FewBit, few_bit

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


def test_autograd_takes_them(fused: list[str]) -> None:
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


@pytest.mark.parametrize("few", [few_bit("gelu", unbiased=True), few_bit("x")], ids=["unbiased", "no bits"])
def test_what_kernels_cannot_draw_or_pack_runs_as_before(few: FewBit, fused: list[str]) -> None:
    x = torch.randn(40, requires_grad=True)
    few(x).sum().backward()
    assert "coded" not in fused
    few_bit("gelu")(torch.randn(6, 8).t().requires_grad_())
    assert "coded" not in fused
