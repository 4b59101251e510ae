"""The finding about a loss that is not finite on the first batch already."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context, finding
from actlab.rules.dataflow import spot_of
from actlab.rules.finding import Finding

# They write what they are told to: -inf where a softmax shall not look, or whatever lay in memory.
_WRITES = frozenset(
    {"masked_fill", "full", "full_like", "new_full", "fill", "where", "empty", "empty_like", "new_empty", "__setitem__"}
)


def loss_is_lost(context: Context) -> Iterator[Finding]:
    """AL107 of one batch, told at the call that makes the first number that is not finite out of such as are."""
    trace, broken = context.trace, context.observed.broken
    last = None if trace.loss is None else trace.maker(trace.loss)
    if last is None or last.place not in context.observed.not_finite:
        return
    steps = [trace.steps[place] for place in broken if place in context.to_loss]
    first = next((step for step in steps if step.function not in _WRITES), steps[0] if steps else None)
    if first is None:
        why = "it has that from the batch or from the weights, which hold such numbers"
    else:
        why = f"{first.function} makes the first of such numbers of finite ones"
    yield finding(
        "AL107",
        f"the loss is not finite on this batch: {why}",
        site=None if first is None else trace.site_at(first) or spot_of(first),
        made_by=None if first is None else first.function,
    )


RULES = (loss_is_lost,)
