"""Time activations on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actlab.measure.speed.summary import USUAL, Bench
from actlab.measure.speed.summary import bench as timed
from actlab.verbs.activation_lookup import activation_named


def bench(names: Sequence[str] = (), **options: Any) -> Bench:
    """Time activations on this machine, relative to a plain copy of the input, beside PyTorch.

    Args:
        names: names, formulas, or `file.py:name`; common activations by default.
        options: sizes, dtypes, threads, modes, against, seconds, progress, as
            `actlab.measure.speed.summary.bench` takes them.

    Raises:
        UnknownActivation, BadFormula, BadInput: the message says what to change.
    """
    return timed({name: activation_named(name) for name in names or USUAL}, **options)
