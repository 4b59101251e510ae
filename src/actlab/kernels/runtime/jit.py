"""Text → machine code, once in a process and, by the cache on disk, once on a machine."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, final

from actlab.kernels.runtime import cache
from actlab.kernels.runtime.cpu import machine
from actlab.kernels.runtime.threads import layer


@final
@dataclass(frozen=True)
class Code:
    """A kernel that can be called.

    Attributes:
        run: `run(address of the arguments, first segment, past the last one)`.
        team: the address of the function that every thread of a team calls.
        engine: what keeps the machine code in memory.
        cached: whether it came from the disk.
    """

    run: Any
    team: int
    engine: object
    cached: bool


@lru_cache(maxsize=2048)
def compiled(text: str) -> Code:
    """The kernel of this text.

    Raises:
        NoKernels: machine code cannot be made here.
    """
    key = cache.key_of(text, machine=machine().key)
    kept = cache.read(key)
    code = kept or _object_code(text)
    if kept is None:
        cache.write(key, code)
    engine = _loaded(code)
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(engine.get_function_address("kernel"))
    return Code(run, engine.get_function_address("team"), engine, kept is not None)


def _object_code(text: str) -> bytes:
    """The text as object code. What LLVM makes it with goes: that is a hundred times as large."""
    made: list[bytes] = []
    engine = _engine(text)
    engine.set_object_cache(lambda _, code: made.append(code), lambda _: None)
    engine.finalize_object()
    return made[0]


def _loaded(code: bytes) -> Any:
    """An execution engine that holds the object code."""
    from llvmlite import binding

    for name, address in layer().symbols or _without_team():
        binding.add_symbol(name, address)
    engine = _engine("")
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def _engine(text: str) -> Any:
    """An execution engine of a module of this text, on this machine."""
    from llvmlite import binding

    here = machine()
    target = binding.Target.from_default_triple().create_target_machine(
        cpu=here.processor, features=here.features, opt=3, jit=True
    )
    module = binding.parse_assembly(_triple(binding) + text)
    module.name = "actlab"
    return binding.create_mcjit_compiler(module, target)


def _triple(binding: Any) -> str:
    return f'target triple = "{binding.get_process_triple()}"\n'


@lru_cache(maxsize=1)
def _without_team() -> tuple[tuple[str, int], ...]:
    """Stand-ins where there is no OpenMP: one thread, the first."""
    number = ctypes.CFUNCTYPE(ctypes.c_int)
    functions = (number(lambda: 0), number(lambda: 1))
    _Kept.functions = functions
    names = ("omp_get_thread_num", "omp_get_num_threads")
    return tuple(
        (name, ctypes.cast(each, ctypes.c_void_p).value or 0) for name, each in zip(names, functions, strict=True)
    )


@final
class _Kept:
    """What machine code may call must outlive it."""

    functions: tuple[Any, ...] = ()
