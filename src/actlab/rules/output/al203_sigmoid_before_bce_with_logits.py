"""AL203: sigmoid before a loss that applies a sigmoid itself."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import sole, spot_of
from actlab.rules.output.losses import called_at, is_multi_label, is_squashed
from actlab.rules.rule import Found, found, rule


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
        sigmoid, hard_sigmoid or softmax. `binary_cross_entropy` of a sigmoid of such an output is reported too.
        Softmax for multi-label targets is reported as AL210.

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
    for step in context.losses("binary_cross_entropy_with_logits", "multilabel_soft_margin_loss"):
        made = sole(context.trace, step.inputs[0])
        if is_squashed(made) or (made.name == "softmax" and not is_multi_label(context, step)):
            yield found(
                f"{made.name} is applied before {context.called(step)}, which takes logits: {_CONFINED}"
                f"{called_at(step)}",
                site=made.spot or spot_of(step),
                loss=step.function,
            )
    for step in context.losses("binary_cross_entropy"):
        made = sole(context.trace, step.inputs[0])
        inner = None if made.name != "sigmoid" or made.source is None else sole(context.trace, made.source)
        if inner is not None and is_squashed(inner):
            yield found(
                f"sigmoid is applied to the output of {inner.name}: {_CONFINED}{called_at(step)}",
                site=inner.spot,
                loss=step.function,
            )


_CONFINED = "predicted probabilities are confined to 0.50-0.73, so the negative class can never be predicted."
