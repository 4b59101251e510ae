"""Run probes free of the caller's PyTorch context."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Answer = TypeVar("Answer")


def apart(trial: Callable[[], Answer]) -> Answer:
    """Run a probe in a fresh thread and return its answer.

    What PyTorch is told about the code that runs (inference mode, autocast, a functional transform, a tracer, a mode,
    hooks on saved tensors, the default device) is told to one thread: a new one has none of it, so that a trial gives
    the same answer whoever asks first, and nobody who listens hears of it.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(trial).result()
