"""Check that results depend neither on a tensor's memory layout nor on the number of threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import torch
from torch import Tensor

from actlab.measure.implementations import Implementation

# Enough elements for kernels and PyTorch's own functions to use several threads.
_SHARED = 250_000


_PATTERNS: Mapping[torch.dtype, torch.dtype] = MappingProxyType(
    {
        torch.float64: torch.int64,
        torch.float32: torch.int32,
        torch.float16: torch.int16,
        torch.bfloat16: torch.int16,
    }
)


def layouts_apart(implementation: Implementation, tensors: tuple[Tensor, ...]) -> tuple[str, ...]:
    """List the layouts whose results differ in any bit from those of contiguous tensors."""
    blocks = [_block(tensor, tensor.numel()) for tensor in tensors]
    wanted = results(implementation, *blocks)
    return tuple(
        name for name, laid in LAYOUTS.items() if not _same(results(implementation, *map(laid, blocks)), wanted)
    )


def threads_apart(implementation: Implementation, tensors: tuple[Tensor, ...]) -> tuple[int, ...]:
    """List the thread counts, of 2 and PyTorch's own, whose results differ in any bit from those of one thread."""
    blocks = [_block(tensor, _SHARED) for tensor in tensors]
    most = max(2, torch.get_num_threads())
    with _threads(1):
        wanted = results(implementation, *blocks)
    apart = []
    for count in sorted({2, most}):
        with _threads(count):
            if not _same(results(implementation, *blocks), wanted):
                apart.append(count)
    return tuple(apart)


def results(implementation: Implementation, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Compute the values, and the derivatives by each argument."""
    return implementation.forward(*tensors), *implementation.backward(*tensors)


def _same(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> bool:
    return all(same_bits(one, other) for one, other in zip(found, wanted, strict=True))


def same_bits(found: Tensor, wanted: Tensor) -> bool:
    """Say whether all numbers are the same, where any two NaNs are equal and 0 differs from -0."""
    one, other = (tensor.contiguous().view(_PATTERNS[tensor.dtype]) for tensor in (found, wanted))
    # takes a tenth of the time of comparing each number, and is nearly always enough
    return torch.equal(one, other) or not bool(differ(found, wanted).any())


def differ(found: Tensor, wanted: Tensor) -> Tensor:
    """Mark where two numbers are not the same."""
    both_nan = found.isnan() & wanted.isnan()
    same = (found == wanted) & (torch.signbit(found) == torch.signbit(wanted))
    return ~(same | both_nan)


def _block(tensor: Tensor, least: int) -> Tensor:
    """Repeat the numbers into a batch of images whose sides are not multiples of a vector's length."""
    side = math.isqrt(least // 15) // 2 * 2 + 3
    total = 15 * side * side
    return tensor.repeat(-(-total // tensor.numel()))[:total].reshape(3, 5, side, side)


def _strided(block: Tensor) -> Tensor:
    """Return every second element of a tensor twice as long."""
    return torch.stack([block, torch.zeros_like(block)], dim=-1)[..., 0]


def _transposed(block: Tensor) -> Tensor:
    return block.transpose(-1, -2).contiguous().transpose(-1, -2)


def _misaligned(block: Tensor) -> Tensor:
    """Return the same numbers, one element further on in memory."""
    return torch.cat([block.new_zeros(1), block.flatten()])[1:].reshape(block.shape)


def _channels_last(block: Tensor) -> Tensor:
    return block.contiguous(memory_format=torch.channels_last)


LAYOUTS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"strided": _strided, "transposed": _transposed, "misaligned": _misaligned, "channels-last": _channels_last}
)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
