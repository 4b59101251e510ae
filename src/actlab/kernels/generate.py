"""Choose the catalog's recipes and store them: `python -m actlab.kernels.generate`, six minutes on one core."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from actlab.catalog.index import CATALOG
from actlab.errors import NoKernels
from actlab.formula.activation import Activation
from actlab.formula.expr import Input, ParamRef
from actlab.kernels.elementwise import stored_choices, strategies
from actlab.kernels.elementwise.loop_ir import Access
from actlab.kernels.elementwise.plan import Shape
from actlab.kernels.runtime.cpu import machine
from actlab.kernels.runtime.loop import Memory
from actlab.kernels.runtime.version import VERSION
from actlab.lower.straight_line import Leaf

Choice = tuple[Shape, Memory, bool]
"""What a choice is made for: a pass, the arithmetic's type and whether there is AVX-512."""


def choices() -> dict[str, Choice]:
    """Return what is stored, by key: the catalog's passes with parameters as numbers, and as its modules train them."""
    found: dict[str, Choice] = {}
    for act in CATALOG.values():
        if not isinstance(act, Activation):
            continue
        for shape in _passes(act):
            for wide in ("float", "double"):
                for avx512 in (False, True):
                    found.setdefault(strategies.key_of(shape, wide, avx512=avx512), (shape, wide, avx512))
    return found


def _passes(act: Activation) -> Iterator[Shape]:
    trainable = tuple(param.name for param in act.params if param.trainable)
    for kept in dict.fromkeys([(), trainable]):
        args: tuple[Leaf, ...] = (*map(Input, act.inputs), *map(ParamRef, kept))
        access: tuple[Access, ...] = tuple("stream" for _ in args)
        for wanted in (None, (True,) * len(args)):
            yield Shape(act.with_references(*kept), args, access, wanted)


def _tried(choice: Choice) -> int:
    torch.set_num_threads(1)  # one process per core
    shape, wide, avx512 = choice
    return strategies.tried(shape, wide, avx512=avx512)


def main() -> None:
    """Write all choices to the package's data; only those that these kernels have not made yet are computed.

    Raises:
        NoKernels: choices for AVX-512 are missing and this CPU lacks it, or machine code cannot be made here.
    """
    wanted, known = choices(), stored_choices.stored()
    new = {key: choice for key, choice in wanted.items() if key not in known}
    if any(avx512 for _, _, avx512 in new.values()) and not machine().scalef:
        raise NoKernels("choosing recipes for AVX-512 takes a CPU that has it.")
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        found = dict(zip(new, pool.map(_tried, new.values(), chunksize=8), strict=True))
    lines = [f"{json.dumps(key)}: {found[key] if key in found else known[key]}" for key in sorted(wanted)]
    file = Path(stored_choices.__file__).with_name(stored_choices.DATA)
    head = f'{{"kernels": {json.dumps(VERSION)}, "choices": {{\n'
    file.write_text(head + ",\n".join(lines) + "\n}}\n", encoding="utf-8")
    print(f"{len(lines)} choices in {file.name}, {len(new)} of them new")


if __name__ == "__main__":
    main()
