"""Every tolerance, by quantity, with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

EPSILON = 2.0**-52

# A program may be as far off as its answer would be for an input this many rounding errors away, and as many
# rounding errors of the answer: a composite of a few atoms, each good to about one.
ROUNDINGS = 24

# Formulas that subtract nearly equal numbers, which no input close by explains: roundings of the largest term.
CANCELS: Mapping[str, str] = MappingProxyType(
    {
        "tanh_shrink": "x - tanh(x) near 0; no atom keeps that difference",
    }
)

# A published value has 17 digits.
KNOWN = 4e-16

# Another implementation in float64: its own rounding, and for 1 + erf its cancellation, which grows with |x|.
TWIN_RELATIVE = 1e-13
TWIN_ABSOLUTE = 2e-15

# Twins whose slope is worse than that.
TWIN_SLOPES: Mapping[str, tuple[float, str]] = MappingProxyType(
    {"hard_sigmoid": (1e-7, "PyTorch 2.13 multiplies by 1/6 in single precision")}
)

# Numerical differentiation with 50 digits keeps half of them, less what the conditioning takes.
DIFFERENTIATED = 1e-18

# Below this, doubles lose digits by underflow alone.
UNDERFLOW = 1e-290
