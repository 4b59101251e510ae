"""AL201: softmax before a loss that applies softmax itself."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import sole, spot_of
from actlab.rules.output.losses import axis_length, called_at, lowest_loss, readers_of_logits
from actlab.rules.rule import Found, found, rule


@rule(
    "AL201",
    title="softmax before a loss that applies softmax itself",
    severity="error",
    remedies=("remove-output-activation",),
)
def softmax_before_cross_entropy(context: Context) -> Iterator[Found]:
    """Softmax is applied to the logits, and the loss applies softmax again.

    Why it matters:
        `cross_entropy` takes logits. Given probabilities, which lie between 0 and 1, the loss cannot fall below
        log(1 + (K - 1)/e) for K classes. Gradients shrink, and training is slow or stalls while nothing looks broken.

    How it is detected:
        By data flow: the first input of the loss is the output of a softmax, with nothing in between that changes its
        meaning. A softmax that the loss does not read is not reported.

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
        if made.name == "softmax" and classes != 1:
            yield found(
                f"softmax is applied before {reader}, which applies it again: over {classes} classes the loss cannot"
                f" fall below {lowest_loss(classes):.2f}, and gradients shrink.{called_at(step)}",
                site=made.spot or spot_of(step),
                classes=classes,
                loss=step.function,
                lowest_loss=lowest_loss(classes),
            )
