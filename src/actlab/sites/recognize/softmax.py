"""Softmax and log-softmax that are written out: `exp(x) / exp(x).sum(dim)`, `x - logsumexp(x, dim)`."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.catalog.index import get
from actlab.sites.recognize.composites import Found, is_closed
from actlab.sites.recognize.torch_ops import MOVES
from actlab.sites.recognize.upstream import is_float
from actlab.sites.trace.trace import Step, Trace


def axis_composites(trace: Trace) -> Iterator[Found]:
    """Activations along an axis that are written out in several steps."""
    for step in trace.steps:
        if step.part == "model" and len(step.inputs) == 2:
            found = _softmax(trace, step) if step.function == "div" else _log_softmax(trace, step)
            if found is not None and is_float(trace, found.source) and found.source not in trace.of_weights:
                yield found


def _softmax(trace: Trace, last: Step) -> Found | None:
    above, total = (trace.maker(value) for value in last.inputs)
    if above is None or total is None or above.function != "exp":
        return None
    if not _reduces(total, "sum", last.inputs[0]):
        return None
    return _found(trace, "softmax", above.inputs[0], [above, total, last])


def _log_softmax(trace: Trace, last: Step) -> Found | None:
    """`x - logsumexp(x)`, and `x - log(sum(exp(x)))`."""
    below = trace.maker(last.inputs[1]) if last.function == "sub" else None
    if below is None or "alpha" in last.arguments:
        return None
    if _reduces(below, "logsumexp", last.inputs[0]):
        return _found(trace, "log_softmax", last.inputs[0], [below, last])
    total = trace.maker(below.inputs[0]) if below.function == "log" and below.inputs else None
    above = trace.maker(total.inputs[0]) if total is not None and total.inputs else None
    if total is None or above is None or above.function != "exp" or above.inputs[0] != last.inputs[0]:
        return None
    if not _reduces(total, "sum", total.inputs[0]):
        return None
    return _found(trace, "log_softmax", last.inputs[0], [above, total, below, last])


def _reduces(step: Step, function: str, value: int) -> bool:
    """Whether the step is that reduction of the value along one axis, which it keeps."""
    keeps = step.arguments.get("keepdim") is True or step.arguments.get("keepdims") is True
    return step.function == function and step.inputs[:1] == (value,) and keeps and _dim(step) is not None


def _dim(step: Step) -> int | None:
    dim = step.arguments.get("dim", step.arguments.get("axis"))
    dim = dim[0] if isinstance(dim, tuple) and len(dim) == 1 else dim
    return dim if isinstance(dim, int) and not isinstance(dim, bool) else None


def _found(trace: Trace, name: str, source: int, steps: list[Step]) -> Found | None:
    shift = _shift(trace, source)
    if shift:
        source, steps = shift[-1].inputs[0], [*shift, *steps]
    places = tuple(sorted({step.place for step in steps}))
    if not is_closed(trace, frozenset(places), trace.steps[places[-1]]):
        return None
    written = {"softmax": "exp(x) / sum(exp(x))", "log_softmax": "x - log(sum(exp(x)))"}[name]
    return Found(get(name), places, source, written=written)


def _shift(trace: Trace, value: int) -> list[Step]:
    """The steps that take off the largest number, which changes nothing but keeps the exponentials finite."""
    last = trace.maker(value)
    if last is None or last.function != "sub" or len(last.inputs) != 2 or "alpha" in last.arguments:
        return []
    steps, below = [last], trace.maker(last.inputs[1])
    while below is not None and below.function in MOVES and below.inputs:
        steps.insert(0, below)
        below = trace.maker(below.inputs[0])
    is_largest = below is not None and below.function in {"max", "amax"} and below.inputs == last.inputs[:1]
    return [below, *steps] if below is not None and is_largest else []
