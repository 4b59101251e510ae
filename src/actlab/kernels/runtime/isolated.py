"""Run probes free of the caller's PyTorch context."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Answer = TypeVar("Answer")


def apart(trial: Callable[[], Answer]) -> Answer:
    """Run a probe in a fresh thread and return its answer.

    PyTorch keeps inference mode, autocast, functional transforms, tracers, modes, hooks on saved tensors and the
    default device per thread. A new thread has none of them: a probe gives the same answer whoever asks first, and
    nobody's hooks or modes observe it.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(trial).result()
