"""Count the distinct examples of a loop that passes over the same data several times, by fingerprints of their bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from actlab.sites.trace.readable import is_readable, shape_of

KEPT = 65_536
"""The last so many fingerprints are stored: half a mebibyte, and a bound of 3/65,536 on the rate of a dead unit."""

SAMPLED = 4096
"""At most so many numbers of an example are read, evenly spaced: all of a small image."""

# Whole numbers that hold the bits of an element of so many bytes.
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

# Elements that are widened to 64 bits at a time: 8 MiB.
_AT_ONCE = 2**20


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
        self._ring: Tensor | None = None
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
        with torch.inference_mode(False), torch.no_grad():
            found = [self._of_rows(tensor.detach(), place=at) for at, tensor in enumerate(rows)]
            device = found[0].device if self._ring is None else self._ring.device
            if self._ring is None:
                self._ring = torch.zeros(KEPT, dtype=torch.int64, device=device)
            together = found[0] if len(found) == 1 else torch.stack([each.to(device) for each in found]).sum(0)
            together = together[-KEPT:]
            self._write(together)
        self.seen += len(together)
        self.newer += len(together)

    def _write(self, together: Tensor) -> None:
        """Write to the ring buffer, in one run or in two."""
        assert self._ring is not None
        start = self.seen % KEPT
        here = min(len(together), KEPT - start)
        self._ring[start : start + here] = together[:here]
        if here < len(together):
            self._ring[: len(together) - here] = together[here:]

    def turned(self) -> None:
        """Make the newer half of the recent steps the older one."""
        self.older, self.newer = self.newer, 0

    def fingerprints(self) -> Fingerprints | None:
        """Return the distinct fingerprints, copied from the device; None if an example has none."""
        if not self.is_whole or self._ring is None:
            return None
        last = torch.arange(self.seen - min(self.seen, KEPT), self.seen, device=self._ring.device) % KEPT
        total = self._ring[last].cpu()
        return Fingerprints(torch.unique(total), torch.unique(total[-(self.older + self.newer) :]))

    def _of_rows(self, tensor: Tensor, *, place: int) -> Tensor:
        """Return one number per row: the sum of its elements' bits, each times a random odd factor of its place."""
        rows = tensor.reshape(tensor.shape[0], -1)
        rows = rows[:, :: max(1, -(-rows.shape[1] // SAMPLED))].resolve_conj().resolve_neg().contiguous()
        if rows.element_size() == 4 and rows.shape[1] % 2 == 0 and rows.storage_offset() % 2 == 0:
            return self._of_pairs(rows.view(torch.int64), place=place)
        size, count = rows.element_size(), rows.shape[1]
        factors = self._factors_for(place, rows.device)[:count]
        found = []
        for part in torch.split(rows.view(_INTEGERS[size]), max(1, _AT_ONCE // max(1, count))):
            bits = part.long()
            # whole numbers have zeros in the lower half of a float, which a product would lose
            found.append(((bits ^ (bits >> 4 * size)) * factors).sum(1))
        return torch.cat(found)

    def _of_pairs(self, words: Tensor, *, place: int) -> Tensor:
        """Return the same sums over pairs of numbers of 32 bits, which need no widening."""
        factors = self._factors_for(place, words.device)[: words.shape[1]]
        found = []
        for part in torch.split(words, max(1, _AT_ONCE // max(1, words.shape[1]))):
            bits = (part >> 32).bitwise_xor_(part)
            bits.bitwise_xor_(bits >> 16)
            found.append(bits.mul_(factors).sum(1))
        return torch.cat(found)

    def _factors_for(self, place: int, device: torch.device) -> Tensor:
        found = self._factors.get((place, device))
        if found is None:
            draws = torch.randint(2**62, (SAMPLED,), generator=torch.Generator().manual_seed(place))
            found = self._factors[place, device] = (2 * draws + 1).to(device)
        return found


def _can_be_read(tensor: Tensor) -> bool:
    """Return whether a tensor is plain memory: not sparse, not on the meta device, not of a subclass."""
    plain = type(tensor) in {Tensor, torch.nn.Parameter} and is_readable(tensor)
    return plain and tensor.element_size() in _INTEGERS
