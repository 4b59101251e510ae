"""A check of one batch for AL107: the loss is NaN or infinite before any training."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import place_of
from actlab.rules.non_finite import blame, culprit, remedies_for
from actlab.rules.rule import Found, found


def loss_not_finite(context: Context) -> Iterator[Found]:
    """Report a loss of NaN or infinity, at the operation to blame."""
    trace, faults = context.trace, context.observed.faults
    last = None if trace.loss is None else trace.maker(trace.loss)
    if last is None or last.place not in context.observed.not_finite:
        return
    step = culprit(trace, faults, context.to_loss)
    if step is None:
        yield found(
            "the loss is NaN or infinite on this batch: the batch or the weights already contain NaN or infinity",
            made_by=None,
        )
        return
    fault, narrow = faults[step.place], context.is_dtype_to_blame
    yield found(
        f"the loss is NaN or infinite on this batch: {blame(trace, step, fault, dtype_to_blame=narrow)}",
        site=place_of(trace, step),
        remedies=remedies_for(step, fault, dtype_to_blame=narrow),
        made_by=step.function,
        numbers=fault.numbers,
        of=fault.total,
        dtype=trace.values[step.outputs[0]].dtype,
    )
