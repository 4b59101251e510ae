"""What is said where there are no kernels."""

from __future__ import annotations

import warnings
from functools import cache


@cache
def say_once(reason: str) -> None:
    """Warn, once in a process, that composites run in the kernels' place."""
    warnings.warn(
        f"actlab runs without its kernels: {reason}. Results stay right; they take longer, and the last digits are "
        "those of PyTorch's own operations.",
        RuntimeWarning,
        stacklevel=2,
    )
