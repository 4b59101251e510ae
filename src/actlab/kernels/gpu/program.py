"""A formula's GPU kernel, created once per process; Triton caches its compiled code on disk."""

from __future__ import annotations

import linecache
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, final

from actlab.errors import NoKernels
from actlab.kernels.elementwise.plan import Shape, plan
from actlab.kernels.elementwise.strategies import Mode, portable_recipe
from actlab.kernels.gpu.layout import Place
from actlab.kernels.gpu.source import GpuPlan, source
from actlab.kernels.runtime.loop import Memory
from actlab.lower.arithmetic import Recipe, Strategy


@final
@dataclass(frozen=True)
class Wanted:
    """Everything that a kernel's text depends on.

    Attributes:
        shape: the formula's forward or backward pass.
        mode: which bound it keeps.
        memory: the dtype of every tensor.
        places: what each input's value depends on, the incoming gradient's first.
        cols: the steps from column to column of the inputs and of the streams written.
        is_flat: whether the elements are one run.
        fast_doubles: whether the device computes in float64 at half its speed in float32, and not at a 32nd.
        interpreted: whether Triton's interpreter runs it.
    """

    shape: Shape
    mode: Mode
    memory: Memory
    places: tuple[Place, ...]
    cols: tuple[int, ...]
    is_flat: bool
    fast_doubles: bool
    interpreted: bool


@lru_cache(maxsize=4096)
def program(wanted: Wanted) -> Any:
    """Return the kernel as Triton's function, to be called as `program(wanted)[grid](...)`.

    Raises:
        CannotLower: the formula holds something that a kernel cannot spell.
    """
    return loaded(text(wanted), interpreted=wanted.interpreted)


def text(wanted: Wanted) -> str:
    """Return the kernel as a Python module."""
    shape, offset = wanted.shape, 0 if wanted.shape.wanted is None else 1
    made = plan(shape, memory=wanted.memory, recipe=gpu_recipe(wanted))
    summed = tuple(wanted.places[at + offset] for at in shape.summed)
    return source(GpuPlan(made, wanted.places, wanted.cols, summed, wanted.is_flat, wanted.interpreted))


def gpu_recipe(wanted: Wanted) -> Recipe:
    """Return how the kernel computes: like a CPU kernel without AVX-512's tables, so that both give the same bits.

    Where float64 is slow, or nobody can find out which way keeps the bound, float32 that carries its errors takes the
    place of float64.
    """
    single = Recipe("single", Strategy.PAIRED)
    try:
        found = portable_recipe(wanted.shape, memory=wanted.memory, mode=wanted.mode)
    except NoKernels:
        return Recipe("full", Strategy.PAIRED) if wanted.memory == "double" else single
    if found.kind == "double" and wanted.memory != "double" and not wanted.fast_doubles:
        return single
    return found


@lru_cache(maxsize=4096)
def loaded(text: str, *, interpreted: bool) -> Any:
    """Return the function `kernel` of the module.

    Triton reads a function's source again; `linecache` has it without a file that somebody else could write.
    """
    name = f"<actlab kernel {sha256(text.encode()).hexdigest()[:24]}{' interpreted' if interpreted else ''}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    space: dict[str, Any] = {"__name__": "actlab_kernel"}
    # the text was written by this package from a parsed tree; no user's text is ever run
    exec(compile(text, name, "exec"), space)
    return space["kernel"]
