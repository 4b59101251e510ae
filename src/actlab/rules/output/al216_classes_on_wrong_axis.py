"""AL216: cross_entropy that reads the classes from another axis than that of the features."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import biased
from actlab.rules.output.losses import called_at, place_of
from actlab.rules.rule import Found, found, rule


@rule(
    "AL216",
    title="classes on another axis than cross_entropy reads",
    severity="warning",
    remedies=("classes-second",),
)
def classes_on_wrong_axis(context: Context) -> Iterator[Found]:
    """`cross_entropy` reads the classes on axis 1, but the layer before it puts its outputs on the last axis.

    Why it matters:
        For sequences of shape (N, T, C) the loss takes axis 1, the positions, for the classes. PyTorch raises an error
        unless T equals C; then the loss is computed over the positions and the model learns nonsense.

    How it is detected:
        By data flow and shape: the first input of `cross_entropy` or `nll_loss` with class indices has three axes or
        more, comes from a linear layer without a transpose in between, and axis 1 is as long as the last.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
        batch = torch.randn(32, 3, 4), torch.randint(3, (32, 3))
        loss = nn.CrossEntropyLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
        batch = torch.randn(32, 3, 4), torch.randint(3, (32, 3))
        loss = lambda output, target: F.cross_entropy(output.transpose(1, 2), target)

    References:
        PyTorch documentation of CrossEntropyLoss: shape
    """
    trace = context.trace
    for step in context.losses("cross_entropy", "nll_loss"):
        shape = trace.values[step.inputs[0]].shape
        targets = context.tensor(step, 1)
        if len(shape) < 3 or shape[1] != shape[-1] or targets is None or targets.is_floating_point():
            continue
        value = step.inputs[0]
        maker = trace.maker(value)
        while maker is not None and maker.function in {"log_softmax", "softmax", "log", "clamp"}:
            value = maker.inputs[0]
            maker = trace.maker(value)
        product = None if maker is None else biased(trace, maker)
        layer = trace.maker(product) if product is not None else maker
        if layer is None or layer.function != "linear" or any(step is each for each in context.written):
            continue
        yield found(
            f"{step.function} takes axis 1 of its input of shape {shape} for the classes, but the layer before it puts"
            f" its {shape[-1]} outputs on the last axis: the loss is computed over the positions.{called_at(step)}",
            site=place_of(context, step),
            shape=list(shape),
            loss=step.function,
        )
