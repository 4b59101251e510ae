"""The warning when kernels cannot run."""

from __future__ import annotations

import warnings
from functools import cache


@cache
def say_once(reason: str) -> None:
    """Warn once per process that PyTorch operations replace the kernels."""
    warnings.warn(
        f"actlab runs without its kernels: {reason}. Results stay correct, but are slower to compute and have the "
        "last digits of PyTorch's own operations.",
        RuntimeWarning,
        stacklevel=2,
    )
