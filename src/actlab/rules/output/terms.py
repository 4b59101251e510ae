"""The terms of a loss: a sum, taken apart as far as it is linear."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from actlab.rules.bounds import constant_of
from actlab.rules.context import Context
from actlab.rules.dataflow import made_by, moved_from
from actlab.sites.trace.trace import Step, Trace

_AVERAGES = frozenset({"mean", "sum"})
_MOST = 200


@final
@dataclass(frozen=True)
class Term:
    """One term of a sum.

    Attributes:
        value: its number.
        signs: the signs of its factor: of a factor per element, both may occur.
    """

    value: int
    signs: frozenset[int]


def terms(context: Context, value: int) -> Iterator[Term]:
    """Yield the terms of which the value is a sum, a mean or a weighted sum."""
    trace, waiting, count = context.trace, [(value, frozenset({1}))], 0
    while waiting and count < _MOST:
        value, signs = waiting.pop()
        count += 1
        step = trace.maker(value)
        is_end = step is None or made_by(trace, value).activation is not None
        parts = None if is_end or step is None else _parts(context, step, value)
        if parts is None:
            yield Term(value, signs)
            continue
        waiting += [(part, frozenset(one * other for one in signs for other in factors)) for part, factors in parts]


def _parts(context: Context, step: Step, value: int) -> list[tuple[int, set[int]]] | None:
    """Return the values whose weighted sum the step computes, with the signs of the weights."""
    trace, function, values = context.trace, step.function, step.inputs
    if not values or "alpha" in step.arguments:
        return None
    moved = moved_from(step, value)
    if function in _AVERAGES or moved is not None:
        return [(values[0] if moved is None else moved, {1})]
    if function == "neg":
        return [(values[0], {-1})]
    if function in {"add", "sub", "rsub"}:
        first, second = (-1, 1) if function == "rsub" else (1, -1 if function == "sub" else 1)
        if len(values) == 1:
            is_rest = any(key in step.arguments for key in ("0", "input"))
            return [(values[0], {second if is_rest else first})]
        return [(values[0], {first}), (values[1], {second})]
    if function in {"mul", "div"} and len(values) == 1:
        number = constant_of(step)
        return None if number is None or number == 0 else [(values[0], {1 if number > 0 else -1})]
    if function in {"mul", "div"}:
        return _weighted(context, trace, step)
    return None


def _weighted(context: Context, trace: Trace, step: Step) -> list[tuple[int, set[int]]] | None:
    """Return the learned factor of a product, with the signs of the other, which is data."""
    pairs = (step.inputs,) if step.function == "div" else (step.inputs, step.inputs[::-1])
    for value, weight in pairs:
        numbers = context.observed.numbers.get(weight)
        if trace.values[weight].requires_grad or not trace.values[value].requires_grad or numbers is None:
            continue
        signs = {sign for sign, occurs in ((1, (numbers > 0).any()), (-1, (numbers < 0).any())) if bool(occurs)}
        return [(value, signs)] if signs else None
    return None


def through_constants(context: Context, value: int, functions: frozenset[str]) -> int:
    """Return the value from which only these functions, with constants, and moves lead here."""
    trace = context.trace
    step = trace.maker(value)
    while step is not None and step.inputs:
        moved = moved_from(step, value)
        if moved is None:
            others = [each for each in step.inputs[1:] if trace.values[each].requires_grad]
            if step.function not in functions or others or not trace.values[step.inputs[0]].requires_grad:
                break
        value = step.inputs[0] if moved is None else moved
        step = trace.maker(value)
    return value
