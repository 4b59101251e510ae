"""Count the distinct examples of a loop that passes over the same data several times, by fingerprints of their bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from actlab.sites.trace.readable import is_readable, shape_of

KEPT = 65_536
"""The last so many fingerprints are stored: half a mebibyte, and a bound of 3/65,536 on the rate of a dead unit."""

SAMPLED = 4096
"""At most so many numbers of an example are read, evenly spaced: all of a small image."""

# Whole numbers that hold the bits of an element of so many bytes; longer elements are read as several of 32 bits.
_INTEGERS = {1: torch.uint8, 2: torch.int16}
_MOST_BYTES = 8
_MOST_WORDS = SAMPLED * _MOST_BYTES // 4

# Simple numbers such as 1 and 2 have zeros in the lower bits, which a product modulo 2^32 would lose; they are
# multiplied by this before. Different numbers stay different, but for a few neighbors just below a power of 2.
_SPREAD = 1.0001234

# So many passes wait to be joined.
_MOST_PARTS = 16


@final
@dataclass(frozen=True, eq=False)
class Fingerprints:
    """The fingerprints of distinct examples, 64 bits each, on the CPU.

    Attributes:
        total: those of all measured steps, or of the last 65,536 examples.
        recent: those of the recent steps.
    """

    total: Tensor
    recent: Tensor

    def joined(self, other: Fingerprints) -> Fingerprints:
        """Return the union of both."""
        pairs = (self.total, other.total), (self.recent, other.recent)
        total, recent = (torch.unique(torch.cat(pair)) for pair in pairs)
        return Fingerprints(total, recent)


@final
class Shown:
    """Records the fingerprints of examples on their device, without copying anything from it.

    Attributes:
        seen: the number of examples, repeats counted.
        older, newer: how many of them are in the older and the newer half of the recent steps.
        is_whole: whether every example has a fingerprint.
    """

    def __init__(self) -> None:
        self.seen = self.older = self.newer = 0
        self.is_whole = True
        self._parts: list[Tensor] = []  # the oldest first, 64 bits an example
        self._factors: dict[tuple[int, torch.device], Tensor] = {}

    def add(self, inputs: Sequence[Tensor], examples: int) -> None:
        """Record the examples of one forward pass.

        Args:
            inputs: the input tensors; those with one row per example enter the fingerprint.
            examples: the number of examples.
        """
        rows = [tensor for tensor in inputs if shape_of(tensor)[:1] == (examples,)]
        self.is_whole = self.is_whole and bool(rows) and all(_can_be_read(tensor) for tensor in rows)
        if not self.is_whole or not examples:
            return
        found = self._of_rows(rows[0], place=0)
        for at, tensor in enumerate(rows[1:], start=1):
            found += self._of_rows(tensor, place=at).to(found.device)
        self._parts.append(found)
        if len(self._parts) == _MOST_PARTS:
            self._join()
        self.seen += len(found)
        self.newer += len(found)

    def _join(self) -> None:
        """Join the passes into one part, and drop all but the last examples."""
        device = self._parts[0].device
        self._parts = [torch.cat([each.to(device) for each in self._parts])[-KEPT:]]

    def turned(self) -> None:
        """Make the newer half of the recent steps the older one."""
        self.older, self.newer = self.newer, 0

    def fingerprints(self) -> Fingerprints | None:
        """Return the distinct fingerprints, copied from the device; None if an example has none."""
        if not self.is_whole or not self._parts:
            return None
        self._join()
        total = self._parts[0].cpu().view(torch.int64)[:, 0]
        return Fingerprints(torch.unique(total), torch.unique(total[-(self.older + self.newer) :]))

    def _of_rows(self, tensor: Tensor, *, place: int) -> Tensor:
        """Return two numbers per row: sums of its bits, 32 at a time, each times a random odd factor of its place."""
        rows = tensor.detach()[-KEPT:].flatten(1) if tensor.dim() > 1 else tensor.detach()[-KEPT:, None]
        if rows.shape[1] > SAMPLED:
            rows = rows[:, :: -(-rows.shape[1] // SAMPLED)]
        narrow = _INTEGERS.get(rows.element_size())
        if narrow is not None:
            words = rows.contiguous().view(narrow).int()
        else:
            has_parts = rows.is_floating_point() or rows.is_complex()
            words = (rows * _SPREAD if has_parts else rows).contiguous().view(torch.int32)
        factors = self._factors_for(place, words.device)[:, : words.shape[1]]
        return nn.functional.linear(words, factors) if words.is_cpu else products_summed(words, factors)

    def _factors_for(self, place: int, device: torch.device) -> Tensor:
        found = self._factors.get((place, device))
        if found is None:
            draws = torch.empty(2, _MOST_WORDS, dtype=torch.int32, device="cpu")
            draws.random_(-(2**31), 2**31 - 1, generator=torch.Generator().manual_seed(place))
            found = self._factors[place, device] = (draws | 1).to(device)
        return found


def products_summed(words: Tensor, factors: Tensor) -> Tensor:
    """Return the matrix product, which PyTorch has for whole numbers on the CPU only."""
    return (words[:, None] * factors).sum(2, dtype=torch.int32)


def _can_be_read(tensor: Tensor) -> bool:
    """Return whether a tensor is plain memory: not sparse, not on the meta device, not of a subclass."""
    plain = type(tensor) in {Tensor, nn.Parameter} and is_readable(tensor)
    return plain and tensor.element_size() <= _MOST_BYTES
