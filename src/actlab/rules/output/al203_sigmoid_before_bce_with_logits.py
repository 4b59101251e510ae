"""AL203: sigmoid before a loss that applies a sigmoid itself."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import sole, spot_of
from actlab.rules.output.losses import (
    called_at,
    confined,
    is_in_unit_interval,
    is_multi_label,
    is_squashed,
    lowest_binary_loss,
    one_a_line,
)
from actlab.rules.rule import Found, found, rule
from actlab.sites.trace.trace import Step


@rule(
    "AL203",
    title="sigmoid before a loss that applies a sigmoid itself",
    severity="error",
    remedies=("remove-output-activation",),
)
def sigmoid_before_bce_with_logits(context: Context) -> Iterator[Found]:
    """Sigmoid is applied to the logits, and the loss or a second sigmoid applies it again.

    Why it matters:
        `binary_cross_entropy_with_logits` takes logits. The sigmoid of a number between 0 and 1 lies between 0.50 and
        0.73, so the negative class can never be predicted. Gradients are at most a quarter of the correct ones.

    How it is detected:
        By data flow: the first input of the loss is the output of an activation whose range lies within [0, 1], such as
        sigmoid, hard_sigmoid or softmax, or is computed from such outputs by arithmetic that keeps it bounded, such as
        1 - p or a mean of several. `binary_cross_entropy` of a sigmoid of such an output is reported too, and so is
        `soft_margin_loss`, which applies a sigmoid to the score times the target. Softmax for multi-label targets is
        reported as AL210.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
        x = torch.randn(32, 4)
        batch = x, (x[:, :1] > 0).float()
        loss = nn.BCEWithLogitsLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
        x = torch.randn(32, 4)
        batch = x, (x[:, :1] > 0).float()
        loss = nn.BCEWithLogitsLoss()

    References:
        PyTorch documentation of BCEWithLogitsLoss
    """
    for step in context.losses("binary_cross_entropy_with_logits", "multilabel_soft_margin_loss", "soft_margin_loss"):
        made = sole(context.trace, step.inputs[0])
        if is_squashed(made) or (made.name == "softmax" and not is_multi_label(context, step)):
            yield found(
                f"{made.name} is applied before {context.called(step)}, which takes logits: {_CONFINED}"
                f"{called_at(step)}",
                site=made.spot or spot_of(step),
                loss=step.function,
            )
        elif made.name != "softmax":
            yield from _computed(context, step, step.inputs[0])
    for step in context.losses("binary_cross_entropy"):
        made = sole(context.trace, step.inputs[0])
        inner = None if made.name != "sigmoid" or made.source is None else sole(context.trace, made.source)
        if inner is not None and is_squashed(inner):
            yield found(
                f"sigmoid is applied to the output of {inner.name}: {_CONFINED}{called_at(step)}",
                site=inner.spot,
                loss=step.function,
            )
        elif inner is not None and made.source is not None:
            yield from _computed(context, step, made.source)


def _computed(context: Context, step: Step, value: int) -> Iterator[Found]:
    """Report logits that are computed from probabilities and bounded as they are."""
    known = confined(context, value)
    if known is None or not is_in_unit_interval(known):
        return
    lowest = lowest_binary_loss(known)
    is_written = any(step is each for each in context.written)
    # a written logistic function may compare two probabilities, whose difference has either sign
    has_either_sign = bool(((known.low < 0) & (known.high > 0)).any())
    if lowest < _LOWEST or (is_written and has_either_sign):
        return
    for made in one_a_line(known.sources):
        yield found(
            f"{context.called(step)} takes logits, but its input is computed from the output of {made.name} and lies"
            f" between {known.least:.3g} and {known.most:.3g}: for one of the two classes the loss cannot fall below"
            f" {lowest:.2f} (guessing gives 0.69).{called_at(step)}",
            site=made.spot or spot_of(step),
            loss=step.function,
            range=[known.least, known.most],
            lowest_loss=lowest,
        )


_LOWEST = 0.2
"""Nearly a third of the loss of guessing: no classifier that learned anything has as much left."""


_CONFINED = "predicted probabilities are confined to 0.50-0.73, so the negative class can never be predicted."
