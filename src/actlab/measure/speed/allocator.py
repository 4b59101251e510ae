"""Keep freed memory in the process while something is timed."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# glibc's options: the free bytes from which on it returns the top of the heap; the size from which on it takes blocks
# from the system each time (at most 32 MiB on 64-bit machines).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_IN_HEAP = 32 << 20
_KEPT = 1 << 30


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed blocks of up to 32 MiB in the process within the block; a no-op elsewhere than on glibc.

    Whether glibc returns 4 MB that were just freed to the system, so that using them again costs a thousand page
    faults, depends on what else lies on the heap. The same call of silu took 2.2 ms in one place and 5.0 ms in another:
    chance, which would hit one contender and spare the next. Afterwards glibc is set as it sets itself once a program
    has freed a large block, and the memory is returned.
    """
    glibc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(glibc, "mallopt"):
        yield
        return
    assert glibc is not None
    glibc.mallopt(_MMAP_THRESHOLD, _LARGEST_IN_HEAP)
    glibc.mallopt(_TRIM_THRESHOLD, _KEPT)
    try:
        yield
    finally:
        glibc.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_IN_HEAP)
        glibc.malloc_trim(0)
