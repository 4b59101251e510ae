"""A check of one batch for AL107: the loss is NaN or infinite before any training."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import spot_of
from actlab.rules.rule import Found, found

# They write -inf on purpose, as an attention mask does, or leave memory uninitialized.
_WRITES = frozenset(
    {"masked_fill", "full", "full_like", "new_full", "fill", "where", "empty", "empty_like", "new_empty", "__setitem__"}
)


def loss_not_finite(context: Context) -> Iterator[Found]:
    """Report a loss of NaN or infinity, at the first operation that turns finite inputs into it."""
    trace, broken = context.trace, context.observed.broken
    last = None if trace.loss is None else trace.maker(trace.loss)
    if last is None or last.place not in context.observed.not_finite:
        return
    steps = [trace.steps[place] for place in broken if place in context.to_loss]
    first = next((step for step in steps if step.function not in _WRITES), steps[0] if steps else None)
    if first is None:
        why = "the batch or the weights already contain NaN or infinity"
    else:
        why = f"{first.function} is the first operation to turn finite inputs into NaN or infinity"
    yield found(
        f"the loss is NaN or infinite on this batch: {why}",
        site=None if first is None else trace.site_at(first) or spot_of(first),
        made_by=None if first is None else first.function,
    )
