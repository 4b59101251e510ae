"""AL202: log_softmax before a loss that applies log_softmax itself."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import sole, spot_of
from actlab.rules.output.losses import are_log_probabilities, called_at
from actlab.rules.rule import Found, found, rule


@rule(
    "AL202",
    title="log_softmax before a loss that applies log_softmax itself",
    severity="information",
    remedies=("remove-output-activation",),
)
def log_softmax_before_cross_entropy(context: Context) -> Iterator[Found]:
    """Log_softmax is applied to the logits, and the loss applies log_softmax again.

    Why it matters:
        log_softmax is idempotent: the loss and its gradients are correct, but one pass over the logits is wasted.
        `nll_loss` computes the same in one pass.

    How it is detected:
        By data flow: the first input of `cross_entropy` is the output of log_softmax over the classes. Along another
        axis it is reported as AL207.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), nn.LogSoftmax(dim=1))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), nn.LogSoftmax(dim=1))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.NLLLoss()

    References:
        PyTorch documentation of CrossEntropyLoss; log_softmax is idempotent because logsumexp of its output is 0
    """
    for step in context.losses("cross_entropy"):
        made = sole(context.trace, step.inputs[0])
        if made.name == "log_softmax" and are_log_probabilities(context, step):
            yield found(
                "log_softmax is applied before cross_entropy, which applies it again: the loss and its gradients are"
                f" correct, but one pass over the logits is wasted.{called_at(step)}",
                site=made.spot or spot_of(step),
                loss=step.function,
            )
