"""Compile LLVM IR to machine code, once per process and, thanks to the cache on disk, once per machine."""

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
    """A compiled kernel.

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
    """Return the kernel of this text.

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
    """Compile the text to object code. LLVM's own data, a hundred times as large, is dropped."""
    made: list[bytes] = []
    engine = _engine(text)
    engine.set_object_cache(lambda _, code: made.append(code), lambda _: None)
    engine.finalize_object()
    return made[0]


def _loaded(code: bytes) -> Any:
    """Return an execution engine that holds the object code."""
    from llvmlite import binding

    for name, address in layer().symbols or _without_team():
        binding.add_symbol(name, address)
    engine = _engine("")
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def _engine(text: str) -> Any:
    """Return an execution engine for a module of this text on this CPU."""
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
    """Return replacements for OpenMP's functions where it is missing: one thread, the first."""
    number = ctypes.CFUNCTYPE(ctypes.c_int)
    functions = (number(lambda: 0), number(lambda: 1))
    _Kept.functions = functions
    names = ("omp_get_thread_num", "omp_get_num_threads")
    return tuple(
        (name, ctypes.cast(each, ctypes.c_void_p).value or 0) for name, each in zip(names, functions, strict=True)
    )


@final
class _Kept:
    """Keeps alive what machine code may call."""

    functions: tuple[Any, ...] = ()
