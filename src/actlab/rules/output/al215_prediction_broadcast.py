"""AL215: prediction and targets that are broadcast against each other."""

from __future__ import annotations

import math
from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import upstream
from actlab.rules.observed import REGRESSIONS
from actlab.rules.output.losses import called_at, place_of
from actlab.rules.rule import Found, found, rule
from actlab.sites.trace.trace import Step

_ARITHMETIC = frozenset({"sub", "rsub", "mul"})
# They add an axis on purpose.
_ADDS_AXIS = frozenset({"unsqueeze", "getitem", "expand", "view", "reshape"})


@rule(
    "AL215",
    title="prediction and targets broadcast against each other",
    severity="warning",
    remedies=("same-shape",),
)
def prediction_broadcast(context: Context) -> Iterator[Found]:
    """The outputs have the shape (N, 1) and the targets (N,), or the reverse: the loss compares all pairs.

    Why it matters:
        PyTorch broadcasts a column against a row to a matrix of N x N numbers: every output is compared with the
        targets of all examples. The best answer is then the mean of the targets, whatever the input.

    How it is detected:
        By shape: a regression loss, a difference or a product in the loss of a computed value and of targets has more
        elements than either of them, because one has an extra axis. An axis that the loss adds on purpose, such as
        `output[:, None] - target`, is not reported.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
        batch = torch.randn(32, 4), torch.randn(32)
        loss = lambda output, target: ((output - target) ** 2).mean()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
        batch = torch.randn(32, 4), torch.randn(32)
        loss = lambda output, target: ((output.squeeze(1) - target) ** 2).mean()

    References:
        PyTorch documentation: broadcasting semantics
    """
    reported: set[tuple[str, int]] = set()
    for step in context.trace.steps:
        is_candidate = step.function in REGRESSIONS or (step.part == "loss" and step.function in _ARITHMETIC)
        if not is_candidate or step.place not in context.to_loss or (step.file, step.line) in reported:
            continue
        shapes = _of_pairs(context, step)
        if shapes is not None:
            reported.add((step.file, step.line))
            yield found(
                f"{step.spelling} gets shapes {shapes[0]} and {shapes[1]}, which are broadcast to all pairs: every"
                f" output is compared with the targets of all {shapes[0][0]} examples.{called_at(step)}",
                site=place_of(context, step),
                shapes=[list(shape) for shape in shapes],
                loss=step.function,
            )


def _of_pairs(context: Context, step: Step) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the shapes of a computed value and of targets if they are (N, 1) and (N,), in either order."""
    if len(step.inputs) < 2:
        return None
    values = [context.trace.values[value] for value in step.inputs[:2]]
    long, short = sorted((value.shape for value in values), key=len, reverse=True)
    if len(long) != len(short) + 1 or long[-1] != 1 or long[:-1] != short or math.prod(short) < 2 or not short[-1] > 1:
        return None
    computed = [value.requires_grad for value in values]
    targets = [not value.requires_grad and _is_of_targets(context, value.number) for value in values]
    if not (computed[0] and targets[1]) and not (computed[1] and targets[0]):
        return None
    column = step.inputs[0] if values[0].shape == long else step.inputs[1]
    maker = context.trace.maker(column)
    adds_axis = maker is not None and maker.part == "loss" and maker.function in _ADDS_AXIS
    return None if adds_axis else (values[0].shape, values[1].shape)


def _is_of_targets(context: Context, value: int) -> bool:
    """Return whether the value is the targets or computed from them."""
    origins = {context.trace.values[value].origin}
    for place in upstream(context.trace, value):
        origins |= {context.trace.values[each].origin for each in context.trace.steps[place].inputs}
    return "target" in origins
