"""Which step of a staircase each element lies on, packed to as few bits as its levels need.

The layout, for whatever writes or reads it: elements in row-major order, in blocks of 16, the last one filled up with
zeros. A k-bit code has k planes, each a row of 16-bit words, one word a block: bit i of word b in row j is bit j of the
code of element 16·b + i.

A code changes from one step to the next by toggling bits, which a border lists. Step tables take Gray codes, where
every border toggles one bit: the words are then exclusive-ors of comparisons and nothing is ever counted or looked up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

BLOCK = 16
HALF = (torch.bfloat16, torch.float16)

# Eight bytes that are 0 or 1, times this, have their bits in order in the highest byte.
_GATHER = 0x0102040810204080
# A byte, repeated eight times by the first, keeps in each copy the bit whose turn it is by the second.
_REPEAT = 0x0101010101010101
_TURN = 0x8040201008040201 - 2**64


@dataclass(frozen=True)
class Border:
    """Where one step ends and the next begins, and which of them the border belongs to."""

    at: float
    belongs: Literal["left", "right"] = "right"


@dataclass(frozen=True)
class Staircase:
    """A function that is constant between borders.

    Attributes:
        borders: from left to right.
        codes: a step's code, from left to right; one more than the borders.
        levels: the function's value, by code; filled up to a power of two.
        undefined: the code of NaN.
    """

    borders: tuple[Border, ...]
    codes: tuple[int, ...]
    levels: tuple[float, ...]
    undefined: int

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return (len(self.levels) - 1).bit_length()


def staircase(borders: Sequence[float], levels: Sequence[float]) -> Staircase:
    """Return the staircase of a step table, in Gray codes; NaN belongs to its lowest step."""
    codes = tuple(step ^ step >> 1 for step in range(len(levels)))
    by_code = dict(zip(codes, levels, strict=True))
    filled = 1 << (len(levels) - 1).bit_length()
    return Staircase(
        tuple(map(Border, borders)), codes, tuple(by_code.get(code, levels[-1]) for code in range(filled)), codes[0]
    )


def encode(x: Tensor, table: Staircase) -> Tensor:
    """Return the packed codes of a floating-point tensor of any shape.

    Returns:
        16-bit words, one row a bit of the code, one column a block of elements.
    """
    flat = x.detach().reshape(-1)
    flat = flat.float() if flat.dtype in HALF else flat  # a border need not be a number of 16 bits
    return pack([_plane(flat, table, bit=bit) for bit in range(table.bits)], like=flat)


def decode(words: Tensor, table: Staircase, *, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return the level of each element, as a tensor of this shape and dtype."""
    levels = torch.tensor(table.levels, dtype=dtype, device=words.device)
    return levels[unpack(words, count=math.prod(shape))].reshape(tuple(shape))


def pack(planes: Sequence[Tensor], *, like: Tensor) -> Tensor:
    """Pack the planes of a code, one flag per element of `like`, into 16-bit words."""
    blocks = -(-like.numel() // BLOCK)
    words = torch.empty(len(planes), blocks, dtype=torch.int16, device=like.device)
    for row, plane in zip(words, planes, strict=True):
        padded = functional.pad(plane, (0, blocks * BLOCK - plane.numel()))
        packed = (padded.view(torch.int64) * _GATHER) >> 56
        row.copy_(packed.to(torch.uint8).view(torch.int16))
    return words


def unpack(words: Tensor, *, count: int) -> Tensor:
    """Return the codes of the first `count` elements, as integers."""
    codes = torch.zeros(words.shape[1] * BLOCK, dtype=torch.int32, device=words.device)
    for at, row in enumerate(words):
        spread = row.view(torch.uint8).to(torch.int64) * _REPEAT & _TURN
        codes += (spread.view(torch.uint8) != 0).to(torch.int32) << at
    return codes[:count]


def _plane(flat: Tensor, table: Staircase, *, bit: int) -> Tensor:
    """Return one bit of every element's code, as a flag."""
    first = bool(table.codes[0] >> bit & 1)
    flags = torch.full_like(flat, first, dtype=torch.bool)
    for border, before, after in zip(table.borders, table.codes, table.codes[1:], strict=False):
        if (before ^ after) >> bit & 1:
            flags ^= flat >= border.at if border.belongs == "right" else flat > border.at
    if (table.undefined ^ table.codes[0]) >> bit & 1:
        flags ^= flat.isnan()
    return flags
