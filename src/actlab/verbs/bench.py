"""Time activations on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from actlab.measure.speed.summary import USUAL, Bench
from actlab.measure.speed.summary import bench as timed
from actlab.verbs.activation_lookup import activation_named


def bench(
    names: Sequence[str] = (),
    *,
    sizes: Sequence[int] = (100_000, 1_000_000),
    dtypes: Sequence[str] = ("float32",),
    threads: Sequence[int] = (1,),
    modes: Sequence[str] = ("accurate",),
    against: Sequence[str] = ("eager",),
    progress: Callable[[int, int, float | None, str], None] | None = None,
) -> Bench:
    """Time activations on this machine, relative to a plain copy of the input, beside PyTorch.

    Args:
        names: names, formulas, or `file.py:name`; common activations by default.
        sizes: numbers of elements of the tensors.
        dtypes: float32, float64, bfloat16, float16.
        threads: numbers of PyTorch threads.
        modes: kernel modes: accurate, fast.
        against: implementations to compare with: eager, compile, jax.
        progress: called before each case with the number done, the total, None, and the case's name.

    Raises:
        UnknownActivation, BadFormula, BadInput: the message says what to change.
    """
    return timed(
        {name: activation_named(name) for name in names or USUAL},
        sizes=sizes,
        dtypes=dtypes,
        threads=threads,
        modes=modes,
        against=against,
        progress=progress,
    )
