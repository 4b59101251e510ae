"""Large outputs are written past the caches: the same numbers, whatever the address."""

from __future__ import annotations

import pytest
import torch

from actlab.catalog.index import CATALOG
from actlab.kernels.elementwise import kernels as elementwise
from actlab.kernels.elementwise.kernels import goes_past_caches
from actlab.kernels.runtime.jit import Code
from actlab.nn.few_bit import few_bit
from actlab.nn.operator import pointwise_of

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
# several pieces and a rest
COUNT = 3 * 8192 + 21


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Everything counts as large; what has been compiled for that, in order."""
    made: list[bool] = []

    def noted(text: str, known=elementwise.compiled) -> Code:
        made.append("!nontemporal" in text)
        return known(text)

    monkeypatch.setattr(elementwise, "PAST_CACHES", 0)
    monkeypatch.setattr(elementwise, "_FEWEST_PAST", 0)
    monkeypatch.setattr(elementwise, "compiled", noted)
    elementwise.kernels_of.cache_clear()
    elementwise._code.cache_clear()
    yield made
    elementwise.kernels_of.cache_clear()
    elementwise._code.cache_clear()


def rows(count: int, dtype: torch.dtype, seed: int) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed)).to(dtype)


def results(name: str, dtype: torch.dtype, kernels: elementwise.Kernels) -> list[torch.Tensor]:
    tensors = [rows(COUNT, dtype, seed) for seed in range(len(kernels.args))]
    dy = rows(COUNT, dtype, 9)
    found = [kernels.forward(tensors), *kernels.pull_back(dy, tensors, [True] * len(tensors))]
    odd = torch.empty(COUNT + 1, dtype=dtype)[1:]
    return [*(each for each in found if each is not None), kernels.forward(tensors, out=odd)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["relu", "mish", "gelu_tanh", "swiglu"])
def test_writing_past_the_caches_gives_the_same_numbers(
    name: str, dtype: torch.dtype, small_is_large: list[bool]
) -> None:
    made = pointwise_of(CATALOG[name])
    kernels = elementwise.kernels_of(made.expression, made.args, "accurate")
    past = results(name, dtype, kernels)
    assert small_is_large == [True, True, False]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elementwise, "_FEWEST_PAST", 1 << 60)
        usual = results(name, dtype, elementwise.Kernels(made.expression, made.args, "accurate"))
    for one, other in zip(past, usual, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["hard_tanh", "gelu"])
def test_few_bits_give_the_same_numbers(name: str, dtype: torch.dtype, small_is_large: list[bool]) -> None:
    lean, x, dy = few_bit(name, bits=2), rows(COUNT, dtype, 0), rows(COUNT, dtype, 1)
    with torch.no_grad():
        y, codes = lean.coded(x)
        dx = lean.pulled(dy, codes)
        elementwise._FEWEST_PAST = 1 << 60  # put back by the fixture
        same, kept = lean.coded(x)
        assert torch.equal(codes, kept)
        torch.testing.assert_close([y, dx], [same, lean.pulled(dy, codes)], rtol=0, atol=0)


def test_only_large_aligned_outputs_go_past_the_caches() -> None:
    count = elementwise.PAST_CACHES // 4
    assert goes_past_caches(torch.float32, count, 0, 64)
    assert not goes_past_caches(torch.float32, count - 1, 0)
    assert not goes_past_caches(torch.float32, count, 64, 32)
    assert goes_past_caches(torch.float64, count // 2, 128)
    assert not goes_past_caches(torch.bfloat16, count, 0)


@pytest.mark.parametrize("rows_begin", ["where a line does", "anywhere"])
def test_rows_that_begin_anywhere(rows_begin: str, small_is_large: list[bool]) -> None:
    """A store past the caches needs its line: of several rows each one's, not only that of the first."""
    row = 8192 + 13
    x = rows(3 * (row + 3), torch.float32, 0).reshape(3, -1)[:, :row]
    out = torch.empty(3, 8192 + 64 if rows_begin == "where a line does" else row)[:, :row]
    made = pointwise_of(CATALOG["mish"])
    kernels = elementwise.kernels_of(made.expression, made.args, "accurate")
    torch.testing.assert_close(kernels.forward((x,), out=out), kernels.forward((x.contiguous(),)), rtol=0, atol=0)
    assert small_is_large[0] is False
