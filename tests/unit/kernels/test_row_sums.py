"""Rows of bits as one number each."""

from __future__ import annotations

import pytest
import torch

from actlab.kernels.statistics import row_sums as module
from actlab.kernels.statistics.row_sums import row_sums

TYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.uint8, torch.bool]


@pytest.mark.parametrize("count", [0, 1, 8, 783])
@pytest.mark.parametrize("dtype", TYPES)
def test_the_kernel_gives_what_pytorch_gives(dtype, count, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    rows = (300 * torch.randn(5, count, generator=generator)).to(dtype)
    factors = torch.randint(-(2**62), 2**62, (900,), generator=generator)
    with monkeypatch.context() as patched:
        patched.setattr(module, "_plain", None)  # the kernel runs
        found = row_sums(rows, factors)
    assert torch.equal(found, module._plain(rows, factors))
    assert not count or len(found.unique()) > 1 or dtype == torch.bool


def test_rows_may_lie_apart():
    whole = torch.randn(6, 40, generator=torch.Generator().manual_seed(0))
    factors = torch.arange(1, 41)
    assert torch.equal(row_sums(whole[::2, :17], factors), row_sums(whole[::2, :17].contiguous(), factors))
