"""AL204: binary cross-entropy of values that are not probabilities."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import Made, sole, spot_of
from actlab.rules.output.losses import called_at, computed_by, is_raw_output, path_of
from actlab.rules.rule import Found, found, rule
from actlab.theory.predicates import is_nonnegative


@rule(
    "AL204",
    title="binary_cross_entropy of values that are not probabilities",
    severity="error",
    remedies=("add-sigmoid", "use-logits-loss"),
)
def no_sigmoid_before_bce(context: Context) -> Iterator[Found]:
    """`binary_cross_entropy` is applied to values that are not confined to [0, 1].

    Why it matters:
        `binary_cross_entropy` takes probabilities. Values outside [0, 1] raise an error, or give NaN on some devices;
        logits that happen to lie inside are misread as probabilities.

    How it is detected:
        By data flow: the input of the loss comes from a layer, or from an activation whose range leaves [0, 1]; or some
        of its values on the batch lie outside. An activation with non-negative input is judged by its values on the
        batch, because its range may be smaller: tanh(softplus(x)) lies in [0, 1).

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
        x = torch.randn(32, 4)
        batch = x, (x[:, :1] > 0).float()
        loss = nn.BCELoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
        x = torch.randn(32, 4)
        batch = x, (x[:, :1] > 0).float()
        loss = nn.BCELoss()

    References:
        PyTorch documentation of BCELoss
    """
    for step in context.losses("binary_cross_entropy"):
        values = context.tensor(step, 0)
        outside = 0 if values is None else int(((values < 0) | (values > 1)).sum())
        made = sole(context.trace, step.inputs[0])
        if outside or (is_raw_output(context, made) and not _reads_nonnegative(context, made)):
            count = 0 if values is None else values.numel()
            yield found(
                f"{context.called(step)} takes probabilities, but its input is not confined to [0, 1]: {outside} of"
                f" {count} values lie outside.{computed_by(made)} Values outside raise an error or give NaN; logits"
                f" inside are misread as probabilities.{called_at(step)}",
                site=made.spot or spot_of(step),
                outside=outside,
                numbers=count,
                made_by=made.name,
                layers=path_of(made),
            )


def _reads_nonnegative(context: Context, made: Made) -> bool:
    if made.activation is None or made.source is None:
        return False
    before = sole(context.trace, made.source).activation
    return before is not None and is_nonnegative(before)
