"""Run kernels in the OpenMP team of the library that PyTorch uses.

So there is one pool of threads in the process, of the size that `torch.set_num_threads` says. A child forked after
its first parallel kernel must not call OpenMP again (GNU's hangs): it runs every kernel in one thread.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import final

import torch


@final
@dataclass(frozen=True)
class Layer:
    """The threading library.

    Attributes:
        name: `openmp`, or `serial` where there is no team to be had.
        reason: why it is this one.
        parallel: `GOMP_parallel(function, data, threads, flags)`; None in `serial`.
        symbols: the addresses that machine code calls by name.
    """

    name: str
    reason: str
    parallel: ctypes._NamedFuncPointer | None
    symbols: tuple[tuple[str, int], ...]


_CALLED = ("omp_get_thread_num", "omp_get_num_threads")


@cache
def layer() -> Layer:
    """Return the threading library of this process."""
    for path in _candidates():
        try:
            library = ctypes.CDLL(str(path))
            parallel = library.GOMP_parallel
            symbols = tuple((name, _address(library, name)) for name in _CALLED)
        except (OSError, AttributeError):
            continue
        parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
        return Layer("openmp", f"PyTorch's own OpenMP library, {path.name}", parallel, symbols)
    return Layer("serial", "no OpenMP library was found in the process", None, ())


def threads() -> int:
    """Return how many threads a kernel may use now."""
    if _Forked.happened or layer().parallel is None:
        return 1
    return torch.get_num_threads()


def _address(library: ctypes.CDLL, name: str) -> int:
    address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    assert address is not None
    return address


def _candidates() -> list[Path]:
    """Return the OpenMP libraries that PyTorch has loaded or, if the system does not list them, those it ships."""
    maps = Path("/proc/self/maps")
    if sys.platform == "linux" and maps.exists():
        mapped = {line.split(maxsplit=5)[-1].strip() for line in maps.read_text(encoding="utf-8").splitlines()}
        return sorted(Path(each) for each in mapped if _is_openmp(Path(each).name))
    shipped = Path(torch.__file__).parent / "lib"
    return sorted(each for each in shipped.glob("*omp*") if _is_openmp(each.name))


def _is_openmp(name: str) -> bool:
    return name.startswith(("libgomp", "libomp.", "libiomp5", "libomp-"))


@final
class _Forked:
    """Whether this process is a child forked from one that may have had a team."""

    happened = False

    @classmethod
    def note(cls) -> None:
        cls.happened = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Forked.note)
