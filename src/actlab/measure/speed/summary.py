"""Measure how fast activations are on this machine: check the request, time it case by case, report it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, final, get_args

from actlab.errors import BadInput
from actlab.jsonable import plain
from actlab.kernels.elementwise.strategies import Mode
from actlab.measure.implementations import AnyActivation
from actlab.measure.speed.case import Case, cores, refuse_absent
from actlab.measure.speed.table import lines
from actlab.measure.speed.timing import Speed, timed

Progress = Callable[[int, int, float | None, str], None]

# The default names: a piecewise-linear activation, and those that networks use most.
USUAL = ("relu", "gelu", "gelu_tanh", "silu", "mish", "elu", "softplus")
DTYPES = ("float32", "float64", "bfloat16", "float16")
# Beyond this size, the tensors that a composite saves for backward fill the memory of many machines.
LARGEST = 100_000_000


@final
@dataclass(frozen=True)
class Bench:
    """The speeds that were measured.

    Attributes:
        rows: one per contender and direction.
        stopped: whether Ctrl-C interrupted the measurement.
    """

    rows: tuple[Speed, ...]
    stopped: bool = False

    def to_json(self) -> list[dict[str, Any]]:
        """Return one object per row; times in seconds."""
        return [plain(row.to_json()) for row in self.rows]

    def lines(self) -> list[str]:
        """Write a table for each tensor, in units of its copy."""
        return lines(self.rows) if self.rows else ["Nothing was measured."]


def bench(
    named: Mapping[str, AnyActivation],
    *,
    sizes: Sequence[int] = (100_000, 1_000_000),
    dtypes: Sequence[str] = ("float32",),
    threads: Sequence[int] = (1,),
    modes: Sequence[str] = ("accurate",),
    against: Sequence[str] = ("eager",),
    seconds: float = 0.5,
    progress: Progress | None = None,
) -> Bench:
    """Measure the speed of each activation, forward, backward and both, and of the contenders beside it.

    Args:
        named: the activations by the names in their rows.
        sizes: elements of the output.
        dtypes: of the tensors.
        threads: how many PyTorch, and so actlab, may use.
        modes: of actlab's kernels: `accurate`, `fast`.
        against: `eager`, `compile`, `jax`.
        seconds: the approximate time for each case, unless its copy is unsteady.
        progress: is called with the number done, the total, None for the seconds left, and the next name.

    Returns:
        The rows; after Ctrl-C those that were done.

    Raises:
        BadInput: a size, dtype, thread count, mode or contender that is not available here.
    """
    _refuse_unfit(sizes=sizes, dtypes=dtypes, threads=threads, modes=modes)
    refuse_absent(against)
    cases = [
        Case(name, act, dtype, size, count, modes=cast(tuple[Mode, ...], tuple(modes)), against=tuple(against))
        for count in threads
        for dtype in dtypes
        for size in sizes
        for name, act in named.items()
    ]
    rows: list[Speed] = []
    try:
        for done, case in enumerate(cases):
            if progress is not None:
                progress(done, len(cases), None, case.name)
            rows += timed(case, seconds=seconds)
        if progress is not None:
            progress(len(cases), len(cases), None, "")
    except KeyboardInterrupt:
        return Bench(tuple(rows), stopped=True)
    return Bench(tuple(rows))


def _refuse_unfit(*, sizes: Sequence[int], dtypes: Sequence[str], threads: Sequence[int], modes: Sequence[str]) -> None:
    for of, given in {"size": sizes, "dtype": dtypes, "number of threads": threads, "mode": modes}.items():
        if not given:
            raise BadInput(f"nothing to time: name at least one {of}.")
    for size in sizes:
        if not 1 <= size <= LARGEST:
            raise BadInput(f"size must be 1 to {LARGEST:,} elements; got {size:,}.")
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise BadInput(f"dtype must be one of {', '.join(DTYPES)}; got '{dtype}'.")
    for count in threads:
        if not 1 <= count <= cores():
            raise BadInput(f"threads must be 1 to {cores()}, the processors of this process; got {count}.")
    for mode in modes:
        if mode not in get_args(Mode):
            raise BadInput(f"mode must be {' or '.join(get_args(Mode))}; got '{mode}'.")
