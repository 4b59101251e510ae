"""Softmax and log-softmax in several steps: `exp(x) / exp(x).sum(dim)`, `x - logsumexp(x, dim)` and its exponential."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from actlab.catalog.index import get
from actlab.sites.recognize.composites import Found, is_closed
from actlab.sites.recognize.torch_ops import MOVES
from actlab.sites.recognize.upstream import is_float
from actlab.sites.trace.trace import Step, Trace

_FORMULAS = {"softmax": "exp(x) / sum(exp(x))", "log_softmax": "x - log(sum(exp(x)))"}


@final
@dataclass(frozen=True)
class WrittenSoftmax:
    """Steps that together compute a softmax or a log-softmax.

    Attributes:
        name: `softmax` or `log_softmax`.
        source: the number of the value to which it is applied.
        dim: the axis, from 0.
        steps: in order.
    """

    name: str
    source: int
    dim: int
    steps: tuple[Step, ...]


def axis_composites(trace: Trace) -> Iterator[Found]:
    """Yield the activations along an axis that are written out in several steps."""
    for step in reversed(trace.steps):
        written = written_softmax(trace, step) if step.part == "model" else None
        if written is None or not is_float(trace, written.source) or written.source in trace.of_weights:
            continue
        places = tuple(each.place for each in written.steps)
        if is_closed(trace, frozenset(places), step):
            formula = "exp(log_softmax(x))" if step.function == "exp" else _FORMULAS[written.name]
            yield Found(get(written.name), places, written.source, written=formula)


_LAST = frozenset({"exp", "div", "sub"})


def written_softmax(trace: Trace, last: Step) -> WrittenSoftmax | None:
    """Return the softmax or log-softmax that the step completes; None if it completes neither.

    Subtracting the largest number first, which keeps the exponentials finite, is part of it.
    """
    if last.function not in _LAST:
        return None
    if last.function == "exp" and len(last.inputs) == 1:
        return _exponential(trace, last)
    if len(last.inputs) != 2 or "alpha" in last.arguments:
        return None
    if last.function == "div":
        return _softmax(trace, last)
    return _log_softmax(trace, last) if last.function == "sub" else None


def _softmax(trace: Trace, last: Step) -> WrittenSoftmax | None:
    """`exp(x) / sum(exp(x))`."""
    above = trace.maker(last.inputs[0])
    moves, total = _unmoved(trace, last.inputs[1])
    if above is None or above.function != "exp" or total is None or total.function != "sum":
        return None
    summed = trace.maker(total.inputs[0])
    if summed is None or summed.function != "exp" or summed.inputs != above.inputs:
        return None
    return _written(trace, "softmax", above.inputs[0], total, [above, summed, total, *moves, last])


def _exponential(trace: Trace, last: Step) -> WrittenSoftmax | None:
    """`exp(log_softmax(x))`, in one call or written out."""
    inner = trace.maker(last.inputs[0])
    if inner is None:
        return None
    if inner.function == "log_softmax" and inner.inputs:
        dim, count = _dim(inner), len(trace.values[inner.inputs[0]].shape)
        return None if dim is None else WrittenSoftmax("softmax", inner.inputs[0], dim % count, (inner, last))
    written = written_softmax(trace, inner)
    if written is None or written.name != "log_softmax":
        return None
    return WrittenSoftmax("softmax", written.source, written.dim, (*written.steps, last))


def _log_softmax(trace: Trace, last: Step) -> WrittenSoftmax | None:
    """`x - logsumexp(x)`, or `x - log(sum(exp(x)))`."""
    source = last.inputs[0]
    moves, below = _unmoved(trace, last.inputs[1])
    if below is not None and below.function == "logsumexp" and below.inputs == (source,):
        return _written(trace, "log_softmax", source, below, [below, *moves, last])
    if below is None or below.function != "log":
        return None
    inner, total = _unmoved(trace, below.inputs[0])
    summed = trace.maker(total.inputs[0]) if total is not None and total.function == "sum" else None
    if total is None or summed is None or summed.function != "exp" or summed.inputs != (source,):
        return None
    return _written(trace, "log_softmax", source, total, [summed, total, *inner, below, *moves, last])


def _written(trace: Trace, name: str, source: int, total: Step, steps: list[Step]) -> WrittenSoftmax | None:
    shape, dim = trace.values[source].shape, _dim(total)
    if dim is None or not shape:
        return None
    dim %= len(shape)
    reduced = trace.values[steps[-1].inputs[1]].shape
    if reduced != (*shape[:dim], 1, *shape[dim + 1 :]) and set(reduced) - {1}:
        return None  # the sums are those of other rows
    shift = _shift(trace, source)
    if shift:
        source = shift[-1].inputs[0]
    unique = {step.place: step for step in (*shift, *steps)}
    return WrittenSoftmax(name, source, dim, tuple(unique[place] for place in sorted(unique)))


def _dim(step: Step) -> int | None:
    dim = step.arguments.get("dim", step.arguments.get("axis"))
    dim = dim[0] if isinstance(dim, tuple) and len(dim) == 1 else dim
    return dim if isinstance(dim, int) and not isinstance(dim, bool) else None


def _shift(trace: Trace, value: int) -> list[Step]:
    """Return the steps that subtract the largest number from the value."""
    last = trace.maker(value)
    if last is None or last.function != "sub" or len(last.inputs) != 2 or "alpha" in last.arguments:
        return []
    moves, below = _unmoved(trace, last.inputs[1])
    is_largest = below is not None and below.function in {"max", "amax"} and below.inputs == last.inputs[:1]
    return [below, *moves, last] if below is not None and is_largest else []


def _unmoved(trace: Trace, value: int) -> tuple[list[Step], Step | None]:
    """Return the moves after what made the value, in order, and what made it."""
    moves: list[Step] = []
    maker = trace.maker(value)
    while maker is not None and maker.function in MOVES and maker.inputs:
        moves.insert(0, maker)
        maker = trace.maker(maker.inputs[0])
    return moves, maker
