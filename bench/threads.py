"""From how many elements on is a second thread worth its start? The cheapest kernel and a costly one, at equal work.

`WORTH_A_TEAM` in `kernels/runtime/launch.py` holds the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from harness import Options, Row, options, record, row, seconds_of

from actlab.catalog.index import get
from actlab.formula.activation import Activation
from actlab.formula.expr import Input
from actlab.kernels.elementwise.plan import Shape, module
from actlab.kernels.elementwise.strategies import recipe
from actlab.kernels.runtime.jit import Code, compiled
from actlab.kernels.runtime.launch import PIECE, WORTH_A_TEAM, spread

NAMES = ("relu", "mish")
SIZES = tuple(PIECE * pieces for pieces in (2, 4, 8, 16, 32))
CALLS = 200


def code_of(name: str) -> Code:
    act = get(name)
    assert isinstance(act, Activation)
    shape = Shape(act.with_references(), (Input("x"),), ("stream",))
    return compiled(module(shape, memory="float", recipe=recipe(shape, memory="float", mode="accurate")))


def measured(asked: Options) -> Iterator[Row]:
    torch.set_num_threads(2)
    for name in NAMES:
        code = code_of(name)
        for size in SIZES[:1] if asked.quick else SIZES:
            x = torch.randn(size, generator=torch.Generator().manual_seed(0))
            y = torch.empty_like(x)
            numbers = [1, size // PIECE, PIECE, size, x.data_ptr(), 0, 0, y.data_ptr(), 0, 0]
            # `spread` chooses a team by this number of elements
            for threads, told in ((1, 0), (2, WORTH_A_TEAM)):
                call = partial(spread, code, numbers, segments=numbers[1], elements=told)
                taken = seconds_of(call, calls=CALLS, repeats=asked.repeats(40))
                yield row(name, f"{threads} threads", unit="s", measured=taken, dtype="float32", shape=str(size))


if __name__ == "__main__":
    asked = options(__doc__)
    record("threads", measured(asked), asked=asked)
