"""Where the fitted polynomials hold, for those who fit and those who use them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Of erfc(t): the largest t, beyond which it is 0 in the result's dtype, and the pole k of p = (t − k)/(t + k),
# chosen for the shortest polynomial.
TAIL: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"single": (10.2, 2.0), "short": (10.2, 2.0), "full": (27.5, 2.9)}
)
