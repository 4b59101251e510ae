"""Errors in units in the last place: the distance from one number of a dtype to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from actlab.errors import BadInput

# float64 or NumPy's long double, whichever the reference is computed in.
Reals = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]


@final
@dataclass(frozen=True)
class Format:
    """A binary floating-point dtype.

    Attributes:
        name: PyTorch's name for it.
        digits: the bits of a significand, including the leading one.
        least, most: the exponents of the smallest normal number and of the largest power of two.
    """

    name: str
    digits: int
    least: int
    most: int

    @property
    def largest(self) -> float:
        """The largest finite number."""
        return (2.0 - 2.0 ** (1 - self.digits)) * 2.0**self.most

    @property
    def smallest(self) -> float:
        """The smallest number above 0, a subnormal one."""
        return 2.0 ** (self.least - self.digits + 1)

    @property
    def bits(self) -> int:
        """The width of a number."""
        return 16 if self.digits < 24 else 32 if self.digits == 24 else 64


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        each.name: each
        for each in (
            Format("float32", 24, -126, 127),
            Format("float64", 53, -1022, 1023),
            Format("bfloat16", 8, -126, 127),
            Format("float16", 11, -14, 15),
        )
    }
)


def format_of(dtype: str) -> Format:
    """Return the format of this name.

    Raises:
        BadInput: the format is unknown, or kernels do not compute in it.
    """
    if dtype not in FORMATS:
        raise BadInput(f"dtype must be one of {', '.join(FORMATS)}; got '{dtype}'.")
    return FORMATS[dtype]


def spacing(values: Reals, fmt: Format) -> Reals:
    """Return one unit in the last place at each value: 2^(e − p + 1) for 2^e ≤ |value| < 2^(e+1), fixed for subnormals.

    Beyond the largest number it goes on as if the exponent had no end at `most`; at infinity and NaN it is NaN.
    """
    _, exponent = np.frexp(values)
    at_least = np.where(values == 0, fmt.least, np.maximum(exponent - 1, fmt.least))
    unit: Reals = np.ldexp(np.ones_like(values), (at_least - fmt.digits + 1).astype(np.int32))
    return np.where(np.isfinite(values), unit, np.nan)


def held(values: Reals, fmt: Format) -> Reals:
    """Limit the values: what the dtype rounds to infinity becomes the power of two that follows its largest number.

    So a result of infinity where the exact value lies just below the largest number is off by some units, and not
    by infinitely many.
    """
    beyond = np.asarray(2.0, dtype=values.dtype) ** (fmt.most + 1) if fmt.most < 1023 else _next_power(values, fmt)
    return np.where(np.isnan(values), values, np.clip(values, -beyond, beyond))


def rounds_to_finite(values: Reals, fmt: Format) -> Flags:
    """Mark where the dtype has a finite number for the value, with some units to spare below the largest."""
    flags: Flags = np.abs(values) <= fmt.largest * (1 - 2.0 ** (3 - fmt.digits))
    return flags


def _next_power(values: Reals, fmt: Format) -> Any:
    """Return 2^1024, which only a long double holds; otherwise the largest number."""
    wide = np.finfo(values.dtype).maxexp > fmt.most + 1
    return np.ldexp(values.dtype.type(1), fmt.most + 1) if wide else values.dtype.type(fmt.largest)
