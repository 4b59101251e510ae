"""A check of one batch for AL105: a recurrent state that grows from step to step."""

from __future__ import annotations

import math
from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import data_of, layers, parameters_of, sole, spot_of, upstream
from actlab.rules.rule import Found, found
from actlab.sites.trace.trace import Step
from actlab.telemetry.depth_trend import course


def growing_state(context: Context) -> Iterator[Found]:
    """Report a layer that is applied to its own output again and again while the state grows geometrically."""
    for calls in _recurrent_calls(context):
        sizes = [math.sqrt(context.observed.mean_square(step) or 0.0) for step in calls]
        sizes = [size for size in sizes if 0 < size < math.inf]
        trend = course(sizes)
        factor = math.sqrt(context.settings.variance_ratio)
        if trend is None or trend.slope < 0 or not trend.is_geometric(factor, context.settings):
            continue
        value = data_of(context.trace, calls[-1])
        made = None if value is None else sole(context.trace, value)
        yield found(
            f"a layer of {calls[0].path or 'the model'} is applied to its own output {len(calls)} times, and the mean"
            f" square of the state grows by a factor of {math.exp(2 * trend.slope):.2g} per step, from"
            f" {sizes[0] ** 2:.2g} to {sizes[-1] ** 2:.2g}; the gradient grows likewise in the backward pass",
            site=(None if made is None else made.spot) or spot_of(calls[-1]),
            sizes=sizes,
            calls=len(calls),
            **trend.evidence(),
        )


def _recurrent_calls(context: Context) -> Iterator[list[Step]]:
    """Yield the calls of each layer whose output comes back to it as input."""
    by_weight: dict[str, list[Step]] = {}
    for step in layers(context.trace):
        if step.part == "model":
            weight = parameters_of(context.trace, step)[-1 if step.function == "addmm" else 0]
            by_weight.setdefault(weight, []).append(step)
    for calls in by_weight.values():
        value = data_of(context.trace, calls[-1])
        if len(calls) >= context.settings.fewest_layers and value is not None:
            before = upstream(context.trace, value)
            if all(step.place in before for step in calls[:-1]):
                yield calls
