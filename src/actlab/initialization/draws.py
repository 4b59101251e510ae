"""Random matrices with a mean square of exactly 1/fan_in."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor


def normal(shape: Sequence[int], *, fan_in: float, generator: torch.Generator | None) -> Tensor:
    """Return independent normal weights; their mean square is 1/fan_in but for rounding.

    Without the rescaling, the relative standard deviation of their mean square would be √(2/number of weights).
    """
    drawn = torch.randn(*shape, generator=generator, device=_device(generator))
    return _scaled(drawn, fan_in)


def orthogonal(rows: int, columns: int, *, generator: torch.Generator | None) -> Tensor:
    """Return a matrix, outputs first, that preserves the mean square of its input, whichever side is longer.

    With at most as many rows as columns, the rows are orthogonal; otherwise the columns are, and √(rows/columns) makes
    up for the additional outputs. The distribution is uniform over rotations.

    Source:
        Saxe et al. 2014, arXiv:1312.6120.
    """
    longer, shorter = max(rows, columns), min(rows, columns)
    drawn = torch.randn(longer, shorter, generator=generator, device=_device(generator))
    q, r = torch.linalg.qr(drawn)
    q = q * r.diagonal().sign()
    return _scaled(q if rows >= columns else q.mT, columns)


def orthogonal_kernel(
    shape: Sequence[int], *, groups: int, fan_in: float, is_delta: bool, generator: torch.Generator | None
) -> Tensor:
    """Return the weight of a convolution, each group orthogonal as a matrix.

    Args:
        shape: (outputs, inputs per group, ...), or (inputs, outputs per group, ...) of a transposed convolution.
        groups: the number of groups, along the first axis.
        fan_in: how many numbers each output sums.
        is_delta: whether only the middle of the kernel is used, so that the signal keeps its size at every place.
        generator: the source of random numbers.

    Source:
        Xiao et al. 2018, arXiv:1806.05393 (delta-orthogonal kernels).
    """
    first, second, *space = shape
    rows = first // groups
    if is_delta:
        blocks = [orthogonal(rows, second, generator=generator) for _ in range(groups)]
        whole = torch.zeros(*shape, device=blocks[0].device)
        middle = whole
        for size in space:  # the axes of the kernel, from the first
            middle = middle.select(2, size // 2)
        middle.copy_(torch.cat(blocks))
        return whole
    blocks = [orthogonal(rows, second * prod(space), generator=generator) for _ in range(groups)]
    return _scaled(torch.cat(blocks).reshape(*shape), fan_in)


def _scaled(drawn: Tensor, fan_in: float) -> Tensor:
    mean_square = drawn.double().square().mean()
    return drawn * float((fan_in * mean_square) ** -0.5) if mean_square > 0 else drawn


def _device(generator: torch.Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device
