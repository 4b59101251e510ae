"""Findings about a layer that is applied again and again to what it gave: depth in time."""

from __future__ import annotations

import math
from collections.abc import Iterator

from actlab.rules.context import Context, finding
from actlab.rules.dataflow import data_of, is_layer, parameters_of, sole, spot_of, upstream
from actlab.rules.finding import Finding
from actlab.sites.trace.trace import Step
from actlab.telemetry.depth_trend import course


def state_spreads(context: Context) -> Iterator[Finding]:
    """AL105 of a state that grows from call to call of one layer, told where it is made."""
    for calls in _returning(context):
        sizes = [math.sqrt(context.observed.size.get(step.place, 0.0)) for step in calls]
        sizes = [size for size in sizes if 0 < size < math.inf]
        line = course(sizes)
        if (
            line is None
            or line.slope < 0
            or not line.is_geometric(math.sqrt(context.settings.variance_ratio), context.settings)
        ):
            continue
        value = data_of(context.trace, calls[-1])
        made = None if value is None else sole(context.trace, value)
        yield finding(
            "AL105",
            f"a layer of {calls[0].path or 'the model'} is applied to what it gave before, {len(calls)} times, and the"
            f" mean square of the state grows by a factor of {math.exp(2 * line.slope):.2g} each time, from"
            f" {sizes[0] ** 2:.2g} to {sizes[-1] ** 2:.2g}; so does the gradient on its way back",
            site=(None if made is None else made.spot) or spot_of(calls[-1]),
            sizes=sizes,
            calls=len(calls),
            **line.evidence(),
        )


def _returning(context: Context) -> Iterator[list[Step]]:
    """The calls of each layer whose answer comes back to it."""
    by_weight: dict[str, list[Step]] = {}
    for step in context.trace.steps:
        if step.part == "model" and is_layer(context.trace, step):
            by_weight.setdefault(parameters_of(context.trace, step)[-1 if step.function == "addmm" else 0], []).append(
                step
            )
    for calls in by_weight.values():
        value = data_of(context.trace, calls[-1])
        if len(calls) >= context.settings.fewest_layers and value is not None:
            before = upstream(context.trace, value)
            if all(step.place in before for step in calls[:-1]):
                yield calls


RULES = (state_spreads,)
