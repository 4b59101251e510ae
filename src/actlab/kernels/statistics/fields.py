"""The sums kept for every unit of an activation's input, and the bins of its histogram."""

from __future__ import annotations

from enum import IntEnum
from typing import final


@final
class Field(IntEnum):
    """The rows of a table with a column for every unit, in float64.

    Only finite inputs count, but in `POSITIONS` and `NON_FINITE`. `SHIFTED` and `SQUARES` are sums of z - shift and its
    square, with a shift near the unit's mean: the variance then loses no digits to it. `Y` is of the outputs.
    """

    POSITIONS = 0
    FIRED = 1
    SLOPE_MAX = 2
    SLOPE_SUM = 3
    SHIFTED = 4
    SQUARES = 5
    NON_FINITE = 6
    Y_SUM = 7
    Y_SQUARES = 8
    Y_ZEROS = 9


# Half octaves: bin 32 + k holds 2^((k-16)/2) <= z < 2^((k-15)/2), bin 31 - k the same below 0; the two in the middle
# reach to 0, the two outermost without end. They suit any scale, and tables of several runs can be added.
BINS = 64
MIDDLE = BINS // 2
SMALLEST = -16
BORDERS: tuple[float, ...] = (
    *(-(2.0 ** (k / 2)) for k in range(-SMALLEST - 1, SMALLEST, -1)),
    0.0,
    *(2.0 ** (k / 2) for k in range(SMALLEST + 1, -SMALLEST)),
)

# The histogram is of at most so many inputs of a pass, evenly spaced.
SAMPLED = 4096
