"""AL205: negative log-likelihood of values that are not log-probabilities."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.context import Context
from actlab.rules.dataflow import sole, spot_of
from actlab.rules.output.losses import (
    are_log_probabilities,
    axis_length,
    called_at,
    class_axis,
    computed_by,
    is_raw_output,
    log_sum_error,
    path_of,
)
from actlab.rules.rule import Found, found, rule


@rule(
    "AL205",
    title="nll_loss of values that are not log-probabilities",
    severity="error",
    remedies=("add-log-softmax", "use-cross-entropy"),
)
def no_log_softmax_before_nll(context: Context) -> Iterator[Found]:
    """`nll_loss`, `kl_div` or `ctc_loss` is applied to raw outputs or to probabilities.

    Why it matters:
        `nll_loss` returns the negated entry of the target class and relies on a log_softmax before it. On raw outputs
        the loss falls without bound while nothing is learned; on probabilities it is linear, and its gradient does not
        grow where the model is wrong.

    How it is detected:
        By data flow and by value: the input of the loss comes from a layer, from softmax or from an activation whose
        range leaves [0, 1], and its exponentials do not sum to 1 over the classes.

    Example:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.NLLLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), nn.LogSoftmax(dim=1))
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.NLLLoss()

    References:
        PyTorch documentation of NLLLoss
    """
    for step in context.losses("nll_loss", "kl_div", "ctc_loss"):
        made = sole(context.trace, step.inputs[0])
        is_candidate = made.name == "softmax" or is_raw_output(context, made)
        if axis_length(context, made) == 1 or not is_candidate or are_log_probabilities(context, step):
            continue
        what = "probabilities, not their logarithms" if made.name == "softmax" else "raw outputs"
        why = "is linear in the probabilities" if made.name == "softmax" else "falls without bound"
        values = context.tensor(step, 0)
        yield found(
            f"{context.called(step)} takes log-probabilities, but its input is {what}: the loss {why} and does not"
            f" penalize wrong predictions as it should.{computed_by(made)}{called_at(step)}",
            site=made.spot or spot_of(step),
            made_by=made.name,
            numbers=0 if values is None else values.numel(),
            off_by=log_sum_error(values, class_axis(step)),
            layers=path_of(made),
        )
