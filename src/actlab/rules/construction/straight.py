"""Functions that are a straight line where they are used: found by evaluating their steps again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F

from actlab.formula.activation import Activation
from actlab.rules.context import Context
from actlab.sites.site import Site
from actlab.sites.trace.trace import Step, Trace
from actlab.telemetry.observed_activation import measured

# Steps back at most: more than a formula has.
_MOST_STEPS = 16
# A function this close to a line, as a share of its spread, is one in any training.
_DEVIATION = 1e-3
# How far beyond the data it must be straight: layers grow that much while they are trained.
_BEYOND = 4.0
_AT_LEAST = 10.0
# Fewer numbers say nothing.
_FEWEST = 64
_OPTIONS = frozenset({"inplace", "out"})


@final
@dataclass(frozen=True)
class StraightLine:
    """Steps that compute a straight line of one value.

    Attributes:
        source: the number of that value.
        steps: in order.
        slope, intercept: of the line.
        lower, upper: between which inputs the line was checked.
        numbers: at how many of the batch.
    """

    source: int
    steps: tuple[Step, ...]
    slope: float
    intercept: float
    lower: float
    upper: float
    numbers: int

    def sites(self, trace: Trace) -> list[Site]:
        """Return the activations among the steps."""
        return list(dict.fromkeys(site for step in self.steps if (site := trace.site_at(step)) is not None))


def straight_from(context: Context, value: int) -> StraightLine | None:
    """Return the steps by which the value is a straight line of an earlier one; None if it is not.

    The steps are evaluated again, on the numbers of the batch, which must give the same output, and far beyond them.
    """
    return next((line for source in _before(context.trace, value) if (line := _line(context, source, value))), None)


def straight_everywhere(context: Context, site: Site) -> StraightLine | None:
    """Return the steps of an activation that is a straight line for every input, small or huge."""
    trace = context.trace
    index = trace.sites.index(site)
    steps = [trace.steps[place] for place, at in sorted(trace.site_of.items()) if at == index]
    source, value = trace.source(steps[0]), steps[-1].outputs[0]
    line = _line(context, source, value) if site.calls == 1 or len(steps) == site.calls else None
    if line is None:
        return None
    ends = torch.logspace(-3, 9, 49, dtype=torch.float64)
    everywhere = torch.cat([-ends, ends])
    far = _evaluated(trace, line.steps, source, value, everywhere)
    # each number for itself, since the large ones would hide the small ones
    expected = line.slope * everywhere + line.intercept
    is_line = far is not None and bool(((far - expected).abs() <= 1e-5 * expected.abs() + 1e-6).all())
    return line if is_line else None


def _before(trace: Trace, value: int) -> list[int]:
    """Return the earlier values of the same shape from which it may be computed, the nearest first."""
    shape, found, waiting = trace.values[value].shape, set[int](), [value]
    for _ in range(_MOST_STEPS):
        if not waiting:
            break
        maker = trace.maker(waiting.pop(0))
        new = [] if maker is None else [each for each in maker.inputs if trace.values[each].shape == shape]
        waiting += [each for each in new if each not in found]
        found.update(new)
    return sorted(found, reverse=True)


def _line(context: Context, source: int, value: int) -> StraightLine | None:
    trace, samples = context.trace, context.observed.samples
    x, y = samples.get(source), samples.get(value)
    steps = _steps(trace, source, value)
    if x is None or y is None or steps is None or len(x) != len(y) or len(x) < _FEWEST:
        return None
    x, y = x.double(), y.double()
    if not bool(x.isfinite().all() & y.isfinite().all()):
        return None
    line = _fitted(x, y)
    again = None if line is None else _evaluated(trace, steps, source, value, x)
    if line is None or again is None or not _agree(again, y):
        return None
    span = max(_BEYOND * float((x - x.mean()).abs().max()), _AT_LEAST)
    lower, upper = float(x.mean()) - span, float(x.mean()) + span
    beyond = torch.linspace(lower, upper, 257, dtype=torch.float64)
    far = _evaluated(trace, steps, source, value, beyond)
    if far is None or not _agree(far, line[0] * beyond + line[1]):
        return None
    return StraightLine(source, steps, *line, lower, upper, len(x))


def _fitted(x: Tensor, y: Tensor) -> tuple[float, float] | None:
    """Return slope and intercept of the line through the numbers; None if they are not on one, or it is constant."""
    moved = x - x.mean()
    square = float(moved.square().sum())
    slope = float((moved * y).sum()) / square if square > 0 else 0.0
    intercept = float(y.mean()) - slope * float(x.mean())
    is_constant = abs(slope) * float(moved.abs().max()) <= 1e-6 * float(y.abs().max())
    return None if is_constant or slope == 0 or not _agree(slope * x + intercept, y) else (slope, intercept)


def _agree(one: Tensor, other: Tensor) -> bool:
    rounding = 1e-5 * float(other.abs().max())
    return bool((one - other).abs().max() <= _DEVIATION * float(other.std()) + rounding)


def _steps(trace: Trace, source: int, value: int) -> tuple[Step, ...] | None:
    """Return the steps that compute the value from the source and numbers alone; None if others have a part in it."""
    found: dict[int, Step] = {}
    waiting = [value]
    while waiting:
        maker = trace.maker(waiting.pop())
        if maker is None or len(found) > _MOST_STEPS:
            return None
        found[maker.place] = maker
        waiting += [each for each in maker.inputs if each != source]
    return tuple(found[place] for place in sorted(found)) if source != value else None


def _evaluated(trace: Trace, steps: tuple[Step, ...], source: int, value: int, x: Tensor) -> Tensor | None:
    """Evaluate the steps on other numbers; None if one of them cannot be."""
    known = {source: x}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for step in steps:
            function = _function(trace, step)
            result = None if function is None else _called(function, step, known)
            if result is None:
                return None
            known.update(dict.fromkeys(step.outputs[:1], result))
    result = known.get(value)
    return result.double() if result is not None and result.shape == x.shape else None


def _function(trace: Trace, step: Step) -> Callable[..., Any] | None:
    if step.function == "activation":  # actlab's own
        site = trace.site_at(step)
        act = None if site is None else site.formula
        fits = isinstance(act, Activation) and len(act.inputs) == 1
        return (lambda x, **_: measured(act).pair(x)[0]) if fits and isinstance(act, Activation) else None
    found = getattr(F, step.function, None) or getattr(torch, step.function, None)
    return found if callable(found) else None


def _called(function: Callable[..., Any], step: Step, known: Mapping[int, Tensor]) -> Tensor | None:
    inputs = [known[value].clone() for value in step.inputs if value in known]
    options = {name: value for name, value in step.arguments.items() if name not in _OPTIONS}
    for place in sorted(int(name) for name in options if name.isdigit()):
        inputs.insert(place, options.pop(str(place)))
    try:
        result = function(*inputs, **options)
    except (TypeError, ValueError, RuntimeError, IndexError):  # not a function of these numbers alone
        return None
    return result if isinstance(result, Tensor) else None
