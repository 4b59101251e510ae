"""Evenly spaced elements of many tensors, side by side."""

from __future__ import annotations

import pytest
import torch

from actlab.kernels.statistics import samples
from actlab.kernels.statistics.samples import Samples


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_they_are_those_that_pytorch_puts_side_by_side(dtype, monkeypatch):
    whole = torch.randn(5000, generator=torch.Generator().manual_seed(0)).to(dtype)
    views = [whole[::7], whole[3:4], whole[:0], whole[10:1034]]
    taken = Samples(views)
    found = torch.full((taken.count + 1,), 7.0, dtype=taken.dtype)
    with monkeypatch.context() as patched:
        patched.setattr(torch, "cat", None)  # the kernel runs
        taken.copy(found[:-1])
    assert torch.equal(found, torch.cat([*(each.to(taken.dtype) for each in views), torch.full((1,), 7.0)]))


@pytest.mark.parametrize("have", ["two types", "more axes", "no kernels"])
def test_what_has_no_kernel_is_the_same(have, monkeypatch):
    x = torch.randn(6, 8)
    views = {
        "two types": [x[:, 0], x[0].double(), x[1].bfloat16()],
        "more axes": [x[:, ::2], x[0]],
        "no kernels": [x[:, 0]],
    }[have]
    if have == "no kernels":
        monkeypatch.setattr(samples, "_code_for", lambda views: None)
    taken = Samples(views)
    found = torch.empty(taken.count, dtype=taken.dtype)
    taken.copy(found)
    assert torch.equal(found, torch.cat([each.flatten().to(taken.dtype) for each in views]))
    x += 1
    taken.copy(found)
    assert found[0] == views[0].flatten()[0]
