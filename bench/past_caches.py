"""From which size on is an output better written past the caches? Alone, and with a pass that reads it afterwards.

`PAST_CACHES` in `kernels/elementwise/kernels.py` holds the answer, in bytes. All contenders are timed in turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from harness import Options, Row, options, percentiles_of, record, row

from actlab.catalog.index import get
from actlab.formula.activation import Activation
from actlab.formula.expr import Input
from actlab.kernels.elementwise.plan import Shape, module
from actlab.kernels.elementwise.strategies import recipe
from actlab.kernels.runtime.jit import Code, compiled
from actlab.kernels.runtime.launch import run_flat
from actlab.kernels.runtime.loop import LINE

NAMES = ("relu", "gelu")
MEGABYTES = (1, 4, 8, 16, 32, 64)


def code_of(name: str, *, backward: bool, past_caches: bool) -> Code:
    act = get(name)
    assert isinstance(act, Activation)
    shape = Shape(act.with_references(), (Input("x"),), ("stream",), (True,) if backward else None)
    chosen = recipe(shape, memory="float", mode="accurate")
    return compiled(module(shape, memory="float", recipe=chosen, past_caches=past_caches))


def contenders(name: str, count: int) -> dict[str, Callable[[], object]]:
    """List the copy, and each pass through the caches and past them, alone and read afterwards."""
    generator = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(count, generator=generator) for _ in range(2))
    y = torch.empty_like(x)
    assert y.data_ptr() % LINE == 0
    calls: dict[str, Callable[[], object]] = {"copy": lambda: y.copy_(x)}
    for backward, given in ((False, (x,)), (True, (dy, x))):
        for past in (False, True):
            code = code_of(name, backward=backward, past_caches=past)
            way = f"{'backward' if backward else 'forward'}, {'past' if past else 'through'} the caches"

            def alone(code: Code = code, given: tuple[torch.Tensor, ...] = given) -> None:
                run_flat(code, count, *(each.data_ptr() for each in (*given, y)))

            def read(alone: Callable[[], None] = alone) -> torch.Tensor:
                alone()
                return y.sum()

            calls[way] = alone
            calls[f"{way}, then read"] = read
    return calls


def in_turns(calls: dict[str, Callable[[], object]], *, repeats: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def measured(asked: Options) -> Iterator[Row]:
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name in NAMES:
            for size in MEGABYTES[:1] if asked.quick else MEGABYTES:
                count = (size << 20) // 4
                for what, seconds in in_turns(contenders(name, count), repeats=asked.repeats(60)).items():
                    contender = f"{name}, {what}, {threads} thread{'s' * (threads - 1)}"
                    taken = percentiles_of(seconds)
                    yield row("past_caches", contender, unit="s", measured=taken, dtype="float32", shape=str(count))


if __name__ == "__main__":
    asked = options(__doc__)
    record("past_caches", measured(asked), asked=asked)
