"""The axis of the examples, among the axes of the model's inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from actlab.rules.axes import Source
from actlab.rules.context import Context


@final
@dataclass(frozen=True)
class BatchAxis:
    """Where the axis of the examples begins.

    Attributes:
        sources: that axis of every input.
        others: the second axis of inputs with three axes, or the first if the examples come second.
        length: the number of examples.
        is_sure: whether no other axis may be that of the examples, as the first two of (N, T, C) with targets (N, T).
    """

    sources: frozenset[Source]
    others: frozenset[Source]
    length: int
    is_sure: bool


def batch_axis(context: Context) -> BatchAxis:
    """Return the axis of the inputs that is as long as the targets."""
    trace = context.trace
    inputs = [value for value in trace.values if value.origin.startswith("input") and value.shape]
    targets = next((value.shape for value in trace.values if value.origin == "target" and value.shape), ())
    length = targets[0] if targets else inputs[0].shape[0] if inputs else 0
    found, others, is_sure = set[Source](), set[Source](), bool(targets) and length > 1
    for value in inputs:
        places = [at for at, size in enumerate(value.shape) if size == length][:2]
        if not places or places[0] > 1:
            continue
        found.add(("input", value.number, places[0]))
        if len(value.shape) == 3:
            others.add(("input", value.number, 1 - places[0]))
            # (N, T, C) with targets (N, T) may as well be time first
            is_sure &= len(places) == 1 and value.shape[:2] != targets[:2]
        elif places[0] == 1:
            is_sure = False
    return BatchAxis(frozenset(found), frozenset(others), length, is_sure)
