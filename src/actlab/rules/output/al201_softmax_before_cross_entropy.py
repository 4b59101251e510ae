"""AL201: softmax before a loss that applies softmax itself."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import sole, spot_of
from actlab.rules.output.losses import (
    are_shares,
    axis_length,
    called_at,
    confined,
    is_over_examples,
    lowest_loss,
    one_a_line,
    readers_of_logits,
)
from actlab.rules.rule import Found, found, rule
from actlab.sites.trace.trace import Step


@rule(
    "AL201",
    title="probabilities before a loss that applies softmax itself",
    severity="error",
    remedies=("remove-output-activation",),
)
def softmax_before_cross_entropy(context: Context) -> Iterator[Found]:
    """The loss applies softmax to values that are probabilities already, such as the outputs of a softmax.

    Why it matters:
        `cross_entropy` takes logits. Given probabilities, which lie between 0 and 1, the loss cannot fall below
        log(1 + (K - 1)/e) for K classes. Gradients shrink, and training is slow or stalls while nothing looks broken.

    How it is detected:
        By data flow: the first input of the loss is the output of a softmax, with nothing in between that changes its
        meaning. By value: its rows are non-negative and sum to 1 on the whole batch, as for a mean of several
        softmax outputs, or for the two columns 1 - p and p. A softmax that the loss does not read is not reported.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(dim=-1))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    References:
        PyTorch documentation of CrossEntropyLoss; Humbatova et al. 2020, arXiv:1910.11015 (wrong activation, wrong
        loss)
    """
    for step, value, reader in readers_of_logits(context):
        made = sole(context.trace, value)
        classes = axis_length(context, made)
        if made.name != "softmax" and (step.function == "cross_entropy" or step.part == "loss"):
            yield from _computed(context, step, value, reader)
        if made.name == "softmax" and classes != 1 and not is_over_examples(context, made, step):
            yield found(
                f"softmax is applied before {reader}, which applies it again: over {classes} classes the loss cannot"
                f" fall below {lowest_loss(classes):.2f}, and gradients shrink.{called_at(step)}",
                site=made.spot or spot_of(step),
                classes=classes,
                loss=step.function,
                lowest_loss=lowest_loss(classes),
            )
    yield from _before_gumbel(context)


def _before_gumbel(context: Context) -> Iterator[Found]:
    """Report probabilities that `gumbel_softmax`, which takes logits, draws from; a low temperature sharpens them."""
    for step in context.trace.steps:
        made = sole(context.trace, step.inputs[0]) if step.function == "gumbel_softmax" and step.inputs else None
        tau = step.arguments.get("tau", 1)
        if made is not None and made.name == "softmax" and step.place in context.matters and tau >= _WARM:
            yield found(
                "softmax is applied before gumbel_softmax, which takes logits: no class is drawn more than e = 2.72"
                " times as often as another, whatever the weights, and gradients shrink.",
                site=made.spot or spot_of(step),
                severity="warning",
                classes=axis_length(context, made),
                loss=step.function,
            )


_WARM = 0.5


def _computed(context: Context, step: Step, value: int, reader: str) -> Iterator[Found]:
    """Report probabilities that were computed from those of an activation, or by other means."""
    if not are_shares(context, step, value):
        return
    known = confined(context, value)
    sources = context.bounds.activations_behind(value) if known is None else known.sources
    names = " and ".join(dict.fromkeys(made.name for made in sources))
    by = f", computed from the output of {names}," if names else ""
    shape = context.trace.values[value].shape
    classes = shape[step.arguments.get("dim", 1)] if step.function != "cross_entropy" else shape[min(1, len(shape) - 1)]
    for spot in [made.spot for made in one_a_line(sources)] or [sole(context.trace, value).spot]:
        yield found(
            f"{reader} takes logits, but its input{by} is probabilities: every row sums to 1. Over {classes} classes"
            f" the loss cannot fall below {lowest_loss(classes):.2f}, and gradients shrink.{called_at(step)}",
            site=spot or spot_of(step),
            classes=classes,
            loss=step.function,
            lowest_loss=lowest_loss(classes),
        )
