"""Where the fitted polynomials hold, for the tools that fit them and the functions that use them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Of erfc(t) and of the normal distribution's tail Φ(−t): the largest t, beyond which they are 0 in the result's dtype
# (a product with t too), and the pole k of p = (t − k)/(t + k): a power of two, so that 2k/(t + k) is rounded once.
TAILS: Mapping[tuple[str, str], tuple[float, float]] = MappingProxyType(
    {
        ("single", "erfc"): (10.4, 2.0),
        ("short", "erfc"): (10.4, 2.0),
        ("full", "erfc"): (27.5, 2.0),
        ("single", "normal_tail"): (14.7, 4.0),
        ("short", "normal_tail"): (14.7, 4.0),
        ("full", "normal_tail"): (39.0, 4.0),
    }
)

# Their polynomials are of p + 1/4, which lies evenly about 0: the rounding of the inner coefficients counts less.
MIDDLE = 0.25
