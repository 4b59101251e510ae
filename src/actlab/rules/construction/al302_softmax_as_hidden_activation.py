"""AL302: softmax used as a hidden-layer activation."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.axes import sources
from actlab.rules.construction.layers import AFFINE, units_axis
from actlab.rules.context import Context
from actlab.rules.dataflow import Made, behind, data_of, is_layer, layers, sole
from actlab.rules.rule import Found, found, rule
from actlab.sites.trace.trace import Step


@rule(
    "AL302",
    title="softmax used as a hidden-layer activation",
    severity="warning",
    remedies=("use-hidden-activation",),
)
def softmax_as_hidden_activation(context: Context) -> Iterator[Found]:
    """Softmax over the units is applied between two linear layers.

    Why it matters:
        Softmax couples all units of the layer and makes them sum to 1. With n units each is about 1/n, so the signal
        shrinks with the width, and one large unit suppresses the rest.

    How it is detected:
        By data flow: a layer reads only the output of a softmax, which reads only that of a layer, and softmax acts
        along the units that the layer sums over, or along the batch. As attention or as a gate softmax multiplies
        something else, and is not reported.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.Softmax(dim=-1), nn.Linear(16, 3))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 3))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    References:
        Humbatova et al. 2020, arXiv:1910.11015
    """
    trace = context.trace
    for step in layers(trace):
        if step.part == "loss":
            continue
        value = data_of(trace, step)
        made = None if value is None else sole(trace, behind(trace, value, AFFINE))
        if made is None or made.name != "softmax" or made.site is None or made.source is None:
            continue
        before = sole(trace, behind(trace, made.source, AFFINE))
        is_read_once = len(trace.readers(made.value)) == 1 and made.value not in trace.outputs
        if is_read_once and is_layer(trace, before.step) and _is_over_units(context, made, step):
            shape = trace.values[made.source].shape
            units = shape[made.dim or 0]
            what = (
                f"its {units} units sum to 1, so each is about 1/{units}, and one large unit suppresses the rest."
                if made.dim != 0 or len(shape) < 2
                else f"along axis 0, of length {units}, each unit sums to 1 over the batch, so every output depends on"
                " the other examples."
            )
            yield found(
                f"softmax is applied between two layers: {what}",
                site=made.site,
                units=units,
            )


def _is_over_units(context: Context, made: Made, second: Step) -> bool:
    """Return whether softmax acts along the units between the layers, or along the batch."""
    axes = None if made.source is None else context.axes.axes.get(made.source)
    read = data_of(context.trace, second) or 0
    after = context.axes.axes.get(read)
    if made.dim == 0:
        return True
    if axes is None or after is None:  # unknown: the same axis, unless something in between moves it
        shape = context.trace.values[read].shape
        return shape != context.trace.values[made.value].shape or units_axis(second) % len(shape) == made.dim
    return bool(sources(axes[made.dim or 0]) & sources(after[units_axis(second)]))
