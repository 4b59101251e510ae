"""How fast activations are on this machine: what was asked is checked, timed case by case, and told."""

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

# What is timed unless names are given: a piecewise-linear one, and those that networks use most.
USUAL = ("relu", "gelu", "gelu_tanh", "silu", "mish", "elu", "softplus")
DTYPES = ("float32", "float64", "bfloat16", "float16")
# Beyond, the tensors that a composite keeps for backward fill the memory of many machines.
LARGEST = 100_000_000


@final
@dataclass(frozen=True)
class Bench:
    """The speeds that were measured.

    Attributes:
        rows: one a contender and direction.
        stopped: whether Ctrl-C came before all was measured.
    """

    rows: tuple[Speed, ...]
    stopped: bool = False

    def to_json(self) -> list[dict[str, Any]]:
        """One object a row; times in seconds."""
        return [plain(row.to_json()) for row in self.rows]

    def lines(self) -> list[str]:
        """A table for each tensor, in units of its copy."""
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
    """The speed of each activation, forward, backward and both, and of the contenders beside it.

    Args:
        named: the activations by the names that their rows bear.
        sizes: elements of the output.
        dtypes: of the tensors.
        threads: how many PyTorch, and so actlab, may use.
        modes: of actlab's kernels: `accurate`, `fast`.
        against: `eager`, `compile`, `jax`.
        seconds: about how long each case is timed, unless its copy is unsteady.
        progress: told what is done, of how many, None for the seconds left, and what comes next.

    Returns:
        The rows; those made before Ctrl-C if it came.

    Raises:
        BadInput: a size, dtype, thread count, mode or contender that cannot be had here.
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
            raise BadInput(f"there is nothing to time: name one {of} at least.")
    for size in sizes:
        if not 1 <= size <= LARGEST:
            raise BadInput(f"a tensor to time has 1 to {LARGEST:,} elements; got {size:,}.")
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise BadInput(f"a dtype is one of {', '.join(DTYPES)}; got '{dtype}'.")
    for count in threads:
        if not 1 <= count <= cores():
            raise BadInput(f"this process may use {cores()} processors, so 1 to {cores()} threads; got {count}.")
    for mode in modes:
        if mode not in get_args(Mode):
            raise BadInput(f"a mode is {' or '.join(get_args(Mode))}; got '{mode}'.")
